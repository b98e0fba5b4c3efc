"""Verdicts on objectives: what is unknown is never green, and every edge lies where it is said to."""

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, Catalogue
from cockpit.domain.budgets import BURN_WINDOWS, DAY, HOUR, PAIRS, BudgetState, Counts
from cockpit.domain.slo_reports import (
    SliReading,
    SloReport,
    SloSnapshot,
    ThresholdReport,
    judge_slo,
    judge_threshold,
    worst_first,
)
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Exclusion,
    Op,
    Ratio,
    Slo,
    SloBook,
    Source,
    SourceKind,
    Statistic,
    Threshold,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MONTH = 30 * DAY
INGEST = BreakerId("component:ingest")
BTC = BreakerId("instrument:BTC-USD")
ORDERS = Source(SourceKind.POSTGRES, "order_success")
SLO = Slo(
    name="order-success",
    title="Order success",
    description="",
    objective=Decimal("0.99"),
    window_s=MONTH,
    indicator=Ratio(ORDERS, ORDERS, None, False),
    budgeting=Budgeting.OCCURRENCES,
    slices=None,
    breaker=EXECUTION,
    consecutive=Consecutive(5, "orders"),
    fresh_s=60.0,
)
RUNS = Threshold(
    name="mismatch-runs",
    title="Mismatch runs",
    description="",
    source=Source(SourceKind.POSTGRES, "reconciliation_mismatch_runs"),
    statistic=Statistic.LATEST,
    window_s=0,
    op=Op.LT,
    bound=3.0,
    unit="runs",
    breaker=EXECUTION,
)
PASSES = dataclasses.replace(RUNS, statistic=Statistic.RATIO, window_s=DAY, op=Op.GTE, bound=0.995)
EXCLUSION = Exclusion("x1", "order-success", NOW, NOW, "agreed", "admin1", "admin2", 7)


def counts(bad: object, total: object = 1_000) -> Counts:
    return Counts(Decimal(str(total)) - Decimal(str(bad)), Decimal(str(total)))


def reading(bad: object = 0, total: object = 1_000, **parts: object) -> SliReading:
    windows = dict.fromkeys((*BURN_WINDOWS, MONTH), counts(bad, total))
    found = SliReading(at=NOW, counts=windows, newest_at=NOW - timedelta(seconds=5))
    return dataclasses.replace(found, **parts)  # type: ignore[arg-type]


def value(number: float | None, **parts: object) -> SliReading:
    found = SliReading(at=NOW, value=number, newest_at=NOW)
    return dataclasses.replace(found, **parts)  # type: ignore[arg-type]


# --- SLOs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "state", "left"),
    [
        ("0", BudgetState.GREEN, "1"),
        ("4.99", BudgetState.GREEN, "0.501"),
        ("5", BudgetState.YELLOW, "0.5"),
        ("7.5", BudgetState.ORANGE, "0.25"),
        ("9", BudgetState.ORANGE, "0.1"),
        ("9.01", BudgetState.RED, "0.099"),
        ("30", BudgetState.RED, "-2"),
    ],
)
def test_the_budget_is_that_of_the_slos_window(bad: str, state: BudgetState, left: str) -> None:
    report = judge_slo(SLO, reading(bad))
    assert (report.state, report.remaining) == (state, Decimal(left))
    assert report.why == f"{bad} bad of 1000 events"
    assert report.minutes_left == Decimal(left) * 432
    assert report.one_failure_costs == Decimal("0.1")
    assert report.read_at == NOW
    assert (report.name, report.breaker) == ("order-success", EXECUTION)


def test_burns_and_pairs_come_from_their_own_windows() -> None:
    windows = dict.fromkeys(BURN_WINDOWS, counts(0)) | {MONTH: counts(1)}
    windows |= {HOUR: counts(200), 300: counts(150)}
    report = judge_slo(SLO, reading(counts=windows))
    assert report.burns[HOUR] == 20
    assert report.burns[300] == 15
    assert report.fired == (PAIRS[0],)
    assert report.exhausted_in_s == 18  # nine more may be bad, and one is each two seconds
    assert report.ratio_now == Decimal("0.8")


