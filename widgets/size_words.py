"""Whether orders of full size pass, and what cuts them: nobody shall take half size for whole."""

from __future__ import annotations

from decimal import Decimal

from cockpit.domain.breakers import BreakerId
from cockpit.domain.budget_policy import budget_share
from cockpit.domain.budgets import ORANGE_SHARE, BudgetState
from cockpit.domain.desk import SizeLimit
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.times import clock


def share_of(board: Board, breaker_id: str) -> Decimal | None:
    """The share of normal size at which a breaker trades; None where it is whole, halted or unread."""
    effective = board.effective(breaker_id)
    if effective is None or effective.state is not State.CLOSED or effective.size_share >= 1:
        return None
    return effective.size_share


def own_share(board: Board, breaker_id: str) -> Decimal:
    """What the breaker's own document says, whatever stands above it; 0 where it is not trading."""
    reading = board.reading(breaker_id)
    return Decimal(0) if reading is None else reading.size_share


def size_percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f} %"


def imposed_by(board: Board, breaker_id: str) -> tuple[BreakerId, ...]:
    """Of the breaker and those above it the ones whose own documents cut its size, smallest share first."""
    line = (*board.catalogue.ancestors(BreakerId(breaker_id)), BreakerId(breaker_id))
    readings = [(reading.size_share, name) for name in line if (reading := board.reading(name)) is not None]
    return tuple(name for share, name in sorted(readings, key=lambda each: each[0]) if share < 1)


def limits_on(board: Board, breaker_id: str) -> tuple[SizeLimit, ...]:
    """The limits in force on the breaker and on those above it, smallest share first."""
    line = (
        {breaker_id, *board.catalogue.ancestors(BreakerId(breaker_id))}
        if breaker_id in board.catalogue
        else set()
    )
    rows = board.desk.size_limits if board.desk else ()
    return tuple(sorted((row for row in rows if row.breaker_id in line), key=lambda row: row.share))


def limit_words(limit: SizeLimit) -> str:
    """`50 % by rule settlement-lag since 03:12: notes` or `25 % by operator1 …`."""
    rule = limit.source == "guard" and limit.rule
    who = f"rule {clean(limit.rule, 60)}" if rule else clean(limit.login, 40)
    what = f"{size_percent(limit.share)} on {clean(limit.breaker_id, 80)}"
    return f"{what} by {who} since {clock(limit.set_at)}: {clean(limit.notes, 300)}"


def size_why(board: Board, breaker_id: str) -> str:
    """`orders at 50 % of size, by component:execution: error budget …`; empty where size is whole."""
    share = share_of(board, breaker_id)
    if share is None:
        return ""
    named = imposed_by(board, breaker_id)
    whose = f", by {named[0]}" if named and named[0] != breaker_id else ""
    reasons = [(each.share, limit_words(each)) for each in limits_on(board, breaker_id)]
    reasons += [(ORANGE_SHARE, words) for words in _budgets(board, named)]
    why = "; ".join(words for _, words in sorted(reasons, key=lambda each: each[0]))
    return f"orders at {size_percent(share)} of size{whose}" + (f": {why}" if why else "")


def _budgets(board: Board, named: tuple[BreakerId, ...]) -> tuple[str, ...]:
    """The spent budgets that halve these breakers' size; the authority lifts that by itself."""
    if board.slos is None:
        return ()
    spent = [
        f"budget of {clean(each.name, 60)} is {each.state.value}"
        for name in named
        if (budget_share(board.slos, name) or 1) < 1
        for each in board.slos.slos
        if each.breaker == name and each.state in (BudgetState.ORANGE, BudgetState.RED)
    ]
    return tuple(spent)


def limits_about(board: Board, breaker_id: str) -> tuple[SizeLimit, ...]:
    """The limits in force on the breaker, above it and below it."""
    if breaker_id not in board.catalogue or board.desk is None:
        return ()
    name = BreakerId(breaker_id)
    line = {name, *board.catalogue.ancestors(name), *board.catalogue.descendants(name)}
    return tuple(row for row in board.desk.size_limits if row.breaker_id in line)
