"""The halts that spent error budgets ask for, and the trip that is proposed for one. A person confirms it."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.budget_policy import halts_due
from cockpit.domain.budgets import HOUR, BudgetState
from cockpit.domain.reasons import Reason
from cockpit.domain.slo_reports import SloReport, worst_first
from cockpit.domain.states import State
from cockpit.domain.text import MAX_NOTES, clean
from widgets.board import Board
from widgets.slo_signs import burn_words, percent, shown_state

_NAMED: Final = (
    (("latency", "slow"), Reason.LATENCY),
    (("reject", "order"), Reason.REJECTION_RATE),
    (("data", "feed", "bar", "stale"), Reason.DATA_INTEGRITY),
)


def due(board: Board) -> tuple[SloReport, ...]:
    """SLOs that are RED now and whose breaker is not halted: worst first. A breaker that cannot be read
    here may be trading."""
    if board.slos is None:
        return ()
    red = (each for each in halts_due(board.slos) if shown_state(board, each) is BudgetState.RED)
    return tuple(
        each
        for each in worst_first(tuple(red))
        if isinstance(each, SloReport) and not _halted(board, each.breaker)
    )


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
