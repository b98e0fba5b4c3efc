"""Everything of the plant that goes to Postgres goes through here, one thing after the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import asyncpg

from cockpit.demo.books import Books, Standing
from cockpit.demo.faults import Faults
from cockpit.demo.market import LISTINGS
from cockpit.demo.measuring import Measuring
from cockpit.demo.reconciling import Run, Streaks, compare, unreadable
from cockpit.demo.run_folder import RunFolder
from cockpit.demo.upkeep import QualityCycle, Upkeep
from cockpit.demo.venue import Venue
from cockpit.demo.venue_record import VenueUnreadable
from cockpit.domain.reconciliation import Verdict

_TICK_S: Final = 0.25
_MARKS_S: Final = 1.0
_SETTLE_S: Final = 1.0
_RECONCILE_S: Final = 20.0
_QUALITY_S: Final = 20.0
_RISK_S: Final = 1.0
_LEDGER_CHECK_S: Final = 5.0
_PRUNE_S: Final = 60.0
_BATCH: Final = 2_000
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a session that was killed at that very moment
)
_log = logging.getLogger("plant")


class Bookkeeping:
    """Flushes, marks, settles, reconciles and checks; while Postgres is away everything waits."""

    def __init__(self, books: Books, venue: Venue, measuring: Measuring, folder: RunFolder) -> None:
        self._books = books
        self._upkeep = Upkeep(folder)
        self._streaks = Streaks()
        self._venue = venue
        self._measuring = measuring
        self._doubled = 0
        self._faults_changed = False
        self._heal = False
        self._opened = False
        self._every: dict[Callable[[], Awaitable[None]], float] = {
            self._marks: _MARKS_S,
            self._settle: _SETTLE_S,
            self._reconcile: _RECONCILE_S,
            self._quality: _QUALITY_S,
            self._risk: _RISK_S,
            self._check: _LEDGER_CHECK_S,
            books.prune: _PRUNE_S,
        }
        self._due = dict.fromkeys(self._every, 0.0)

    def faults_changed(self) -> None:
        """Reconcile and check at once; once all faults are healed, make the ledger right too."""
        faults = self._venue.faults
        self._upkeep.changed(f"faults: {_words(faults)}", "PUT /faults")
        self._books.lose(int(faults.order_drift), int(faults.ledger_gap))
        self._faults_changed = True
        self._heal = self._heal or faults == Faults()
        if not self._venue.faults.ledger_violations:
            self._doubled = 0

    async def open(self) -> None:
        """Take up what an earlier run left, as soon as Postgres answers."""
        wait = 0.2
        while True:
            try:
                found = await self._books.load(
                    {symbol: self._venue.market.price(symbol) for symbol in LISTINGS}
                )
                break
            except _AWAY as error:
                _log.warning("no books yet: %s: %s", type(error).__name__, error)
                self._books.drop()
            await asyncio.sleep(wait)
            wait = min(2.0, wait * 2)
        self._venue.positions |= found.positions
        self._venue.account = found.account
        self._venue.market.go_on_from(found.marks)
        self._opened = True
        self._upkeep.begin()
        self._venue.correct_slippage()  # the faults of an earlier run ended with it

    async def run(self) -> None:
        """Keep the books until cancelled."""
        wait = _TICK_S
        while True:
            began = time.monotonic()
            try:
                await self._turn()
                wait = _TICK_S
                self._measuring.metrics.write(True, time.monotonic() - began)
            except _AWAY as error:
                wait = min(2.0, wait * 2)
                _log.warning("books wait %.1f s: %s: %s", wait, type(error).__name__, error)
                self._books.drop()
                self._measuring.metrics.write(False, time.monotonic() - began)
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Write the last of it, if Postgres is there; nothing if the books were never taken up."""
        self._books.drop()  # whatever was interrupted on it
        if not self._opened:
            return
        try:
            await self._flush(marks=True)
            await self._books.keep_answers()
            await self._books.close()
        except _AWAY as error:
            _log.warning("the last entries are lost: %s: %s", type(error).__name__, error)
            self._books.drop()

    async def _turn(self) -> None:
        await self._flush()
        await self._books.keep_answers()
        await self._samples()
        if self._faults_changed:
            self._faults_changed = False
            self._due |= {self._reconcile: 0.0, self._settle: 0.0, self._marks: 0.0, self._quality: 0.0}
        if self._heal:
            await self._flush()
            await self._books.correct()
            self._heal = False
            self._measuring.corrected()
        for job, at in self._due.items():
            if time.monotonic() >= at:
                await job()
                self._due[job] = time.monotonic() + self._every[job]

    async def _flush(self, marks: bool = False) -> None:
        standing = Standing(dict(self._venue.positions), self._venue.marks(), self._venue.account)
        await self._books.flush(standing, marks)

    async def _samples(self) -> None:
        waiting = self._measuring.slis.waiting
        if waiting:
            rows = list(islice(waiting, _BATCH))
            await self._books.sample(rows)
            self._measuring.slis.written(len(rows))

    async def _marks(self) -> None:
        self._venue.value()
        await self._flush(marks=True)

    async def _settle(self) -> None:
        faults = self._venue.faults
        double = max(0, int(faults.ledger_violations) - self._doubled)
        self._doubled += await self._books.settle(faults.settlement_lag_s, double)

    async def _check(self) -> None:
        self._measuring.checked(await self._books.differences())

    async def _reconcile(self) -> None:
        """What the venue reports against what the books hold. A side that cannot be read is no agreement."""
        began = datetime.now(UTC)
        self._venue.value()
        try:
            # Before anything is awaited: what the flush takes is of the same moment.
            report = self._measuring.record.report(self._venue)
        except VenueUnreadable as error:
            _log.warning("reconciliation is unknown: %s", error)
            self._reconciled(unreadable(began))
            return
        try:
            await self._flush(marks=True)
            books = await self._books.view(report)
        except _AWAY:
            self._reconciled(unreadable(began))
            self._due[self._reconcile] = time.monotonic() + _RECONCILE_S
            raise
        self._reconciled(compare(report, books, began))

    def _reconciled(self, runs: Sequence[Run]) -> None:
        self._books.reconciled(runs)
        verdicts = {run.verdict for run in runs}
        worst = next(each for each in (Verdict.MISMATCH, Verdict.UNKNOWN, Verdict.CLEAN) if each in verdicts)
        mismatch_runs = self._streaks.take(runs)
        self._measuring.reconciled(worst, mismatch_runs)
        self._upkeep.reconciled(runs, mismatch_runs)

    async def _quality(self) -> None:
        """Are the daily bars there, are ticks fresh and sound?"""
        began, day = datetime.now(UTC), datetime.now(UTC).date()
        measuring = self._measuring
        withheld = int(self._venue.faults.missing_bars)
        missing, given = await self._books.daily(measuring.today, day, withheld)
        if given:
            self._upkeep.changed(f"{given} daily bars asked of the data source (simulated)", "plant")
        measuring.missing_bars = sum(missing.values())
        errors, stale = measuring.take_errors()
        cycle = QualityCycle(began, errors, stale, missing)
        self._upkeep.quality(cycle)
        await self._books.quality(cycle)

    async def _risk(self) -> None:
        equity = self._venue.value()
        self._upkeep.risk(self._venue.positions, self._venue.account, equity)


def _words(faults: Faults) -> str:
    """Which are in force."""
    return ", ".join(f"{name} {value:g}" for name, value in faults.fields().items() if value) or "none"
