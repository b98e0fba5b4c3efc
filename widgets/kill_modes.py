"""What symbol modes keep from the kill switch: none but NORMAL lets its flatten through, and HARD_HALT no
cancel either. Pure lines of the board."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cockpit.domain.kill import KillReport
from cockpit.domain.modes import Mode, OrderKind
from cockpit.domain.text import clean
from widgets.blast_radius import amount
from widgets.board import Board
from widgets.line import Line, wrap
from widgets.switch_words import imposed_mode, symbol_under

MOST_NAMED: Final = 4


def refusing(board: Board) -> dict[str, Mode]:
    """The instruments whose mode is set, or reads set (I4), to one that refuses the flatten."""
    found = {}
    for name in board.catalogue.ids:
        symbol = symbol_under(name)
        mode = imposed_mode(board, symbol) if symbol is not None else None
        if symbol is not None and mode is not None and OrderKind.REDUCE_ONLY not in mode.allows:
            found[symbol] = mode
    return found


def refusing_lines(board: Board, cells: int) -> list[Line]:
    """Before it begins: which instruments, and what it will leave of them."""
    if board.breakers is None:
        words = "symbol modes unread: one that is not NORMAL refuses the flatten"
        return wrap(words, cells, 2, "warn")
    modes = refusing(board)
    if not modes:
        return []
    trapped = [symbol for symbol, mode in modes.items() if mode.traps]
    words = f"NOT FLATTENED, their mode refuses it: {_named(modes)} · {_positions(board, modes)} left"
    lines = wrap(words, cells, 3, "bad")
    if trapped:
        words = f"and no cancel passes a HARD_HALT: {_orders(board, trapped)} trapped"
        lines += wrap(words, cells, 2, "bad")
    return [*lines, (("FLAT needs them NORMAL first (m), or closed by hand at the venue", "warn"),)]


def freed_by(board: Board, report: KillReport, cells: int) -> list[Line]:
    """Under what is left: the modes that keep it, and what ends that."""
    left = {residual.symbol for residual in report.residuals}
    modes = {symbol: mode for symbol, mode in refusing(board).items() if symbol in left}
    if not modes:
        return []
    words = f"kept by its mode: {_named(modes)}; no retry passes until it is NORMAL: m, then ctrl+k and g"
    return wrap(words, cells, 3, "warn")


def _named(modes: dict[str, Mode]) -> str:
    """Strictest first."""
    ranked = sorted(modes, key=lambda symbol: (-modes[symbol].strictness, symbol))
    named = [f"{clean(symbol, 20)} {modes[symbol].value}" for symbol in ranked[:MOST_NAMED]]
    more = f" and {len(ranked) - MOST_NAMED} more" if len(ranked) > MOST_NAMED else ""
    return f"{', '.join(named)}{more}"


def _positions(board: Board, modes: dict[str, Mode]) -> str:
    if board.desk is None or not board.desk_readable:
        return "positions, how many: unknown,"
    held = [row for row in board.desk.positions if row.quantity and row.symbol in modes]
    exposure = amount(sum((row.exposure for row in held), Decimal(0)))
    return f"{len(held)} position{'' if len(held) == 1 else 's'} of exposure {exposure}"


def _orders(board: Board, trapped: list[str]) -> str:
    if board.desk is None or not board.desk_readable:
        return "resting orders, how many: unknown,"
    many = sum(each.open_orders for each in board.desk.orders if each.symbol in trapped)
    return f"{many} resting order{'' if many == 1 else 's'}"
