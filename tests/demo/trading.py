"""A plant that trades on a test's platform, and what a test looks at it with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx

from backends.gateway import Gateway
from cockpit.demo.orders import OrderStatus, Side, new_order
from cockpit.demo.plant import Plant
from cockpit.demo.setup import free_port, run_sql
from cockpit.demo.venue import Venue
from tests.trading_platform import Platform

SAMPLES_S = 0.5


@dataclass
class Trading:
    platform: Platform
    plant: Plant
    gateway: Gateway
    http: httpx.AsyncClient
    db: Any

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        return list(await self.db.fetch(query, *arguments))

    async def now(self) -> Any:
        return await self.db.fetchval("SELECT clock_timestamp()")

    async def samples(self, sli: str, since: object = None) -> list[Any]:
        """The samples of one SLI, newest first."""
        return await self.fetch(
            "SELECT good, total, value, observed_at FROM sli_samples WHERE sli = $1"
            " AND observed_at > coalesce($2, '-infinity'::timestamptz) ORDER BY observed_at DESC",
            sli,
            since,
        )

    async def ledger_agrees(self) -> bool:
        """Whether balances and unsettled fills add up to positions and cash, by this test's own sums."""
        rows = await self.fetch(
            "SELECT p.symbol FROM positions AS p WHERE p.quantity <>"
            " coalesce((SELECT sum(quantity) FROM plant.balances AS b WHERE b.symbol = p.symbol), 0) +"
            " coalesce((SELECT sum(quantity) FROM plant.unsettled AS u WHERE u.symbol = p.symbol), 0)"
            " UNION ALL SELECT 'cash' FROM plant.account WHERE cash <>"
            " (SELECT sum(cash) FROM (SELECT cash FROM plant.balances UNION ALL"
            " SELECT cash FROM plant.unsettled) AS each)"
        )
        return not rows

    async def trip(self, breaker_id: str) -> None:
        async with self.platform.redis_line() as line:
            await line.command("INCR", f"trip:{breaker_id}")

    async def acked(self) -> dict[str, Any]:
        async with self.platform.redis_line() as line:
            raw = await line.command("GET", "gate:ack:plant")
        return dict(json.loads(raw)) if raw else {}


async def until(condition: Callable[[], Awaitable[object]], limit_s: float = 8) -> None:
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def trading_on(platform: Platform, seed: int = 7) -> AsyncIterator[Trading]:
    """A plant that has filled an order. It ends in order at the end of the block."""
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    url = f"http://127.0.0.1:{free_port()}"
    folder = platform.folder / "plant"
    settings = replace(
        platform.settings, gateway_url=url, run_results=folder / "runs", audit_logs=folder / "audit_logs"
    )
    plant = Plant(settings, seed, SAMPLES_S)
    async with (
        platform.connection() as db,
        Gateway(url) as gateway,
        httpx.AsyncClient(base_url=url, verify=False, trust_env=False) as http,
    ):
        made = Trading(platform, plant, gateway, http, db)
        since = await made.now()
        task = asyncio.create_task(plant.run())

        async def trades() -> bool:
            assert not task.done(), task
            return bool(
                await made.fetch(
                    "SELECT FROM recent_orders WHERE status = 'filled' AND placed_at > $1", since
                )
            )

        try:
            await until(trades)
            yield made
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def rest(venue: Venue, symbol: str, side: Side) -> str:
    """Put an order of 0.1 to rest at the venue, past the gate: its id. Unlike others it is never filled."""
    order = replace(
        new_order(symbol, side, Decimal("0.1"), "momentum"),
        status=OrderStatus.OPEN,
        price=venue.market.price(symbol),
    )
    due = venue.due
    venue.due = lambda: [each for each in due() if each.order_id != order.order_id]  # type: ignore[method-assign]
    venue.resting[order.order_id] = order
    return order.order_id
