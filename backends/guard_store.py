"""Postgres as the guard sees it: its lease, the rows that its rules rest on, the record of what it fired.

Rows are read by the transaction that wrote them: what was still open at the last reading is read again, so
nothing is missed however late it commits. Every method raises `StoreUnreachable` or `Refused`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from backends.postgres_session import Session
from cockpit.domain.breakers import BreakerId
from cockpit.domain.trigger_rows import (
    CountedOrders,
    HeldPosition,
    PastFiring,
    Plan,
    Rows,
    SettledOrder,
    SliSample,
)

_MOMENT: Final = """
SELECT clock_timestamp() AS now, pg_snapshot_xmin(pg_current_snapshot())::text AS cursor,
       EXISTS (SELECT FROM guard_lease WHERE holder = $1 AND term = $2 AND login = session_user
                  AND expires_at > clock_timestamp()) AS holds,
       (SELECT array_agg(DISTINCT classification) FROM incidents
         WHERE status <> 'resolved' AND classification = ANY ($3::text[])) AS incidents,
       (SELECT array_agg(limit_id::text) FROM size_limits
         WHERE limit_id = ANY ($4::uuid[]) AND lifted_at IS NULL) AS limits,
       (SELECT array_agg(limit_id::text) FROM size_limits
         WHERE limit_id = ANY ($4::uuid[]) AND lifted_at IS NOT NULL) AS lifted,
       (SELECT array_agg(request_id::text) FROM requests WHERE request_id = ANY ($4::uuid[])
           AND status IN ('new', 'awaiting_approval', 'committing')) AS asked
"""
_ORDERS: Final = """
SELECT order_id, symbol, updated_at, status = 'rejected' AS rejected, latency_ms, slippage FROM recent_orders
 WHERE noted_tx >= $1::text::xid8 AND status IN ('filled', 'rejected') AND NOT paper AND updated_at > $2
"""
_ORDERS_SINCE: Final = """
SELECT order_id, symbol, updated_at, status = 'rejected' AS rejected, latency_ms, slippage FROM recent_orders
 WHERE status IN ('filled', 'rejected') AND NOT paper AND updated_at > $1
"""
# What the reader will meet again by its transaction is left to that reading.
_COUNTED: Final = """
SELECT CASE WHEN $4 THEN symbol ELSE '' END AS symbol, date_trunc('second', updated_at) AS at,
       count(*) FILTER (WHERE status = 'rejected') AS rejected, count(*) AS settled
  FROM recent_orders
 WHERE status IN ('filled', 'rejected') AND NOT paper AND updated_at >= $2 AND updated_at < $3
   AND (noted_tx IS NULL OR noted_tx < $1::text::xid8)
 GROUP BY 1, 2
"""
_RUNS: Final = """
SELECT run.* FROM (SELECT unnest($1::text[]) AS symbol UNION SELECT symbol FROM positions) each,
LATERAL (
    SELECT order_id, symbol, updated_at, false AS rejected, latency_ms, slippage FROM recent_orders
     WHERE symbol = each.symbol AND status = 'filled' AND NOT paper AND slippage IS NOT NULL
       AND updated_at > $2
     ORDER BY updated_at DESC, order_id DESC LIMIT $3) run
"""
_POSITIONS: Final = """
SELECT symbol, quantity, max_quantity, updated_at FROM positions
 WHERE $1::text IS NULL OR noted_tx >= $1::text::xid8
"""
_SAMPLES: Final = """
SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
 WHERE noted_tx >= $1::text::xid8 AND sli = ANY ($2::text[])
"""
# Of each sli what lies in the window, and the newest before it.
_SAMPLES_SINCE: Final = """
SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
 WHERE sli = ANY ($1::text[]) AND observed_at > $2
UNION ALL
SELECT last.* FROM unnest($1::text[]) AS wanted (sli), LATERAL (
    SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
     WHERE sli = wanted.sli AND observed_at <= $2
     ORDER BY observed_at DESC, sample_id DESC LIMIT 1) last
