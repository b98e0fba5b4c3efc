"""One incident in place of many that run folders report within a minute: how many, and how grave.

What is counted here is on record in the transaction that also saves how far the file was read. Only a flood
that is open and warns people takes in more; of one that somebody has acknowledged, snoozed or ended, the next
line opens another one, with a page. A graver line raises the flood to its severity, with a page.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from cockpit.authority.entries import AUTHORITY
from cockpit.authority.incident_book import (
    Held,
    NewIncident,
    add_event,
    hold,
    open_by_itself,
    record_by_itself,
)
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.pages import page
from cockpit.authority.run_reports import Overflow, flood_of, flood_title, flood_words, flooded
from cockpit.domain.audit import Action
from cockpit.domain.incidents import Severity

MINUTE: Final = 60.0
_OPEN: Final = """
SELECT incident_id FROM incidents
 WHERE source = 'run-flood' AND status = 'open' AND coalesce(snoozed_until <= clock_timestamp(), true)
 ORDER BY opened_at DESC LIMIT 1 FOR NO KEY UPDATE
"""
_COUNTED: Final = "UPDATE incidents SET title = $2 WHERE incident_id = $1"
_RAISED: Final = """
UPDATE incidents SET title = $2, severity = $3, alarm_at = clock_timestamp(), snoozed_until = NULL,
       last_event_at = clock_timestamp()
 WHERE incident_id = $1
"""


@dataclass(slots=True)
class Quota:
    """So many within a minute, and so many of one run, that a noisy one leaves room for the others."""

    most: int
    of_run: int
    _taken: deque[tuple[float, str]] = field(default_factory=deque)

    @property
    def full(self) -> bool:
        now = time.monotonic()
        while self._taken and now - self._taken[0][0] >= MINUTE:
            self._taken.popleft()
        return len(self._taken) >= self.most

    def room(self, run_id: str) -> bool:
        """Whether one more of this run fits; if so it is counted."""
        if self.full or sum(run == run_id for _, run in self._taken) >= self.of_run:
            return False
        self._taken.append((time.monotonic(), run_id))
        return True


class Floods:
    """`_unsaid` is counted in the title of the flood `_of` and not yet told in its story."""

    def __init__(self, means: Means, most_said: int) -> None:
        self._means = means
        self._said = Quota(most_said, most_said)
        self._unsaid = Overflow()
        self._of: UUID | None = None

    @property
    def due(self) -> bool:
        """Whether there is something to tell and room for it."""
        return self._unsaid.count > 0 and not self._said.full

    async def take_in(self, connection: Any, over: Overflow) -> None:
        """Put `over`, which is not empty, on record. Called before anything else is written in the
        transaction: it holds an incident's row, and that comes before the audit chain."""
        incident_id = await connection.fetchval(_OPEN)
        if incident_id != self._of:
            await self.say(connection)
            self._of = incident_id
        if incident_id is None:
            self._of = await self._open(connection, over)
            return
        held = await hold(connection, incident_id)
        total = flooded(held.row.title) + over.count
        self._unsaid = self._unsaid.with_more(over)
        if over.severity < Severity(held.row.severity):
            await self._raise(connection, held, over.severity, total)
            return
        await connection.execute(_COUNTED, incident_id, flood_title(total))
        if self.due:
            await self.say(connection)

    async def say(self, connection: Any) -> None:
        """Tell in the story what was only counted so far."""
        if self._unsaid.count and self._of is not None:
            self._said.room("")
            await add_event(connection, self._of, "more", "run folders", flood_words(self._unsaid))
        self._unsaid = Overflow()

    async def _open(self, connection: Any, over: Overflow) -> UUID:
        new: NewIncident = flood_of(over)
        if not await open_by_itself(connection, self._means, new):
            raise RuntimeError(f"an incident has the key {new.dedup_key} already")
        return UUID(new.incident_id)

    async def _raise(self, connection: Any, held: Held, severity: Severity, total: int) -> None:
        row, title, notes = held.row, flood_title(total), flood_words(self._unsaid)
        await connection.execute(_RAISED, held.incident_id, title, severity.value)
        told = {"incident_id": row.incident_id, "severity": severity.value, "before": row.severity}
        seq = await record_by_itself(connection, self._means, Action.INCIDENT_ESCALATED, told)
        await add_event(connection, row.incident_id, "escalated", AUTHORITY, notes, told, seq)
        await page(connection, row.incident_id, "trigger", severity, title, {**told, "why": notes})
        await tell(connection, CHANGE)
        self._unsaid = Overflow()
