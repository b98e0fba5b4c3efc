"""Budgets and burn rates: the playbook's edges, and the Workbook's minutes."""

import math
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.budgets import (
    BURN_WINDOWS,
    DAY,
    HOUR,
    MINUTE,
    PAIRS,
    BudgetState,
    Counts,
    WindowPair,
    burn_rate,
    colour,
    duration,
    exhausted_in_s,
    fired,
    minutes_left,
    one_failure_costs,
    remaining,
)

MONTH = 30 * DAY
SLO_01 = Decimal("0.995")
THREE_NINES = Decimal("0.999")
KNOWN = {BudgetState.GREEN, BudgetState.YELLOW, BudgetState.ORANGE, BudgetState.RED}


def counts(good: object, total: object) -> Counts:
    return Counts(Decimal(str(good)), Decimal(str(total)))


# --- colours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "state"),
    [
        ("1", BudgetState.GREEN),
        ("0.5000000001", BudgetState.GREEN),
        ("0.5", BudgetState.YELLOW),
        ("0.2500000001", BudgetState.YELLOW),
        ("0.25", BudgetState.ORANGE),
        ("0.1", BudgetState.ORANGE),
        ("0.0999999999", BudgetState.RED),
        ("0", BudgetState.RED),
        ("-3", BudgetState.RED),
    ],
)
def test_colours_change_exactly_at_their_edges(left: str, state: BudgetState) -> None:
    assert colour(Decimal(left)) is state


def test_every_state_has_a_word_of_its_own_and_actions() -> None:
    assert len({state.word for state in BudgetState}) == len(BudgetState)
    assert all(state.actions for state in BudgetState)
    assert "promotions" in BudgetState.YELLOW.actions
    assert "half size" in BudgetState.ORANGE.actions
    assert "Halt new orders" in BudgetState.RED.actions


def test_what_is_not_known_is_worse_than_any_colour_but_red_and_blocks() -> None:  # I25
    assert {state for state in BudgetState if state.blocks_resume} == {
        BudgetState.RED,
        BudgetState.NO_DATA,
        BudgetState.STALE,
        BudgetState.CONTRADICTION,
    }
    order = sorted(BudgetState, key=lambda state: state.severity)
    assert order[0] is BudgetState.GREEN
    assert order[-1] is BudgetState.RED
    assert len({state.severity for state in BudgetState}) == len(BudgetState)
    unknown = set(BudgetState) - KNOWN - {BudgetState.NO_TRAFFIC}
    assert all(state.severity > BudgetState.ORANGE.severity for state in unknown)


# --- counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "total", "possible"),
    [
        (0, 0, True),
        (0, 5, True),
        (5, 5, True),
        (6, 5, False),
        (-1, 5, False),
        (-2, -1, False),
        ("NaN", 5, False),
        (1, "NaN", False),
        (1, "Infinity", False),
        ("Infinity", "Infinity", False),
    ],
)
def test_counts_that_cannot_be(good: object, total: object, possible: bool) -> None:
    assert counts(good, total).possible is possible


@pytest.mark.parametrize(
    ("given_counts", "rounded"),
    [
        (counts("100.00000001", 100), counts(100, 100)),
        (counts("100.0000001", 100), counts(100, 100)),
        (counts("100.0000002", 100), counts("100.0000002", 100)),
        (counts("99.99999999", 100), counts("99.99999999", 100)),
        (counts("0.0000000001", 0), counts("0.0000000001", 0)),
    ],
)
def test_only_what_floating_point_adds_is_rounded_away(given_counts: Counts, rounded: Counts) -> None:
    assert given_counts.rounded == rounded


def test_what_is_no_number_is_not_rounded() -> None:
    assert counts(1, "NaN").rounded.total.is_nan()


def test_counts_can_be_taken_apart() -> None:
    assert counts(9, 10).bad == 1
    assert counts(9, 10).ratio == Decimal("0.9")
    assert Counts().ratio is None
    assert counts(9, 10).minus(counts(4, 5)) == counts(5, 5)


# --- remaining budget --------------------------------------------------------------------------------------


def test_an_hour_without_data_costs_28_percent_of_slo_01() -> None:
    """The playbook's figure: 1 h of 30 d × 0.5 % = 3.6 h is 27.8 %."""
    left = remaining(counts(MONTH - HOUR, MONTH), SLO_01)
    assert left == pytest.approx(Decimal(1) - Decimal(1) / Decimal("3.6"))


@pytest.mark.parametrize(
    ("bad", "expected"), [(0, "1"), (1, "0.9"), (5, "0.5"), (9, "0.1"), (10, "0"), (20, "-1"), (1000, "-99")]
)
def test_the_rest_of_a_budget(bad: int, expected: str) -> None:
    assert remaining(counts(1_000 - bad, 1_000), Decimal("0.99")) == Decimal(expected)


def test_without_events_there_is_no_figure() -> None:
    for figure in (remaining, burn_rate, one_failure_costs):
        assert figure(Counts(), SLO_01) is None


