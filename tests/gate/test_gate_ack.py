"""The acknowledgement: published only once no order of an older epoch is in flight (I14)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from backends.gate import Gate
from backends.gate_ack import GateAck, InFlight
from backends.signing import canonical
from cockpit.demo.servers import Valkey
from cockpit.domain.states import State
from tests.gate.documents import BTC, CATALOGUE, Author

KEY = "gate:ack:plant"


async def acked(redis: Redis) -> dict[str, object]:
    raw = await redis.get(KEY)
    fields: dict[str, object] = json.loads(raw) if raw else {}
    assert raw is None or raw == canonical(fields)
    return fields


async def until(redis: Redis, condition: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    async with asyncio.timeout(60):
        while not condition(fields := await acked(redis)):
            await asyncio.sleep(0.005)
    return fields


@pytest.fixture
async def flight(redis: Redis, author: Author) -> AsyncIterator[InFlight]:
    await author.close_all()
    flight = InFlight()
    task = asyncio.create_task(GateAck(redis, "plant", CATALOGUE, flight).run())
    yield flight
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def counter(fields: dict[str, object]) -> int:
    epochs = fields.get("epochs")
    return int(epochs[BTC]) if isinstance(epochs, dict) else 0


async def test_publishes_all_epochs_and_renews(redis: Redis, author: Author, flight: InFlight) -> None:
    first = await until(redis, lambda fields: bool(fields))
    assert first.keys() == {"gateway", "run_id", "epochs", "acked_at"}
    assert (first["gateway"], first["run_id"]) == ("plant", author.run_id)
    assert first["epochs"] == {str(name): 1 for name in CATALOGUE.ids}
    await until(redis, lambda fields: fields["acked_at"] != first["acked_at"])


async def test_trip_is_acknowledged_with_and_without_an_event(redis: Redis, flight: InFlight) -> None:  # I14
    await until(redis, lambda fields: counter(fields) == 1)
    await redis.execute_command("INCR", f"trip:{BTC}")
    await until(redis, lambda fields: counter(fields) == 2)
    await redis.execute_command("INCR", f"trip:{BTC}")
    await redis.xadd("circuit_breaker:events", {"kind": "TRIP"})
    await until(redis, lambda fields: counter(fields) == 3)
    await redis.delete("circuit_breaker:events")
    await redis.set("circuit_breaker:events", "not a stream")
    await redis.execute_command("INCR", f"trip:{BTC}")
    await until(redis, lambda fields: counter(fields) == 4)


async def test_older_order_in_flight_holds_it_back(
    redis: Redis, author: Author, flight: InFlight
) -> None:  # I14
    gate = Gate(redis, CATALOGUE, author.keys, timeout_s=60)
    await until(redis, lambda fields: counter(fields) == 1)
    with flight.order():
        assert (await gate.decide("BTC-USD")).effective_state is State.CLOSED
        await redis.execute_command("INCR", f"trip:{BTC}")
        for _ in range(30):  # many times over what it needs once it is free
            await redis.ping()
            await asyncio.sleep(0.02)
            assert counter(await acked(redis)) == 1
    await until(redis, lambda fields: counter(fields) == 2)


async def test_later_orders_do_not_hold_it_back(redis: Redis, flight: InFlight) -> None:
    await until(redis, lambda fields: counter(fields) == 1)
    older, newer = flight.order(), flight.order()
    older.__enter__()
    draining = asyncio.create_task(flight.drained())
    await asyncio.sleep(0)
    newer.__enter__()
    older.__exit__(None, None, None)
    await asyncio.wait_for(draining, 60)
    assert len(flight) == 1
    newer.__exit__(None, None, None)


async def test_comes_back_after_a_restart(redis: Redis, gate_server: Valkey, flight: InFlight) -> None:  # F1
    before = await until(redis, lambda fields: bool(fields))
    gate_server.kill()
    gate_server.start()
    await redis.connection_pool.disconnect()
    await until(redis, lambda fields: fields.get("run_id") not in (None, before["run_id"]))


async def test_a_switch_is_acknowledged_once_it_was_set(
    redis: Redis, author: Author, flight: InFlight
) -> None:
    """I14, for modes: no order of an older epoch is in flight. Those never set would only swell the value."""
    await until(redis, lambda fields: bool(fields))
    with flight.order():
        await redis.incr("trip:hard_halt:BTC-USD")
        await asyncio.sleep(0)
        assert "hard_halt:BTC-USD" not in (await acked(redis))["epochs"]  # type: ignore[operator]
    fields = await until(redis, lambda fields: "hard_halt:BTC-USD" in fields["epochs"])  # type: ignore[operator]
    assert fields["epochs"] == {**{str(name): 1 for name in CATALOGUE.ids}, "hard_halt:BTC-USD": 2}