def test_a_window_that_was_not_read_is_unknown_and_fires_nothing() -> None:
    report = judge_slo(SLO, reading(counts={MONTH: counts(1)}))
    assert set(report.burns.values()) == {None}
    assert report.fired == ()
    assert report.exhausted_in_s is None
    assert report.ratio_now is None
    assert report.state is BudgetState.GREEN


@pytest.mark.parametrize(
    ("age_s", "state"),
    [
        (60, BudgetState.GREEN),
        (60.000001, BudgetState.STALE),
        (3_600, BudgetState.STALE),
        (0, BudgetState.GREEN),
        (-2, BudgetState.GREEN),
        (-2.1, BudgetState.CONTRADICTION),
    ],
)
def test_a_sample_of_exactly_its_bound_is_fresh_and_one_of_the_future_is_none(
    age_s: float, state: BudgetState
) -> None:  # I25
    newest_at = NOW - timedelta(seconds=age_s)
    assert judge_slo(SLO, reading(newest_at=newest_at)).state is state
    assert judge_threshold(RUNS, value(0.0, newest_at=newest_at)).state is state


def test_stale_figures_stay_visible_but_fire_nothing() -> None:
    report = judge_slo(SLO, reading(500, newest_at=NOW - timedelta(hours=1)))
    assert report.state is BudgetState.STALE
    assert "3600 s old (at most 60 s)" in report.why
    assert report.remaining == -49
    assert report.fired == ()


def test_a_reading_that_is_kept_says_since_when() -> None:
    """A later reading failed: the source's fault stands with the figures of `at`."""
    report = judge_slo(SLO, reading(1, fault="Postgres does not answer"))
    assert (report.state, report.why) == (BudgetState.STALE, "Postgres does not answer")
    assert (report.remaining, report.read_at) == (Decimal("0.9"), NOW)
    assert judge_threshold(RUNS, value(0.0, fault="away")).read_at == NOW


@pytest.mark.parametrize(("fault", "why"), [("", "no sample was ever seen"), ("bad query", "bad query")])
def test_without_any_sample_nothing_is_known(fault: str, why: str) -> None:
    report = judge_slo(SLO, SliReading(NOW, fault=fault))
    assert (report.state, report.why) == (BudgetState.NO_DATA, why)
    assert (
        report.remaining is report.minutes_left is report.one_failure_costs is report.exhausted_in_s is None
    )
    assert report.read_at == (None if fault else NOW)
    assert judge_slo(SLO, reading(newest_at=None)).remaining is None


def test_no_traffic_is_a_state_of_its_own() -> None:
    report = judge_slo(SLO, reading(0, 0))
    assert (report.state, report.remaining) == (BudgetState.NO_TRAFFIC, None)
    assert "no event" in report.why
    quiet_hour = reading(counts={MONTH: counts(1), HOUR: Counts()})
    assert judge_slo(SLO, quiet_hour).state is BudgetState.GREEN


def test_a_window_of_which_everything_is_excluded_says_so() -> None:
    report = judge_slo(SLO, reading(0, 0, excluded=counts(5, 10)))
    assert report.state is BudgetState.NO_TRAFFIC
    assert "excluded by agreement" in report.why


IMPOSSIBLE = [Counts(Decimal(6), Decimal(5)), Counts(Decimal(-1), Decimal(5))]
NOT_NUMBERS = [Counts(Decimal("NaN"), Decimal(5)), Counts(Decimal(1), Decimal("Infinity"))]


@pytest.mark.parametrize("window", [300, HOUR, MONTH])
@pytest.mark.parametrize("wrong", IMPOSSIBLE + NOT_NUMBERS)
def test_more_good_events_than_events_are_a_contradiction(window: int, wrong: Counts) -> None:
    report = judge_slo(SLO, reading(counts={**reading(1).counts, window: wrong}))
    assert report.state is BudgetState.CONTRADICTION
    assert f"{wrong.good:f} good of {wrong.total:f} events" in report.why
    assert (report.remaining, report.exhausted_in_s, report.fired) == (None, None, ())
    assert report.burns.get(window) is None
    passes = judge_threshold(PASSES, value(1.0, counts={DAY: wrong}))
    assert passes.state is BudgetState.CONTRADICTION


def test_impossible_samples_are_a_contradiction_also_where_the_sums_look_right() -> None:
    report = judge_slo(SLO, reading(contradictions=2))
    assert report.state is BudgetState.CONTRADICTION
    assert "2 impossible samples" in report.why
    assert judge_threshold(RUNS, value(0.0, contradictions=1)).state is BudgetState.CONTRADICTION


