"""Acknowledgements of critical incidents run out where nothing happens after them.

The database's clock counts, so that no restart and no bastion's clock moves it. The incident is open again,
its alarm begins anew and is paged; who acknowledged it last stays known.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from cockpit.authority import faults
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.incident_book import Held, add_event, hold, record_by_itself
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.pages import page
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.incident_rules import acknowledgement_ends
from cockpit.domain.incidents import Change, Status
from cockpit.domain.paging import OPEN_AGAIN
from cockpit.domain.text import clean

EVERY_S: Final = 1.0
# `acknowledgement_ends` in SQL, as a sieve; it is judged once more where the row is held.
_DUE: Final = """
SELECT incident_id FROM incidents
 WHERE status = 'acknowledged' AND severity IN ('P0', 'P1')
   AND statement_timestamp() >= greatest(last_event_at + make_interval(secs => $1), snoozed_until)
 ORDER BY last_event_at LIMIT 20
"""
_EXPIRE: Final = """
UPDATE incidents
   SET status = $2, alarm_at = clock_timestamp(), last_event_at = clock_timestamp(), snoozed_until = NULL
 WHERE incident_id = $1
"""


class IncidentClocks:
    """Looked at about once a second."""

    def __init__(self, means: Means, every_s: float = EVERY_S) -> None:
        self._means = means
        self._every_s = every_s
        self._looked_at = 0.0

    async def step(self) -> int:
        """Open again what nobody looks after; how many that were.

        Raises:
            Fenced: the term is over.
        """
        now = time.monotonic()
        if now - self._looked_at < self._every_s:
            return 0
        self._looked_at = now
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_DUE, self._means.limits.acknowledgement_expiry_s)
        return sum([await self._expire(row["incident_id"]) for row in rows])

    async def _expire(self, incident_id: UUID) -> bool:
        """One incident, one transaction: no two rows are held at once."""
        means = self._means
        expiry = timedelta(seconds=means.limits.acknowledgement_expiry_s)
        async with means.transaction() as connection:
            held = await hold(connection, incident_id)
            ends = acknowledgement_ends(held.row, expiry)
            if ends is None or held.now < ends:
                return False  # somebody has done something meanwhile
            await self._open_again(connection, held)
        await means.fault(faults.AFTER_INCIDENT)
        row = held.row
        said = f"acknowledgement of {row.acknowledged_by} ran out: {row.title}"
        means.health.alarm(
            held.now, "unattended incident", BreakerId(row.breaker_id or GLOBAL), clean(said, 300)
        )
        return True

    async def _open_again(self, connection: Any, held: Held) -> None:
        row = held.row
        status: Status = held.after(Change.EXPIRE)
        await connection.execute(_EXPIRE, held.incident_id, status.value)
        await self._means.fault(faults.INCIDENT_CHANGED)
        details = {
            "incident_id": row.incident_id,
            "title": row.title,
            "acknowledged_by": row.acknowledged_by,
            "after_s": self._means.limits.acknowledgement_expiry_s,
        }
        seq = await record_by_itself(connection, self._means, Action.ACKNOWLEDGEMENT_EXPIRED, details)
        notes = f"Nothing happened after {row.acknowledged_by} acknowledged it."
        await add_event(connection, row.incident_id, "ack-expired", AUTHORITY, notes, details, seq)
        told = f"acknowledgement of {row.incident_id[:8]} by {row.acknowledged_by} lapsed: {row.title}"
        why = {**details, "why": notes, OPEN_AGAIN: True}
        await page(connection, row.incident_id, "trigger", row.severity, told, why)
        await tell(connection, CHANGE)
        await self._means.fault(faults.INCIDENT_AUDITED)