events = st.tuples(st.integers(0, 10_000), st.integers(0, 500)).map(
    lambda pair: counts(pair[0], pair[0] + pair[1])
)
objectives = st.integers(1, 9_999).map(lambda share: Decimal(share) / 10_000)


@given(st.lists(events, min_size=1, max_size=20), objectives)
def test_windows_merge_by_their_events(parts: list[Counts], objective: Decimal) -> None:
    """The rest over merged windows is the mean of the rests *weighted by events*, and not the plain mean."""
    whole = Counts(sum((part.good for part in parts), Decimal(0)), sum((p.total for p in parts), Decimal(0)))
    left = remaining(whole, objective)
    rests = [(part.total, remaining(part, objective)) for part in parts]
    if left is None:
        assert all(rest is None for _, rest in rests)
        return
    weighted = sum(((total * rest) for total, rest in rests if rest is not None), Decimal(0)) / whole.total
    assert abs(left - weighted) <= Decimal("1e-20") * max(Decimal(1), abs(left))


def test_a_quiet_hour_weighs_what_it_holds() -> None:
    busy, quiet = counts(999_000, 1_000_000), counts(0, 1)
    merged = Counts(busy.good + quiet.good, busy.total + quiet.total)
    left = remaining(merged, Decimal("0.99"))
    assert left is not None
    assert left > Decimal("0.89")  # the unweighted mean of the two ratios would say -49


@given(events.filter(lambda each: each.total > 0), objectives)
def test_burn_and_rest_are_two_sides_of_one_figure(each: Counts, objective: Decimal) -> None:
    left, burn = remaining(each, objective), burn_rate(each, objective)
    assert left is not None
    assert burn is not None
    assert abs(left + burn - 1) <= Decimal("1e-20") * max(Decimal(1), burn)
    assert burn >= 0
    assert (left >= 0) == (burn <= 1)


def test_one_failure_costs_more_the_fewer_the_events() -> None:
    assert one_failure_costs(counts(1_000, 1_000), Decimal("0.99")) == Decimal("0.1")
    assert one_failure_costs(counts(10, 10), Decimal("0.99")) == Decimal(10)


# --- how long it lasts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "bad_5m", "bad_1h", "expected"),
    [
        (0, 0, 0, None),  # nothing is bad: never
        (0, 0, 3_600, 100),  # one a second, and 100 are allowed
        (50, 0, 3_600, 50),
        (50, 600, 3_600, 25),  # the last minutes are worse than the hour
        (50, 300, 7_200, 25),  # the hour is worse than the last minutes
        (99, 300, 3_600, 1),
        (100, 0, 0, 0),
        (250, 0, 0, 0),
    ],
)
def test_time_to_exhaustion(bad: int, bad_5m: int, bad_1h: int, expected: float | None) -> None:
    total = 10_000
    recent = {300: counts(total - bad_5m, total), HOUR: counts(total - bad_1h, total)}
    assert exhausted_in_s(counts(total - bad, total), Decimal("0.99"), recent) == expected


def test_time_to_exhaustion_without_events() -> None:
    assert exhausted_in_s(Counts(), Decimal("0.99"), {}) is None
    assert exhausted_in_s(counts(1_000, 1_000), Decimal("0.99"), {}) is None


@given(st.integers(1, 400), st.integers(1, 20))
def test_with_even_traffic_it_is_what_is_left_over_the_burn_rate(spent: int, burn: int) -> None:
    """100 events a second for 30 days, of which 1 % may be bad."""
    whole, objective = counts(MONTH * 100 - MONTH * spent // 400, MONTH * 100), Decimal("0.99")
    recent = {HOUR: counts(HOUR * 100 - HOUR * burn, HOUR * 100)}
    found, left = exhausted_in_s(whole, objective, recent), remaining(whole, objective)
    assert found is not None and left is not None
    assert float(found) == pytest.approx(float(left) * MONTH / burn)


@pytest.mark.parametrize(("left", "expected"), [("1", "216"), ("0.5", "108"), ("0", "0"), ("-1", "-216")])
def test_minutes_left_of_slo_01(left: str, expected: str) -> None:
    assert minutes_left(Decimal(left), SLO_01, MONTH) == Decimal(expected)


@given(st.integers(1, 60))
def test_minutes_left_fall_by_the_minutes_of_outage(minutes: int) -> None:
    left = remaining(counts(MONTH - minutes * MINUTE, MONTH), SLO_01)
    assert left is not None
    assert abs(minutes_left(left, SLO_01, MONTH) - (216 - minutes)) < Decimal("1e-18")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (300, "5m"),
        (1_800, "30m"),
        (HOUR, "1h"),
        (7_200, "2h"),
        (DAY, "1d"),
        (3 * DAY, "3d"),
        (90, "90s"),
        (0, "0s"),
        (0.5, "0.5s"),
        (5_400, "90m"),
    ],
)
def test_durations_as_people_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- window pairs ------------------------------------------------------------------------------------------


