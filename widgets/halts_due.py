"""The halts that spent error budgets ask for, and the trip that is proposed for one. A person confirms it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.budget_policy import halts_due
from cockpit.domain.budgets import HOUR, BudgetState
from cockpit.domain.reasons import Reason
from cockpit.domain.slo_reports import SloReport, worst_first
from cockpit.domain.states import State
from cockpit.domain.text import MAX_NOTES, clean
from widgets.board import Board
from widgets.slo_signs import burn_words, percent, shown_state

if TYPE_CHECKING:
    from cockpit.domain.desk import IncidentRow

OVERRIDE_TELLS: Final = timedelta(hours=24)
"""For how long after an override the halt that it passed over is not asked for as an order."""
_NAMED: Final = (
    (("latency", "slow"), Reason.LATENCY),
    (("reject", "order"), Reason.REJECTION_RATE),
    (("data", "feed", "bar", "stale"), Reason.DATA_INTEGRITY),
)


def due(board: Board) -> tuple[SloReport, ...]:
    """SLOs that are RED now and whose breaker is not halted: worst first, and last those that an override
    has passed over. A breaker that cannot be read here may be trading."""
    if board.slos is None:
        return ()
    red = (each for each in halts_due(board.slos) if shown_state(board, each) is BudgetState.RED)
    found = (
        each
        for each in worst_first(tuple(red))
        if isinstance(each, SloReport) and not _halted(board, each.breaker)
    )
    return tuple(sorted(found, key=lambda each: overridden(board, each.breaker) is not None))


def overridden(board: Board, breaker_id: BreakerId) -> IncidentRow | None:
    """The newest unresolved override of the last day on the breaker, above or below it: a safety-admin has
    resumed in spite of the budget."""
    if board.desk is None:
        return None
    since = board.desk_now - OVERRIDE_TELLS
    line: set[str] = {breaker_id}
    if breaker_id in board.catalogue:
        line |= {*board.catalogue.ancestors(breaker_id), *board.catalogue.descendants(breaker_id)}
    found = (
        row
        for row in board.desk.incidents
        if row.source == "override"
        and row.status != "resolved"
        and row.opened_at >= since
        and row.breaker_id in line
    )
    return max(found, key=lambda row: row.opened_at, default=None)


def due_for(board: Board, breaker_id: str) -> SloReport | None:
    """The worst SLO that asks for this breaker's halt."""
    return next((each for each in due(board) if each.breaker == breaker_id), None)


def _halted(board: Board, breaker_id: BreakerId) -> bool:
    effective = board.effective(breaker_id)
    return board.redis_readable and effective is not None and effective.state is State.OPEN


def proposal(report: SloReport) -> tuple[Reason, str]:
    """Reason and notes of the proposed trip, for a person to change or to confirm."""
    left = "unknown" if report.remaining is None else percent(report.remaining)
    burn = burn_words(report.burns.get(HOUR))
    notes = f"error budget of {report.name} is RED: {left} left, burn {burn} in 1 h, {report.why}"
    return _reason(report), " ".join(clean(notes, MAX_NOTES).split())


def _reason(report: SloReport) -> Reason:
    """By the name: what is measured is all that an objective says of its cause."""
    named = report.name.lower()
    fits = (reason for words, reason in _NAMED if any(word in named for word in words))
    return next(fits, Reason.OPERATIONAL if report.breaker == EXECUTION else Reason.OTHER)


def words(report: SloReport) -> str:
    """`order-success RED -12 %`."""
    left = "" if report.remaining is None else f" {percent(report.remaining)}"
    return f"{clean(report.name, 60)} {report.state.value}{left}"
