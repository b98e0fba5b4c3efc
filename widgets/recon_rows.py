"""Rows of the reconciliation panel: a kind of run on an instrument each. Pure functions of the board."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import Scope, switch_of, symbol_of
from cockpit.domain.reconciliation import BREACH_AT, CLEAN_WANTED, Kind, LineState
from cockpit.domain.reconciliation import Line as ReconLine
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State
from cockpit.domain.switches import surely_set
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.columns import Column, spaced
from widgets.line import Line, Span, fit, fold, wrap
from widgets.switch_words import reads_set
from widgets.times import span

SYMBOL: Final = {
    LineState.BREACHED: "■",
    LineState.MISMATCH: "▲",
    LineState.UNKNOWN: "?",
    LineState.STALE: "?",
    LineState.CLEAN: "●",
}
STYLE: Final = {
    LineState.BREACHED: "halted",
    LineState.MISMATCH: "probing",
    LineState.UNKNOWN: "unknown",
    LineState.STALE: "unknown",
    LineState.CLEAN: "trading",
}
NO_RUNS: Final = "? NO RUNS"
"""An instrument that nothing reconciles: nothing is known of it, which is not clean."""
_RANK: Final = {state: float(len(LineState) - rank) for rank, state in enumerate(LineState)}
_RANK_NO_RUNS: Final = 1.5
_LATCHED: Final = 0.25
_INSTRUMENTS: Final = f"{Scope.INSTRUMENT.value}:"
_LATCHES: Final = f"{Scope.LATCH.value}:"
_NEWEST: Final[list[tuple[BreakerSnapshot, frozenset[str]]]] = []
_NARROW: Final = (
    Column("state", "STATE", 11),
    Column("symbol", "SYMBOL", 9),
    Column("kind", "KIND", 8),
    Column("k", "K/3", 3),
    Column("rate", "PASS", 6),
    Column("lag", "LAG", 6),
    Column("gaps", "GAPS", 5),
    Column("clean", "CLEAN", 5),
    Column("age", "AGE", 6),
    Column("latch", "LATCH", 7),
)
_WIDE: Final = (
    Column("state", "STATE", 11),
    Column("symbol", "SYMBOL", 10),
    Column("kind", "KIND", 8),
    Column("k", "K/3", 3),
    Column("rate", "PASS", 6),
    Column("engine", "ENGINE_SEQ", 12),
    Column("ledger", "LEDGER_SEQ", 12),
    Column("lag", "LAG", 6),
    Column("gaps", "GAPS", 5),
    Column("clean", "CLEAN", 5),
    Column("age", "AGE", 6),
    Column("latch", "LATCH", 7),
)
_RIGHT: Final = frozenset({"rate", "engine", "ledger", "lag", "gaps", "clean", "age"})


def columns(cells: int) -> tuple[Column, ...]:
    """The columns for a width; what is left over widens the symbols."""
    chosen = _NARROW if cells < 112 else _WIDE
    spare = cells - sum(each.cells for each in chosen) - len(chosen) + 1
    return (chosen[0], chosen[1]._replace(cells=chosen[1].cells + max(0, min(spare, 10))), *chosen[2:])


def recon_heading(cells: int, holds: bool = True) -> Line:
    """The columns' titles. `holds` False: a row is worse than its place, and `s` sorts."""
    found: list[Span] = []
    for column in columns(cells):
        marked = column.name == "state" and not holds
        title, style = ("▲ s sorts", "warn") if marked else (column.title, "title")
        found.append((_fitted(column, title), style))
    return ((" ", ""), *spaced(found))


def moment(board: Board) -> datetime:
    """Now by the database's clock, carried on by our own since the runs were read (I13)."""
    if board.recon is None:
        return board.desk_now
    return board.recon.at + timedelta(seconds=board.recon_age_s or 0.0)


def key_of(line: ReconLine) -> str:
    return f"{line.kind.value} {line.symbol}"


