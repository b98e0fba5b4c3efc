"""A plant that trades on a test's platform, and what a test looks at it with."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from backends.gateway import Gateway
from cockpit.demo.accounts import Account
from cockpit.demo.orders import OrderStatus, Side, new_order
from cockpit.demo.plant import Plant
from cockpit.demo.setup import run_sql
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

    async def ordinary(self) -> None:
        """Until the gateway finds nothing wrong with itself: a busy machine makes it slow at times."""

        async def healthy() -> bool:
            return (await self.gateway.health()).healthy

        await until(healthy)

    async def halted(self, breaker_id: str = "global") -> None:
        """Trip it. Then no order of what it halts adds risk any more, none is on its way, and none rests."""
        await self.trip(breaker_id)
        symbol = breaker_id.partition(":")[2]

        async def acknowledged() -> bool:
            resting = [each for each in self.plant.venue.resting.values() if symbol in ("", each.symbol)]
            return bool((await self.acked())["epochs"].get(breaker_id, 0) >= 2 and not resting)

        await until(acknowledged)


PATIENCE_S = 60.0
"""How long a busy machine may take for anything that is bound to come."""
GATE_S = 0.25
"""In service; on a busy machine a Redis that is there may take longer."""
TODAY = datetime.now(UTC).date()


async def until(condition: Callable[[], Awaitable[object]], limit_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(limit_s):
        while not await condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def trading_on(platform: Platform, seed: int = 7, gate_s: float = GATE_S) -> AsyncIterator[Trading]:
    """A plant that has filled an order and taken its first samples. It ends in order at the end of the block;
    its account's day does not end before that. Its gate takes Redis for away after `gate_s`."""
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    with reserved_port() as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Account, "valued", _valued_today)
        async with _trading_at(f"http://127.0.0.1:{port}", platform, seed, gate_s) as made:
            yield made


_valued = Account.valued


def _valued_today(account: Account, equity: Decimal, day: date) -> Account:
    return _valued(account, equity, TODAY)


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else on the machine gets; who is told of it can listen there."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(("127.0.0.1", 0))  # and never listens
        yield own.getsockname()[1]


@asynccontextmanager
async def _trading_at(url: str, platform: Platform, seed: int, gate_s: float) -> AsyncIterator[Trading]:
    folder = platform.folder / "plant"
    settings = replace(
        platform.settings, gateway_url=url, run_results=folder / "runs", audit_logs=folder / "audit_logs"
    )
    plant = Plant(settings, seed, SAMPLES_S)
    plant.gate._timeout_s = gate_s
    async with (
        platform.connection() as db,
        Gateway(url, PATIENCE_S) as gateway,
        httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=PATIENCE_S) as http,
    ):
        made = Trading(platform, plant, gateway, http, db)
        since = await made.now()
        task = asyncio.create_task(plant.run())

        async def trades() -> bool:
            assert not task.done(), task
            filled = "SELECT FROM recent_orders WHERE status = 'filled' AND placed_at > $1"
            measured = (
                "SELECT FROM sli_samples WHERE observed_at > $1 AND sli IN ('signal_latency_p99_ms',"
                " 'settlement_lag_s', 'invariant_violations') GROUP BY sli"
            )
            return bool(await made.fetch(filled, since)) and len(await made.fetch(measured, since)) == 3

        try:
            await until(trades)
            yield made
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def rest(venue: Venue, symbol: str, side: Side, kept: bool = False) -> str:
    """Put an order of 0.1 to rest at the venue, past the gate: its id. Unlike others it is never filled.
    `kept`: nor cancelled because something is halted, for which the plant looks four times a second."""
    order = replace(
        new_order(symbol, side, Decimal("0.1"), "momentum"),
        status=OrderStatus.OPEN,
        price=venue.market.price(symbol),
    )
    due = venue.due
    venue.due = lambda: [each for each in due() if each.order_id != order.order_id]  # type: ignore[method-assign]
    if kept:
        cancel = venue.try_cancel
        venue.try_cancel = lambda order_id, why: (  # type: ignore[method-assign]
            None if (order_id, why) == (order.order_id, "halted") else cancel(order_id, why)
        )
    venue.resting[order.order_id] = order
    return order.order_id
