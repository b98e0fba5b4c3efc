"""The event pane: the audit log's tail, newest first, under what has not been audited yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from cockpit.domain.desk import AuditRow
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean
from widgets.board import Board, claimed_reason
from widgets.line import Line, fit
from widgets.times import clock_s

_PREFIX: Final = "CIRCUIT_BREAKER_"
_STYLE: Final = {
    "TRIP": "halted",
    "HALF_OPEN": "probing",
    "RESET": "trading",
    "QUIET_END": "trading",
    "PROBES_PASSED": "trading",
    "PROBES_FAILED": "halted",
    "DENIED": "warn",
    "REFUSED": "warn",
    "REJECTED": "warn",
    "UNAUDITED_CHANGE": "bad",
    "STATE_LOSS_DETECTED": "bad",
}


def event_lines(board: Board, count: int) -> list[Line]:
    """At most `count` lines. Events of the stream that no audit entry covers yet come first, marked.
    An intent is left out once its outcome is there; the audit panel lists both."""
    audit = board.desk.audit if board.desk else ()
    covered = {row.event_id for row in audit}
    fresh = [
        event
        for event in (board.breakers.events if board.breakers else ())
        if event.event_id not in covered and (not audit or not _older(event, audit[-1]))
    ]
    lines = [_stream_line(event) for event in fresh[:count]]
    settled = {row.event_id for row in audit if not row.action.endswith("_INTENT")}
    told = [row for row in audit if not (row.action.endswith("_INTENT") and row.event_id in settled)]
    lines += [audit_line(row) for row in told[: max(0, count - len(lines))]]
    return lines


def events_title(board: Board) -> Line:
    if board.desk is None:
        return (("EVENTS ", "title"), ("Postgres unread; the stream's own, not audited", "dim"))
    if not board.desk_readable:
        return (("EVENTS ", "title"), (f"STALE · as of {clock_s(board.desk.server_time)}", "bad"))
    return (("EVENTS ", "title"), (f"audit log, entry {board.desk.head.seq}", "dim"))


def _older(event: StreamEvent, oldest: AuditRow) -> bool:
    """Whether the event lies before the tail that we hold, so that its entry is only not listed here."""
    stamp = event.entry_id.partition("-")[0]
    return stamp.isdigit() and int(stamp) / 1000 < oldest.timestamp.timestamp()


def _stream_line(event: StreamEvent) -> Line:
    reason, notes = claimed_reason(event.payload)
    time = event.at[11:19] if len(event.at) >= 19 else "?"
    why = ": ".join(part for part in (reason, notes) if part)
    return (
        (f"{fit(clean(time, 8), 8)} ", "dim"),
        (fit("not audited", 12) + " ", "warn"),
        (fit(clean(event.kind, 20), 14) + " ", _STYLE.get(event.kind, "")),
        (f"{clean(event.breaker_id, 60)} {clean(event.login, 40)}? ", ""),
        (why, "dim"),
    )


def audit_line(row: AuditRow) -> Line:
    """`03:12:45 #12 TRIP instrument:BTC-USD operator1 latency: notes`."""
    name = row.action.removeprefix(_PREFIX)
    base = name.removesuffix("_INTENT").removesuffix("_VOID")
    style = "dim" if name.endswith("_INTENT") else "warn" if name.endswith("_VOID") else _STYLE.get(base, "")
    return (
        (f"{clock_s(row.timestamp)} ", "dim"),
        (fit(f"#{row.seq}", 5) + " ", "dim"),
        (fit(clean(name, 40), 16) + " ", style),
        (f"{clean(row.target, 60)} {clean(row.user_id, 40)} ", ""),
        (_why(row.details), "dim"),
    )


def details_of(text: str) -> Mapping[str, object]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _why(details: str) -> str:
    fields = details_of(details)
    reason, notes = fields.get("reason"), fields.get("notes")
    words = [clean(str(each), 200) for each in (reason, notes) if each]
    if not words:
        words = [
            clean(str(fields[name]), 200)
            for name in ("verdict", "message", "why", "code")
            if fields.get(name)
        ]
    return ": ".join(words)