"""
_FIRINGS: Final = """
SELECT DISTINCT ON (rule, subject) firing_id, rule, subject, breaker_id, fired_at FROM guard_firings
 WHERE fired_at > clock_timestamp() - interval '1 day' ORDER BY rule, subject, fired_at DESC
"""
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


class GuardStore:
    """An automation login's two connections: one reads, one keeps the lease and records."""

    def __init__(self, dsn: str) -> None:
        self._reader = Session(dsn, command_timeout_s=10, application_name="cockpit guard")
        self._keeper = Session(dsn, command_timeout_s=3, application_name="cockpit guard lease")

    async def close(self) -> None:
        await self._reader.close()
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
        async with (
            self._reader.use() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            moment = await connection.fetchrow(_MOMENT, *_asked(plan, term, limits))
            now, cursor = moment["now"], moment["cursor"]
            raw_from = now.replace(microsecond=0) - timedelta(seconds=plan.raw_s)
            orders: list[Any] = []
            runs: list[Any] = []
            counted: list[Any] = []
            if plan.orders:
                orders = await connection.fetch(_ORDERS_SINCE, raw_from - timedelta(microseconds=1))
            if plan.run:
                since = now - timedelta(seconds=plan.run_s + 1)
                runs = await connection.fetch(_RUNS, list(plan.symbols), since, plan.run)
            if plan.counted_s > plan.raw_s:
                since = now - timedelta(seconds=plan.counted_s + 1)
                counted = await connection.fetch(_COUNTED, cursor, since, raw_from, plan.counted_by_symbol)
            positions = await connection.fetch(_POSITIONS, None) if plan.positions else []
            samples: list[Any] = []
            if plan.slis:
                since = now - timedelta(seconds=plan.sli_s + 1)
                samples = await connection.fetch(_SAMPLES_SINCE, list(plan.slis), since)
        return _rows(moment, orders, counted, positions, samples, runs)

    async def changes(self, plan: Plan, term: Term, limits: Sequence[str], cursor: str) -> Rows:
        """What has come since the reading that gave `cursor`; some of it may have been there already."""
        async with self._reader.use() as connection:
            moment = await connection.fetchrow(_MOMENT, *_asked(plan, term, limits))
            since = moment["now"] - timedelta(seconds=plan.horizon_s + 1)
            orders = await connection.fetch(_ORDERS, cursor, since) if plan.orders else []
            positions = await connection.fetch(_POSITIONS, cursor) if plan.positions else []
            samples = await connection.fetch(_SAMPLES, cursor, list(plan.slis)) if plan.slis else []
        return _rows(moment, orders, [], positions, samples)


def _asked(plan: Plan, term: Term, limits: Sequence[str]) -> tuple[object, ...]:
    return term.holder, term.number, list(plan.incidents), [UUID(each) for each in limits]


def _rows(
    moment: Any,
    orders: Sequence[Any],
    counted: Sequence[Any],
    positions: Sequence[Any],
    samples: Sequence[Any],
    runs: Sequence[Any] = (),
) -> Rows:
    return Rows(
        now=moment["now"],
        cursor=moment["cursor"],
        holds=moment["holds"],
        incidents=frozenset(moment["incidents"] or ()),
        limits=frozenset(moment["limits"] or ()),
        lifted=frozenset(moment["lifted"] or ()),
        asked=frozenset(moment["asked"] or ()),
        orders=[SettledOrder(*row) for row in orders],
        runs=[SettledOrder(*row) for row in runs],
        counted=[CountedOrders(row["symbol"], row["at"], row["rejected"], row["settled"]) for row in counted],
        positions=[
            HeldPosition(row["symbol"], row["updated_at"], row["quantity"], row["max_quantity"])
            for row in positions
        ],
        samples=[
            SliSample(
                f"{row['sample_id']:020}",
                row["sli"],
                row["observed_at"],
                row["good"],
                row["total"],
                row["value"],
            )
            for row in samples
        ],
    )
