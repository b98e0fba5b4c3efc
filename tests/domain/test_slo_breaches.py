"""Which objectives are breached, and when a change of that counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BURN_WINDOWS, BudgetState, Counts, WindowPair
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.slo_breaches import BREACHED_FOR, CALM_FOR, Standing, breach_of, says_something, worse
from cockpit.domain.slo_reports import SliReading, SloReport, ThresholdReport, judge_slo
from cockpit.domain.slos import Budgeting, Op, Ratio, Slo, Source, SourceKind, Statistic, Threshold

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SOURCE = Source(SourceKind.POSTGRES, "orders")
SLO = Slo(
    name="orders",
    title="orders",
    description="",
    objective=Decimal("0.99"),
    window_s=30 * 86_400,
    indicator=Ratio(SOURCE, SOURCE, None, False),
    budgeting=Budgeting.OCCURRENCES,
    slices=None,
    breaker=EXECUTION,
)
THRESHOLD = Threshold("t", "t", "", SOURCE, Statistic.LATEST, 0, Op.LTE, 15, "min", EXECUTION)
PAGE, TICKET = WindowPair(3600, 300, Decimal("0.02"), True), WindowPair(86_400, 7200, Decimal("0.1"), False)


def report(**changes: object) -> SloReport:
    counts = {width: Counts(Decimal(10_000), Decimal(10_000)) for width in (*BURN_WINDOWS, SLO.window_s)}
    return replace(judge_slo(SLO, SliReading(NOW, counts, newest_at=NOW)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "severity", "why"),
    [
        ({}, None, ""),
        ({"state": BudgetState.YELLOW}, None, ""),
        ({"state": BudgetState.RED}, Severity.P1, "RED"),
        ({"fired": (TICKET, PAGE)}, Severity.P1, "too fast (1h and 5m)"),
        ({"breached": True, "streak": 6}, Severity.P1, "6 failures in a row"),
        ({"state": BudgetState.ORANGE}, Severity.P2, "ORANGE"),
        ({"state": BudgetState.YELLOW, "fired": (TICKET,)}, Severity.P2, "slowly (1d and 2h)"),
        ({"state": BudgetState.ORANGE, "fired": (PAGE,)}, Severity.P1, "too fast"),
        ({"state": BudgetState.STALE, "fired": (PAGE,), "breached": True}, None, ""),
        ({"state": BudgetState.NO_DATA}, None, ""),
        ({"state": BudgetState.NO_TRAFFIC}, None, ""),
        ({"state": BudgetState.CONTRADICTION}, None, ""),
    ],
)
def test_what_is_a_breach_and_how_grave(
    changes: dict[str, object], severity: Severity | None, why: str
) -> None:
    found = breach_of(report(**changes))
    assert (found.severity if found else None) is severity
    assert found is None or why in found.why


@pytest.mark.parametrize("state", BudgetState)
def test_a_plain_threshold_is_a_partial_breach_at_most(state: BudgetState) -> None:
    found = breach_of(ThresholdReport(THRESHOLD, state, 20.0, NOW, NOW, "20 min (wanted ≤ 15)"))
    assert (found.severity if found else None) is (Severity.P2 if state is BudgetState.RED else None)


@pytest.mark.parametrize("word", Classification)
def test_its_incident_is_classified_as_its_objective_is(word: Classification) -> None:
    slo, bound = replace(SLO, classification=word), replace(THRESHOLD, classification=word)
    reports = (report(slo=slo), ThresholdReport(bound, BudgetState.RED, 20.0, NOW, NOW, "20 min"))
    assert [each.classification for each in reports] == [word, word]
    assert SLO.classification is THRESHOLD.classification is Classification.OTHER


def test_what_is_unknown_says_nothing() -> None:
    known = {BudgetState.GREEN, BudgetState.YELLOW, BudgetState.ORANGE, BudgetState.RED}
    assert {state for state in BudgetState if says_something(report(state=state))} == known


def test_a_breach_counts_after_a_minute_and_calm_after_5_min() -> None:
    standing = Standing()
    assert not standing.turns(Severity.P2, NOW)
    assert not standing.turns(Severity.P2, NOW + BREACHED_FOR - timedelta(seconds=1))
    assert standing.turns(Severity.P2, NOW + BREACHED_FOR)
    standing.counts = Severity.P2
    at = NOW + BREACHED_FOR
    assert not standing.turns(Severity.P1, at) and standing.turns(Severity.P1, at + BREACHED_FOR)
    standing.counts = Severity.P1
    at += BREACHED_FOR
    assert not standing.turns(Severity.P1, at)
    assert not standing.turns(None, at) and not standing.turns(None, at + CALM_FOR - timedelta(seconds=1))
    assert standing.turns(None, at + CALM_FOR)


def test_a_gap_in_the_readings_begins_anew() -> None:
    standing = Standing()
    assert not standing.turns(Severity.P1, NOW)
    standing.unknown()
    assert not standing.turns(Severity.P1, NOW + BREACHED_FOR)
    assert standing.turns(Severity.P1, NOW + 2 * BREACHED_FOR)


@given(st.lists(st.sampled_from([None, Severity.P2, Severity.P1, "?"]), max_size=200))
def test_what_flaps_turns_no_oftener_than_it_may_stand(readings: list[Severity | str | None]) -> None:
    standing, worsened, calmed = Standing(), 0, 0
    for at, reading in enumerate(readings):
        if reading == "?":
            standing.unknown()
            continue
        severity = None if reading is None else Severity(reading)
        before = standing.counts
        if standing.turns(severity, NOW + timedelta(seconds=5 * at)):
            assert list(readings[at - 12 : at + 1]) == [reading] * 13 and at >= 12
            standing.counts = severity
            worsened += worse(severity, before)
            calmed += not worse(severity, before)
    assert calmed <= len(readings) * 5 / CALM_FOR.total_seconds()
    assert worsened <= 2 * (calmed + 1)


def test_which_is_worse() -> None:
    order = [None, Severity.P3, Severity.P2, Severity.P1, Severity.P0]
    for at, one in enumerate(order):
        for other_at, other in enumerate(order):
            assert worse(one, other) is (at > other_at)
