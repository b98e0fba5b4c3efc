"""The key `circuit_breaker:state`: the global breaker in the operations runbook's older words.

There `OPEN` is the normal state. It is read at every decision, and only a value that carries the current
global document's `event_id` and epoch counts as not tripped.
"""

from __future__ import annotations

import json
from datetime import datetime

from cockpit.domain.documents import Document, rfc3339
from cockpit.domain.states import State

_WORDS = {
    State.CLOSED: "OPEN",
    State.OPEN: "TRIPPED",
    State.HALF_OPEN: "TRIPPED",
    State.QUIET_PERIOD: "QUIET_PERIOD",
}


def legacy_fields(document: Document, tripped_at: datetime | None) -> dict[str, object]:
    """The value that mirrors `document`, ready for canonical JSON. `tripped_at` is the last trip's time."""
    return {
        "state": _WORDS[document.state],
        "tripped_at": rfc3339(tripped_at) if tripped_at else None,
        "trip_reason": document.reason,
        "trip_details": {"notes": document.notes, "actor": document.actor},
        "event_id": document.event_id,
        "epoch": document.epoch.counter,
    }


def legacy_agrees(raw: bytes | None, document: Document | None) -> bool:
    """Whether the key mirrors the current global document: its event, its epoch and its word.

    Anything else, a missing key included, halts. (For HALF_OPEN the word is `TRIPPED`; a faithful mirror
    then adds nothing to what the document itself forbids.)
    """
    if raw is None or document is None or len(raw) > 65_536:
        return False
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict)
        and value.get("state") == _WORDS[document.state]
        and value.get("event_id") == document.event_id
        and type(value.get("epoch")) is int
        and value["epoch"] == document.epoch.counter
    )
