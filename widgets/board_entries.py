"""Single things that the board knows: a trip under way, a breaker's story, the last verification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PendingTrip:
    """A trip of this machine that Redis has not confirmed: it halts nothing yet."""

    breaker_id: str
    event_id: str
    at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Story:
    """Why a breaker is in its state: since when, by whom, for what. Empty where nothing is known."""

    since: datetime | None = None
    actor: str = ""
    reason: str = ""
    notes: str = ""
    event_id: str = ""
    claimed: bool = False  # read from the stream, where anybody may write


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """The last verification that this cockpit ran itself. `ok` None: none yet, or running."""

    ok: bool | None = None
    text: str = "not verified here yet"
    at: datetime | None = None
    running: bool = False
