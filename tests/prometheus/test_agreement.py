"""Our budgets and burn rates against a real Prometheus server: the same series, the same figures to 1e-9."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.prometheus import PrometheusSource
from backends.sli_store import SliStore
from cockpit.domain.budgets import BURN_WINDOWS, DAY, HOUR, BudgetState, remaining
from cockpit.domain.slo_reports import judge_slo
from cockpit.domain.slos import Exclusion, Slices, Slo, SourceKind
from tests.prometheus.server import Prometheus, needs_prometheus
from tests.prometheus.worlds import (
    WINDOW_S,
    World,
    assert_agree,
    close,
    exclusion,
    insert,
    moment,
    slo,
)
from tests.trading_platform import Platform

pytestmark = needs_prometheus
POSTGRES, PROMETHEUS = SourceKind.POSTGRES, SourceKind.PROMETHEUS
AT = 1_790_000_000.123
ALIGNED = 1_790_000_040.0  # a whole minute, as its hour is not
_EXAMPLES = itertools.count()
EXAMPLES = settings.get_profile("default").max_examples // 6


def climbing(count: int, bad_every: int, per_step: float = 10.0) -> list[tuple[float, float]]:
    pairs, good, total = [], 0.0, 0.0
    for place in range(count):
        total += per_step
        good += per_step - (1 if place % bad_every == 0 else 0)
        pairs.append((good, total))
    return pairs


def scenarios() -> list[World]:
    """Cumulative counts: steady, restarted, gapped, idle, young, ended."""
    steady = climbing(3_000, 7)
    restarted = [*climbing(1_000, 5), *climbing(1_000, 3), *climbing(1_000, 11)]
    whole = World("steady", [(AT - 90 - 60 * (2_999 - k), *pair) for k, pair in enumerate(steady)])
    return [
        whole,
        World("restarted", [(AT - 7.5 - 15 * (2_999 - k), *pair) for k, pair in enumerate(restarted)]),
        World("gapped", [each for each in whole.samples if not AT - 4_000 < each[0] < AT - 1_000]),
        World("idle", [(AT - 20 - 30 * k, 500.0, 510.0) for k in reversed(range(9_000))]),
        World("young", [(AT - 40 - 15 * (9 - k), *pair) for k, pair in enumerate(climbing(10, 2))]),
        World("single", [(AT - 20, 3.0, 4.0)]),
        World("ended", [(AT - 86_400 - 60 * (99 - k), *pair) for k, pair in enumerate(climbing(100, 2))]),
    ]


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[SliStore]:
    made = SliStore(platform.login("monitor1").postgres_dsn)
    yield made
    await made.close()


async def both(
    store: SliStore,
    server: Prometheus,
    pairs: list[tuple[Slo, Slo]],
    at: float,
    exclusions: list[Exclusion] | None = None,
    kept: PrometheusSource | None = None,
) -> None:
    source = kept or PrometheusSource(server.url, timeout_s=120, whole_s=240)
    ours = await store.read([mine for mine, _ in pairs], exclusions or [], moment(at))
    theirs = await source.read([yours for _, yours in pairs], exclusions or [], moment(at))
    for mine, yours in pairs:
        assert_agree(mine, ours[mine.name], theirs[yours.name])
        assert ours[mine.name].newest_at == theirs[yours.name].newest_at
        close(ours[mine.name].excluded.total, theirs[yours.name].excluded.total)
    if kept is None:
        await source.close()


def twins(world: World, name: str = "", **how: object) -> tuple[Slo, Slo]:
    """The same objective on both sources."""
    counter, bound = bool(how.pop("counter", False)), float(str(how.pop("bound", 0.0)))
    made = [
        slo(name or world.name, world.indicator(kind, counter=counter, bound=bound), **how)  # type: ignore[arg-type]
        for kind in (POSTGRES, PROMETHEUS)
    ]
    return made[0], made[1]


async def test_cumulative_counts_with_restarts_gaps_and_no_traffic(
    platform: Platform, store: SliStore, tmp_path: Path
) -> None:
    worlds = scenarios()
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds)
    with Prometheus(tmp_path / "p", [each for world in worlds for each in world.series]) as server:
        await both(store, server, [twins(world, counter=True) for world in worlds], AT)
        ours = await store.read([twins(world, counter=True)[0] for world in worlds], [], moment(AT))
        for world, length in itertools.product(worlds, (WINDOW_S, *BURN_WINDOWS)):
            said = [
                server.value(f'sum(increase({world.name}{{of="{of}"}}[{length}s]))', AT)
                for of in ("good", "total")
            ]
            counts = ours[world.name].counts.get(length)
            close(None if counts is None else counts.good, said[0])
            close(None if counts is None else counts.total, said[1])
        good, total = (f'sum(increase(restarted{{of="{of}"}}[30d]))' for of in ("good", "total"))
        left = remaining(ours["restarted"].counts[WINDOW_S], Decimal("0.99"))
        close(left, server.value(f"1 - (1 - {good} / {total}) / (1 - 0.99)", AT))


async def test_events_since_the_last_sample_to_the_edge(
    platform: Platform, store: SliStore, tmp_path: Path
) -> None:
    edges = sorted({AT - length + shift for length in BURN_WINDOWS for shift in (-0.001, 0, 0.001, 30)})
    worlds = [
        World("edges", [(at, float(place), float(place * 2 + 1)) for place, at in enumerate(edges)]),
        World("fractions", [(AT - 33 * k, 0.25 * (k % 5), 1.25) for k in reversed(range(4_000))]),
        World("nothing", [(AT - 33 * k, 0.0, 0.0) for k in reversed(range(400))]),
    ]
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds)
    with Prometheus(tmp_path / "p", [each for world in worlds for each in world.series]) as server:
        await both(store, server, [twins(world) for world in worlds], AT)


async def test_slices_of_time_and_measured_values(
    platform: Platform, store: SliStore, tmp_path: Path
) -> None:
    # Two seconds after a whole minute, so that each slice of a minute holds two samples of events.
    events = World(
        "events",
        [(ALIGNED - 30 * k + 2, float(9 + k % 2), 10.0) for k in reversed(range(1, 9_000)) if k % 700 > 40],
    )
    idle = World("idle", [(ALIGNED - 30 * k, 0.0, 0.0) for k in reversed(range(300))])
    value = World(
        "value",
        [(ALIGNED - 60 * k, 90.0 + k % 13, 0.0) for k in reversed(range(5_000)) if k % 500 > 25],
        measured=True,
    )
    worlds = [events, idle, value]
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds)
    sliced = [
        twins(events, f"events-{width}-{target}", slices=Slices(width, Decimal(target)), window_s=4 * DAY)
        for width, target in ((60, "0.95"), (60, "0.96"), (90, "0.95"), (300, "0.945"), (3_600, "0.95"))
    ]
    pairs = [
        *sliced,
        twins(idle, slices=Slices(60, Decimal("0.5")), window_s=DAY),
        twins(value, "value-each", bound=100.0),
        twins(value, "value-none", bound=1.0),
        twins(value, "value-sliced", bound=100.0, slices=Slices(60, Decimal(1)), window_s=4 * DAY),
        twins(value, "value-five", bound=97.0, slices=Slices(300, Decimal("0.6")), window_s=4 * DAY),
    ]
    with Prometheus(tmp_path / "p", [each for world in worlds for each in world.series]) as server:
        source = PrometheusSource(server.url, timeout_s=120, whole_s=240)
        for at in (AT, ALIGNED, ALIGNED + 59.999, ALIGNED + 60):
            await both(
                store, server, pairs, at, kept=source
            )  # what stands until the next step is not asked anew
        await source.close()


async def test_exclusions_cut_the_same_out_of_both(
    platform: Platform, store: SliStore, tmp_path: Path
) -> None:
    events = World("events", [(AT - 13 * k, float(8 + k % 3), 10.0) for k in reversed(range(20_000))])
    counts = scenarios()[0]
    worlds = [events, counts]
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds)
    pairs = [
        twins(events, "plain"),
        twins(events, "sliced", slices=Slices(60, Decimal("0.9")), window_s=3 * DAY),
        twins(counts, "steady", counter=True),
    ]
    agreed = [
        exclusion(name, AT - from_s, AT - until_s)
        for name in ("plain", "sliced", "steady")
        for from_s, until_s in (
            (100_000, 80_000.5),
            (90_000, 70_000),  # overlaps the one before
            (4_000, 3_500),  # over the edge of an hour
            (200, -500),  # reaches into the future
            (40 * 86_400, 29 * 86_400),
        )
    ]
    agreed.append(exclusion("plain", AT - 60_000, AT - 50_000, reverted=True))
    agreed.append(exclusion("another", AT - 60_000, AT - 50_000))
    with Prometheus(tmp_path / "p", [each for world in worlds for each in world.series]) as server:
        await both(store, server, pairs, AT, agreed)
        source = PrometheusSource(server.url, timeout_s=120, whole_s=240)
        readings = await source.read([pairs[0][1]], agreed, moment(AT))
        cut_s = float(readings["plain"].excluded.total) * 13 / 10
        assert cut_s == pytest.approx(30_000 + 500 + 200, abs=40)  # what overlaps counts once
        await source.close()


OUTAGE = (AT - 2_400, AT - 1_800)


def outage(name: str, still_good: float) -> World:
    """Cumulative counts of three hours, ten events a second, of which most fail for ten minutes."""
    moments = [AT - 7 - 15 * k for k in reversed(range(720))]
    good, total, samples = 4_000.0, 4_000.0, []
    for at in moments:
        samples.append((at, good, total))
        good, total = good + 150 * (still_good if OUTAGE[0] <= at < OUTAGE[1] else 1), total + 150
    return World(name, samples)


@pytest.mark.parametrize("pad_s", [0, 5, 15, 21.5, 60, 900])
async def test_an_outage_that_is_excluded_leaves_what_truly_happened(
    platform: Platform, store: SliStore, tmp_path: Path, pad_s: float
) -> None:
    worlds = [outage("all_failed", 0), outage("half_failed", 0.5), outage("first_half", 0)]
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds)
    pairs = [twins(world, counter=True) for world in worlds]
    first, last = OUTAGE[0] - pad_s, OUTAGE[1] + pad_s
    agreed = [exclusion(name, first, last) for name in ("all_failed", "half_failed")]
    agreed.append(exclusion("first_half", first, first + 300 + pad_s))
    with Prometheus(tmp_path / "p", [each for world in worlds for each in world.series]) as server:
        await both(store, server, pairs, AT, agreed)
        source = PrometheusSource(server.url, timeout_s=120, whole_s=240)
        theirs = await source.read([yours for _, yours in pairs], agreed, moment(AT))
        await source.close()
    ours = await store.read([mine for mine, _ in pairs], agreed, moment(AT))
    for (mine, _), readings in itertools.product(pairs, (ours, theirs)):
        report = judge_slo(mine, readings[mine.name], agreed)
        partly = mine.name == "first_half"
        assert report.state is (BudgetState.RED if partly else BudgetState.GREEN), report.why
        for length in (HOUR, 2 * HOUR, 6 * HOUR, WINDOW_S):
            counts = readings[mine.name].counts[length]
            assert 0 <= counts.good <= counts.total
            truly_bad = 3_000 if partly else 0
            # A window's own edges are extrapolated by up to two distances of samples; nor is the outage's
            # edge seen more sharply than one.
            edges = 6_000 * 30 / min(length, 719 * 15)
            assert abs(counts.bad - truly_bad) <= edges + (150 if partly else 0)
            left_out_s = 300 + pad_s if partly else last - first
            truly = (min(length, 719 * 15 + 22) - left_out_s) * 10
            assert abs(float(counts.total) - truly) <= 300, (mine.name, length)


@st.composite
def random_worlds(draw: st.DrawFn) -> list[World]:
    tag = next(_EXAMPLES)
    worlds = []
    for place in range(draw(st.integers(3, 12))):
        steps = draw(
            st.lists(
                st.tuples(
                    st.sampled_from([0.001, 1.0, 5.0, 15.0, 15.0, 15.0, 60.0, 299.5, 3_600.0, 50_000.0]),
                    st.integers(0, 50),
                    st.integers(0, 50),
                    st.booleans(),
                ),
                min_size=1,
                max_size=120,
            )
        )
        at, good, total, samples = AT - draw(st.sampled_from([0.5, 10.0, 200.0, 5_000.0])), 0.0, 0.0, []
        moments = []
        for gap, *_ in steps:
            moments.append(at)
            at = round(at - gap, 3)
        cumulative = draw(st.booleans())
        for at, (_, more_good, more_bad, restart) in zip(reversed(moments), steps, strict=True):
            if not cumulative or (restart and draw(st.integers(0, 9)) == 0):
                good = total = 0.0
            good, total = good + more_good, total + more_good + more_bad
            samples.append((at, good, total))
        worlds.append(World(f"w{tag}_{place}_{'c' if cumulative else 'e'}", samples))
    return worlds


def off_the_edges(world: World, at: float, others: tuple[float, ...]) -> World:
    """Cumulative counts without a sample on a window's very edge, which only Prometheus 2 takes in."""
    if world.name.endswith("e"):
        return world
    edges = {round(each * 1_000) for each in (*others, *(at - w for w in (WINDOW_S, *BURN_WINDOWS)))}
    return World(world.name, [each for each in world.samples if round(each[0] * 1_000) not in edges])


@settings(max_examples=EXAMPLES)
@given(worlds=random_worlds(), late=st.integers(0, 5_000), seed=st.integers(0, 9))
async def test_random_series(
    platform: Platform, tmp_path: Path, worlds: list[World], late: int, seed: int
) -> None:
    at = round(AT + late / 7 + 0.0005, 3) if late else AT
    cut = (at - 20_000.25, at - 250)
    worlds = [off_the_edges(world, at, cut) for world in worlds]
    async with platform.connection("gateway") as gateway:
        await insert(gateway, worlds, seed)
    store = SliStore(platform.login("monitor1").postgres_dsn)
    pairs = [twins(world, counter=world.name.endswith("c")) for world in worlds]
    pairs += [
        twins(world, f"{world.name}-sliced", slices=Slices(60, Decimal("0.9")), window_s=3 * DAY)
        for world in worlds[:3]
        if world.name.endswith("e")
    ]
    agreed = [exclusion(mine.name, *cut) for mine, _ in pairs if seed % 2]
    folder = tmp_path / worlds[0].name
    try:
        with Prometheus(folder, [each for world in worlds for each in world.series]) as server:
            await both(store, server, pairs, at, agreed)
    finally:
        await store.close()
