"""The verification after a trip (pause and resume runbook, section 5), ticked off from live data.

Each item says what was read. Nothing that was not read is ticked (I25).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.desk import AuditRow
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.states import State
from widgets.blast_radius import orders_in_scope
from widgets.board import Board
from widgets.line import Line, fit, width, wrap
from widgets.page_words import delivered_words
from widgets.times import clock_s


@dataclass(frozen=True, slots=True)
class TripMade:
    """A trip that this cockpit made. `tripped_at` is by the database's clock, None where Postgres was not
    readable then. `evidence` is what reading the evidence back said: None not yet, else (ok, words)."""

    breaker_id: BreakerId
    event_id: str
    counter: int | None
    tripped_at: datetime | None
    evidence: tuple[bool | None, str] | None = None
    evidence_asked: bool = False
    enforced: tuple[tuple[str, datetime], ...] = ()
    """Each gateway with the first acknowledgement of this very epoch that was seen, by the database's clock:
    it renews them as long as it enforces the epoch."""

    def seen_by(self, board: Board) -> TripMade:
        """The same, with the gateways that are seen to enforce it now and were not before."""
        known = {name for name, _ in self.enforced}
        fresh = tuple((name, at) for name, at in _acknowledged(board, self) if name not in known)
        return replace(self, enforced=(*self.enforced, *fresh)) if fresh else self

    def reading(self) -> TripMade:
        """The same, its evidence being read back."""
        return replace(self, evidence_asked=True)

    def with_evidence(self, found: tuple[bool | None, str]) -> TripMade:
        return replace(self, evidence=found, evidence_asked=True)


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` None: not read yet, not to be read here, or there is nothing to tick, as the words say."""

    name: str
    ok: bool | None
    read: str


def trip_checks(board: Board, made: TripMade) -> tuple[Check, ...]:
    return (
        _halted(board, made),
        _gateways(board, made),
        _orders(board, made),
        _automations(board, made),
        _delivered(board, made),
        _paged(board, made),
        _audited(board, made),
        _evidence(board, made),
    )


def checks_lines(checks: tuple[Check, ...], cells: int) -> list[Line]:
    marks = {True: ("✓", "good"), False: ("✗", "bad"), None: ("○", "dim")}
    lines: list[Line] = []
    for check in checks:
        mark, style = marks[check.ok]
        head: Line = ((f" {mark} ", style), (fit(check.name, 19) + " ", "" if check.ok else style))
        first, *more = wrap(check.read, cells - width(head), 1 if check.ok else 3, "dim")
        lines.append((*head, *first))
        lines += [((" " * width(head), ""), *line) for line in more]
    return lines


def _halted(board: Board, made: TripMade) -> Check:
    name = "halt in the store"
    reading = board.reading(made.breaker_id)
    if not board.redis_readable or reading is None:
        return Check(name, None, "Redis unreadable here")
    metric = f"breaker_state {reading.state.metric} ({reading.state.label})"
    if reading.epoch is None or made.counter is None:
        return Check(name, reading.state is State.OPEN, metric)
    return Check(
        name,
        reading.state is State.OPEN and reading.epoch.counter >= made.counter,
        f"{metric}, epoch {reading.epoch.counter}",
    )


def _gateways(board: Board, made: TripMade) -> Check:
    """Which gateways enforce the trip's epoch; the authority mirrors their acknowledgements."""
    name = "gateways enforce it"
    acks = board.authority_status.get("gateways")
    if not board.desk_readable or not board.authority_alive:
        return Check(name, None, "unread: the authority, which mirrors it, is silent here")
    if not isinstance(acks, Mapping) or not acks:
        expected = ", ".join(board.gateways)
        return Check(
            name, None, f"no acknowledgement of {expected} yet" if expected else "no gateway is registered"
        )
    behind, words = [], []
    for gateway, ack in acks.items():
        epochs = ack.get("epochs") if isinstance(ack, Mapping) else None
        counter = _counter(epochs, made.breaker_id)
        words.append(f"{gateway} enforces epoch {'?' if counter is None else counter}")
        if counter is None or (made.counter is not None and counter < made.counter):
            behind.append(str(gateway))
    behind += [gateway for gateway in board.gateways if gateway not in acks]
    wanted = f"; wanted {made.counter}" if made.counter is not None else ""
    return Check(name, not behind or None, ", ".join(words) + wanted)


