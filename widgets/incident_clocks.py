"""An incident's state and clocks in words, by the database's time. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_story import snoozed
from cockpit.domain.incidents import Severity
from cockpit.domain.text import clean
from widgets.line import Span
from widgets.times import clock, span

EXPIRES_SOON: Final = timedelta(minutes=5)
_STATE: Final = {
    "open": ("■ OPEN", "bad"),
    "acknowledged": ("◐ ACKED", "probing"),
    "resolved": ("● RESOLVED", "dim"),
    "merged": ("○ MERGED", "dim"),
}


def over(row: IncidentRow) -> bool:
    """Whether it is resolved or merged. A state that nobody knows is not over."""
    return row.status in ("resolved", "merged")


def ack_expired(row: IncidentRow) -> bool:
    """Open anew although it was acknowledged: nothing had happened, or it was escalated since."""
    return row.status == "open" and row.acknowledged_at is not None


def expires_at(row: IncidentRow, expiry_s: float) -> datetime | None:
    """When the acknowledgement of a critical one lapses, where nothing happens before."""
    if row.status != "acknowledged" or row.severity not in ("P0", "P1") or row.acknowledged_at is None:
        return None
    return max(row.acknowledged_at, row.last_event_at or row.acknowledged_at) + timedelta(seconds=expiry_s)


def severity_words(row: IncidentRow) -> str:
    """`P0/SEV1`."""
    try:
        return f"{row.severity}/{Severity(row.severity).sev}"
    except ValueError:
        return clean(row.severity, 7)


def severity_style(row: IncidentRow) -> str:
    if over(row):
        return "dim"
    return {"P0": "bad", "P1": "bad", "P2": "warn"}.get(row.severity, "")


def state_words(row: IncidentRow, at: datetime) -> Span:
    """Its state with a sign; what warns nobody for now says so, what came back too."""
    if not over(row) and snoozed(row, at):
        return ("z SNOOZED", "limited")
    if ack_expired(row):
        return ("■ OPEN AGAIN", "bad")
    return _STATE.get(row.status, (f"? {clean(row.status, 10)}", "unknown"))


def left(until: datetime, at: datetime, *, narrow: bool = False) -> str:
    """`4 min 12 s` within the quarter of an hour that one counts by seconds, `narrow` `4m12s`: a colon would
    make it a time of day. Then `44 min`, `3 h`, `2 d`."""
    seconds = (until - at).total_seconds()
    if not 60 <= seconds < 900:
        return span(seconds)
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if narrow else f"{minutes} min {rest} s"


def deadline(row: IncidentRow) -> datetime:
    """By when it must be acknowledged; an unknown severity has a P0's clock."""
    try:
        return row.acknowledge_by
    except ValueError:
        return (row.alarm_at or row.opened_at) + timedelta(minutes=5)


def ack_clock(row: IncidentRow, at: datetime, expiry_s: float, *, narrow: bool = False) -> Span:
    """What the acknowledgement clock says: counts down, then how long overdue; afterwards who, and when an
    acknowledgement that nothing follows lapses."""
    if over(row):
        return ("", "dim")
    if row.status == "open":
        by = deadline(row)
        if at >= by:
            return (f"overdue {span((at - by).total_seconds())}", "bad")
        soon = by - at <= timedelta(minutes=5)
        return (f"ack in {left(by, at, narrow=narrow)}", "warn" if soon else "")
    lapses = expires_at(row, expiry_s)
    if lapses is not None and at >= lapses:
        return ("ack LAPSES", "bad")
    if lapses is not None and lapses - at <= EXPIRES_SOON:
        return (f"lapses {left(lapses, at, narrow=narrow)}", "warn")
    return (f"by {clean(row.acknowledged_by or '?', 30)}", "dim")


def clock_words(row: IncidentRow, at: datetime, expiry_s: float) -> Span:
    """The same in a sentence, for the details."""
    by = deadline(row)
    if row.status == "open":
        said, style = ack_clock(row, at, expiry_s)
        words = f"to be acknowledged by {clock(by, at)} UTC: {said}"
        if ack_expired(row):
            words += f" · acknowledged before, {clock(row.acknowledged_at, at)}: it needs it again"
        return (words, style)
    if row.acknowledged_at is None:
        return ("never acknowledged", "dim")
    words = f"acknowledged {clock(row.acknowledged_at, at)} by {clean(row.acknowledged_by or '?', 40)}"
    lapses = expires_at(row, expiry_s)
    if lapses is None:
        return (words, "")
    if at >= lapses:
        return (f"{words} · nothing since: the acknowledgement lapses now, it pages again", "bad")
    soon = lapses - at <= EXPIRES_SOON
    return (f"{words} · lapses in {left(lapses, at)} unless something happens", "warn" if soon else "")
