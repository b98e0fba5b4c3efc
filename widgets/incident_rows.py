"""Panel 3's lines: one an incident, its heading, its details. Pure functions of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_story import IncidentList, linked, overdue, snoozed
from cockpit.domain.paging import PageRow
from cockpit.domain.switches import surely_set
from cockpit.domain.text import clean
from widgets.board import STALE_AFTER_S, Board
from widgets.columns import spaced
from widgets.incident_clocks import (
    ack_clock,
    clock_words,
    deadline,
    over,
    severity_style,
    severity_words,
    state_words,
)
from widgets.line import Line, cut, fit, fold, join, wrap
from widgets.switch_words import reads_set
from widgets.times import ago, clock, span

WIDE: Final = 110
_SHORT: Final = {
    "data_quality": "data",
    "reconciliation": "recon",
    "broker/connectivity": "broker",
    "security": "secur.",
}


class Column(NamedTuple):
    title: str
    cells: int


def columns(cells: int) -> tuple[Column, ...]:
    fixed: tuple[Column, ...]
    """Narrow: what decides; wide: also the class whole, what is linked, where it came from."""
    if cells < WIDE:
        fixed = (
            Column("SEV", 7),
            Column("STATE", 12),
            Column("ACK CLOCK", 14),
            Column("AGE", 6),
            Column("OWNER", 9),
            Column("CLASS", 6),
        )
    else:
        fixed = (
            Column("SEV", 7),
            Column("STATE", 12),
            Column("ACK CLOCK", 14),
            Column("AGE", 6),
            Column("OWNER", 10),
            Column("CLASS", 19),
            Column("LINKED", 20),
        )
    rest = max(8, cells - sum(each.cells + 1 for each in fixed))
    return (*fixed, Column("TITLE", rest))


def incident_heading(cells: int) -> Line:
    return ((" ", ""), *spaced([(fit(each.title, each.cells), "title") for each in columns(cells)]))


def incident_line(row: IncidentRow, at: datetime, expiry_s: float, cells: int) -> Line:
    """One incident in one line of at most `cells` cells."""
    wide = cells >= WIDE
    ended = over(row)
    dim = "dim" if ended else ""
    kind = clean(row.classification, 40) if wide else _SHORT.get(row.classification, row.classification)
    cellular = [
        (severity_words(row), severity_style(row)),
        state_words(row, at),
        ack_clock(row, at, expiry_s, narrow=True),
        (ago(row.opened_at, at), dim),
        (clean(row.owner or "nobody", 40), dim if row.owner or ended else "warn"),
        (clean(kind, 40), dim),
    ]
    if wide:
        cellular.append((linked_words(row) or "-", dim))
    cellular.append((clean(row.title, 400), dim))
    sized = zip(cellular, columns(cells), strict=True)
    return spaced([(fit(text, column.cells), style) for (text, style), column in sized])


def linked_words(row: IncidentRow) -> str:
    """Breakers, then objectives, that it is about."""
    breakers = [clean(each, 60) for each in linked(row)]
    return " ".join([*breakers, *(f"slo:{clean(each, 60)}" for each in row.slos)])


def source_words(row: IncidentRow) -> str:
    """Who or what reported it; of a run folder which one."""
    if row.run_id:
        return f"run folder {clean(row.run_id, 64)}, its incident {clean(row.run_incident or '?', 64)}"
    by = f" by {clean(row.opened_by, 40)}" if row.opened_by else ""
    return f"{clean(row.source, 40)}{by}"


class Pages(NamedTuple):
    """What became of the pages of one incident: where they stand, in words, and how bad that is."""

    words: str
    style: str


def page_words(board: Board, row: IncidentRow) -> Pages:
    """Delivered, waiting or failed, by name of the receiver. What nobody can read is not delivered."""
    desk = board.desk
    if desk is None or desk.paging is None:
        return Pages("paging has not been read", "unknown")
    paging = desk.paging
    mine = [each for each in paging.rows if each.incident_id == row.incident_id]
    failed = [each for each in mine if each.given_up]
    waiting = [each for each in mine if not each.given_up]
    first = paging.delivered.get(row.incident_id)
    parts = [_failed(each) for each in failed] + [_waiting(each) for each in waiting]
    if first is not None:
        parts.append(f"delivered {clock(first, board.desk_now)}")
    if not parts and not paging.receivers:
        return Pages("nobody is paged: paging is off", "warn")
    if not parts:
        return Pages("nothing waits or failed", "dim")
    if waiting and not paging.alive:
        parts.append("NO PAGER RUNS")
    style = "bad" if failed or (waiting and not paging.alive) else "warn" if waiting else "good"
    return Pages(" · ".join(parts), style)


def _failed(page: PageRow) -> str:
    return f"FAILED at {clean(page.receiver, 30)}: {clean(page.last_error, 80) or 'refused'}"


def _waiting(page: PageRow) -> str:
    tries = f", {page.attempts} tries: {clean(page.last_error, 80)}" if page.attempts else ""
    return f"waiting for {clean(page.receiver, 30)}{tries}"


def incident_details(board: Board, row: IncidentRow, at: datetime, cells: int) -> list[Line]:
    """All of one incident that the list knows, in words."""
    expiry_s = board.limits.acknowledgement_expiry_s
    state, style = state_words(row, at)
    kind = clean(row.classification, 60)
    lines: list[Line] = [
        join(
            [
                ((f" {severity_words(row)}", severity_style(row)),),
                ((state, style),),
                ((kind, ""),),
                ((f"id {row.incident_id}", "dim"),),
            ],
            " · ",
        )
    ]
    lines += [((" ", ""), *line) for line in wrap(row.title, max(10, cells - 1), 3, "strong")]
    facts: list[tuple[str, str, str]] = [("clock", *clock_words(row, at, expiry_s))]
    if not over(row) and snoozed(row, at):
        facts.append(
            ("snoozed", f"warns nobody until {clock(row.snoozed_until, at)}; its clocks go on", "limited")
        )
    owner = clean(row.owner, 60) if row.owner else "nobody: y assigns it"
    facts.append(("owner", owner, "" if row.owner else "warn"))
    last = f", last event {ago(row.last_event_at, at)} ago" if row.last_event_at else ""
    facts.append(("opened", f"{clock(row.opened_at, at)} UTC, {ago(row.opened_at, at)} ago{last}", ""))
    facts.append(("source", source_words(row), ""))
    facts += _linked_facts(board, row)
    facts.append(("pages", *page_words(board, row)))
    for name, words, style in facts:
        lines += _fact(name, words, style, cells)
    return [cut(line, cells) for line in lines]


def _linked_facts(board: Board, row: IncidentRow) -> list[tuple[str, str, str]]:
    """Each linked breaker with what counts there now."""
    found = []
    for name in linked(row):
        effective = board.effective(name) if board.redis_readable else None
        known, words = effective is not None, effective.state.label if effective else "unreadable here"
        if is_one := name in board.catalogue.switches:
            known, words = _switch_reading(board, BreakerId(name))
        what = "switch" if is_one else "breaker"
        found.append((what, f"{clean(name, 80)} is {words}", "" if known else "unknown"))
    found += [("slo", clean(name, 80), "") for name in row.slos]
    return found


def _switch_reading(board: Board, switch: BreakerId) -> tuple[bool, str]:
    """A switch has no state above it: its own reading counts."""
    if not board.redis_readable or board.breakers is None:
        return False, "unreadable here"
    if not reads_set(board, switch):
        return True, "not set"
    return (True, "SET") if surely_set(board.reading(switch)) else (False, "IN DOUBT, which halts as if set")


def _fact(name: str, words: str, style: str, cells: int) -> list[Line]:
    wrapped = wrap(words, max(10, cells - 10), 3, style)
    return [((f" {name if not index else '':<8} ", "title"), *line) for index, line in enumerate(wrapped)]


ORDERS: Final = ("most urgent first", "newest first", "by owner")


def ordered(rows: Sequence[IncidentRow], order: str) -> tuple[str, ...]:
    """Keys of the rows: what is not over first, whatever the order within."""
    if order == "newest first":
        chosen = sorted(rows, key=lambda row: row.opened_at, reverse=True)
    elif order == "by owner":
        chosen = sorted(rows, key=lambda row: (row.owner is not None, row.owner or "", deadline(row)))
    else:
        chosen = sorted(rows, key=_urgency)
    return tuple(row.incident_id for row in sorted(chosen, key=over))


def _urgency(row: IncidentRow) -> tuple[object, ...]:
    if over(row):
        return (2, "", -row.opened_at.timestamp(), row.incident_id)
    waiting = row.status == "open"
    return (0 if waiting else 1, row.severity, deadline(row).timestamp(), row.incident_id)


def all_rows(board: Board) -> tuple[IncidentRow, ...]:
    """Every incident that was read, the unresolved ones first; until panel 3 has read any, what the desk
    knows."""
    if board.incidents is not None:
        return (*board.incidents.unresolved, *board.incidents.recent)
    return board.desk.incidents if board.desk else ()


def alive_rows(board: Board) -> list[IncidentRow]:
    """What is not over, the most urgent first."""
    return sorted((row for row in all_rows(board) if not over(row)), key=_urgency)


def found(board: Board, incident_id: str | None) -> IncidentRow | None:
    """The incident as it was read last."""
    return next((row for row in all_rows(board) if row.incident_id == incident_id), None)


def moment(board: Board) -> datetime:
    """The database's clock at this moment, carried on by our own monotonic one; never this machine's."""
    if board.incidents is None:
        return board.desk_now
    return board.incidents.server_time + timedelta(seconds=max(0.0, board.monotonic - board.incidents_at))


def status_lines(board: Board, order: str, cells: int, shown: int | None = None) -> list[Line]:
    """How many of what, each counted once, how old the reading is, in which order the rows stand. `shown` is
    how many of all a filter lets through, None without one."""
    head: Line = ((" INCIDENTS ", "title"),)
    if board.incidents is None:
        why = board.incidents_error
        return [(*head, (f"UNREADABLE: {clean(why, 200)}", "bad") if why else ("reading…", "dim"))]
    read = board.incidents
    lines = fold((*head, *join(_counts(read, moment(board)), " · ")), cells, 2)
    age = max(0.0, board.monotonic - board.incidents_at)
    said: list[Line] = [(age_words(age, STALE_AFTER_S),), ((order, "dim"),)]
    if shown is not None:
        said.insert(0, ((f"{shown:,} of {read.total:,} shown", "warn"),))
    said += [((f"{read.hidden:,} more not listed", "warn"),)] if read.hidden > 0 else []
    if board.incidents_error:
        said.append(((f"UNREADABLE now: {clean(board.incidents_error, 200)}", "bad"),))
    return [*lines, *fold(((" ", ""), *join(said, " · ")), cells, 2)]


def _counts(read: IncidentList, at: datetime) -> list[Line]:
    """Open, acknowledged, snoozed, ended: of all incidents, each in one of them. What is overdue stands
    beside where it is counted."""
    late = [row for row in read.unresolved if overdue(row, at)]
    asleep = sum(snoozed(row, at) for row in late)
    awake = read.open_count - read.snoozed_open
    sleeping = read.snoozed_open + read.snoozed_acknowledged
    parts: list[Line] = [
        ((f"{awake:,} open", "bad" if awake else "good"), *_late(len(late) - asleep)),
        ((f"{read.acknowledged_count - read.snoozed_acknowledged:,} acknowledged", ""),),
    ]
    parts += [((f"{sleeping:,} snoozed", "limited"), *_late(asleep))] if sleeping else []
    parts.append(((f"{read.over_count:,} ended", "dim"),))
    return parts


def _late(number: int) -> Line:
    return ((f", {number:,} OVERDUE", "bad"),) if number else ()


def age_words(seconds: float, stale_after_s: float) -> tuple[str, str]:
    """How old a reading is, and `STALE` in words where it says nothing of now (I25)."""
    if seconds > stale_after_s:
        return (f"STALE: read {span(seconds)} ago", "bad")
    return (f"read {span(seconds)} ago", "dim")
