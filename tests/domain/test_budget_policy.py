"""What spent or unknown budgets forbid."""

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, Catalogue
from cockpit.domain.budget_policy import ITEM, budget_finding, budget_share, halts_due
from cockpit.domain.budgets import BudgetState
from cockpit.domain.slo_reports import SliReading, SloReport, SloSnapshot, judge_slo
from cockpit.domain.slos import Budgeting, Ratio, Slo, SloBook, Source, SourceKind

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATALOGUE = Catalogue.build(("execution", "ingest"), ("BTC-USD",), ())
INGEST = BreakerId("component:ingest")
BTC = BreakerId("instrument:BTC-USD")
HALF, WHOLE = Decimal("0.5"), Decimal(1)
SOURCE = Source(SourceKind.POSTGRES, "order_success")


def slo(name: str, breaker: BreakerId = EXECUTION) -> Slo:
    indicator = Ratio(SOURCE, SOURCE, None, False)
    return Slo(name, name, "", Decimal("0.99"), 86_400, indicator, Budgeting.OCCURRENCES, None, breaker)


def report(state: BudgetState, name: str = "", breaker: BreakerId = EXECUTION) -> SloReport:
    """A report of that state; its figures do not matter here."""
    judged = judge_slo(slo(name or state.name.lower(), breaker), SliReading(NOW))
    return dataclasses.replace(judged, state=state, why=f"because of {name or state.name.lower()}")


def snapshot(*reports: SloReport, faults: tuple[str, ...] = ()) -> SloSnapshot:
    book = SloBook(tuple(each.slo for each in reports))
    return SloSnapshot(NOW, 0.0, book, tuple(reports), faults=faults)


STATES = {
    BudgetState.GREEN: WHOLE,
    BudgetState.YELLOW: WHOLE,
    BudgetState.ORANGE: HALF,
    BudgetState.RED: HALF,
    BudgetState.NO_TRAFFIC: None,
    BudgetState.NO_DATA: None,
    BudgetState.STALE: None,
    BudgetState.CONTRADICTION: None,
}


@pytest.mark.parametrize("state", BudgetState)
def test_the_share_follows_the_state(state: BudgetState) -> None:
    assert budget_share(snapshot(report(state)), EXECUTION) == STATES[state]
    mixed = snapshot(report(BudgetState.GREEN), report(state, "other"))
    assert budget_share(mixed, EXECUTION) == STATES[state]
    halved = snapshot(report(BudgetState.ORANGE), report(state, "other"))
    assert budget_share(halved, EXECUTION) == HALF


def test_a_share_is_for_the_slos_own_breaker_alone() -> None:
    found = snapshot(report(BudgetState.RED))
    assert [budget_share(found, each) for each in (GLOBAL, INGEST, BTC)] == [WHOLE] * 3


def test_an_slo_that_was_not_reported_leaves_the_share_as_it_is() -> None:
    found = snapshot(report(BudgetState.GREEN))
    missing = dataclasses.replace(found, book=SloBook((*found.book.slos, slo("missing"))))
    assert budget_share(missing, EXECUTION) is None
    assert budget_share(missing, INGEST) == WHOLE
    worse = dataclasses.replace(missing, slos=(report(BudgetState.ORANGE),))
    assert budget_share(worse, EXECUTION) == HALF


def test_files_that_could_not_be_read_leave_the_share_as_it_is() -> None:
    assert budget_share(snapshot(), EXECUTION) == WHOLE
    assert budget_share(snapshot(faults=("slos.yaml:3: spec: …",)), EXECUTION) is None
    assert budget_share(snapshot(report(BudgetState.GREEN), faults=("one source",)), EXECUTION) == WHOLE


@pytest.mark.parametrize(
    ("state", "ok"),
    [
        (BudgetState.GREEN, True),
        (BudgetState.YELLOW, True),
        (BudgetState.ORANGE, True),
        (BudgetState.NO_TRAFFIC, True),  # a halt stops traffic
        (BudgetState.RED, False),
        (BudgetState.NO_DATA, None),
        (BudgetState.STALE, None),
        (BudgetState.CONTRADICTION, None),
    ],
)
def test_what_holds_up_a_resume(state: BudgetState, ok: bool | None) -> None:
    found = budget_finding(snapshot(report(BudgetState.GREEN), report(state, "other")), EXECUTION, CATALOGUE)
    assert (found.item_id, found.ok) == (ITEM, ok)
    assert ("because of other" in found.read) == (ok is not True)


@pytest.mark.parametrize(
    ("breaker", "concerned"), [(EXECUTION, True), (BTC, True), (GLOBAL, True), (INGEST, False)]
)
def test_a_resume_heeds_what_trades_again_with_it(breaker: BreakerId, concerned: bool) -> None:
    found = budget_finding(snapshot(report(BudgetState.RED)), breaker, CATALOGUE)
    assert found.ok is not concerned


def test_many_blocking_objectives_are_counted() -> None:
    spent = [report(BudgetState.RED, f"slo-{n}") for n in range(5)]
    found = budget_finding(snapshot(*spent), EXECUTION, CATALOGUE)
    assert "slo-2" in found.read
    assert "slo-3" not in found.read
    assert found.read.endswith("; 2 more")
    assert not budget_finding(snapshot(*spent[:3]), EXECUTION, CATALOGUE).read.endswith("more")


def test_a_red_one_outweighs_unknown_ones() -> None:
    unknown = [report(BudgetState.STALE, f"slo-{n}") for n in range(3)]
    found = budget_finding(snapshot(*unknown, report(BudgetState.RED)), EXECUTION, CATALOGUE)
    assert found.ok is False


def test_objectives_that_nobody_could_read_are_unknown() -> None:
    found = snapshot(report(BudgetState.GREEN))
    missing = dataclasses.replace(found, book=SloBook((*found.book.slos, slo("missing"))))
    for doubtful, said in (
        (None, "could not be read"),
        (snapshot(faults=("slos.yaml:3: spec: …",)), "slos.yaml:3"),
        (missing, "nothing is known of missing"),
    ):
        finding = budget_finding(doubtful, EXECUTION, CATALOGUE)
        assert finding.ok is None
        assert said in finding.read
    assert budget_finding(missing, INGEST, CATALOGUE).ok is True


def test_no_objectives_at_all_hold_up_nothing() -> None:
    finding = budget_finding(snapshot(), EXECUTION, CATALOGUE)
    assert (finding.ok, finding.read) == (True, "no objective is loaded")


@pytest.mark.parametrize(
    "found",
    [
        None,
        snapshot(faults=("away",)),
        snapshot(report(BudgetState.RED)),
        snapshot(report(BudgetState.STALE)),
    ],
)
def test_an_override_passes_over_spent_and_unknown_budgets_and_says_so(found: SloSnapshot | None) -> None:
    plain = budget_finding(found, EXECUTION, CATALOGUE)
    finding = budget_finding(found, EXECUTION, CATALOGUE, "the venue confirmed its repair")
    assert plain.ok is not True
    assert finding.ok is True
    assert finding.read == f"OVERRIDDEN (the venue confirmed its repair) {plain.read}"


def test_an_override_of_nothing_is_not_mentioned() -> None:
    found = snapshot(report(BudgetState.GREEN))
    assert "OVERRIDDEN" not in budget_finding(found, EXECUTION, CATALOGUE, "to be sure").read


def test_halts_are_due_for_red_budgets_only() -> None:
    reports = [report(state) for state in BudgetState]
    assert [each.state for each in halts_due(snapshot(*reports))] == [BudgetState.RED]