def test_the_pairs_are_the_workbooks() -> None:
    table = [(pair.long_s, pair.short_s, pair.factor(MONTH), pair.pages) for pair in PAIRS]
    assert table == [
        (HOUR, 5 * MINUTE, Decimal("14.4"), True),
        (6 * HOUR, 30 * MINUTE, Decimal(6), True),
        (DAY, 2 * HOUR, Decimal(3), False),
        (3 * DAY, 6 * HOUR, Decimal(1), False),
    ]
    assert {length for pair in PAIRS for length in (pair.long_s, pair.short_s)} == set(BURN_WINDOWS)
    assert [pair.name for pair in PAIRS] == ["page 1h/5m", "page 6h/30m", "ticket 1d/2h", "ticket 3d/6h"]


@pytest.mark.parametrize(
    ("window_s", "factors"),
    [
        (7 * DAY, ("3.36", "1.4", "1", "1")),
        (28 * DAY, ("13.44", "5.6", "2.8", "1")),
        (90 * DAY, ("43.2", "18", "9", "3")),
        (DAY, ("1", "1", "1", "1")),
    ],
)
def test_factors_follow_the_window_and_never_fall_below_one(window_s: int, factors: tuple[str, ...]) -> None:
    assert [pair.factor(window_s) for pair in PAIRS] == [Decimal(factor) for factor in factors]


def test_a_pair_fires_only_above_its_factor_in_both_windows() -> None:
    quick = PAIRS[0]
    at, above = quick.factor(MONTH), quick.factor(MONTH) + Decimal("1e-9")
    quiet: dict[int, Decimal | None] = dict.fromkeys(BURN_WINDOWS, Decimal(0))
    assert fired(quiet | {HOUR: above, 300: above}, MONTH) == (quick,)
    assert fired(quiet | {HOUR: at, 300: above}, MONTH) == ()
    assert fired(quiet | {HOUR: above, 300: at}, MONTH) == ()
    assert fired(quiet | {HOUR: above, 300: None}, MONTH) == ()
    assert fired({}, MONTH) == ()


def test_a_pair_that_looks_farther_back_than_the_slo_says_nothing() -> None:
    burning: dict[int, Decimal | None] = dict.fromkeys(BURN_WINDOWS, Decimal(100))
    assert fired(burning, 6 * HOUR) == PAIRS[:2]
    assert fired(burning, MINUTE) == ()
    assert fired(burning, 3 * DAY) == PAIRS


# --- the Workbook's minutes --------------------------------------------------------------------------------

PER_MINUTE = 1_000


class Traffic:
    """Constant traffic, one number of bad events a minute; all before minute 0 was good."""

    def __init__(self, bad: list[Decimal]) -> None:
        self._sums = [Decimal(0), *accumulate(bad)]

    def burns(self, minute: int, objective: Decimal) -> dict[int, Decimal | None]:
        """At the end of minute `minute` (1 is the first)."""
        return {length: self._burn(minute, length // MINUTE, objective) for length in BURN_WINDOWS}

    def _burn(self, minute: int, minutes: int, objective: Decimal) -> Decimal | None:
        bad = self._sums[minute] - self._sums[max(0, minute - minutes)]
        total = Decimal(minutes * PER_MINUTE)
        return burn_rate(Counts(total - bad, total), objective)


def outages() -> Iterator[tuple[WindowPair, Decimal, str]]:
    for pair in PAIRS:
        for objective in (THREE_NINES, SLO_01, Decimal("0.99")):
            for rate in ("1", "0.5", "0.1", "0.05", "0.0144", "0.006", "0.005", "0.003", "0.001"):
                yield pair, objective, rate


@pytest.mark.parametrize(("pair", "objective", "rate"), outages())
def test_pairs_fire_and_clear_at_the_minute_that_they_should(
    pair: WindowPair, objective: Decimal, rate: str
) -> None:
    errors, long_m, short_m = Decimal(rate), pair.long_s // MINUTE, pair.short_s // MINUTE
    bound = pair.factor(MONTH) * (1 - objective)
    detection = bound / errors * long_m  # Workbook: (1 - SLO) / error rate × window × burn rate
    lasts = long_m if errors <= bound else min(long_m, math.floor(detection) + 1 + short_m)
    after = pair.short_s // MINUTE + 2
    traffic = Traffic([errors * PER_MINUTE] * lasts + [Decimal(0)] * after)
    fires = [
        minute for minute in range(1, lasts + after) if pair in fired(traffic.burns(minute, objective), MONTH)
    ]
    if errors <= bound:  # a burn at the factor, or below it, is none
        assert fires == []
        return
    first = math.floor(detection) + 1  # "faster than": the minute in which it is passed
    # It clears once so few of the short window's minutes are bad that they burn no faster than the factor.
    clear = lasts + math.ceil(short_m - bound / errors * short_m)
    assert fires == list(range(first, clear))


def test_a_whole_outage_is_found_within_minutes_by_each_pair() -> None:
    detections = [pair.factor(MONTH) * (1 - THREE_NINES) * pair.long_s for pair in PAIRS]
    assert detections == [Decimal("51.84"), Decimal("129.6"), Decimal("259.2"), Decimal("259.2")]  # seconds
