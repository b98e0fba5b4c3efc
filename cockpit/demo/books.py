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
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import asyncpg

from cockpit.demo import book_rows, daily_bars, ledger
from cockpit.demo.accounts import Account, Fill
from cockpit.demo.daily_bars import Today
from cockpit.demo.drift import Drift
from cockpit.demo.idempotency import Answers
from cockpit.demo.orders import Order, Position
from cockpit.demo.reconciling import BooksView, Run, read_books
from cockpit.demo.slis import Sample
from cockpit.demo.upkeep import QualityCycle
from cockpit.demo.venue_record import VenueReport

_log = logging.getLogger(__name__)
_MOST_WAITING: Final = 20_000
_MOST_RUNS: Final = 1_200
_PATIENCE_S: Final = 5.0


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
        self._reconciliations: list[Run] = []
        self._drift = Drift()
        self._merged_seq = 0
        self.ledger_seq = 0
        self.answers = Answers()

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
        if self._drift.keeps_order(order):
            return
        self._orders[order.order_id] = order
        if len(self._orders) > _MOST_WAITING:
            self._orders.pop(next(iter(self._orders)))

    def fill(self, fill: Fill) -> None:
        """Note a fill for the ledger."""
        if self._drift.keeps_fill(fill):
            return
        self._fills.append(fill)
        if len(self._fills) > _MOST_WAITING:
            self._merged_seq = fill.seq
            self._fills = ledger.coalesced(self._fills)

    def automations(self, rows: Sequence[Automation]) -> None:
        """Note the automations that changed."""
        self._automations |= {row.name: row for row in rows}

    def lose(self, orders: int, fills: int) -> None:
        """From now on so many of the venue's next messages never arrive. 0 brings those that were lost."""
        found_orders, found_fills = self._drift.lose(orders, fills)
        self._orders = {order.order_id: order for order in found_orders} | self._orders
        self._fills = sorted([*self._fills, *found_fills], key=lambda fill: fill.seq)

    def reconciled(self, runs: Sequence[Run]) -> None:
        """Note the runs of one reconciliation."""
        self._reconciliations += runs
        del self._reconciliations[:-_MOST_RUNS]

    async def load(self, prices: Mapping[str, Decimal]) -> Standing:
        """What an earlier run left; orders that it left behind are closed as cancelled, fills are settled."""
        connection = await self._connected()
        await connection.execute(book_rows.LEFT_OVER)
        await self.answers.load(connection)
        opened = await ledger.load(connection, prices)
        self.ledger_seq, self._oldest = opened.ledger_seq, opened.oldest
        await self.settle(0, 0)  # the time in which nothing ran is no lag of this run's
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
                    await connection.execute(
                        book_rows.ORDERS, *book_rows.order_columns(list(orders.values()))
                    )
                if automations:
                    rows = automations.values()
                    await connection.execute(
                        book_rows.AUTOMATIONS,
                        *book_rows.columns([(r.name, r.breaker_id, r.status, r.reason) for r in rows]),
                    )
                if fills or marks:
                    await connection.execute(
                        book_rows.POSITIONS, *book_rows.position_columns(standing.positions, standing.marks)
                    )
                    await ledger.save(connection, standing.account)
                if fills:
                    await ledger.note(connection, fills)
                if runs:
                    await connection.execute(
                        book_rows.RECONCILIATIONS,
                        *book_rows.columns([book_rows.run_row(run) for run in runs]),
                    )
        except BaseException:
            self._orders = orders | self._orders
            self._automations = automations | self._automations
            self._reconciliations = runs + self._reconciliations
            self._fills = fills + self._fills
            self.drop()
            raise
        if fills:
            self._oldest = self._oldest or fills[0].filled_at

    async def keep_answers(self) -> None:
        """Write what was answered under idempotency keys."""
        if not self.answers.unsaved:
            return
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            await self.answers.save(connection)

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
            await connection.execute(book_rows.SAMPLES, *book_rows.columns(rows))

    async def prune(self) -> None:
        """Forget orders older than two hours."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            await connection.execute(book_rows.PRUNE)
            await ledger.prune(connection)

    async def view(self, report: VenueReport) -> BooksView:
        """The books as they are stored, for reconciliation with the venue's report."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            return await read_books(connection, report, self.ledger_seq, self._merged_seq)

    async def daily(self, today: Today, day: date, withheld: int) -> tuple[Mapping[str, int], int]:
        """Write today's bars and ask for the days that are missing; what each instrument lacks after that,
        and how many days were given."""
        connection = await self._connected()
        async with asyncio.timeout(_PATIENCE_S):
            await today.write(connection)
            given = await daily_bars.complete(connection, day, withheld)
            return await daily_bars.missing_days(connection, day), given

    async def quality(self, cycle: QualityCycle) -> None:
        """Write one quality cycle."""
        connection = await self._connected()
        details = json.dumps(cycle.details)
        row = (cycle.started_at, cycle.status, cycle.error_count, len(cycle.stale), details)
        async with asyncio.timeout(_PATIENCE_S):
            await connection.execute(book_rows.QUALITY, *row)

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