def symbol_in(key: str | None) -> str | None:
    """The instrument of a row's key; None where it is of none."""
    return (key or "").partition(" ")[2] or None


def lines_by_key(board: Board) -> Mapping[str, ReconLine | None]:
    """Every row by its key, in the store's order; None for an instrument of the catalogue without runs."""
    if board.recon is None:
        return {}
    found: dict[str, ReconLine | None] = {key_of(line): line for line in board.recon.lines}
    with_runs = set(board.recon.symbols)
    for name in board.catalogue.ids:
        if name.startswith(_INSTRUMENTS) and (symbol := symbol_of(name)) not in with_runs:
            found[f"- {symbol}"] = None
    return found


def rank(line: ReconLine | None, at: datetime, latched: bool = False) -> float:
    """How much a row belongs to the top; of equals what is latched does more."""
    return (_RANK_NO_RUNS if line is None else _RANK[line.state(at)]) + (_LATCHED if latched else 0.0)


def latched_symbols(board: Board) -> frozenset[str]:
    """The instruments whose latch is surely set. Asked several times at each drawing, and worked out once for
    each reading of the breakers, which never changes."""
    breakers = board.breakers
    if breakers is None:
        return frozenset()
    if not _NEWEST or _NEWEST[0][0] is not breakers:
        _NEWEST[:] = [(breakers, _latched(breakers))]
    return _NEWEST[0][1]


def _latched(breakers: BreakerSnapshot) -> frozenset[str]:
    closed = State.CLOSED  # as most are: of a thousand instruments there are four thousand switches
    return frozenset(
        symbol_of(name)
        for name, reading in breakers.readings.items()
        if reading.state is not closed and name.startswith(_LATCHES) and surely_set(reading)
    )


def is_grave(board: Board, key: str, line: ReconLine | None) -> bool:
    """Whether a row is breached, or its instrument latched: somebody must see it."""
    return (line is not None and line.breached) or (symbol_in(key) or "") in latched_symbols(board)


def is_latched(board: Board, symbol: str) -> bool | None:
    """Whether the symbol's latch is set; None where that cannot be read, or it has none."""
    name = switch_of(Scope.LATCH, symbol)
    if board.breakers is None or name not in board.catalogue:
        return None
    return reads_set(board, name)


def recon_line(board: Board, key: str, line: ReconLine | None, cells: int) -> Line:
    """One row. What was not read lately is what was, not what is (I25)."""
    fresh, at = board.recon_readable, moment(board)
    spans: list[Span] = []
    for column in columns(cells):
        text, style = _cell(board, key, line, column.name, at, fresh)
        spans.append((_fitted(column, text), style if fresh or column.name == "latch" else "stale"))
    return spaced(spans)


def _fitted(column: Column, text: str) -> str:
    return (
        fit(text, column.cells) if column.name not in _RIGHT else fit(text.rjust(column.cells), column.cells)
    )


def state_words(line: ReconLine | None, at: datetime, fresh: bool) -> str:
    """`■ BREACHED`, `? STALE`; of runs that were not read lately `? was …`."""
    if line is None:
        return NO_RUNS
    state = line.state(at)
    word = state.value.upper()
    return f"{SYMBOL[state]} {word}" if fresh else f"? was {word}"


def _cell(board: Board, key: str, line: ReconLine | None, name: str, at: datetime, fresh: bool) -> Span:
    symbol = symbol_in(key) or ""
    if name == "state":
        style = "unknown" if line is None else STYLE[line.state(at)]
        return (state_words(line, at, fresh), style)
    if name == "symbol":
        bad = line is not None and line.state(at) in (LineState.BREACHED, LineState.MISMATCH)
        return (clean(symbol, 60) or "-", "strong" if bad else "")
    if name == "latch":
        return _latch_cell(board, symbol)
    if line is None:
        return ("-", "dim")
    return _figure(line, name, at)


