"""The plant's books in Postgres: orders, positions, automations, samples, reconciliations. Written in
batches.

Nothing here holds up an order: while Postgres is away, what is to be written waits in memory (of an order
only its last state), and is written once it is back.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import asyncpg

from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, OrderStatus, Position

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 20_000
_FINAL: Final = frozenset({OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.CANCELLED})

_ORDERS: Final = """
INSERT INTO recent_orders (order_id, symbol, strategy, side, quantity, price, status, reject_reason,
latency_ms,
                           slippage, paper, reduce_only, placed_at, updated_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::numeric[], $7::text[],
                     $8::text[], $9::float8[], $10::numeric[], $11::bool[], $12::bool[], $13::timestamptz[],
                     $14::timestamptz[])
ON CONFLICT (order_id) DO UPDATE
SET status = excluded.status, quantity = excluded.quantity, price = excluded.price,
    reject_reason = excluded.reject_reason, latency_ms = excluded.latency_ms, slippage = excluded.slippage,
    updated_at = excluded.updated_at
"""
_POSITIONS: Final = """
INSERT INTO positions (symbol, quantity, avg_price, mark_price, max_quantity, updated_at)
SELECT *, clock_timestamp() FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::numeric[],
$5::numeric[]) ON CONFLICT (symbol) DO UPDATE SET quantity = excluded.quantity, avg_price =
excluded.avg_price, mark_price = excluded.mark_price,
    max_quantity = excluded.max_quantity, updated_at = excluded.updated_at
"""
_AUTOMATIONS: Final = """
INSERT INTO automations (name, breaker_id, status, reason)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
ON CONFLICT (name) DO UPDATE
SET breaker_id = excluded.breaker_id, status = excluded.status, reason = excluded.reason,
    updated_at = clock_timestamp()
"""
_SAMPLES: Final = """
INSERT INTO sli_samples (sli, good, total, value)
SELECT sli, good, total, good / total FROM unnest($1::text[], $2::numeric[], $3::numeric[]) AS s (sli, good,
total) WHERE total > 0
"""
_RECONCILIATION: Final = """
INSERT INTO reconciliation_runs (kind, status, started_at, finished_at, mismatches)
VALUES ('position', $1, clock_timestamp(), clock_timestamp(), $2::jsonb)
"""
_PRUNE: Final = """
DELETE FROM recent_orders WHERE order_id IN (
    SELECT order_id FROM recent_orders WHERE placed_at < clock_timestamp() - interval '2 hours' LIMIT 5000)
"""
_LEFT_OVER: Final = """
UPDATE recent_orders SET status = 'cancelled', reject_reason = 'the plant restarted', updated_at =
clock_timestamp() WHERE status IN ('new', 'open')
"""


@dataclass(frozen=True, slots=True)
class Automation:
    """One row of `automations`: `status` is `running` or `paused_risk`."""

    name: str
    breaker_id: str
    status: str
    reason: str | None


class Books:
    """`dsn` is the plant's own login. Everything raises `OSError` or `asyncpg.PostgresError` while away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._orders: dict[str, Order] = {}
        self._automations: dict[str, Automation] = {}
        self._settled = {"order_success": [0, 0], "latency": [0, 0]}
        self._reconciliations: list[tuple[str, str]] = []

    def order(self, order: Order) -> None:
        """Note an order's newest state."""
        self._orders[order.order_id] = order
        if len(self._orders) > _MOST_WAITING:
            self._orders.pop(next(iter(self._orders)))
        if order.status in _FINAL and order.status is not OrderStatus.CANCELLED and not order.paper:
            success, latency = self._settled["order_success"], self._settled["latency"]
            success[0] += order.status is OrderStatus.FILLED
            latency[0] += (order.latency_ms or 0.0) <= 300
            success[1] += 1
            latency[1] += 1

    def automations(self, rows: Sequence[Automation]) -> None:
        """Note the automations that changed."""
        self._automations |= {row.name: row for row in rows}

    def reconciled(self, mismatches: Sequence[Mapping[str, str]]) -> None:
        """Note one reconciliation of the venue's positions with these books."""
        self._reconciliations.append(("mismatch" if mismatches else "clean", json.dumps(list(mismatches))))
        del self._reconciliations[:-100]

    async def load(self) -> dict[str, Position]:
        """Positions as an earlier run left them; orders that it left behind are closed as cancelled."""
        connection = await self._connected()
        await connection.execute(_LEFT_OVER)
        rows = await connection.fetch("SELECT symbol, quantity, avg_price FROM positions")
        return {
            row["symbol"]: Position(row["symbol"], row["quantity"], row["avg_price"])
            for row in rows
            if row["symbol"] in LISTINGS
        }

    async def flush(self, positions: Mapping[str, Position] | None, prices: Mapping[str, Decimal]) -> None:
        """Write what waits, and the positions where given, in one transaction."""
        orders, automations, runs = self._orders, self._automations, self._reconciliations
        if not (orders or automations or runs or positions):
            return
        connection = await self._connected()
        self._orders, self._automations, self._reconciliations = {}, {}, []
        try:
            async with asyncio.timeout(5), connection.transaction():
                if orders:
                    await connection.execute(_ORDERS, *_order_columns(list(orders.values())))
                if automations:
                    rows = automations.values()
                    await connection.execute(
                        _AUTOMATIONS, *_columns([(r.name, r.breaker_id, r.status, r.reason) for r in rows])
                    )
                if positions:
                    await connection.execute(_POSITIONS, *_position_columns(positions, prices))
                for status, mismatches in runs:
                    await connection.execute(_RECONCILIATION, status, mismatches)
        except BaseException:
            self._orders = orders | self._orders
            self._automations = automations | self._automations
            self._reconciliations = runs + self._reconciliations
            self.drop()
            raise

    async def sample(self) -> None:
        """Write the SLI samples since the last ones, and forget orders older than two hours."""
        connection = await self._connected()
        settled, self._settled = self._settled, {name: [0, 0] for name in self._settled}
        names, good, total = list(settled), [], []
        for name in names:
            good.append(Decimal(settled[name][0]))
            total.append(Decimal(settled[name][1]))
        async with asyncio.timeout(5):
            await connection.execute(_SAMPLES, names, good, total)
            await connection.execute(_PRUNE)

    async def booked_quantities(self) -> dict[str, Decimal]:
        """The positions that the books hold, for reconciliation."""
        connection = await self._connected()
        async with asyncio.timeout(5):
            rows = await connection.fetch("SELECT symbol, quantity FROM positions")
        return {row["symbol"]: row["quantity"] for row in rows}

    def drop(self) -> None:
        """Give the connection up at once; the next use makes another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)
            self._connection = None

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn, timeout=3, command_timeout=5, server_settings={"application_name": "plant"}
            )
        return self._connection


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _order_columns(orders: Sequence[Order]) -> list[list[object]]:
    return _columns(
        [
            (
                order.order_id,
                order.symbol,
                order.strategy,
                order.side.value,
                order.quantity,
                order.price,
                order.status.value,
                order.reject_reason,
                order.latency_ms,
                order.slippage,
                order.paper,
                order.reduce_only,
                order.placed_at,
                order.updated_at,
            )
            for order in orders
        ]
    )


def _position_columns(positions: Mapping[str, Position], prices: Mapping[str, Decimal]) -> list[list[object]]:
    return _columns(
        [
            (
                position.symbol,
                position.quantity,
                position.avg_price,
                prices.get(position.symbol),
                LISTINGS[position.symbol].max_position,
            )
            for position in positions.values()
        ]
    )
