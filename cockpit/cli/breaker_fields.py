"""One breaker or switch as `status`, `history` and `switches` tell it: in fields and in a line.

Who, why and since when come from the newest source that is of the present epoch: the audited row, the
document, or the trip's own event. A reason is a trip's: of a breaker that is not OPEN any more only the notes
of its last change are told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from cockpit.cli.columns import percent
from cockpit.domain.breakers import BreakerId, Scope, scope_of
from cockpit.domain.desk import BreakerRow
from cockpit.domain.documents import Reading, rfc3339
from cockpit.domain.snapshots import BreakerSnapshot, StreamEvent
from cockpit.domain.states import State
from cockpit.domain.switches import is_set
from cockpit.domain.text import clean

Fields = Mapping[str, object]


def breaker_fields(snapshot: BreakerSnapshot, name: BreakerId, row: BreakerRow | None) -> dict[str, object]:
    """One breaker in the contract's fields; the story is of its own state."""
    reading, over = snapshot.readings[name], snapshot.effective[name]
    fields: dict[str, object] = {
        "breaker_id": name,
        "state": reading.state.value,
        "effective_state": over.state.value,
        "halted_by": over.halted_by,
        "epoch": reading.epoch.counter if reading.epoch else None,
        "size_share": str(over.size_share),
    }
    return fields | _story(snapshot, reading, row)


def breaker_line(fields: Fields, snapshot: BreakerSnapshot, rows: Mapping[BreakerId, BreakerRow]) -> str:
    """The story is of the state that counts: of who imposes it."""
    state, over = State(str(fields["state"])), State(str(fields["effective_state"]))
    share = Decimal(str(fields["size_share"]))
    size = f" · SIZE {percent(share, 0)}" if 0 < share < 1 else ""
    by = BreakerId(str(fields["halted_by"] or fields["breaker_id"]))
    halted = "" if over is state else f" → {over.label} by {by}"
    reading = snapshot.readings[by]
    story = fields if by == fields["breaker_id"] else _story(snapshot, reading, rows.get(by))
    told = ", ".join(str(story[name]) for name in ("since", "actor", "reason") if story[name])
    doubt = f" ({reading.doubt})" if reading.doubt and reading.doubt != story["reason"] else ""
    return f"{fields['breaker_id']:<24} {state.label}{size}{halted}  epoch {fields['epoch']}  {told}{doubt}"


def _story(snapshot: BreakerSnapshot, reading: Reading, row: BreakerRow | None) -> dict[str, object]:
    nothing = {"since": None, "actor": None, "reason": None, "notes": None, "quiet_until": None}
    document, halted = reading.document, reading.state is State.OPEN
    if row is not None and _tells(row, reading):
        quiet = row.quiet_until if reading.state is State.QUIET_PERIOD else None
        return {
            "since": rfc3339(row.since),
            "actor": row.actor or None,
            "reason": row.reason or None if halted else None,
            "notes": row.notes or None,
            "quiet_until": rfc3339(quiet) if quiet else None,
        }
    if document is not None and document.epoch == reading.epoch:
        if document.state is not reading.state:
            return nothing | {"reason": reading.doubt}
        return {
            "since": rfc3339(document.issued_at),
            "actor": document.actor,
            "reason": document.reason or None if halted else None,
            "notes": document.notes or None,
            "quiet_until": rfc3339(document.quiet_until) if document.quiet_until else None,
        }
    event = next(
        (each for each in snapshot.events if each.breaker_id == reading.breaker_id and each.kind == "TRIP"),
        None,
    )
    return nothing | _event_story(event) if event else nothing | {"reason": reading.doubt}


def _tells(row: BreakerRow, reading: Reading) -> bool:
    """Whether what was audited last is how the breaker came to what it reads."""
    epoch = reading.epoch
    same = epoch is not None and (row.run_id, row.counter) == (epoch.run_id, epoch.counter)
    return same and row.state == reading.state.value


def _event_story(event: StreamEvent) -> dict[str, object]:
    try:
        payload = json.loads(event.payload)
    except (ValueError, RecursionError):
        payload = None
    fields = payload if isinstance(payload, dict) else {}
    told = {name: fields.get(name) for name in ("reason", "notes")}
    texts = {name: value if isinstance(value, str) else None for name, value in told.items()}
    return {"since": event.at, "actor": event.login, **texts}


def history_line(member: Fields) -> str:
    reason = member.get("reason") if member.get("state") == State.OPEN.value else None
    parts = ("at", "breaker_id", "state")
    head = "  ".join(str(member.get(name)) for name in parts)
    why = "  ".join(str(each) for each in (reason, member.get("notes")) if each)
    return f"{head}  epoch {member.get('epoch')}  {member.get('actor')}  {why}".rstrip()


def switch_fields(name: BreakerId, snapshot: BreakerSnapshot, row: BreakerRow | None) -> dict[str, object]:
    reading: Reading = snapshot.readings[name]
    document, epoch = reading.document, reading.epoch
    fields: dict[str, object] = {
        "switch": name,
        "set": is_set(reading),
        "epoch": epoch.counter if epoch else None,
        "doubt": reading.doubt,
        "since": None,
        "actor": None,
        "notes": None,
    }
    if row is not None and _tells(row, reading):
        told = {"since": rfc3339(row.since), "actor": row.actor or None, "notes": row.notes or None}
        return fields | (told if row.actor else {"since": rfc3339(row.since)})
    if document is not None and document.epoch == epoch and document.state is reading.state:
        return fields | {
            "since": rfc3339(document.issued_at),
            "actor": document.actor,
            "notes": document.notes or None,
        }
    return fields


def switch_line(fields: Fields) -> str:
    name = BreakerId(str(fields["switch"]))
    word = {Scope.LATCH: "latched", Scope.WITHDRAWALS: "halted"}.get(scope_of(name), "set")
    story = ", ".join(clean(str(fields[part]), 600) for part in ("since", "actor", "notes") if fields[part])
    doubt = f" ({fields['doubt']})" if fields["doubt"] else ""
    return f"{name:<24} {word}  epoch {fields['epoch']}  {story}{doubt}"
