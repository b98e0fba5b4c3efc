"""Reconciliation as it is stored: every line of it, and clean cycles of one instrument.

Each is one statement. What runs count as is said once, by the view `reconciliation_judged`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import asyncpg

from backends.desk_parts import UNUSABLE, figure, parsed
from backends.postgres_session import Session
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.limits import RECOVERY_FRESH_S
from cockpit.domain.reconciliation import (
    CLEAN_WANTED,
    MOST_COUNTED,
    CleanCycles,
    Kind,
    Line,
    Mismatch,
    ReconRun,
    ReconSnapshot,
    Verdict,
    clean_cycles_of,
)
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean

_LINES: Final = files("backends").joinpath("sql/reconciliation_lines.sql").read_text()
_CLEAN_CYCLES: Final = files("backends").joinpath("sql/clean_cycles.sql").read_text()
MOST_LINES: Final = 300  # of each kind
# Whoever writes a table can lock it: what is read of it is then refused, not waited for. Together, for the
# rest of the transaction, set back at the end of the reading.
_BRIEFLY: Final = "SET LOCAL lock_timeout = '700ms'; SET LOCAL statement_timeout = '1s'"
_AS_BEFORE: Final = "SET LOCAL lock_timeout TO DEFAULT; SET LOCAL statement_timeout TO DEFAULT"
_CHUNK: Final = 20  # lines decoded between two turns of the event loop
_MOST_FAULTS: Final = 10


class ReconciliationStore:
    """One login's own connection for reconciliation. Safe to share between tasks.

    Every method raises `StoreUnreachable` or `Refused`: what could not be read is unknown, never clean.
    """

    def __init__(self, dsn: str, command_timeout_s: float = 5.0) -> None:
        self._session = Session(
            dsn,
            command_timeout_s=command_timeout_s,
            application_name="cockpit reconciliation",
            prepare=_promptly,
        )

    async def close(self) -> None:
        await self._session.close()

    async def reconciliations(self) -> ReconSnapshot:
        """Every line, worst kinds of rows included."""
        async with self._session.use() as connection:
            return await reconciliations(connection)

    async def clean_cycles(
        self, symbol: str, since: datetime, fresh_s: float = RECOVERY_FRESH_S
    ) -> CleanCycles:
        """As the authority counts them before it releases a latch that was set at `since`."""
        async with self._session.use() as connection:
            return await clean_cycles(connection, symbol, since, fresh_s)


async def reconciliations(connection: Any) -> ReconSnapshot:
    """Every line of reconciliation, through any login's asyncpg connection."""
    begin = time.perf_counter()
    rows = await connection.fetch(_LINES, MOST_LINES + 1, MOST_COUNTED)
    latency_ms = (time.perf_counter() - begin) * 1_000
    lines: list[Line] = []
    faults: list[str] = []
    taken = Counter[str]()
    for place, row in enumerate(rows):
        if place % _CHUNK == _CHUNK - 1:
            await asyncio.sleep(0)
        taken[row["kind"]] += 1
        if row["kind"] is not None and taken[row["kind"]] <= MOST_LINES:
            _take(row, lines, faults)
    for kind in Kind:
        if taken[kind] > MOST_LINES:
            faults.insert(0, f"only {MOST_LINES} instruments of {kind} runs are shown, there are more")
    more = len(faults) - _MOST_FAULTS
    said = (*faults[:_MOST_FAULTS], *([f"{more} more like it"] if more > 0 else []))
    order = list(Kind)
    lines.sort(key=lambda each: (each.symbol, order.index(each.kind)))
    return ReconSnapshot(rows[0]["at"], tuple(lines), said, latency_ms)


async def clean_cycles(
    connection: Any, symbol: str, since: datetime, fresh_s: float = RECOVERY_FRESH_S
) -> CleanCycles:
    """How many clean cycles in a row `symbol` has had, of runs begun after `since`; none where a kind has not
    run for `fresh_s`, or where a line that covers it is breached. A failed query raises."""
    rows = await connection.fetch(_CLEAN_CYCLES, symbol, since, MOST_COUNTED)
    stale = {
        row["name"]: row["newest"]
        for row in rows
        if row["newest"] is not None and (row["at"] - row["newest"]).total_seconds() > fresh_s
    }
    breached = [row["name"] for row in rows if row["breached"]]
    return clean_cycles_of([(row["name"], row["clean"]) for row in rows], CLEAN_WANTED, stale, breached)