def _counter(epochs: object, breaker_id: str) -> int | None:
    if not isinstance(epochs, Mapping):
        return None
    value = epochs.get(breaker_id)
    if isinstance(value, Mapping):
        value = value.get("counter")
    return value if isinstance(value, int) else None


def _orders(board: Board, made: TripMade) -> Check:
    name = "no new order since"
    if not board.desk_readable or board.desk is None:
        return Check(name, None, "Postgres unreadable here")
    since = _moment(board, made)
    if since is None:
        return Check(name, None, "the time of the trip by the database's clock is not known yet")
    if board.desk.server_time <= since:
        return Check(name, None, "no reading after the trip yet")
    facts = orders_in_scope(board, made.breaker_id)
    latest = max((each.last_risk_at for each in facts if each.last_risk_at is not None), default=None)
    if latest is None:
        return Check(name, True, "no order that adds risk in the last 5 min")
    passed = (board.desk.server_time - latest).total_seconds()
    read = f"last that adds risk {clock_s(latest)} ({passed:.0f} s ago), halt in force {clock_s(since)}"
    return Check(name, latest <= since, read)


def _moment(board: Board, made: TripMade) -> datetime | None:
    """When trading had to have stopped: when the last gateway was first seen to, else when it was tripped."""
    moments = [made.tripped_at] if made.tripped_at else []
    moments += [at for _, at in made.seen_by(board).enforced]
    return max(moments, default=None)


def _acknowledged(board: Board, made: TripMade) -> list[tuple[str, datetime]]:
    """The gateways whose newest acknowledgement is of the trip's own epoch, and its moment."""
    acks = board.authority_status.get("gateways")
    found: list[tuple[str, datetime]] = []
    for gateway, ack in acks.items() if isinstance(acks, Mapping) else ():
        counter = _counter(ack.get("epochs"), made.breaker_id) if isinstance(ack, Mapping) else None
        if counter is not None and counter == made.counter:
            try:
                found.append((str(gateway), parse_rfc3339(str(ack.get("acked_at")))))
            except ValueError:
                continue
    return found


def _automations(board: Board, made: TripMade) -> Check:
    name = "automations paused"
    if not board.desk_readable or board.desk is None:
        return Check(name, None, "Postgres unreadable here")
    names = {made.breaker_id, *board.catalogue.descendants(made.breaker_id)}
    inside = [row for row in board.desk.automations if made.breaker_id == GLOBAL or row.breaker_id in names]
    if not inside:
        return Check(name, True, "none stands under this breaker")
    running = [row.name for row in inside if row.status != "paused_risk"]
    if running:
        return Check(
            name,
            None,
            f"{len(inside) - len(running)} of {len(inside)} paused_risk; still: {', '.join(running)}",
        )
    return Check(name, True, f"{len(inside)} of {len(inside)} paused_risk")


def _delivered(board: Board, made: TripMade) -> Check:
    name = "event delivered"
    if board.breakers and any(event.event_id == made.event_id for event in board.breakers.events):
        return Check(name, True, f"on the stream: {made.event_id[:8]}")
    if audit_row(board, made):
        return Check(name, True, "drained by the authority")
    note = board.breakers.stream_note if board.breakers else None
    return Check(name, None, note or "not on the stream yet")


def _paged(board: Board, made: TripMade) -> Check:
    """Ticked by a recorded delivery alone: a page that waits has reached nobody."""
    ok, words = delivered_words(board, made.event_id)
    return Check("page delivered", ok, words)


def _audited(board: Board, made: TripMade) -> Check:
    row = audit_row(board, made)
    if row is None:
        return Check("audit row", None, "not in the log yet; the authority writes it")
    return Check("audit row", True, f"entry {row.seq}, chain {row.chain_hash[:12]}")


def _evidence(board: Board, made: TripMade) -> Check:
    row = audit_row(board, made)
    if row is None or row.evidence_link is None:
        return Check("evidence present", None, "no link in the log yet")
    if made.evidence is None:
        return Check("evidence present", None, f"reading {row.evidence_link} back…")
    return Check("evidence present", made.evidence[0], made.evidence[1])


def audit_row(board: Board, made: TripMade) -> AuditRow | None:
    """The trip's entry in the tail of the log that the screen holds."""
    rows = board.desk.audit if board.desk else ()
    return next((row for row in rows if row.event_id == made.event_id and row.evidence_link), None) or next(
        (row for row in rows if row.event_id == made.event_id), None
    )
