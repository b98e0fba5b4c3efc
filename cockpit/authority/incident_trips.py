"""A person's trip that belongs to an incident which is under way: a line of its story, not one more incident.

The row is taken only where nobody holds it: the trip's audit entry is written before, and whoever waited for
a row with the chain in hand could block who goes the other way. Where somebody holds it, or none fits, the
trip opens an incident of its own, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from backends.incident_store import incident_of
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.incident_book import Held, add_event, record_by_itself
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.pages import page
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.incidents import Change, Severity
from cockpit.domain.trip_incidents import named_incident, same_matter, trip_severity, trip_title

# An override's incident is a review that is owed, and is acknowledged as such: no trip goes in there.
_UNDER_WAY: Final = """
SELECT *, clock_timestamp() AS now FROM incidents
 WHERE status IN ('open', 'acknowledged') AND source <> 'override'
   AND (breaker_id = ANY ($1::text[]) OR breakers && $1::text[]
        OR ($2 <> '' AND starts_with(incident_id::text, $2)))
 ORDER BY ($2 <> '' AND starts_with(incident_id::text, $2)) DESC, severity, opened_at DESC
 LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
# It is news: what kept the incident quiet was about what was known before.
_TOUCH: Final = """
UPDATE incidents SET last_event_at = clock_timestamp(), snoozed_until = NULL WHERE incident_id = $1
"""
_RAISE: Final = """
UPDATE incidents SET severity = $2, status = $3, alarm_at = clock_timestamp(), snoozed_until = NULL,
       last_event_at = clock_timestamp()
 WHERE incident_id = $1
"""


async def join(
    connection: Any,
    means: Means,
    breaker_id: BreakerId,
    login: str,
    reason: str,
    notes: str,
    ticket: str,
    details: Mapping[str, object],
    seq: int,
) -> bool:
    """Tell a person's trip, which the audit entry `seq` records, in the story of the incident that it belongs
    to; False where there is none. An incident that is less grave than what was tripped is raised."""
    named = named_incident(notes, ticket)
    row = await connection.fetchrow(_UNDER_WAY, list(same_matter(breaker_id)), named)
    if row is None:
        return False
    held = Held(incident_of(row), row["dedup_key"], row["now"])
    what = trip_title(breaker_id, login, reason, ticket)
    told = {"breaker_id": breaker_id, "what": what, **details}
    await connection.execute(_TOUCH, held.incident_id)
    await add_event(connection, held.incident_id, "tripped", login, notes, told, seq)
    severity = trip_severity(breaker_id)
    if severity.value < held.row.severity:
        await _raise(connection, means, held, severity, what)
    await tell(connection, CHANGE)
    return True


async def _raise(connection: Any, means: Means, held: Held, severity: Severity, what: str) -> None:
    """It is an alarm anew, as every escalation is."""
    row, status = held.row, held.after(Change.ESCALATE)
    await connection.execute(_RAISE, held.incident_id, severity.value, status.value)
    told = {"incident_id": row.incident_id, "severity": severity.value, "before": row.severity, "why": what}
    seq = await record_by_itself(connection, means, Action.INCIDENT_ESCALATED, told)
    await add_event(connection, held.incident_id, "escalated", AUTHORITY, what, told, seq)
    await page(connection, held.incident_id, "trigger", severity, row.title, told)
