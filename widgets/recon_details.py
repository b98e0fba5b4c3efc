"""One line of reconciliation whole: what differs, both sides, sequence numbers, counts, the latch."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import Scope, switch_of
from cockpit.domain.reconciliation import BREACH_AT, CLEAN_WANTED, Mismatch, Verdict
from cockpit.domain.reconciliation import Line as ReconLine
from cockpit.domain.switches import surely_set
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, fit, fold, wrap
from widgets.recon_rows import (
    STYLE,
    is_latched,
    kinds_words,
    moment,
    rate_words,
    seq_words,
    state_words,
    symbol_in,
)
from widgets.switch_words import story_words
from widgets.times import clock_s, span

_HEADS: Final = ("VENUE", "BOOKS", "VENUE-BOOKS")
FIRST_SHOWN: Final = 3
"""Mismatched ids that stand before the counts; the rest stand last."""


def recon_details(board: Board, key: str, line: ReconLine | None, cells: int) -> list[Line]:
    """What matters most first: below a list there may be room for a few lines only."""
    symbol = symbol_in(key) or ""
    if line is None:
        words = f"{clean(symbol, 60)} has no reconciliation runs: whether it is flat or in order is UNKNOWN"
        return [*wrap(words, cells, 2, "unknown"), *_latch_lines(board, symbol, cells)]
    at, fresh = moment(board), board.recon_readable
    style = STYLE[line.state(at)] if fresh else "stale"
    head = f"{line.kind.value} {clean(symbol, 60) or 'of no instrument'}"
    since = f"run began {clock_s(line.last.started_at)}, {span(line.age(at).total_seconds())} ago"
    lines: list[Line] = [
        ((f"{state_words(line, at, fresh)} ", style), (f"{head} ", "strong"), (since, "dim")),
        *_why(line, cells),
    ]
    first, rest = _mismatches(line, cells)
    lines += first
    lines += _latch_lines(board, symbol, cells)
    lines += fold(_counts(line), cells, 2)
    lines += fold(_sequence(line), cells, 2)
    return lines + rest


def _counts(line: ReconLine) -> Line:
    k = f"{line.consecutive} mismatches in a row, {line.k} of {BREACH_AT}"
    decided = f"passed {line.passed}, failed {line.failed}, unknown {line.unknown} in 24 h"
    return (
        ("counts    ", "title"),
        (k, "bad" if line.breached else ""),
        (f" · clean in a row {line.clean} (a latch wants {CLEAN_WANTED})", ""),
        (f" · {decided}, pass rate {rate_words(line.pass_rate)}", "dim"),
    )


def _sequence(line: ReconLine) -> Line:
    if line.engine_seq is None and line.ledger_seq is None:
        return (("sequence  ", "title"), ("no sequence numbers in this kind of run", "dim"))
    lag = "lag unknown" if line.lag is None else f"lag {line.lag}"
    gaps = ", ".join(f"{gap.first}-{gap.last} ({gap.missing})" for gap in line.gaps[:5])
    more = f" +{len(line.gaps) - 5} more" if len(line.gaps) > 5 else ""
    numbers = f"engine_seq {seq_words(line.engine_seq)}, ledger_seq {seq_words(line.ledger_seq)}, {lag}"
    return (
        ("sequence  ", "title"),
        (numbers, ""),
        (f" · gaps {gaps}{more}" if gaps else " · no gap", "bad" if gaps else "dim"),
    )


def _why(line: ReconLine, cells: int) -> list[Line]:
    if line.last.verdict is not Verdict.UNKNOWN:
        return []
    why = line.last.doubt or "one side could not be read"
    known = line.last_known
    last = f"; last known: {known.verdict.value} at {clock_s(known.started_at)}" if known else ""
    return wrap(f"UNKNOWN, not flat: {why}{last}", cells, 3, "unknown")


def _latch_lines(board: Board, symbol: str, cells: int) -> list[Line]:
    found = is_latched(board, symbol)
    if found is None:
        return [(("latch     ", "title"), ("none, or not read here", "unknown"))]
    if not found:
        return [(("latch     ", "title"), ("not set", "dim"))]
    latch = switch_of(Scope.LATCH, symbol)
    word = "LATCHED" if surely_set(board.reading(latch)) else "IN DOUBT,"
    first, *more = wrap(f"{word} {story_words(board, latch)}", max(20, cells - 10), 3, "halted")
    return [(("latch     ", "title"), *first), *(((" " * 10, ""), *each) for each in more)]


def _mismatches(line: ReconLine, cells: int) -> tuple[list[Line], list[Line]]:
    """Both sides of the first ids, and of the others."""
    run = line.last if line.last.mismatches else line.last_known
    if run is None or not (run.mismatches or run.unlisted):
        agree: Line = (("both sides agree in the newest run", "dim"),)
        return ([agree] if line.last.verdict is Verdict.CLEAN else []), []
    name = max(14, cells - 3 * 19 - 2)
    count = len(run.mismatches) + run.unlisted
    heads = f"{fit(f'{count} mismatched', name)} " + " ".join(head.rjust(18) for head in _HEADS)
    lines: list[Line] = [((heads, "title"),)]
    if run is not line.last:
        lines.insert(0, ((f"of the run at {clock_s(run.started_at)}:", "warn"),))
    shown = [_mismatch(each, name) for each in run.mismatches]
    rest = shown[FIRST_SHOWN:]
    if rest:
        rest.insert(0, ((f"the other {len(rest)} mismatched", "title"),))
    if run.unlisted > 0:
        rest.append(((f"and {run.unlisted} more, which the run did not list", "warn"),))
    return [*lines, *shown[:FIRST_SHOWN]], rest


def _mismatch(found: Mismatch, name: int) -> Line:
    return (
        (f"{fit(clean(found.name, 80), name)} ", ""),
        (f"{number(found.venue):>18} {number(found.books):>18} ", ""),
        (f"{number(found.difference):>18}", "bad"),
    )


def number(value: Decimal) -> str:
    """Every digit, without an exponent where it has room."""
    text = f"{value:f}"
    return text if len(text) <= 18 else f"{value:.11E}"


def release_lines(board: Board, symbol: str, cells: int) -> list[Line]:
    """For the dialog that releases the latch: how it was set and how its kinds stand."""
    lines = _latch_lines(board, symbol, cells)
    first, *more = wrap(kinds_words(board, symbol), max(20, cells - 10), 2)
    return [*lines, (("runs      ", "title"), *first), *(((" " * 10, ""), *each) for each in more)]