def _latch_cell(board: Board, symbol: str) -> Span:
    found = is_latched(board, symbol)
    if found is None:
        return ("unread" if board.breakers is None else "-", "unknown" if board.breakers is None else "dim")
    if not board.redis_readable:
        return ("?SET" if found else "?off", "unknown")
    if not found:
        return ("off", "dim")
    known = surely_set(board.reading(switch_of(Scope.LATCH, symbol)))
    return ("LATCHED", "halted") if known else ("?DOUBT", "unknown")


def _figure(line: ReconLine, name: str, at: datetime) -> Span:
    match name:
        case "kind":
            return (line.kind.value, "")
        case "k":
            return (f"{line.k}/{BREACH_AT}", "bad" if line.breached else "warn" if line.k else "dim")
        case "rate":
            return (rate_words(line.pass_rate), "")
        case "engine":
            return (seq_words(line.engine_seq), "dim")
        case "ledger":
            return (seq_words(line.ledger_seq), "dim")
        case "lag":
            return ("-" if line.lag is None else str(line.lag), "warn" if line.lag else "dim")
        case "gaps":
            gaps = len(line.gaps)
            return (str(gaps) if line.engine_seq is not None or gaps else "-", "bad" if gaps else "dim")
        case "clean":
            return (str(line.clean), "dim" if line.clean >= CLEAN_WANTED else "warn")
        case _:
            old = line.state(at) is LineState.STALE
            return (span(line.age(at).total_seconds()), "warn" if old else "dim")


def rate_words(rate: Decimal | None) -> str:
    """`99.2 %`, cut and never rounded up to a hundred; `-` where no run came to a verdict."""
    if rate is None:
        return "-"
    if rate == 1:
        return "100 %"
    return f"{int(rate * 1_000) / 10:.1f} %"


def seq_words(number: int | None) -> str:
    return "-" if number is None else str(number)


def status_lines(board: Board, order: Line, cells: int) -> list[Line]:
    """Above the table: how old this is, how many stand how, whose latch is set; then what is wrong."""
    head: Span = ("RECONCILIATION ", "title")
    if board.recon is None:
        error = board.recon_error
        why = f"UNKNOWN, not flat and not clean: {clean(error, 200)}" if error else "reading…"
        return fold((head, (why, "unknown" if error else "dim")), cells, 2)
    age = span(board.recon_age_s or 0)
    if not board.recon_readable:
        why = clean(board.recon_error or "no answer", 120)
        words = f"STALE · read {age} ago ({why}): nothing here is what is now, UNKNOWN is not clean"
        return fold((head, (words, "bad")), cells, 2)
    at = moment(board)
    parts: list[Span] = [head, (f"read {age} ago · ", "dim"), *order]
    states = [line.state(at) for line in board.recon.lines]
    for state in LineState:
        if many := states.count(state):
            parts.append((f" · {many} {state.value.upper()}", STYLE[state]))
    if not states:
        parts.append((" · no run was ever recorded: nothing is known", "unknown"))
    lines = fold(tuple(parts), cells, 2)
    if set_latches := sorted(clean(symbol, 40) for symbol in latched_symbols(board)):
        more = f" +{len(set_latches) - 5} more" if len(set_latches) > 5 else ""
        words = f" LATCHED: {', '.join(set_latches[:5])}{more} · new orders are refused until released (r)"
        lines += wrap(words, cells, 2, "halted")
    for fault in board.recon.faults[:2]:
        lines += wrap(f" ! {fault}", cells, 2, "bad")
    return lines


def kinds_words(board: Board, symbol: str) -> str:
    """`order ● CLEAN, position ■ BREACHED`: every kind of one instrument."""
    if board.recon is None:
        return "unread"
    at, fresh = moment(board), board.recon_readable
    found = [f"{each.kind.value} {state_words(each, at, fresh)}" for each in board.recon.of(symbol)]
    missing = [f"{kind.value} {NO_RUNS}" for kind in Kind if board.recon.line(kind, symbol) is None]
    return ", ".join([*found, *missing])
