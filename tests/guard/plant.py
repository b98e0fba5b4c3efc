"""What a plant would have written, and a guard to read it: rows at moments of the database's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from cockpit.config import Settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import DeskSnapshot
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerReport
from cockpit.domain.triggers import Effect, Mode
from cockpit.guard.deeds import Phase
from cockpit.guard.service import Guard
from tests.authority.desk import until
from tests.trading_platform import Platform

BTC = BreakerId("instrument:BTC-USD")
EXECUTION = BreakerId("component:execution")
PATIENCE_S = 60.0
"""How long a busy machine may take for anything that is bound to come."""


@asynccontextmanager
async def running_guard(settings: Settings, login: str = "automation1") -> AsyncIterator[Guard]:
    guard, stop = Guard(settings, login), asyncio.Event()
    work = asyncio.create_task(guard.run(stop))
    try:
        await asyncio.wait_for(guard.acting.wait(), PATIENCE_S)
        yield guard
    finally:
        stop.set()
        await asyncio.wait_for(work, PATIENCE_S)


async def lasting_leases(platform: Platform) -> None:
    """From now on whoever takes or renews the guard's lease holds it for an hour, or until it is released: a
    machine that stands still for seconds costs nobody a term."""
    async with platform.connection() as owner:
        await owner.execute(
            "CREATE OR REPLACE FUNCTION lasting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " NEW.expires_at := clock_timestamp() + interval '1 hour'; RETURN NEW; END $$;"
            " CREATE TRIGGER lasting BEFORE INSERT ON guard_lease FOR EACH ROW EXECUTE FUNCTION lasting();"
            " CREATE TRIGGER lasting_on BEFORE UPDATE ON guard_lease FOR EACH ROW"
            " WHEN (NEW.renewed_at > OLD.renewed_at) EXECUTE FUNCTION lasting();"
            " UPDATE guard_lease SET expires_at = clock_timestamp() + interval '1 hour'"
            " WHERE expires_at > clock_timestamp()"
        )


async def now(platform: Platform) -> datetime:
    async with platform.connection() as owner:
        moment: datetime = await owner.fetchval("SELECT clock_timestamp()")
    return moment


async def orders(
    platform: Platform,
    count: int,
    *,
    at: datetime,
    every_s: float = 0.0,
    symbol: str = "BTC-USD",
    status: str = "filled",
    slippage: str | None = "0",
    latency_ms: float = 5.0,
    paper: bool = False,
    connection: Any = None,
) -> None:
    """`count` settled orders from `at` on."""
    rows = [
        (
            str(uuid4()),
            symbol,
            status,
            latency_ms,
            None if slippage is None or status == "rejected" else Decimal(slippage),
            paper,
            at + timedelta(seconds=number * every_s),
        )
        for number in range(count)
    ]
    insert = (
        "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, latency_ms, slippage, paper,"
        " updated_at) VALUES ($1, $2, 'buy', 1, $3, $4, $5, $6, $7)"
    )
    if connection is not None:
        await connection.executemany(insert, rows)
        return
    async with platform.connection("gateway") as gateway:
        await gateway.executemany(insert, rows)


async def sample(
    platform: Platform,
    sli: str,
    value: float | None = None,
    *,
    good: int = 1,
    total: int = 1,
    ago_s: float = 0.0,
) -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
            " VALUES ($1, $2, $3, $4, clock_timestamp() - make_interval(secs => $5))",
            sli,
            good,
            total,
            value,
            ago_s,
        )


async def position(platform: Platform, quantity: str, most: str, symbol: str = "BTC-USD") -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO positions (symbol, quantity, max_quantity) VALUES ($1, $2, $3)"
            " ON CONFLICT (symbol) DO UPDATE"
            " SET quantity = excluded.quantity, updated_at = clock_timestamp()",
            symbol,
            Decimal(quantity),
            Decimal(most),
        )


async def counters(platform: Platform, names: Iterable[BreakerId]) -> dict[BreakerId, int]:
    async with platform.redis_line() as line:
        return {name: int(await line.command("GET", f"trip:{name}") or 0) for name in names}


async def states(platform: Platform) -> dict[BreakerId, State]:
    store = platform.redis_store("monitor1")
    try:
        return {name: each.state for name, each in (await store.snapshot()).readings.items()}
    finally:
        await store.close()


async def becomes(platform: Platform, name: BreakerId, state: State, limit_s: float = PATIENCE_S) -> None:
    async def reached() -> bool:
        return (await states(platform))[name] is state

    await until(reached, limit_s)


async def firings(platform: Platform) -> list[Any]:
    async with platform.connection() as owner:
        rows: list[Any] = await owner.fetch("SELECT * FROM guard_firings ORDER BY fired_at, rule")
    return rows


async def fired(platform: Platform, rule: str, times: int = 1, limit_s: float = PATIENCE_S) -> list[Any]:
    """The rule's firings once there are `times` of them."""

    async def there() -> list[Any]:
        found = [row for row in await firings(platform) if row["rule"] == rule]
        return found if len(found) >= times else []

    return list(await until(there, limit_s))


async def desk(platform: Platform) -> DeskSnapshot:
    store = platform.postgres_store("monitor1")
    try:
        return await store.snapshot()
    finally:
        await store.close()


async def report(platform: Platform, rule: str) -> TriggerReport | None:
    guard = (await desk(platform)).guard
    found = [each for each in guard.reports if each.rule == rule] if guard else []
    return found[0] if found else None


async def read_anew(guard: Guard) -> None:
    """Until the guard has read all that was there before, judged it, and done and recorded what was due."""
    asked = time.monotonic()

    async def judged() -> bool:
        keeping = guard.watchkeeping
        if keeping is None or keeping._read_at <= asked:  # by when the reading was begun
            return False
        if keeping._thrown_away:  # something is due, and its reading had become old
            return False
        actions = keeping._actions
        ended = all(deed.phase not in (Phase.UNDER_WAY, Phase.DROPPED) for deed in actions.deeds.values())
        return ended and not actions._records

    await until(judged, PATIENCE_S)


async def settled(guard: Guard) -> None:
    """Until whatever was there before has been read, judged, done, recorded and published, and what the guard
    halted has been looked at."""
    asked = time.monotonic()
    await read_anew(guard)

    async def looked_at() -> bool:
        keeping = guard.watchkeeping
        assert keeping is not None
        blind = "redis" in keeping._faults or not any(
            rule.effect is Effect.TRIP and rule.mode is Mode.LIVE for rule, _ in keeping._lookout.latches
        )
        return blind or keeping._states_at > asked

    await until(looked_at, PATIENCE_S)
    await read_anew(guard)
    read = time.monotonic()

    async def published() -> bool:
        keeping = guard.watchkeeping
        return keeping is not None and keeping._renewed_at > read

    await until(published, PATIENCE_S)


def rules(folder: Path, *texts: str) -> Path:
    path = folder / "triggers.toml"
    path.write_text("\n".join(texts))
    return path