def test_the_last_digits_of_floating_point_are_no_contradiction() -> None:
    windows = {MONTH: Counts(Decimal("1000.0000001"), Decimal(1_000))}
    report = judge_slo(SLO, reading(counts=windows))
    assert (report.state, report.remaining) == (BudgetState.GREEN, Decimal(1))


@pytest.mark.parametrize(("streak", "breached"), [(0, False), (5, False), (6, True)])
def test_a_breach_needs_more_than_so_many_in_a_row(streak: int, breached: bool) -> None:
    assert judge_slo(SLO, reading(streak=streak)).breached is breached
    assert not judge_slo(dataclasses.replace(SLO, consecutive=None), reading(streak=streak)).breached


def test_exclusions_stand_with_their_own_slo() -> None:
    other = dataclasses.replace(EXCLUSION, exclusion_id="x2", slo="data-feed-uptime")
    report = judge_slo(SLO, reading(excluded=counts(3, 5)), (EXCLUSION, other))
    assert report.exclusions == (EXCLUSION,)
    assert report.excluded == counts(3, 5)
    assert EXCLUSION.in_force
    assert not dataclasses.replace(EXCLUSION, reverted_at=NOW).in_force


numbers = st.decimals(allow_nan=True, allow_infinity=True, places=3) | st.integers(-5, 1_000).map(Decimal)
anything = st.builds(
    SliReading,
    at=st.just(NOW),
    counts=st.dictionaries(st.sampled_from((*BURN_WINDOWS, MONTH)), st.builds(Counts, numbers, numbers)),
    value=st.none() | st.floats(),
    newest_at=st.none() | st.integers(-300, 300).map(lambda age_s: NOW - timedelta(seconds=age_s)),
    streak=st.integers(0, 10),
    contradictions=st.integers(0, 2),
    fault=st.sampled_from(("", "away")),
)


@given(anything)
def test_nothing_doubtful_is_ever_green(found: SliReading) -> None:  # I25
    """And no reading, however wrong, makes judging it fail."""
    report, plain = judge_slo(SLO, found), judge_threshold(PASSES, found)
    doubtful = (
        found.newest_at is None
        or bool(found.fault)
        or bool(found.contradictions)
        or found.at - found.newest_at > timedelta(seconds=60)
        or any(not each.rounded.possible for each in found.counts.values())
    )
    events = found.counts.get(MONTH, Counts())
    if doubtful or not events.rounded.total > 0:
        assert report.state not in (BudgetState.GREEN, BudgetState.YELLOW, BudgetState.ORANGE)
        assert report.state is not BudgetState.RED
    if doubtful or found.value is None or not math.isfinite(found.value):
        assert plain.state not in (BudgetState.GREEN, BudgetState.RED)
    assert report.why
    assert plain.why


# --- thresholds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "bound", "number", "kept"),
    [
        (Op.LT, 3, 2.999, True),
        (Op.LT, 3, 3, False),
        (Op.LTE, 3, 3, True),
        (Op.LTE, 3, 3.001, False),
        (Op.GT, 3, 3, False),
        (Op.GT, 3, 3.001, True),
        (Op.GTE, 3, 3, True),
        (Op.GTE, 3, 2.999, False),
    ],
)
def test_thresholds_hold_exactly_to_their_bound(op: Op, bound: float, number: float, kept: bool) -> None:
    report = judge_threshold(dataclasses.replace(RUNS, op=op, bound=bound), value(number))
    assert report.state is (BudgetState.GREEN if kept else BudgetState.RED)
    assert report.why == f"{number:g} runs (wanted {op.sign} 3)"
    assert (report.name, report.breaker, report.value) == ("mismatch-runs", EXECUTION, number)


def test_nan_is_on_no_side_of_a_bound() -> None:
    assert not any(op.holds(math.nan, 1.0) for op in Op)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("threshold", [RUNS, PASSES])
