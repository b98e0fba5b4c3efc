"""Incidents that run folders and log files report, and acknowledgements that go back into them.

Whoever may write there may open incidents, no more: a line that says acknowledged or resolved is told in the
incident's story and changes nothing, since nobody has signed it. However much is written there, a minute
opens at most `MOST_OPENED` incidents; the rest is one that says how many more there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import asyncpg

from backends.jsonl_tail import Place
from backends.run_collector import Collected, Collector, Told
from cockpit.authority.incident_book import NewIncident, add_event, open_by_itself
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.run_acknowledgements import RunAcknowledgements
from cockpit.authority.run_reports import flood_of, flood_words, key_of, limit_of, new_incident
from cockpit.domain.text import clean

EVERY_S: Final = 1.0
AT_ONCE_S: Final = 0.1
MOST_OPENED: Final = 20  # incidents a minute
MOST_ADDED: Final = 60  # lines of stories a minute
_MINUTE: Final = 60.0
_PLACES: Final = "SELECT path, inode, read_to, mark FROM run_offsets"
_SAVE: Final = """
INSERT INTO run_offsets (path, inode, read_to, mark) VALUES ($1, $2, $3, $4)
ON CONFLICT (path) DO UPDATE SET inode = excluded.inode, read_to = excluded.read_to, mark = excluded.mark,
                                 updated_at = clock_timestamp()
"""
_KNOWN: Final = "SELECT dedup_key FROM incidents WHERE dedup_key = ANY ($1::text[])"
_OF_RUN: Final = "SELECT incident_id FROM incidents WHERE dedup_key = $1"
_TOLD: Final = """
SELECT EXISTS (SELECT FROM incident_events WHERE incident_id = $1
                  AND (details ->> 'line' = $2 OR ($3 <> '' AND details ->> 'event_id' = $3)))
"""
_SAME_LIMIT: Final = """
SELECT incident_id FROM incidents
 WHERE source = 'audit-log' AND run_incident = $1 AND status IN ('open', 'acknowledged') LIMIT 1
"""
_FLOODED: Final = """
SELECT incident_id FROM incidents
 WHERE source = 'run-flood' AND status IN ('open', 'acknowledged') AND severity <= $1
 ORDER BY opened_at DESC LIMIT 1
