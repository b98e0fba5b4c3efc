"""The plant's books in Postgres: orders, positions, ledger, automations, samples, reconciliations. Written in
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
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from cockpit.demo import ledger
from cockpit.demo.accounts import Account, Fill
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, Position
from cockpit.demo.slis import Sample

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 20_000
_PATIENCE_S: Final = 5.0

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
INSERT INTO sli_samples (sli, good, total, value, observed_at)
SELECT * FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::float8[], $5::timestamptz[])
"""
_RECONCILIATION: Final = """
INSERT INTO reconciliation_runs (kind, status, started_at, finished_at, mismatches, engine_seq, ledger_seq)
VALUES ('position', $1, $2, clock_timestamp(), $3::jsonb, $4, $5)
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What is held, its marks and the account, all of one moment."""

    positions: Mapping[str, Position]
    marks: Mapping[str, Decimal]
    account: Account


class Books:
    """`dsn` is the plant's own login. Everything raises `OSError` or `asyncpg.PostgresError` while away.

    `ledger_seq` is the last settled fill.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._orders: dict[str, Order] = {}
        self._automations: dict[str, Automation] = {}
        self._fills: list[Fill] = []
        self._oldest: datetime | None = None  # of the stored fills that are not settled
        self._reconciliations: list[tuple[object, ...]] = []
        self.ledger_seq = 0

    @property
    def waiting(self) -> int:
        """Orders whose last state is not in Postgres yet."""
        return len(self._orders)

    def settlement_lag_s(self) -> float:
        """Age of the oldest fill that the ledger has not posted; 0 without one."""
        oldest = self._oldest or next((fill.filled_at for fill in self._fills), None)
        return 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())

    def order(self, order: Order) -> None:
        """Note an order's newest state."""
        self._orders[order.order_id] = order
        if len(self._orders) > _MOST_WAITING:
            self._orders.pop(next(iter(self._orders)))

    def fill(self, fill: Fill) -> None:
        """Note a fill for the ledger."""
        self._fills.append(fill)
        if len(self._fills) > _MOST_WAITING:
            self._fills = ledger.coalesced(self._fills)

    def automations(self, rows: Sequence[Automation]) -> None:
        """Note the automations that changed."""
        self._automations |= {row.name: row for row in rows}

    def reconciled(
        self, mismatches: Sequence[Mapping[str, str]], started_at: datetime, engine_seq: int
    ) -> None:
        """Note one reconciliation of the venue's positions with these books."""
        status = "mismatch" if mismatches else "clean"
        self._reconciliations.append(
            (status, started_at, json.dumps(list(mismatches)), engine_seq, self.ledger_seq)
        )
        del self._reconciliations[:-100]

    async def load(self, prices: Mapping[str, Decimal]) -> Standing:
        """What an earlier run left; orders that it left behind are closed as cancelled."""
        connection = await self._connected()
        await connection.execute(_LEFT_OVER)
        opened = await ledger.load(connection, prices)
        self.ledger_seq, self._oldest = opened.ledger_seq, opened.oldest
        return Standing(opened.positions, opened.marks, opened.account)

    async def flush(self, standing: Standing, marks: bool = False) -> None:
        """Write what waits in one transaction; with fills, or where `marks` asks for it, the standing too."""
        orders, automations, runs = self._orders, self._automations, self._reconciliations
        fills = self._fills
        if not (orders or automations or runs or fills or marks):
            return
        # At once, before anything is awaited: the standing is of this moment, and so must be the fills.
        self._orders, self._automations, self._reconciliations, self._fills = {}, {}, [], []
        try:
            connection = await self._connected()
            async with asyncio.timeout(_PATIENCE_S), connection.transaction():
                if orders:
                    await connection.execute(_ORDERS, *_order_columns(list(orders.values())))
                if automations:
                    rows = automations.values()
                    await connection.execute(
                        _AUTOMATIONS, *_columns([(r.name, r.breaker_id, r.status, r.reason) for r in rows])
                    )
                if fills or marks:
                    await connection.execute(_POSITIONS, *_position_columns(standing))
                    await ledger.save(connection, standing.account)
                if fills:
                    await ledger.note(connection, fills)
                for run in runs:
                    await connection.execute(_RECONCILIATION, *run)
        except BaseException:
            self._orders = orders | self._orders
            self._automations = automations | self._automations
            self._reconciliations = runs + self._reconciliations
            self._fills = fills + self._fills
            self.drop()
            raise
        if fills:
            self._oldest = self._oldest or fills[0].filled_at

    async def settle(self, lag_s: float, double: int) -> int:
        """Post what was filled `lag_s` ago or earlier, the first `double` fills twice; how many were."""
        until = datetime.now(UTC) - timedelta(seconds=lag_s)
        if self._oldest is None or self._oldest > until:
            return 0
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            settled = await ledger.settle(connection, until, double)
        self.ledger_seq, self._oldest = settled.ledger_seq, settled.oldest
        return settled.doubled

    async def differences(self) -> dict[str, Decimal]:
        """Where ledger and positions differ, as they are stored."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            return await ledger.differences(connection)

    async def correct(self) -> None:
        """Make the ledger right again."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            await ledger.correct(connection)

    async def sample(self, samples: Sequence[Sample]) -> None:
        """Write SLI samples, in one statement."""
        connection = await self._connected()
        rows = [(each.sli, each.good, each.total, each.value, each.observed_at) for each in samples]
        async with asyncio.timeout(_PATIENCE_S):
            await connection.execute(_SAMPLES, *_columns(rows))

    async def prune(self) -> None:
        """Forget orders older than two hours."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            await connection.execute(_PRUNE)

    async def booked_quantities(self) -> dict[str, Decimal]:
        """The positions that the books hold, for reconciliation."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
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
    names = (
        "order_id symbol strategy side quantity price status reject_reason latency_ms slippage paper "
        "reduce_only placed_at updated_at"
    ).split()
    return _columns([tuple(getattr(order, name) for name in names) for order in orders])


def _position_columns(standing: Standing) -> list[list[object]]:
    return _columns(
        [
            (
                position.symbol,
                position.quantity,
                position.avg_price,
                standing.marks.get(position.symbol),
                LISTINGS[position.symbol].max_position,
            )
            for position in standing.positions.values()
        ]
    )
