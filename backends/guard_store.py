"""Postgres as the guard sees it: its lease, the rows that its rules rest on, the record of what it fired.

Every method raises `StoreUnreachable` or `Refused`.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

from backends.guard_readings import everything, news
from backends.postgres_session import Session
from cockpit.domain.breakers import BreakerId
from cockpit.domain.text import clean
from cockpit.domain.trigger_rows import PastFiring, Plan, Rows

WHOLE_S: Final = 60.0
MOST_OTHERS: Final = 300
_FIRINGS: Final = """
SELECT DISTINCT ON (rule, subject) firing_id, rule, subject, breaker_id, fired_at FROM guard_firings
 WHERE fired_at > clock_timestamp() - interval '1 day' ORDER BY rule, subject, fired_at DESC
"""
_BREACHES: Final = files("backends").joinpath("sql/breaches.sql").read_text()
_FIRE: Final = """
SELECT guard_fire($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
"""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of one holder of the guard's lease."""

    holder: str
    number: int


@dataclass(frozen=True, slots=True)
class FiringRecord:
    """One row of `guard_firings`; `severity` and `title` where it opens an incident and pages."""

    firing_id: str
    rule: str
    mode: str
    effect: str
    aim: str
    breaker_id: str
    subject: str
    value: float
    threshold: float
    samples: Sequence[Sequence[object]]
    fired_at: datetime
    severity: str | None
    classification: str
    title: str


@dataclass(frozen=True, slots=True)
class Breach:
    """One line of reconciliation whose newest runs are mismatches. `runs` are those from the third since the
    last clean one on: the first made it a breach, unless one was written late; `symbols` are the instruments
    concerned: of a line of no single instrument those that any of these runs names, "" among them where a
    run names none that is known."""

    kind: str
    symbol: str
    runs: tuple[str, ...]
    third_at: datetime
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Breaches:
    """Every breach at `now`, by the database's clock; `holds`: the term stood at that moment. `faults` name
    what could not be looked at."""

    now: datetime
    holds: bool
    found: tuple[Breach, ...]
    faults: tuple[str, ...] = ()


class GuardStore:
    """An automation login's connections: one reads, one looks at reconciliation, one keeps the lease and
    records."""

    def __init__(self, dsn: str) -> None:
        self._reader = Session(dsn, command_timeout_s=10, application_name="cockpit guard")
        self._keeper = Session(dsn, command_timeout_s=3, application_name="cockpit guard lease")
        self._reconciliation = Session(
            dsn, command_timeout_s=3, application_name="cockpit guard latches", prepare=_promptly
        )
        self._whole_at = 0.0

    async def close(self) -> None:
        await self._reader.close()
        await self._reconciliation.close()
        await self._keeper.close()

    async def take(self, holder: str) -> Term | None:
        """The next term; None while another guard's lease runs.

        Raises:
            Refused: the login is no automation login (any more).
        """
        async with self._keeper.use() as connection:
            number = await connection.fetchval("SELECT guard_take($1)", holder)
        return None if number is None else Term(holder, number)

    async def renew(self, term: Term, status: str | None) -> bool:
        """Extend the lease and publish `status` (JSON; None: as it was). False: the term is over."""
        async with self._keeper.use() as connection:
            query = "SELECT guard_renew($1, $2, $3::text::jsonb)"
            return bool(await connection.fetchval(query, term.holder, term.number, status))

    async def release(self, term: Term) -> None:
        """Let a standby act at once."""
        async with self._keeper.use() as connection:
            await connection.execute("SELECT guard_release($1, $2)", term.holder, term.number)

    async def fire(self, term: Term, record: FiringRecord) -> bool:
        """Record a firing, once however often it is asked. False: the term is over."""
        async with self._keeper.use() as connection:
            return bool(
                await connection.fetchval(
                    _FIRE, term.holder, term.number, UUID(record.firing_id), record.rule, record.mode,
                    record.effect, record.aim, record.breaker_id, record.subject, record.value,
                    record.threshold, json.dumps(record.samples), record.fired_at, record.severity,
                    record.classification, record.title,
                )
            )  # fmt: skip

    async def predecessor(self) -> tuple[dict[str, Any], Sequence[PastFiring]]:
        """What the last guard published, {} where that is over a minute old, and what was fired in a day."""
        async with self._reader.use() as connection:
            text = await connection.fetchval(
                "SELECT status::text FROM guard_lease"
                " WHERE renewed_at > clock_timestamp() - interval '1 minute'"
            )
            rows = await connection.fetch(_FIRINGS)
        status = json.loads(text) if text else {}
        firings = [
            PastFiring(
                str(row["firing_id"]),
                row["rule"],
                row["subject"],
                BreakerId(row["breaker_id"]),
                row["fired_at"],
            )
            for row in rows
        ]
        return (status if isinstance(status, dict) else {}), firings

    async def load(self, plan: Plan, term: Term, limits: Sequence[str]) -> Rows:
        """Everything that the plan needs, as of one moment."""
        async with self._snapshot() as connection:
            rows = await everything(connection, plan, _asked(plan, term, limits))
        self._whole_at = time.monotonic()
        return rows

    async def changes(self, plan: Plan, term: Term, limits: Sequence[str], cursor: str) -> Rows:
        """What has come since the reading that gave `cursor`, and each minute every position again.

        Raises:
            StoreUnreachable: also where the store has lost what that reading saw.
        """
        begin = time.monotonic()
        whole = begin - self._whole_at >= WHOLE_S
        async with self._snapshot() as connection:
            rows = await news(connection, plan, _asked(plan, term, limits), cursor, whole)
        if whole:
            self._whole_at = begin
        return rows

    async def breaches(self, term: Term, symbols: Sequence[str] = ()) -> Breaches:
        """The reconciliation breaches that stand now. `symbols`, the catalogue's instruments, are all looked
        at; of others `MOST_OTHERS` of each kind."""
        async with self._reconciliation.use() as connection:
            rows = await connection.fetch(_BREACHES, term.holder, term.number, list(symbols), MOST_OTHERS)
        found = tuple(
            Breach(row["kind"], row["symbol"], tuple(row["runs"]), row["started_at"], tuple(row["symbols"]))
            for row in rows
            if row["runs"]
        )
        faults = [
            f"{kind} runs are of more than {MOST_OTHERS} instruments that the catalogue lacks: not all of"
            " them are watched"
            for kind in rows[0]["crowded"]
        ]
        if hidden := rows[0]["hidden"]:
            lines = clean(", ".join(hidden), 200)
            faults.append(f"thousands of runs that came to no verdict may hide a breach: {lines}")
        return Breaches(rows[0]["now"], rows[0]["holds"], found, tuple(faults))

    async def recorded(self, firing_ids: Sequence[str]) -> frozenset[str]:
        """Those of the firings that some guard has recorded, whatever came of them."""
        async with self._reconciliation.use() as connection:
            rows = await connection.fetch(
                "SELECT firing_id::text AS id FROM guard_firings WHERE firing_id = ANY ($1::uuid[])",
                list(map(UUID, firing_ids)),
            )
        return frozenset(row["id"] for row in rows)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        async with (
            self._reader.use() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection


async def _promptly(connection: Any) -> None:
    """The server ends a reading before it is given up here: none stays behind and holds a connection."""
    await connection.execute("SET jit = off; SET lock_timeout = '1s'; SET statement_timeout = '2800ms'")


def _asked(plan: Plan, term: Term, limits: Sequence[str]) -> tuple[object, ...]:
    return term.holder, term.number, list(plan.incidents), [UUID(each) for each in limits]
