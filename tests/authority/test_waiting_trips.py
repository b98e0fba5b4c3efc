"""Trips that Postgres has and Redis lacks, against everything that loosens by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backends.gate import Gate
from backends.signing import sign_command
from cockpit.authority.service import running_authority
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.kill import KILL_TARGET
from cockpit.domain.states import State
from tests.authority.budgets import gate_of
from tests.authority.desk import BTC, Desk, until
from tests.authority.test_kill import a_step, rows

LATEST = "18446744073709551615-18446744073709551615"  # after it the stream takes no entry


@asynccontextmanager
async def watched(gate: Gate) -> AsyncIterator[list[tuple[bool, State, State]]]:
    """What the gate says all the time: withdrawals, an order, global's own effect on another."""
    seen: list[tuple[bool, State, State]] = []

    stop = asyncio.Event()

    async def poll() -> None:
        while not stop.is_set():
            paid, order = await gate.withdrawals(), await gate.decide("BTC-USD")
            other = await gate.decide("ETH-USD")
            seen.append((paid.permitted, order.effective_state, other.effective_state))
            await asyncio.sleep(0.001)

    task = asyncio.create_task(poll())
    try:
        yield seen
    finally:
        stop.set()
        await task


async def audited(desk: Desk, *requests: Command) -> bool:
    async with desk.platform.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM audit_log WHERE event_id = ANY($1) AND action = 'CIRCUIT_BREAKER_TRIP'",
                [request.request_id for request in requests],
            )
            == len(requests)
        )


async def a_trip(desk: Desk, name: BreakerId) -> Command:
    target = "OPS-1" if name == WITHDRAWALS else None
    return await desk.command(
        Kind.TRIP, name, "admin1", epoch=None, reason="operational", target=target, checked=()
    )


@pytest.mark.parametrize("term", ["the same term", "a new term"])
async def test_no_grant_is_reissued_past_a_trip_that_waits(desk: Desk, term: str) -> None:
    # I1, I18, F9: Redis was away and restarts cleanly; nothing that was tripped meanwhile is given back
    async with gate_of(desk) as gate:
        async with running_authority(desk.settings):
            await desk.becomes(GLOBAL, State.CLOSED)
            await desk.becomes(WITHDRAWALS, State.CLOSED)
            trips = [await a_trip(desk, name) for name in (WITHDRAWALS, BTC)]
            if term == "the same term":
                await asyncio.to_thread(desk.platform.valkey.stop)
                for trip in trips:
                    await desk.send(trip)
                async with watched(gate) as seen:
                    await asyncio.to_thread(desk.platform.valkey.start)
                    await until(lambda: audited(desk, *trips))
                    await desk.becomes(GLOBAL, State.CLOSED)
        if term == "a new term":
            await asyncio.to_thread(desk.platform.valkey.stop)
            for trip in trips:
                await desk.send(trip)
            await asyncio.to_thread(desk.platform.valkey.start)
            async with watched(gate) as seen, running_authority(desk.settings):
                await until(lambda: audited(desk, *trips))
                await desk.becomes(GLOBAL, State.CLOSED)
    assert seen and not any(paid or order is State.CLOSED for paid, order, _ in seen)


async def test_a_waiting_trip_of_global_holds_everything_below_it(desk: Desk) -> None:  # I1, I18
    async with running_authority(desk.settings), gate_of(desk) as gate:
        await desk.becomes(GLOBAL, State.CLOSED)
        trip = await a_trip(desk, GLOBAL)
        await asyncio.to_thread(desk.platform.valkey.stop)
        await desk.send(trip)
        async with watched(gate) as seen:
            await asyncio.to_thread(desk.platform.valkey.start)
            await until(lambda: audited(desk, trip))
            await desk.becomes(BTC, State.CLOSED)  # its own grant, under what is halted
        assert not any(State.CLOSED in (order, other) for _, order, other in seen)
        assert await desk.state(GLOBAL) is State.OPEN


async def test_the_genesis_grant_waits_for_a_trip(desk: Desk) -> None:  # I1, I18
    trip = await a_trip(desk, BTC)
    await desk.send(trip)
    async with gate_of(desk) as gate, watched(gate) as seen, running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        await until(lambda: audited(desk, trip))
        assert await desk.state(BTC) is State.OPEN
    assert not any(order is State.CLOSED for _, order, _ in seen)


async def test_a_trip_whose_event_was_lost_is_known_by_its_record(desk: Desk) -> None:
    # I8, I20: Redis counted it, the stream took nothing, its cockpit put it into the inbox too
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
    async with desk.platform.redis_line() as line:
        await line.command("XADD", "circuit_breaker:events", LATEST, "a", "b")
    command = await desk.command(
        Kind.TRIP, GLOBAL, "admin1", epoch=None, reason=KILL_TARGET, target=KILL_TARGET, checked=()
    )
    store = desk.platform.redis_store("admin1")
    await store.connect()
    receipt = await store.trip(
        GLOBAL, sign_command(command, desk.platform.keys["admin1"]), command.request_id
    )
    await store.close()
    assert not receipt.event_delivered
    await desk.send(command)
    async with running_authority(desk.settings):
        await until(lambda: audited(desk, command))
        step = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=a_step(command.request_id), checked=())
        assert step.status == "done", step.message
        assert len(await rows(desk, "kill_switches")) == 1
        assert [each["source"] for each in await rows(desk, "incidents")] == ["kill"]  # no stranger's
        epoch = await desk.epoch(GLOBAL)
        assert epoch == receipt.epoch  # it was not tripped once more