def test_what_is_no_number_is_no_measurement(threshold: Threshold, number: float) -> None:  # I25
    assert judge_threshold(threshold, value(number)).state is BudgetState.CONTRADICTION


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1.0, BudgetState.GREEN),
        (1 + 1e-10, BudgetState.GREEN),
        (1.001, BudgetState.CONTRADICTION),
        (0.995, BudgetState.GREEN),
        (0.9949, BudgetState.RED),
        (0.0, BudgetState.RED),
        (-0.01, BudgetState.CONTRADICTION),
    ],
)
def test_a_share_lies_between_none_and_all(number: float, state: BudgetState) -> None:
    assert judge_threshold(PASSES, value(number)).state is state


def test_thresholds_without_events_or_samples() -> None:
    assert judge_threshold(PASSES, value(None)).state is BudgetState.NO_TRAFFIC
    away = judge_threshold(PASSES, SliReading(NOW, fault="away"))
    assert (away.state, away.read_at, away.why) == (BudgetState.NO_DATA, None, "away")


# --- all of them -------------------------------------------------------------------------------------------


def named(name: str, breaker: BreakerId, bad: object = 0) -> SloReport:
    return judge_slo(dataclasses.replace(SLO, name=name, breaker=breaker), reading(bad))


def bound(name: str, breaker: BreakerId, number: float = 0.0) -> ThresholdReport:
    return judge_threshold(dataclasses.replace(RUNS, name=name, breaker=breaker), value(number))


CATALOGUE = Catalogue.build(("execution", "ingest"), ("BTC-USD", "ETH-USD"), ("momentum",))
SNAPSHOT = SloSnapshot(
    NOW,
    0.0,
    SloBook(),
    (named("orders", EXECUTION), named("feed", INGEST), named("all", GLOBAL)),
    (bound("btc", BTC), bound("runs", EXECUTION)),
)


@pytest.mark.parametrize(
    ("breaker_id", "names"),
    [
        (GLOBAL, ("orders", "feed", "all", "btc", "runs")),
        (EXECUTION, ("orders", "all", "btc", "runs")),
        (INGEST, ("feed", "all")),
        (BTC, ("orders", "all", "btc", "runs")),
        (BreakerId("instrument:ETH-USD"), ("orders", "all", "runs")),
    ],
)
def test_a_resume_heeds_its_own_objectives_those_above_and_those_below(
    breaker_id: BreakerId, names: tuple[str, ...]
) -> None:
    assert tuple(each.name for each in SNAPSHOT.concerning(breaker_id, CATALOGUE)) == names


def test_objectives_without_a_report_are_named() -> None:
    slos = (SLO, dataclasses.replace(SLO, name="orders"), dataclasses.replace(SLO, name="f", breaker=INGEST))
    book = SloBook(slos, (RUNS,))
    snapshot = dataclasses.replace(SNAPSHOT, book=book)
    assert snapshot.unreported(EXECUTION, CATALOGUE) == ("order-success", "mismatch-runs")
    assert snapshot.unreported(INGEST, CATALOGUE) == ("f",)


def test_reports_are_found_by_name() -> None:
    assert SNAPSHOT.report("btc") is SNAPSHOT.thresholds[0]
    assert SNAPSHOT.report("nothing") is None


@pytest.mark.parametrize(
    ("book", "empty"), [(SloBook(), True), (SloBook((SLO,)), False), (SloBook((), (RUNS,)), False)]
)
def test_a_book_without_objectives_is_empty(book: SloBook, empty: bool) -> None:
    assert book.empty is empty


def test_worst_come_first_and_ties_by_name() -> None:
    stale = judge_slo(dataclasses.replace(SLO, name="old"), reading(newest_at=NOW - timedelta(hours=1)))
    reports = (
        named("green", EXECUTION),
        named("b", EXECUTION, 5),
        named("a", EXECUTION, 5),
        named("spent", EXECUTION, 10),
        named("overspent", EXECUTION, 20),
        bound("broken", EXECUTION, 3),
        stale,
    )
    order = [each.name for each in worst_first(reports)]
    assert order == ["overspent", "spent", "broken", "old", "a", "b", "green"]
    assert [each.name for each in worst_first(reports[::-1])] == order


def test_a_simulated_past_is_said() -> None:
    snapshot = SloSnapshot(NOW, 0.0, SloBook())
    assert snapshot.simulated == ""
    said = dataclasses.replace(snapshot, simulated_before=datetime(2026, 1, 31, 12, 5, tzinfo=UTC)).simulated
    assert said == "samples before 2026-01-31 12:05 UTC are simulated"
