"""A trip that belongs to an incident which is under way: a line of its story, not one more incident.

A person's belongs to what it is about, a rule's to the incident of the guard that fired it. The guard records
a firing once it has halted, so its trip is mostly recorded first and opens an incident, which `guard_fire`
then makes its own; where the firing is recorded already, the trip is told there. Either holds the firing's
lock meanwhile, for which nobody waits long: at worst there are two incidents, never none.

The row is taken only where nobody holds it: the trip's audit entry is written before, and whoever waited for
a row with the chain in hand could block who goes the other way. Where somebody holds it, or none fits, the
trip opens an incident of its own, so that none is lost.
"""

from __future__ import annotations

import asyncio
import re
import time
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

# By its firing's own key, or as what waits to be acknowledged about this breaker for the same rule: there
# further firings are told. What another rule has found may demand less of a recovery.
_GUARDS: Final = """
SELECT incident_id FROM incidents i
 WHERE source = 'guard' AND breaker_id = $2 AND opened_by = $3 AND status IN ('open', 'acknowledged')
   AND (dedup_key LIKE 'guard:%:' || $1
        OR (status = 'open' AND $4 = (SELECT details ->> 'rule' FROM incident_events e
                                       WHERE e.incident_id = i.incident_id AND kind = 'fired'
                                       ORDER BY event_id LIMIT 1)))
 ORDER BY dedup_key LIKE 'guard:%:' || $1 DESC, severity, opened_at DESC LIMIT 1
"""
_RULE: Final = re.compile(r"Rule ([a-z][a-z0-9-]{0,62})(?: of |: )")
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('firing:' || $1, 0))"
_TRIES: Final = 40
_TRY_S: Final = 0.01
_HURRY_S: Final = 10.0


async def join_guards(
    connection: Any,
    means: Means,
    event_id: str,
    breaker_id: BreakerId,
    login: str,
    notes: str,
    details: Mapping[str, object],
    seq: int,
) -> bool:
    """Tell a rule's trip, which the audit entry `seq` records, in the guard's own incident; False where there
    is none yet, and the trip opens one. The incident's row is not held: nobody waits for a guard's there."""
    await _lock_firing(connection, means, event_id)
    named = _RULE.match(notes)
    rule = named[1] if named else ""
    known = await connection.fetchval(_GUARDS, event_id, breaker_id, login, rule)
    if known is None:
        return False
    await add_event(connection, known, "tripped", login, notes, {"breaker_id": breaker_id, **details}, seq)
    await tell(connection, CHANGE)
    return True


async def _lock_firing(connection: Any, means: Means, event_id: str) -> None:
    """Until the transaction ends, unless somebody else keeps it: who does so on purpose delays one trip a
    while, and not the next ones."""
    for _ in range(_TRIES):
        if await connection.fetchval(_LOCK, event_id) or time.monotonic() < means.hurried_until:
            return
        await asyncio.sleep(_TRY_S)
    means.hurried_until = time.monotonic() + _HURRY_S


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
