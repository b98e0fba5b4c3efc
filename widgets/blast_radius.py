"""What a trip would halt: the breakers below, their open orders and their exposure. Never holds a trip up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from cockpit.domain.breakers import GLOBAL, BreakerId, Scope, scope_of
from cockpit.domain.states import State
from cockpit.domain.trading import OrderFacts
from widgets.board import Board
from widgets.line import Line


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """`open_orders` and `exposure` (in quote currency, absolute quantity × mark) are None where Postgres
    cannot be read. `newly_halted` counts the breakers below that are not halted now."""

    below: tuple[BreakerId, ...]
    newly_halted: int
    open_orders: int | None
    exposure: Decimal | None


def in_scope(board: Board, breaker_id: str) -> Callable[[str, str | None], bool]:
    """Whether an order of a symbol and a strategy stands under the breaker."""
    if breaker_id == GLOBAL:
        return lambda _symbol, _strategy: True
    own = BreakerId(breaker_id)
    names = {own, *board.catalogue.descendants(own)}

    def within(symbol: str, strategy: str | None) -> bool:
        return f"instrument:{symbol}" in names or (strategy is not None and f"strategy:{strategy}" in names)

    return within


def orders_in_scope(board: Board, breaker_id: str) -> tuple[OrderFacts, ...]:
    within = in_scope(board, breaker_id)
    orders = board.desk.orders if board.desk else ()
    return tuple(each for each in orders if within(each.symbol, each.strategy))


def blast_radius(board: Board, breaker_id: str) -> BlastRadius:
    below = board.catalogue.descendants(BreakerId(breaker_id))
    fresh = sum(
        1 for name in below if (found := board.effective(name)) is None or found.state is not State.OPEN
    )
    if board.desk is None or not board.desk_readable:
        return BlastRadius(below, fresh, None, None)
    orders = sum(each.open_orders for each in orders_in_scope(board, breaker_id))
    within = in_scope(board, breaker_id)
    by_symbol = scope_of(BreakerId(breaker_id)) is not Scope.STRATEGY
    held = [row for row in board.desk.positions if by_symbol and within(row.symbol, None)]
    exposure = sum((row.exposure for row in held), Decimal(0)) if by_symbol else None
    return BlastRadius(below, fresh, orders, exposure)


def amount(value: Decimal | None) -> str:
    """Rounded to cents, grouped by thousands; `unknown` where it is not known."""
    return "unknown" if value is None else f"{value:,.2f}"


def blast_line(found: BlastRadius) -> Line:
    """One line for the trip dialog."""
    below = (
        f"itself and {len(found.below)} below it ({found.newly_halted} not halted now)"
        if found.below
        else "itself"
    )
    orders = "unknown" if found.open_orders is None else str(found.open_orders)
    return (
        ("halts  ", "title"),
        (below, ""),
        (" · open orders ", "dim"),
        (orders, "strong"),
        (" · exposure ", "dim"),
        (amount(found.exposure), "strong"),
    )
