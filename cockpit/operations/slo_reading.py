"""Reads every objective from its source and judges it; keeps the last good figures of what cannot be read.

A source that is away or slow holds up nobody else: its objectives are STALE, and say since when and why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from cockpit.domain.refusals import Refused
from cockpit.domain.slo_reports import (
    SliReading,
    SloReport,
    SloSnapshot,
    ThresholdReport,
    judge_slo,
    judge_threshold,
)
from cockpit.domain.slos import Exclusion, Ratio, Slo, SloBook, SourceKind, Threshold

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")
Objective = Slo | Threshold
PATIENCE_S: Final = 0.25  # how long everybody waits for a source that is not needed for the clock
FIRST_S: Final = 5.0  # where that source has said nothing of late, and may well answer
REST: Final = 4.0  # times that a reading took: so long its source is left alone, that we are no load to it
MOST_REST_S: Final = 20.0
RECENT_S: Final = 15.0  # figures so new that they stand in while the next ones are on their way
_CHUNK: Final = 20  # judgements between two turns of the event loop


class Book(Protocol):
    """Where objectives are written down. `book` may read files, so it is called in a thread."""

    def book(self) -> SloBook: ...


class ObjectiveSource(Protocol):
    """One system that objectives are read from."""

    async def read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion]
    ) -> Mapping[str, SliReading]:
        """A reading for each objective, by name; what is wrong with one of them is its reading's `fault`.

        Raises:
            StoreUnreachable: the whole source is away.
        """
        ...

    async def close(self) -> None: ...


class Agreements(Protocol):
    """Where the agreed exclusions are recorded."""

    async def exclusions(self) -> tuple[datetime, tuple[Exclusion, ...]]:
        """The database's clock, and the exclusions.

        Raises:
            StoreUnreachable: the database is away.
        """
        ...


def source_kind(objective: Objective) -> SourceKind:
    """Which source an objective is read from."""
    if isinstance(objective, Threshold):
        return objective.source.kind
    indicator = objective.indicator
    return indicator.total.kind if isinstance(indicator, Ratio) else indicator.source.kind


@dataclass(frozen=True, slots=True)
class _Kept:
    """The last good reading of an objective, when it came by our own clock, and what is wrong since."""

    objective: Objective
    good: SliReading | None
    monotonic: float
    fault: str = ""


class _Line:
    """One source: at most one reading under way, the last good readings, and why there are no newer ones."""

    def __init__(self, source: ObjectiveSource, kind: SourceKind) -> None:
        self.source = source
        self._name = kind.value
        self.failure = ""
        self._needed = kind is SourceKind.POSTGRES
        self._task: asyncio.Task[Mapping[str, SliReading]] | None = None
        self._asked: Sequence[Objective] = ()
        self._began_at = 0.0
        self._rest_until = 0.0
        self._answered_at: float | None = None
        self._kept: dict[str, _Kept] = {}

    def start(self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion]) -> None:
        self._absorb()
        if self._task is not None or not objectives:
            return
        changed = [each for each in objectives if each.name not in self._kept]
        if changed or self._needed or self.failure or time.monotonic() >= self._rest_until:
            self._asked, self._began_at = objectives, time.monotonic()
            self._task = asyncio.create_task(_as_coroutine(self.source.read(objectives, exclusions)))

    async def settle(self) -> None:
        """Wait for the reading under way, as long as it is worth to everybody."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._patience_s())
        self._absorb()

    def reading(self, objective: Objective) -> tuple[SliReading, datetime | None]:
        """What to judge by, and when it was read where that is not now."""
        kept = self._kept.get(objective.name)
        if kept is None or not _same(kept.objective, objective):
            kept = _Kept(objective, None, 0.0, "its source has not answered yet")
        fault, good = self.failure or kept.fault, kept.good
        if good is None:
            return SliReading(at=datetime.now(UTC), fault=fault), None
        elapsed = timedelta(seconds=time.monotonic() - kept.monotonic)
        if fault:
            return replace(good, fault=fault), good.at
        if elapsed.total_seconds() > 1:  # the next reading is on its way: this one grows old meanwhile
            return replace(good, at=good.at + elapsed), good.at
        return good, None

    def forget_all_but(self, names: set[str]) -> None:
        self._kept = {name: kept for name, kept in self._kept.items() if name in names}

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self.source.close()

    def _patience_s(self) -> float | None:
        """None: as long as the source itself takes to answer or to give up."""
        if self._needed:
            return None
        recent = self._answered_at is not None and time.monotonic() - self._answered_at < RECENT_S
        return PATIENCE_S if recent or self.failure else FIRST_S

    def _absorb(self) -> None:
        task = self._task
        if task is None or not task.done():
            return
        self._task = None
        try:
            readings = task.result()
        except Refused as error:
            self.failure = error.refusal.message
            return
        except Exception as error:
            failure = f"{self._name} could not be read ({type(error).__name__})"
            if failure != self.failure:
                log.error("objectives: %s", failure, exc_info=error)
            self.failure = failure
            return
        self.failure, self._answered_at = "", time.monotonic()
        took = self._answered_at - self._began_at
        rest_s = min(REST * took, MOST_REST_S) if took > PATIENCE_S else 0.0
        self._rest_until = self._answered_at + rest_s
        for objective in self._asked:
            reading = readings.get(objective.name)
            fault = "its source said nothing of it" if reading is None else reading.fault
            if reading is not None and not fault:
                self._kept[objective.name] = _Kept(objective, reading, self._answered_at)
                continue
            before = self._kept.get(objective.name)
            if before is None or not _same(before.objective, objective):
                before = _Kept(objective, None, self._answered_at)
            self._kept[objective.name] = replace(before, fault=fault)


