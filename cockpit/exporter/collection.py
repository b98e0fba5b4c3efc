"""One reading of every source for a scrape, each within a second; one that is away takes no other along.

Scrapes that come at the same time share a reading. It always begins after they came: what a scrape says is
never older than the scrape. So there is at most one reading under way and one that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from backends.event_counts import EventCounts
from cockpit.domain.desk import DeskSnapshot
from cockpit.domain.refusals import Refused
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.text import clean

log: Final = logging.getLogger("cockpit.exporter")
TIMEOUT_S: Final = 1.0
STORE_S: Final = 0.9  # what a store itself waits, so that its own reason is told
REUSE_S: Final = 5.0  # objectives cost many queries: within this age they are served again
KEPT_S: Final = 10.0  # beyond it they are no longer told
T = TypeVar("T")


class Breakers(Protocol):
    async def snapshot(self) -> BreakerSnapshot: ...


class Desk(Protocol):
    async def snapshot(self, audit_rows: int = 50) -> DeskSnapshot: ...


class Counts(Protocol):
    async def read(self) -> EventCounts: ...


class Objectives(Protocol):
    async def read(self) -> SloSnapshot: ...


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What one source gave, None where it could not be read, and how long that took."""

    value: T | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """Everything that one scrape tells."""

    breakers: Answer[BreakerSnapshot]
    desk: Answer[tuple[DeskSnapshot, EventCounts]]
    objectives: Answer[SloSnapshot]
    duration_s: float


class Collection:
    """Reads the sources; safe to ask from any number of tasks."""

    def __init__(self, breakers: Breakers, desk: Desk, counts: Counts, objectives: Objectives) -> None:
        self._breakers, self._desk, self._counts = breakers, desk, counts
        self._objectives = _Remembered(objectives)
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Scrape] | None = None
        self._running: set[asyncio.Task[Scrape]] = set()
        self._said: dict[str, str] = {}
        self._left_out: tuple[str, ...] = ()

    async def scrape(self) -> Scrape:
        """A reading that began after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._take_turn(), name="collection")
            self._running.add(self._next)
            self._next.add_done_callback(self._running.discard)
        return await asyncio.shield(self._next)  # one client that goes away does not end it for the others

    async def close(self) -> None:
        await _ended(*self._running)
        await self._objectives.close()

    async def _take_turn(self) -> Scrape:
        async with self._turn:
            self._next = None  # who comes from here on waits for another
            return await self._read()

    async def _read(self) -> Scrape:
        began = time.monotonic()
        breakers, desk, objectives = await asyncio.gather(
            self._ask("redis", self._breakers.snapshot()),
            self._ask("postgres", self._read_desk()),
            self._ask("objectives", self._objectives.read()),
        )
        return Scrape(breakers, desk, objectives, time.monotonic() - began)

    async def _read_desk(self) -> tuple[DeskSnapshot, EventCounts]:
        desk, counts = await asyncio.gather(self._desk.snapshot(audit_rows=1), self._counts.read())
        self._say_left_out(desk.faults)
        return desk, counts

    async def _ask(self, source: str, answer: Awaitable[T]) -> Answer[T]:
        began = time.monotonic()
        value, why = None, ""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                value = await answer
        except Refused as refused:
            why = str(refused)
        except TimeoutError:
            why = f"no answer in {TIMEOUT_S:g} s"
        except Exception:  # a fault of ours in one source must not silence the others
            log.exception("%s cannot be read", source)
            why = "an unexpected error, logged above"
        self._say(source, why)
        return Answer(value, time.monotonic() - began)

    def _say_left_out(self, faults: Sequence[str]) -> None:
        if tuple(faults) == self._left_out:
            return
        self._left_out = tuple(faults)
        if faults:
            log.warning("not all of postgres is read: %s", clean("; ".join(faults), 1_000))
        else:
            log.info("all of postgres is read again")

    def _say(self, source: str, why: str) -> None:
        """One line for each change, none while it stays the same."""
        line = clean(why, 300)
        if self._said.get(source, "") == line:
            return
        self._said[source] = line
        if line:
            log.warning("%s cannot be read: %s", source, line)
        else:
            log.info("%s is read again", source)


class _Remembered:
    """The objectives, read anew at most every `REUSE_S` seconds, by one reading at a time."""

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives
        self._last: SloSnapshot | None = None
        self._last_at = 0.0
        self._reading: asyncio.Task[None] | None = None

    async def read(self) -> SloSnapshot:
        """
        Raises:
            TimeoutError: none that is young enough, and the reading under way takes too long.
        """
        if self._last is not None and time.monotonic() - self._last_at <= REUSE_S:
            return self._last
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._renew(), name="objectives")
        reading = self._reading
        await asyncio.wait([reading], timeout=TIMEOUT_S * 0.8)
        if reading.done():
            reading.result()
        if self._last is None or time.monotonic() - self._last_at > KEPT_S:
            raise TimeoutError
        return self._last

    async def close(self) -> None:
        if self._reading is not None:
            await _ended(self._reading)

    async def _renew(self) -> None:
        began = time.monotonic()
        self._last = await self._objectives.read()
        self._last_at = began


async def _ended(*tasks: asyncio.Task[T]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
