"""Incidents that run folders and log files report, and acknowledgements that go back into them.

Whoever may write there may open incidents, no more: a line that says acknowledged or resolved is told in the
incident's story and changes nothing, since nobody has signed it. However much is written there, a turn takes
a few hundred lines in one short transaction that also saves how far each file was read, and a minute opens
at most so many incidents, the gravest first; the rest is counted in a flood (`run_floods`), not passed over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg

from backends.jsonl_tail import Place
from backends.run_collector import MOST_LINES, Collected, Collector, Told
from backends.side_thread import SideThread
from cockpit.authority.incident_book import NewIncident, add_event, open_by_itself
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.run_acknowledgements import RunAcknowledgements
from cockpit.authority.run_floods import Floods, Quota
from cockpit.authority.run_reports import Overflow, key_of, limit_of, new_incident
from cockpit.domain.text import clean

T = TypeVar("T")
EVERY_S: Final = 1.0
AT_ONCE_S: Final = 0.1
SLOW_S: Final = 5.0
MOST_OPENED: Final = 20  # incidents a minute
_PLACES: Final = "SELECT path, inode, read_to, mark FROM run_offsets"
_SAVE: Final = """
INSERT INTO run_offsets (path, inode, read_to, mark)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT (path) DO UPDATE SET inode = excluded.inode, read_to = excluded.read_to, mark = excluded.mark,
                                 updated_at = clock_timestamp()
"""
_KNOWN: Final = "SELECT dedup_key, incident_id FROM incidents WHERE dedup_key = ANY ($1::text[])"
_SAME_LIMITS: Final = """
SELECT DISTINCT ON (run_incident) run_incident, incident_id FROM incidents
 WHERE source = 'audit-log' AND run_incident = ANY ($1::text[]) AND status IN ('open', 'acknowledged')
 ORDER BY run_incident, opened_at