class SloReader:
    """Objectives of `book`, read from `sources` and judged. Safe to share between tasks. What was sampled
    before `simulated_before` was never measured, and every snapshot says so."""

    def __init__(
        self,
        book: Book,
        agreements: Agreements,
        sources: Mapping[SourceKind, ObjectiveSource],
        simulated_before: datetime | None = None,
    ) -> None:
        self._book = book
        self._simulated_before = simulated_before
        self._agreements = agreements
        self._lines = {kind: _Line(source, kind) for kind, source in sources.items()}
        self._exclusions: tuple[Exclusion, ...] = ()
        self._turn = asyncio.Lock()

    async def read(self) -> SloSnapshot:
        """Every objective now. Never raises for a store or a source: what they say in its place is in each
        report's `why` and in the snapshot's `faults`."""
        async with self._turn:
            book = await asyncio.to_thread(self._book.book)
            at, fault = await self._agreed()
            faults = [*book.faults, *([fault] if fault else [])]
            grouped = _by_source((*book.slos, *book.thresholds))
            for kind, line in self._lines.items():
                line.start(grouped.get(kind, ()), self._exclusions)
            await asyncio.gather(*(line.settle() for line in self._lines.values()))
            for kind, line in self._lines.items():
                line.forget_all_but({each.name for each in grouped.get(kind, ())})
                if line.failure and line.failure not in faults and grouped.get(kind):
                    faults.append(line.failure)
            slos = await _in_slices(book.slos, self._slo_report)
            thresholds = await _in_slices(book.thresholds, self._threshold_report)
            return SloSnapshot(
                at=at or datetime.now(UTC),
                monotonic=time.monotonic(),
                book=book,
                slos=tuple(slos),
                thresholds=tuple(thresholds),
                exclusions=self._exclusions,
                faults=tuple(faults),
                simulated_before=self._simulated_before,
            )

    async def close(self) -> None:
        for line in self._lines.values():
            await line.close()

    async def _agreed(self) -> tuple[datetime | None, str]:
        try:
            at, self._exclusions = await self._agreements.exclusions()
        except Refused as error:
            return None, error.refusal.message
        return at, ""

    def _slo_report(self, slo: Slo) -> SloReport:
        reading, read_at = self._lines[source_kind(slo)].reading(slo)
        report = judge_slo(slo, reading, self._exclusions)
        return report if read_at is None else replace(report, read_at=read_at)

    def _threshold_report(self, threshold: Threshold) -> ThresholdReport:
        reading, read_at = self._lines[source_kind(threshold)].reading(threshold)
        report = judge_threshold(threshold, reading)
        return report if read_at is None else replace(report, read_at=read_at)


def _by_source(objectives: Iterable[Objective]) -> Mapping[SourceKind, Sequence[Objective]]:
    grouped: dict[SourceKind, list[Objective]] = {}
    for objective in objectives:
        grouped.setdefault(source_kind(objective), []).append(objective)
    return grouped


def _same(one: Objective, other: Objective) -> bool:
    """Whether both ask for the same, wherever they are written."""
    return one is other or replace(one, file="", line=0) == replace(other, file="", line=0)


async def _as_coroutine(reading: Awaitable[Mapping[str, SliReading]]) -> Mapping[str, SliReading]:
    return await reading


async def _in_slices(items: Sequence[Item], make: Callable[[Item], Made]) -> list[Made]:
    """Judge a few at a time, so that the event loop is never held for long."""
    made = []
    for place, item in enumerate(items, 1):
        made.append(make(item))
        if place % _CHUNK == 0:
            await asyncio.sleep(0)
    return made
