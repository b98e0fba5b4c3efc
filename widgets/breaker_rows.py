"""Rows of the breaker table: pure functions of the board."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, Scope, scope_of
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.columns import Column, columns, name_cell, spaced, unread_line
from widgets.line import Line, Span, fit
from widgets.next_steps import steps, switches_to_release
from widgets.size_words import size_percent
from widgets.switch_words import mark
from widgets.symbols import STATE_STYLE, STATE_SYMBOL, UNREADABLE
from widgets.times import ago, clock, countdown, overdue

STEP_KEYS: Final = {"half_open": "h", "probes": "p", "close": "c", "trip": "t"}


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """What one row of the table is a function of. `own` and `effective` None: never read here.

    `since`, `actor`, `reason`, `notes` and `doubt` are of the `effective` state: of who imposes it.
    """

    breaker_id: str
    depth: int
    own: State | None
    effective: State | None
    halted_by: str | None
    readable: bool
    connecting: bool
    pending: bool
    last_seen: str
    since: str
    actor: str
    reason: str
    notes: str
    epoch: str
    probes: str
    left: str
    share: Decimal
    doubt: str
    review_due: bool
    next_keys: str
    switches: str = ""


def breaker_row(board: Board, breaker_id: str) -> BreakerRow:
    reading, effective = board.reading(breaker_id), board.effective(breaker_id)
    by = effective.halted_by if effective else None
    story, imposer = board.story(by or breaker_id), board.reading(by or breaker_id)
    run = board.run(breaker_id)
    desk_row = board.desk.breakers.get(BreakerId(breaker_id)) if board.desk else None
    readable = board.redis_readable
    return BreakerRow(
        breaker_id=breaker_id,
        depth=len(board.catalogue.ancestors(BreakerId(breaker_id))),
        own=reading.state if reading else None,
        effective=effective.state if effective else None,
        halted_by=effective.halted_by if effective else None,
        readable=readable,
        connecting=board.connecting,
        pending=board.pending_trip(breaker_id) is not None,
        last_seen="" if readable or board.breakers is None else ago(board.breakers.observed_at, board.now),
        since=clock(story.since, board.now) if story.since else "",
        actor=clean(story.actor, 40) + ("?" if story.claimed and story.actor else ""),
        reason=clean(story.reason, 40),
        notes=clean(story.notes, 500),
        epoch=str(reading.epoch.counter) if reading and reading.epoch else "?",
        probes=f"{sum(each.passed for each in run.results)}/{len(run.run.probes)}" if run else "",
        left=_left(board, breaker_id),
        share=effective.size_share if effective else Decimal(0),
        doubt=clean(imposer.doubt or "", 200) if imposer else "",
        review_due=bool(
            desk_row
            and reading
            and reading.state is not State.CLOSED
            and overdue(desk_row.review_due_at, board.desk_now)
        ),
        next_keys=_next_keys(board, breaker_id),
        switches=mark(board, breaker_id),
    )


def _next_keys(board: Board, breaker_id: str) -> str:
    """The keys of what leads on from here, the nearest first, with blanks between them; watching a run that
    is over is none. `4r` is `r` on panel 4."""
    possible = steps(board, breaker_id).possible
    reading = board.reading(breaker_id)
    watching = reading is not None and reading.state is State.HALF_OPEN
    found = [key for step, key in STEP_KEYS.items() if step in possible and (step != "probes" or watching)]
    tightens = [found.pop()] if found[-1:] == ["t"] else []
    releases = {scope_of(each) is Scope.LATCH for each in switches_to_release(board, breaker_id)}
    found += [key for key, latch in (("4r", True), ("m", False)) if latch in releases]
    return " ".join([*found, *tightens])


def _as_many(keys: str, cells: int) -> str:
    """The first of them, whole: half a list of keys is right, half a key is not."""
    while len(keys) > cells:
        keys = keys.rpartition(" ")[0]
    return keys


def _left(board: Board, breaker_id: str) -> str:
    """What remains of a probe run's or a quiet period's time, by the Redis server's clock."""
    reading = board.reading(breaker_id)
    if reading is None or reading.document is None:
        return ""
    until: datetime | None = None
    if reading.state is State.HALF_OPEN:
        until = reading.document.run_deadline
    elif reading.state is State.QUIET_PERIOD:
        until = reading.document.quiet_until
    return countdown(until, board.redis_now) if until else ""


