"""Objectives from `sli_samples`: windows of roll-ups and samples are the raw sums, whatever came and when."""

from __future__ import annotations

import itertools
import math
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.sli_store import SliStore
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BURN_WINDOWS, Counts
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.slo_reports import SliReading
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Exclusion,
    Limit,
    Op,
    Ratio,
    Slices,
    Slo,
    Source,
    SourceKind,
    Statistic,
    Threshold,
)
from tests.trading_platform import Platform

AT = datetime(2026, 3, 31, 2, 59, 59, 999_999, tzinfo=UTC)
WINDOW_S = 7 * 86_400
WINDOWS = sorted({WINDOW_S, *BURN_WINDOWS})
US = timedelta(microseconds=1)
_NAMES = itertools.count()


class Sample(NamedTuple):
    at: datetime
    good: Decimal
    total: Decimal
    value: float | None

    @property
    def sound(self) -> bool:
        numbers = self.good.is_finite() and self.total.is_finite() and 0 <= self.good <= self.total
        return numbers and (self.value is None or math.isfinite(self.value))


def slo(sli: str, indicator: Ratio | Limit | None = None, **how: Any) -> Slo:
    source = Source(SourceKind.POSTGRES, sli)
    slices = how.pop("slices", None)
    return Slo(
        name=how.pop("name", sli),
        title="",
        description="",
        objective=Decimal("0.9"),
        window_s=WINDOW_S,
        indicator=indicator or Ratio(source, source, None, how.pop("counter", False)),
        budgeting=Budgeting.TIMESLICES if slices else Budgeting.OCCURRENCES,
        slices=slices,
        breaker=EXECUTION,
        **how,
    )


def limit(sli: str, op: Op, bound: float) -> Limit:
    return Limit(Source(SourceKind.POSTGRES, sli), op, bound)


def threshold(sli: str, statistic: Statistic, window_s: int = 0) -> Threshold:
    source = Source(SourceKind.POSTGRES, sli)
    return Threshold(
        f"{sli}-{statistic.value}", "", "", source, statistic, window_s, Op.LTE, 1, "", EXECUTION
    )


def excluded(name: str, from_at: datetime, until_at: datetime) -> Exclusion:
    return Exclusion(f"{name} {from_at}", name, from_at, until_at, "agreed", "admin1", "admin2", 1)


async def insert(platform: Platform, sli: str, samples: Sequence[Sample]) -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
            " SELECT $1, * FROM unnest($2::numeric[], $3::numeric[], $4::float8[], $5::timestamptz[])",
            sli,
            [each.good for each in samples],
            [each.total for each in samples],
            [each.value for each in samples],
            [each.at for each in samples],
        )


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[SliStore]:
    made = SliStore(platform.login("monitor1").postgres_dsn)
    yield made
    await made.close()


# Moments at which something could be counted twice or not at all: edges of windows, minutes, hours, slices.
EDGES = st.one_of(
    st.sampled_from([AT - timedelta(seconds=length) for length in WINDOWS]),
    st.integers(0, 9).map(
        lambda hours: AT.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    ),
    st.integers(0, 300).map(lambda m: AT.replace(second=0, microsecond=0) - timedelta(minutes=m)),
)
MOMENTS = st.one_of(
    st.tuples(EDGES, st.integers(-1, 1)).map(lambda pair: pair[0] + pair[1] * US),
    st.integers(-3_600 * 10**6, (WINDOW_S + 7_200) * 10**6).map(lambda us: AT - timedelta(microseconds=us)),
)
COUNTS = st.decimals(0, 1_000, places=2)
ODD = st.sampled_from([Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal("1e9")])
VALUES = st.one_of(st.none(), st.floats(-50, 150), st.sampled_from([100.0, math.nextafter(100, 101)]))
ODD_VALUES = st.sampled_from([math.nan, math.inf, -math.inf])


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    def one() -> Sample:
        total = draw(COUNTS)
        good = min(total, draw(COUNTS))
        value = draw(VALUES)
        match draw(st.integers(0, 19)):
            case 0:
                good = draw(ODD)
            case 1:
                total = draw(st.sampled_from([Decimal("NaN"), Decimal("Infinity"), Decimal(-1)]))
            case 2:
                value = draw(ODD_VALUES)
        return Sample(draw(MOMENTS), good, total, value)

    return [one() for _ in range(draw(st.integers(1, 60)))]