@asynccontextmanager
async def briefly(connection: Any, what: str) -> AsyncIterator[None]:
    """Each statement in it ends within a second. It may stand within a transaction, which goes on.

    Raises:
        Refused: one of them did not end in time, which says nothing of what was asked.
    """
    try:
        async with connection.transaction():
            await connection.execute(_BRIEFLY)
            yield
            await connection.execute(_AS_BEFORE)
    except (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError) as error:
        raise Refused(
            Code.RECOVERY,
            f"{what} could not be read within a second: something locks what the trading side writes, or"
            " Postgres is slow. What cannot be read does not count as clean.",
            "Find who holds the lock (pg_locks), then ask again.",
        ) from error


def _take(row: Mapping[str, Any], lines: list[Line], faults: list[str]) -> None:
    """Add the row's line, and what of it cannot be used."""
    named = clean(f"{row['kind']} {row['symbol'] or 'of no instrument'}", 80)
    if row["kind"] not in tuple(Kind):
        faults.append(f"{named}: no such kind of reconciliation is known; its runs are not counted")
        return
    doubted = (row["doubted"] or 0) + row["future"]
    if row["future"]:
        many = "1000 or more" if row["future"] == 1_000 else row["future"]
        faults.append(f"{named}: {many} of its runs lie in the future: they count as unknown")
    elif doubted:
        faults.append(f"{named}: {doubted} of the last day's runs are malformed: they count as unknown")
    if row["last"] is None:
        faults.append(f"{named}: none of its runs has a possible time")
        return
    try:
        last = _run(row, row["last"], named, faults)
        same = row["last_known"] is None or last.verdict is not Verdict.UNKNOWN
        last_known = None if row["last_known"] is None else last
        if not same:
            last_known = _run(row, row["last_known"], named, faults)
    except UNUSABLE as error:
        faults.append(f"{named}: its newest run cannot be read ({type(error).__name__})")
        return
    lines.append(
        Line(
            kind=last.kind,
            symbol=last.symbol,
            last=last,
            consecutive=row["consecutive"],
            clean=0 if row["future"] else row["clean"],
            passed=row["passed"] or 0,
            failed=row["failed"] or 0,
            unknown=(row["unknown"] or 0) + row["future"],
            last_known=last_known,
        )
    )


def _run(row: Mapping[str, Any], text: str, named: str, faults: list[str]) -> ReconRun:
    held = parsed(text)
    mismatches, unreadable = [], 0
    for each in held["mismatches"] or ():
        try:
            mismatches.append(_mismatch(each))
        except UNUSABLE:
            unreadable += 1
    if unreadable:
        faults.append(f"{named}: {unreadable} of a run's mismatches cannot be read")
    if held["doubt"]:
        faults.append(f"{named}: the newest run counts as unknown: {held['doubt']}")
    finished = held["finished_at"]
    return ReconRun(
        run_id=held["run_id"],
        kind=Kind(row["kind"]),
        symbol=clean(row["symbol"], 100),
        verdict=Verdict(held["verdict"]),
        started_at=parse_rfc3339(held["started_at"]),
        finished_at=None if finished is None else parse_rfc3339(finished),
        mismatches=tuple(mismatches),
        unlisted=(held["listed"] or 0) - len(mismatches),
        engine_seq=held["engine_seq"],
        ledger_seq=held["ledger_seq"],
        doubt=held["doubt"] or "",
    )


def _mismatch(fields: Mapping[str, Any]) -> Mismatch:
    name = fields.get("id") or fields.get("symbol") or "without a name"
    return Mismatch(clean(str(name), 80), figure(fields["venue"]), figure(fields["books"]))


async def _promptly(connection: Any) -> None:
    """Whoever writes the runs can lock them, or make them many: the server ends a reading before it is given
    up here, so that none stays behind and holds a connection."""
    await connection.execute("SET jit = off; SET lock_timeout = '1s'; SET statement_timeout = '4500ms'")