def state_span(state: State | None) -> Span:
    """Symbol, state and meaning."""
    if state is None:
        return (f"{UNREADABLE} unread", "unknown")
    return (f"{STATE_SYMBOL[state]} {state.label}", STATE_STYLE[state])


def own_span(row: BreakerRow) -> Span:
    """The breaker's own state in few characters; empty where it is the effective one."""
    if row.own is None or row.own is row.effective:
        return ("", "")
    word = {State.QUIET_PERIOD: "QUIET", State.HALF_OPEN: "HALF"}.get(row.own, row.own.value)
    return (f"{STATE_SYMBOL[row.own]} {word}", STATE_STYLE[row.own])


def row_line(row: BreakerRow, cells: int) -> Line:
    """One row. Data that is not fresh is dimmed whole and says so in its own words."""
    name = name_cell(row.breaker_id, row.depth, cells)
    if row.pending:
        rest = "◌ PENDING · NOT HALTED YET · trip not confirmed by Redis"
        return ((name + " ", "strong"), (rest, "warn"))
    if row.connecting:
        return unread_line(row.breaker_id, row.depth, cells)
    if not row.readable:
        return ((name + " ", "dim"), (unreadable_words(row, cells - len(name) - 1), "unknown"))
    spans: list[Span] = []
    for column in columns(cells):
        text, style = (
            (name, "strong" if row.halted_by == row.breaker_id else "")
            if column.name == "breaker"
            else _cell(row, column)
        )
        spans.append((fit(text, column.cells), style))
    return spaced(spans)


def unreadable_words(row: BreakerRow, cells: int = 200) -> str:
    """Never 'halted': this cockpit cannot see it, the gates may."""
    if row.effective is None:
        return "? UNREADABLE HERE · TRADING MAY CONTINUE"
    full = f"? UNREADABLE HERE · last {row.effective.value} {row.last_seen} ago · TRADING MAY CONTINUE"
    if len(full) <= cells:
        return full
    return f"? UNREADABLE · last {row.effective.value} {row.last_seen} ago · MAY TRADE"


def _switched(words: str, cells: int) -> Span:
    """`■ OPEN · HARD_HALT`; without the state where two set ones fill the room: `■ SOFT_HALT + LATCHED`."""
    symbol, style = STATE_SYMBOL[State.OPEN], STATE_STYLE[State.OPEN]
    full = f"{symbol} {State.OPEN.value} · {words}"
    return (full if len(full) <= cells else f"{symbol} {words}", style)


def _cell(row: BreakerRow, column: Column) -> Span:
    match column.name:
        case "state":
            text, style = state_span(row.effective)
            if row.switches:
                return _switched(row.switches, column.cells)
            if row.effective is State.CLOSED and row.share < 1:
                return (f"{text} {size_percent(row.share)}"[: column.cells], "limited")
            if row.left and row.own is row.effective and column.cells - len(text) > len(row.left):
                text = f"{text} {row.left}"
            return (text, style)
        case "own":
            return own_span(row)
        case "halted_by":
            above = row.halted_by if row.halted_by != row.breaker_id else None
            return (above or ("itself" if row.halted_by else ""), "" if above else "dim")
        case "since":
            return (
                row.since[-5:] if len(row.since) > 5 else row.since,
                "" if row.effective is not State.CLOSED else "dim",
            )
        case "actor":
            return (row.actor, "" if row.effective is not State.CLOSED else "dim")
        case "epoch":
            return (row.epoch.rjust(5), "dim")
        case "probes":
            return (row.probes, "")
        case "next":
            review = row.review_due and column.cells > 5
            return ("REVIEW" if review else _as_many(row.next_keys, column.cells), "key")
        case _:
            return (": ".join(part for part in (row.reason, row.notes) if part) or row.doubt, "dim")