"""


class RunIncidents:
    """One term's reading of the run folders that the settings name, beside its loop."""

    def __init__(self, means: Means, most_opened: int = MOST_OPENED) -> None:
        self._means = means
        self._results = means.settings.run_results
        self._logs = means.settings.audit_logs
        self._most_opened = most_opened
        self._collector: Collector | None = None
        self._opened: deque[float] = deque()
        self._added: deque[float] = deque()
        self._dropped: list[NewIncident] = []
        self._flood_said_at: float | None = None
        self._saved: dict[str, Place] = {}
        self._acknowledgements = RunAcknowledgements(means)

    async def watch(self) -> None:
        """Read again and again, until cancelled; returns at once where the settings name no folder.

        Raises:
            Fenced: the term must end. Postgres's errors end it too.
        """
        if self._results is None and self._logs is None:
            return
        thread = ThreadPoolExecutor(1, "run folders")
        try:
            while True:
                more = await self.step(thread)
                await asyncio.sleep(AT_ONCE_S if more else EVERY_S)
        finally:
            thread.shutdown(wait=False)

    async def step(self, thread: ThreadPoolExecutor) -> bool:
        """Write back what is due, then take in what is new; whether there is more of it. In this order:
        what a predecessor wrote into a file is on record before it is read there."""
        if self._results is not None:
            await self._acknowledgements.step(thread, self._results)
        if self._collector is None:
            async with self._means.pool.acquire() as connection:
                rows = await connection.fetch(_PLACES)
            places = {row["path"]: Place(int(row["inode"]), row["read_to"], row["mark"]) for row in rows}
            self._collector = Collector(self._results, self._logs, places)
        collected = await asyncio.get_running_loop().run_in_executor(thread, self._collector.collect)
        await self._take(collected)
        said = "; ".join(collected.faults[:5]) or "read"
        self._means.health.changed("run folders", said)
        return collected.more

    async def _take(self, collected: Collected) -> None:
        """All that one look found, with how far it got, all or nothing."""
        places = {name: each for name, each in collected.places.items() if self._saved.get(name) != each}
        due = bool(self._dropped) and self._may_say()
        if not (places or collected.told or due):
            return
        async with self._means.transaction() as connection:
            keys = [key_of(each) for each in collected.told]
            known = {row["dedup_key"] for row in await connection.fetch(_KNOWN, keys)} if keys else set()
            for told, key in zip(collected.told, keys, strict=True):
                await self._one(connection, told, key, known)
            if self._dropped and self._may_say():
                await self._say_flood(connection)
            for name, place in places.items():
                await connection.execute(_SAVE, name, str(place.inode), place.offset, place.mark)
            if collected.told:
                await tell(connection, CHANGE)
        self._saved |= places

    async def _one(self, connection: Any, told: Told, key: str, known: set[str]) -> None:
        if told.run_id and told.line.event_type != "incident_open":
            await self._claimed(connection, told, key)
            return
        if key in known:
            return
        new = new_incident(told, self._means.catalogue)
        if not told.run_id and (same := await connection.fetchval(_SAME_LIMIT, limit_of(told.line))):
            await self._add(connection, same, told, "breached-again", new.title)
            return
        known.add(key)
        if not _room(self._opened, self._most_opened):
            self._dropped.append(new)
            return
        await self._recorded(connection, told, open_by_itself(connection, self._means, new))

    async def _recorded(self, connection: Any, told: Told, work: Awaitable[object]) -> None:
        """Do `work` in a transaction within the caller's: a line that Postgres cannot hold, whatever we have
        overlooked, is passed over and said, and ends no term again and again."""
        try:
            async with connection.transaction():
                await work
        except asyncpg.DataError as error:
            said = clean(f"{told.line.place}: not taken in: {error}", 300)
            self._means.health.changed("a line of a run folder", said)

    async def _claimed(self, connection: Any, told: Told, key: str) -> None:
        """The run's file says that it is acknowledged or resolved: told, not done."""
        incident_id = await connection.fetchval(_OF_RUN, key)
        if incident_id is None:
            return
        line = told.line
        word = "acknowledged" if line.event_type == "incident_ack" else "resolved"
        by = line.text("ack_by", 60)
        said = (
            f"The run's file says {word}{f' by {by}' if by else ''}: {line.text('notes', 300) or 'no notes'}"
        )
        await self._add(connection, incident_id, told, "run-says", said)

    async def _add(self, connection: Any, incident_id: Any, told: Told, kind: str, notes: str) -> None:
        """One more line of its story, once for each line of the file."""
        line = told.line
        event_id = clean(line.event_id, 100)
        if await connection.fetchval(_TOLD, incident_id, told.sha256, event_id):
            return
        if not _room(self._added, MOST_ADDED):
            return  # the file has it; the story need not repeat all of a flood
        details = {
            "line": told.sha256,
            "place": line.place,
            "event_id": event_id,
            "said_at": line.text("at", 40),
        }
        by = f"run {told.run_id}" if told.run_id else "audit_logs"
        work = add_event(connection, incident_id, kind, by, notes, details)
        await self._recorded(connection, told, work)

    def _may_say(self) -> bool:
        return self._flood_said_at is None or time.monotonic() - self._flood_said_at >= _MINUTE

    async def _say_flood(self, connection: Any) -> None:
        new = flood_of(self._dropped)
        same = await connection.fetchval(_FLOODED, new.severity.value)
        if same is not None:
            await add_event(connection, same, "more", "run folders", flood_words(self._dropped))
        else:
            await open_by_itself(connection, self._means, new)
        self._flood_said_at = time.monotonic()
        self._dropped.clear()


def _room(taken: deque[float], most: int) -> bool:
    """Whether one more fits into this minute; if so it is counted."""
    now = time.monotonic()
    while taken and now - taken[0] >= _MINUTE:
        taken.popleft()
    if len(taken) >= most:
        return False
    taken.append(now)
    return True
