"""The authority's own reading of the objectives, in a task beside its loop: no turn ever waits for it.

What nobody else's login may write decides here: neither the guard's nor a screen's word on a budget counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Final, Protocol

from cockpit.authority.status import Health
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.text import clean

EVERY_S: Final = 5.0
KEPT: Final = 3  # so many times the interval a reading still tightens
LONGEST_S: Final = 10.0
WAIT_S: Final = 2.0  # less than the checklist waits for an item


class SloReader(Protocol):
    """`cockpit.operations.slo_reading.SloReader`: reads every objective, and raises for no store."""

    async def read(self) -> SloSnapshot: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading. `began` is this process's clock when it was begun, which is what its age counts from."""

    snapshot: SloSnapshot
    began: float


class Objectives:
    """One term's readings, each `every_s` seconds. A loosening wants one that is no older than that."""

    def __init__(self, reader: SloReader, health: Health, every_s: float = EVERY_S) -> None:
        self._reader = reader
        self._health = health
        self._every_s = every_s
        self._last: Reading | None = None
        self._not_before = 0.0
        self._task: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    async def watch(self) -> None:
        """Read again and again, until cancelled."""
        try:
            while True:
                self._asked.clear()
                await self._read()
                # `wait_for` of Python 3.11 may swallow a cancellation, and the term would never end.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._asked.wait()
        finally:
            if self._task is not None:
                self._task.cancel()

    def outdate(self) -> None:
        """What was read so far is not fresh any more: an exclusion has changed it."""
        self._not_before = time.monotonic()
        self._asked.set()

    def recent(self) -> SloSnapshot | None:
        """The last reading, where it is young enough to tighten by."""
        return self._last.snapshot if self._last and self._age(self._last) <= KEPT * self._every_s else None

    def young(self) -> SloSnapshot | None:
        """The last reading, where it is young enough to loosen by."""
        last = self._last
        if last is None or last.began < self._not_before or self._age(last) > self._every_s:
            return None
        return last.snapshot

    async def fresh(self) -> SloSnapshot | None:
        """A reading young enough to loosen by, read now if need be; None where none comes in time."""
        if (found := self.young()) is not None:
            return found
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while self.young() is None:
                    began = time.monotonic()
                    await self._read()
                    if self.young() is None and time.monotonic() - began < 0.01:
                        await asyncio.sleep(0.05)  # a reader that fails at once is not asked in a tight loop
        return self.young()

    async def _read(self) -> None:
        """One reading at a time, shared by all who wait; who is cancelled cancels nobody else's."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._one(), name="objectives")
        await asyncio.shield(self._task)

    async def _one(self) -> None:
        began = time.monotonic()
        budgets = self._health.budgets
        try:
            async with asyncio.timeout(LONGEST_S):
                snapshot = await self._reader.read()
        except TimeoutError:
            budgets.why = f"no answer in {LONGEST_S:g} s"
        except Exception as error:  # noqa: BLE001 - whatever it raises, budgets are unknown, which is published
            budgets.why = clean(f"{type(error).__name__}: {error}", 200)
        else:
            self._last = Reading(snapshot, began)
            budgets.why = clean("; ".join(snapshot.faults), 300) or None
            budgets.read_at, budgets.began = snapshot.at, began
            budgets.objectives = len(snapshot.reports)
        self._health.changed("objectives", budgets.why or "read")

    @staticmethod
    def _age(reading: Reading) -> float:
        return time.monotonic() - reading.began