"""
# Of a story that a file has made long, its newest lines: a repeat from before them is told once more.
_STORIES: Final = """
SELECT e.incident_id, e.details ->> 'line' AS line, e.details ->> 'event_id' AS event_id
  FROM unnest($1::uuid[]) AS wanted (incident_id)
 CROSS JOIN LATERAL (SELECT incident_id, details FROM incident_events s
                      WHERE s.incident_id = wanted.incident_id ORDER BY s.event_id DESC LIMIT 500) e
 WHERE e.details ->> 'line' = ANY ($2::text[]) OR e.details ->> 'event_id' = ANY ($3::text[])
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What files may cause: `lines` in a turn; incidents, lines of stories and words on a flood in a minute,
    and how many of the first two one run may have."""

    lines: int = MOST_LINES
    opened: int = MOST_OPENED
    opened_of_run: int = 15
    added: int = 60
    added_of_run: int = 40
    said: int = 6


@dataclass(slots=True)
class _Batch:
    """What one turn's lines ask for. `ids` are the incidents by key; `stories` are lines for the story of the
    incident that has a key: line, key, kind, notes."""

    ids: dict[str, UUID]
    opened: list[tuple[Told, NewIncident]] = field(default_factory=list)
    over: Overflow = field(default_factory=Overflow)
    stories: list[tuple[Told, str, str, str]] = field(default_factory=list)


class RunIncidents:
    """One term's reading of the run folders that the settings name, beside its loop."""

    def __init__(self, means: Means, bounds: Bounds | None = None) -> None:
        self._means = means
        self._results = means.settings.run_results
        self._logs = means.settings.audit_logs
        self._bounds = bounds or Bounds()
        self._collector: Collector | None = None
        self._opened = Quota(self._bounds.opened, self._bounds.opened_of_run)
        self._added = Quota(self._bounds.added, self._bounds.added_of_run)
        self._floods = Floods(means, self._bounds.said)
        self._saved: dict[str, Place] = {}
        self._acknowledgements = RunAcknowledgements(means)

    async def watch(self) -> None:
        """Read again and again, until cancelled; returns at once where the settings name no folder.

        Raises:
            Fenced: the term must end. Postgres's errors end it too.
        """
        if self._results is None and self._logs is None:
            return
        thread = SideThread("run folders")
        try:
            while True:
                began = time.monotonic()
                more = await self.step(thread)
                took = time.monotonic() - began  # of 20,000 run folders one look takes over a second
                await asyncio.sleep(AT_ONCE_S if more else max(EVERY_S, 5 * took))
        finally:
            thread.shutdown()

    async def step(self, thread: Executor) -> bool:
        """Write back what is due, then take in what is new; whether there is more of it. In this order:
        what a predecessor wrote into a file is on record before it is read there."""
        if self._results is not None:
            await self._acknowledgements.step(thread, self._results)
        if self._collector is None:
            async with self._means.pool.acquire() as connection:
                rows = await connection.fetch(_PLACES)
            places = {row["path"]: Place(int(row["inode"]), row["read_to"], row["mark"]) for row in rows}
            self._collector = Collector(self._results, self._logs, places, self._bounds.lines)
        collected = await self._beside(thread, self._collector.collect)
        await self._take(collected)
        said = "; ".join(sorted(collected.faults)[:5]) or "read"
        self._means.health.changed("run folders", said)
        return collected.more

    async def _beside(self, thread: Executor, work: Callable[[], T]) -> T:
        """Do `work` in `thread`; a disk that lets it wait is said."""
        future = asyncio.get_running_loop().run_in_executor(thread, work)
        done, _ = await asyncio.wait({future}, timeout=SLOW_S)
        if not done:
            self._means.health.changed("run folders", f"no answer from their disk for {SLOW_S:g} s")
        return await future

    async def _take(self, collected: Collected) -> None:
        """All that one look found, with how far it got, all or nothing."""
        places = {name: each for name, each in collected.places.items() if self._saved.get(name) != each}
        if not (places or collected.told or self._floods.due):
            return
        async with self._means.transaction() as connection:
            batch = await self._sort(connection, collected.told)
            if batch.over.count:
                await self._floods.take_in(connection, batch.over)
            elif self._floods.due:
                await self._floods.say(connection)
            for told, new in batch.opened:
                if await self._open(connection, told, new):
                    batch.ids[new.dedup_key] = UUID(new.incident_id)
            await self._add(connection, batch)
            if places:
                columns = [(name, str(each.inode), each.offset, each.mark) for name, each in places.items()]
                await connection.execute(_SAVE, *(list(each) for each in zip(*columns, strict=True)))
            if collected.told:
                await tell(connection, CHANGE)
        self._saved |= places

    async def _sort(self, connection: Any, lines: list[Told]) -> _Batch:
        """What is to be done for each line; reads, and writes nothing."""
        if not lines:
            return _Batch({})
        keys = [key_of(told) for told in lines]
        batch = _Batch({row[0]: row[1] for row in await connection.fetch(_KNOWN, list(set(keys)))})
        limits = {told.sha256: limit_of(told.line) for told in lines if not told.run_id}
        same: dict[str, str] = {}  # the key of the incident that has a limit
        for row in await connection.fetch(_SAME_LIMITS, list(set(limits.values()))) if limits else ():
            same[row[0]] = f"limit {row[0]}"
            batch.ids[same[row[0]]] = row[1]
        asked: dict[str, tuple[Told, NewIncident]] = {}
        for told, key in zip(lines, keys, strict=True):
            if told.run_id and told.line.event_type != "incident_open":
                batch.stories.append((told, key, "run-says", _claim(told)))
            elif key not in batch.ids and key not in asked:
                asked[key] = (told, new_incident(told, self._means.catalogue))
        for told, new in sorted(asked.values(), key=lambda each: each[1].severity.value):
            limit = limits.get(told.sha256) if not told.run_id else None
            if limit is not None and limit in same:
                batch.stories.append((told, same[limit], "breached-again", new.title))
            elif self._opened.room(told.run_id):
                batch.opened.append((told, new))
                if limit is not None:
                    same[limit] = new.dedup_key
            else:
                batch.over = batch.over.with_one(new)
        return batch

    async def _open(self, connection: Any, told: Told, new: NewIncident) -> bool:
        """In a transaction within the caller's: a line that Postgres cannot hold, whatever we have
        overlooked, is passed over and said, and ends no term again and again."""
        try:
            async with connection.transaction():
                return await open_by_itself(connection, self._means, new)
        except asyncpg.DataError as error:
            self._refused(told, error)
            return False

    async def _add(self, connection: Any, batch: _Batch) -> None:
        """More lines of stories, once for each line of a file. What is beyond the bound the file has; the
        story need not repeat all of a flood."""
        wanted = [
            (batch.ids[key], told, kind, notes)
            for told, key, kind, notes in batch.stories
            if key in batch.ids
        ]
        if not wanted or self._added.full:
            return
        lines = [told.sha256 for _, told, _, _ in wanted]
        named = [name for _, told, _, _ in wanted if (name := clean(told.line.event_id, 100))]
        rows = await connection.fetch(_STORIES, list({each[0] for each in wanted}), lines, named)
        known = {(row[0], mark) for row in rows for mark in (row["line"], row["event_id"]) if mark}
        for incident_id, told, kind, notes in wanted:
            marks = {(incident_id, told.sha256), (incident_id, clean(told.line.event_id, 100) or told.sha256)}
            if known.isdisjoint(marks) and self._added.room(told.run_id):
                known |= marks
                await self._tell(connection, incident_id, told, kind, notes)

    async def _tell(self, connection: Any, incident_id: UUID, told: Told, kind: str, notes: str) -> None:
        details = {
            "line": told.sha256,
            "place": told.line.place,
            "event_id": clean(told.line.event_id, 100),
            "said_at": told.line.text("at", 40),
        }
        by = f"run {told.run_id}" if told.run_id else "audit_logs"
        try:
            async with connection.transaction():
                await add_event(connection, incident_id, kind, by, notes, details)
        except asyncpg.DataError as error:
            self._refused(told, error)

    def _refused(self, told: Told, error: Exception) -> None:
        said = clean(f"{told.line.place}: not taken in: {error}", 300)
        self._means.health.changed("a line of a run folder", said)


def _claim(told: Told) -> str:
    """The run's file says that it is acknowledged or resolved: told, not done."""
    line = told.line
    word = "acknowledged" if line.event_type == "incident_ack" else "resolved"
    by = line.text("ack_by", 60)
    return f"The run's file says {word}{f' by {by}' if by else ''}: {line.text('notes', 300) or 'no notes'}"