EXCLUSIONS = st.lists(
    st.tuples(MOMENTS, MOMENTS).map(sorted).filter(lambda pair: pair[0] < pair[1]), max_size=3
)


def raw(
    found: Sequence[Sample], cuts: Sequence[Sequence[datetime]], length: int, measured: bool
) -> tuple[Counts, Counts]:
    """The sums over (AT - length, AT] outside and inside of the exclusions, sample by sample."""
    kept = cut = Counts()
    for each in found:
        if not each.sound or not AT - timedelta(seconds=length) < each.at <= AT:
            continue
        if measured:
            good, total = (
                Decimal(each.value is not None and each.value <= 100),
                Decimal(each.value is not None),
            )
        else:
            good, total = each.good, each.total
        if any(start < each.at <= end for start, end in cuts):
            cut = Counts(cut.good + good, cut.total + total)
        else:
            kept = Counts(kept.good + good, kept.total + total)
    return kept, cut


def sliced(
    found: Sequence[Sample], cuts: Sequence[Sequence[datetime]], length: int, slices: Slices, measured: bool
) -> Counts:
    """Whole slices that end in (AT - length, AT] and that no exclusion touches."""
    sums: dict[int, Counts] = {}
    for each in found:
        if each.sound:
            good, total = each.good, each.total
            if measured:
                good, total = (
                    Decimal(each.value is not None and each.value <= 100),
                    Decimal(each.value is not None),
                )
            place = -(-round(each.at.timestamp() * 10**6) // (slices.width_s * 10**6))
            before = sums.get(place, Counts())
            sums[place] = Counts(before.good + good, before.total + total)
    judged = Counts()
    for place, counts in sums.items():
        end = datetime.fromtimestamp(place * slices.width_s, UTC)
        start = end - timedelta(seconds=slices.width_s)
        touched = any(one < end and other > start for one, other in cuts)
        if AT - timedelta(seconds=length) < end <= AT and counts.total > 0 and not touched:
            is_good = counts.good >= slices.target * counts.total
            judged = Counts(judged.good + is_good, judged.total + 1)
    return judged


@settings(max_examples=(settings.default.max_examples + 1) // 2)  # each is dozens of statements
@given(
    found=samples(),
    cuts=EXCLUSIONS,
    late=st.integers(0, 60),
    width=st.sampled_from([60, 90, 300, 3_600, 7_200]),
)
async def test_windows_are_the_raw_sums(
    platform: Platform, found: list[Sample], cuts: list[list[datetime]], late: int, width: int
) -> None:
    sli = f"sli{next(_NAMES)}"
    await insert(platform, sli, found[late:])
    for each in found[:late]:  # late ones, one statement each
        await insert(platform, sli, [each])
    slices = Slices(width, Decimal("0.5"))
    asked = {
        "events": slo(sli, name="events"),
        "values": slo(sli, limit(sli, Op.LTE, 100), name="values"),
        "event-slices": slo(sli, name="event-slices", slices=slices),
        "value-slices": slo(sli, limit(sli, Op.LTE, 100), name="value-slices", slices=slices),
    }
    agreed = [excluded(name, *cut) for name in asked for cut in cuts]
    store = SliStore(platform.login("monitor1").postgres_dsn)
    try:
        readings = await store.read([*asked.values()], agreed, AT)
    finally:
        await store.close()
    for length in WINDOWS:
        for name in ("events", "values"):
            kept, cut = raw(found, cuts, length, name == "values")
            assert readings[name].counts[length] == kept, (name, length)
            if length == WINDOW_S:
                assert readings[name].excluded == cut
        for name in ("event-slices", "value-slices"):
            wanted = sliced(found, cuts, length, slices, name == "value-slices")
            assert readings[name].counts.get(length, Counts()) == wanted, (name, length)
    past = [each for each in found if each.at <= AT]
    hour = sum(not each.sound and each.at > AT - timedelta(hours=1) for each in past)
    readable = [each.at for each in past if each.sound and (each.value is not None or each.total == 0)]
    assert readings["events"].contradictions == readings["value-slices"].contradictions == hour
    assert readings["events"].newest_at == max(
        (each.at for each in past), default=None
    )  # F14: none from afterwards
    assert readings["values"].newest_at == max(readable, default=None)


@pytest.mark.parametrize(
    ("op", "good"), [(Op.LT, 1), (Op.LTE, 2), (Op.GT, 1), (Op.GTE, 2)], ids=lambda value: str(value)
)
async def test_a_value_on_the_bound(platform: Platform, store: SliStore, op: Op, good: int) -> None:
    values = (99.0, 100.0, 101.0)
    await insert(
        platform,
        "v",
        [Sample(AT - timedelta(seconds=k), Decimal(0), Decimal(0), v) for k, v in enumerate(values)],
    )
    reading = (await store.read([slo("v", limit("v", op, 100.0))], [], AT))["v"]
    assert reading.counts[300] == Counts(Decimal(good), Decimal(3))
    assert reading.value == 99.0


def at_minutes(*rows: tuple[float, int, int]) -> list[Sample]:
    return [
        Sample(AT - timedelta(minutes=ago), Decimal(good), Decimal(total), None) for ago, good, total in rows
    ]


STREAKS: dict[str, tuple[list[Sample], int]] = {
    "nothing": ([], 0),
    "all good": (at_minutes((3, 10, 10), (1, 5, 5)), 0),
    "the newest is good enough over five minutes": (at_minutes((9, 0, 9), (3, 90, 90), (1, 5, 6)), 0),
    "bad since the last good": (at_minutes((20, 9, 9), (12, 0, 2), (6.5, 1, 3), (0.5, 0, 1)), 6),
    "a sample without orders adds none": (at_minutes((20, 9, 9), (3, 0, 2), (2, 0, 0), (1, 0, 1)), 3),
    "no orders for five minutes end it": (at_minutes((9, 0, 2), (3, 0, 0), (1, 0, 1)), 1),
    "five minutes are left-open": (at_minutes((5, 0, 9), (0, 9, 10)), 0),
    "impossible ones are none": (at_minutes((3, 0, 2), (2, 7, 3), (1, 0, 1)), 3),
}


@pytest.mark.parametrize("case", STREAKS)
async def test_consecutive_bad_orders(platform: Platform, store: SliStore, case: str) -> None:
    found, streak = STREAKS[case]
    await insert(platform, "orders", found)
    objective = slo("orders", consecutive=Consecutive(5, "orders"))
    assert (await store.read([objective], [], AT))["orders"].streak == streak


async def test_excluded_orders_are_in_no_streak(platform: Platform, store: SliStore) -> None:
    await insert(platform, "orders", at_minutes((20, 9, 9), (12, 0, 2), (6.5, 1, 3), (4, 9, 9), (0.5, 0, 1)))
    objective = slo("orders", consecutive=Consecutive(5, "orders"))
    late = excluded("orders", AT - timedelta(minutes=2), AT)
    good = excluded("orders", AT - timedelta(minutes=5), AT - timedelta(minutes=3))
    found = [
        (await store.read([objective], cut, AT))["orders"].streak
        for cut in ([], [late], [good], [late, good])
    ]
    assert found == [0, 14, 6, 5]


@pytest.mark.parametrize("values", [(), (1, 1), (2, 1), (1, 2, 2), (2, 2, 2, 2), (2, 1, None, 2)], ids=str)
async def test_consecutive_bad_bars(
    platform: Platform, store: SliStore, values: tuple[float | None, ...]
) -> None:
    newest_last = [
        Sample(AT - timedelta(minutes=15 * (len(values) - k)), Decimal(0), Decimal(0), value)
        for k, value in enumerate(values)
    ]
    await insert(platform, "bars", newest_last)
    objective = slo("bars", limit("bars", Op.LTE, 1), consecutive=Consecutive(3, "bars"))
    streak = len(list(itertools.takewhile(lambda v: v == 2, reversed([v for v in values if v is not None]))))
    assert (await store.read([objective], [], AT))["bars"].streak == streak


async def test_the_trend_has_24_whole_five_minutes(platform: Platform, store: SliStore) -> None:
    slot = AT.replace(minute=55, second=0, microsecond=0)  # (02:50, 02:55] is the last whole one
    found = [
        Sample(slot, Decimal(1), Decimal(4), 1.0),
        Sample(slot - timedelta(minutes=5) + US, Decimal(1), Decimal(4), 3.0),
        Sample(slot - timedelta(minutes=5), Decimal(3), Decimal(3), 1.0),
        Sample(slot + US, Decimal(0), Decimal(9), 9.0),
        Sample(slot - timedelta(minutes=120) + US, Decimal(1), Decimal(8), 9.0),
        Sample(slot - timedelta(minutes=120), Decimal(0), Decimal(8), 9.0),
    ]
    await insert(platform, "t", found)
    asked = [slo("t"), slo("t", limit("t", Op.LTE, 2), name="limit"), slo("t", counter=True, name="counter")]
    readings = await store.read(asked, [], AT)
    assert readings["t"].trend == (0.125, *(None,) * 21, 1.0, 0.25)
    assert readings["limit"].trend == (0.0, *(None,) * 21, 1.0, 0.5)
    cut = excluded("t", slot - timedelta(seconds=30), slot)
    assert (await store.read(asked, [cut], AT))["t"].trend[-1] == 0.25  # the minute of the other one
    assert len(readings["counter"].trend) == 24


async def test_thresholds(platform: Platform, store: SliStore) -> None:
    await insert(
        platform,
        "ops",
        [
            Sample(AT - timedelta(hours=1), Decimal(0), Decimal(50), 7.0),
            Sample(AT - timedelta(minutes=30), Decimal(97), Decimal(100), 5.0),
            Sample(AT, Decimal(1), Decimal(1), None),
            Sample(AT + US, Decimal(0), Decimal(1), 99.0),
        ],
    )
    asked = [
        threshold("ops", Statistic.LATEST),
        threshold("ops", Statistic.RATIO, 3_600),
        threshold("ops", Statistic.FAILURE_RATIO, 3_600),
        threshold("absent", Statistic.RATIO, 3_600),
        threshold("absent", Statistic.LATEST),
    ]
    readings = await store.read(asked, [], AT)
    assert readings["ops-latest"].value == 5.0
    assert readings["ops-latest"].newest_at == AT - timedelta(minutes=30)
    assert readings["ops-ratio"].value == pytest.approx(98 / 101)
    assert readings["ops-failure-ratio"].value == pytest.approx(3 / 101)
    assert (readings["absent-ratio"].value, readings["absent-ratio"].newest_at) == (None, None)
    assert (readings["absent-latest"].value, readings["absent-latest"].newest_at) == (None, None)


async def test_the_oldest_critical_that_nobody_acknowledged(platform: Platform, store: SliStore) -> None:
    name = "oldest-unacknowledged-critical-min"
    asked = [threshold(f"figure:{name}", Statistic.LATEST), threshold("figure:unknown", Statistic.LATEST)]

    async def minutes() -> float | None:
        reading: SliReading = (await store.read(asked, []))[asked[0].name]
        assert reading.newest_at == reading.at
        return reading.value

    assert await minutes() == 0
    async with platform.connection() as owner:
        insert_one = (
            "INSERT INTO incidents (severity, status, source, title, alarm_at)"
            " VALUES ($1, $2, $3, 'x', clock_timestamp() - make_interval(mins => $4))"
        )
        for row in (("P2", "open", "slo", 90), ("P0", "open", "trip", 80), ("P1", "acknowledged", "slo", 70)):
            await owner.execute(insert_one, *row)
        assert await minutes() == 0
        await owner.execute(insert_one, "P1", "open", "slo", 20)
        await owner.execute(insert_one, "P0", "open", "override", 10)
    assert await minutes() == pytest.approx(20, abs=0.5)
    reading = (await store.read(asked, []))["figure:unknown-latest"]
    assert reading.fault.startswith("there is no figure 'unknown'")


async def test_what_samples_cannot_say_is_said_of_that_objective_alone(
    platform: Platform, store: SliStore
) -> None:
    await insert(platform, "a", [Sample(AT, Decimal(1), Decimal(1), None)])
    one, other = Source(SourceKind.POSTGRES, "a"), Source(SourceKind.POSTGRES, "b")
    asked = [
        slo("a"),
        slo("a", Ratio(one, other, None, False), name="two"),
        slo("a", counter=True, slices=Slices(60, Decimal("0.5")), name="sliced"),
    ]
    readings = await store.read(asked, [], AT)
    assert readings["a"].counts[300] == Counts(Decimal(1), Decimal(1))
    assert "name one" in readings["two"].fault
    assert "events since the last" in readings["sliced"].fault


async def test_exclusions_in_force_and_lately_reverted(platform: Platform, store: SliStore) -> None:
    insert_one = (
        "INSERT INTO slo_exclusions (exclusion_id, slo, from_at, until_at, notes, login, person_id,"
        " approved_by, audit_seq, reverted_at, reverted_by) VALUES (gen_random_uuid(), $1,"
        " clock_timestamp() - interval '3 d', clock_timestamp() - interval '2 d', 'agreed', 'admin1', 'p',"
        " 'admin2', 7, clock_timestamp() - $2::interval, $3)"
    )
    async with platform.connection() as owner:
        await owner.execute(insert_one, "in force", None, None)
        await owner.execute(insert_one, "reverted", timedelta(days=1), "admin2")
        await owner.execute(insert_one, "long ago", timedelta(days=31), "admin2")
        now = await owner.fetchval("SELECT clock_timestamp()")
    at, found = await store.exclusions()
    assert {each.slo: each.in_force for each in found} == {"in force": True, "reverted": False}
    assert abs(at - now) < timedelta(minutes=1)
    assert found[0].audit_seq == 7


async def test_a_statement_that_takes_too_long_is_given_up(platform: Platform) -> None:
    store = SliStore(platform.login("monitor1").postgres_dsn, command_timeout_s=2.0)
    async with platform.connection() as owner, owner.transaction():
        await owner.execute("LOCK TABLE sli_buckets IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnreachable, match="statement timeout"):
            await store.read([slo("a")], [])
    assert (await store.read([slo("a")], []))["a"].newest_at is None  # and asks again
    await store.close()


@pytest.mark.parametrize(
    ("from_s", "until_s"), [(40, 20), (40, 39), (60, 20), (119.5, 0.5), (30.5, 30), (9, 5)]
)
async def test_an_exclusion_shorter_than_a_minute(
    platform: Platform, store: SliStore, from_s: float, until_s: float
) -> None:
    end = AT.replace(second=0, microsecond=0)
    found = [
        Sample(end - timedelta(seconds=ago), Decimal(0), Decimal(1), 1.0)
        for ago in (110, 70, 50, 39.5, 10, 0)
    ]
    await insert(platform, "s", found)
    first, last = end - timedelta(seconds=from_s), end - timedelta(seconds=until_s)
    for objective in (slo("s"), slo("s", limit("s", Op.LTE, 5))):
        reading = (await store.read([objective], [excluded("s", first, last)], AT))["s"]
        inside = sum(first < each.at <= last for each in found)
        assert (reading.counts[300].total, reading.excluded.total) == (6 - inside, inside)
