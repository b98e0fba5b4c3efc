"""What the switches say: symbol modes, safety latches, withdrawals. In words that need no colour."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import (
    GLOBAL,
    WITHDRAWALS,
    BreakerId,
    Scope,
    is_switch,
    scope_of,
    switch_of,
    symbol_of,
)
from cockpit.domain.modes import Mode, OrderKind, mode_of
from cockpit.domain.switches import BadTicket, SymbolMode, is_set, parse_ticket, surely_set, symbol_mode
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, fit
from widgets.times import clock

KINDS: Final = (
    (OrderKind.NEW, "new"),
    (OrderKind.REDUCE_ONLY, "reduce-only"),
    (OrderKind.PROBE, "probe"),
    (OrderKind.CANCEL, "cancel"),
)
"""The matrix' columns; `fills` comes after them."""
_FIRST: Final = {Scope.HARD_HALT: 0, Scope.SOFT_HALT: 1, Scope.CANCEL_ONLY: 2, Scope.LATCH: 3}


def reads_set(board: Board, switch: BreakerId) -> bool:
    """Whether it reads anything but CLOSED; what is missing is set (I4)."""
    return is_set(board.reading(switch))


def symbol_under(breaker_id: str | None) -> str | None:
    """The symbol, where a row is an instrument's."""
    if breaker_id is None or not breaker_id.startswith("instrument:"):
        return None
    return symbol_of(BreakerId(breaker_id))


def symbol_now(board: Board, symbol: str) -> SymbolMode | None:
    """What the instrument's switches say; None where this cockpit has not read them."""
    return None if board.breakers is None else symbol_mode(symbol, board.breakers.readings)


def mode_now(board: Board, symbol: str) -> Mode | None:
    """The mode that is known to be set; None where this cockpit has not read it."""
    found = symbol_now(board, symbol)
    return None if found is None else found.mode


def imposed_mode(board: Board, symbol: str) -> Mode | None:
    """The strictest mode whose switch is set or in doubt: what would have to be released."""
    return None if board.breakers is None else mode_of(symbol, lambda name: reads_set(board, name))


def latched(board: Board, symbol: str) -> bool | None:
    """None where this cockpit has not read it."""
    found = symbol_now(board, symbol)
    return None if found is None else found.latched


def withdrawals_word(board: Board) -> str:
    """`HALTED`, `IN DOUBT`, empty where they are made or not read."""
    if board.breakers is None or not reads_set(board, WITHDRAWALS):
        return ""
    if surely_set(board.reading(WITHDRAWALS)):
        return "HALTED"
    whole = board.reading(GLOBAL)
    return "" if whole is None or whole.doubt else "IN DOUBT"


def withdrawals_halted(board: Board) -> bool | None:
    return None if board.breakers is None else reads_set(board, WITHDRAWALS)


def mark(board: Board, breaker_id: str) -> str:
    """`CANCEL_ONLY`, `HARD_HALT + LATCHED`: what a row says besides its state; empty where no switch of it is
    known to be set. `SWITCH IN DOUBT` where such a doubt alone halts it."""
    symbol = symbol_under(breaker_id)
    found = None if symbol is None else symbol_now(board, symbol)
    if symbol is None or found is None or found.normal:
        return ""
    words = [found.mode.value] if found.mode is not Mode.NORMAL else []
    words += ["LATCHED"] if surely_set(board.reading(switch_of(Scope.LATCH, symbol))) else []
    effective = board.effective(breaker_id)
    alone = effective is not None and effective.halted_by is not None and is_switch(effective.halted_by)
    return " + ".join(words) or ("SWITCH IN DOUBT" if alone else "")


def switches_set(board: Board) -> tuple[BreakerId, ...]:
    """Every switch that is known to be set: withdrawals first, then the strictest."""
    if board.breakers is None:
        return ()
    readings = board.breakers.readings
    # Most are closed: of a thousand instruments there are four thousand, and this is asked at each drawing.
    found = [name for name in board.catalogue.switches if is_set(readings.get(name))]
    found = [name for name in found if surely_set(readings.get(name))]
    return tuple(sorted(found, key=lambda name: _FIRST.get(scope_of(name), -1)))


def in_doubt(board: Board) -> int:
    """How many switches read set without anybody's having set them. They halt what they stand for all the
    same; where `global` is in doubt too, all of this is one loss, and is said once."""
    if board.breakers is None:
        return 0
    readings = board.breakers.readings
    whole = readings.get(GLOBAL)
    if whole is None or whole.doubt:
        return 0
    found = [readings.get(name) for name in board.catalogue.switches]
    return sum(not surely_set(each) for each in found if is_set(each))


def switch_words(switch: BreakerId) -> str:
    """`HARD_HALT BTC-USD`, `LATCH ETH-USD`, `WITHDRAWALS HALTED`."""
    if switch == WITHDRAWALS:
        return "WITHDRAWALS HALTED"
    word = "LATCHED" if scope_of(switch) is Scope.LATCH else scope_of(switch).value.upper()
    return f"{word} {symbol_of(switch)}"


def resting(board: Board, symbol: str) -> int | None:
    """How many orders of the symbol rest at the venue; None where that cannot be read."""
    if not board.desk_readable or board.desk is None:
        return None
    return sum(each.open_orders for each in board.desk.orders if each.symbol == symbol)


def counted(number: int | None, what: str = "resting order") -> str:
    if number is None:
        return f"an unknown number of {what}s"
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def story_words(board: Board, switch: BreakerId) -> str:
    """Since when, by whom, why: `since 03:12 by operator1 · notes`."""
    story, reading = board.story(switch), board.reading(switch)
    if not surely_set(reading) or story.since is None:
        doubt = clean(reading.doubt or "", 200) if reading is not None else "it could not be read"
        return f"reads set because: {doubt}" if doubt else "nothing more is known"
    who = clean(story.actor, 40) + ("?" if story.claimed else "")
    why = ": ".join(part for part in (clean(story.reason, 60), clean(story.notes, 300)) if part)
    return f"since {clock(story.since, board.now)} by {who}" + (f" · {why}" if why else "")


def of_symbol(board: Board, symbol: str) -> tuple[BreakerId, ...]:
    """The switches of one instrument that are set, strictest first."""
    names = [switch_of(scope, symbol) for scope in _FIRST]
    return tuple(name for name in names if board.breakers is not None and reads_set(board, name))


def matrix_heading() -> Line:
    titles = [fit("MODE", 13), *(fit(title, 12) for _, title in KINDS), "fills"]
    return (("   " + "".join(titles), "title"),)


def matrix_line(mode: Mode, now: bool, marked: bool) -> Line:
    """One mode and what it lets through: `yes` and `no`, which need no colour. NORMAL by itself holds up
    nothing: what passes then is as the breakers say, and a latch."""
    head = f"{'●' if marked else ' '} {fit(mode.value, 13)}"
    spans: list[tuple[str, str]] = [(head, "strong" if marked else "")]
    for kind, _ in KINDS:
        allowed = kind in mode.allows
        yes = "by breakers" if mode is Mode.NORMAL and kind is not OrderKind.CANCEL else "yes"
        spans.append((fit(yes if allowed else "no", 12), "" if allowed else "bad"))
    spans.append((fit("yes" if mode.fills else "no", 5), "" if mode.fills else "bad"))
    spans.append(("  now" if now else "", "title"))
    return tuple(spans)


def ticket_fault(text: str) -> str | None:
    """Why the text is no ticket's id yet."""
    try:
        parse_ticket(text)
    except BadTicket as bad:
        return str(bad) if text.strip() else "the id of its ticket is needed"
    return None
