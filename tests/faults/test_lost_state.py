"""A Redis that was emptied, rolled back or replaced, with a trip in between (F1, F2)."""

from __future__ import annotations

import asyncio

import pytest

from cockpit.authority.service import running_authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, Desk, until


async def _grants(desk: Desk) -> None:
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.becomes(BTC, State.CLOSED)


async def _restored(desk: Desk) -> None:
    row = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
    assert row.status == "done", row.message


async def test_a_trip_after_a_loss_is_not_restored_away(desk: Desk) -> None:  # I1, I8, F1
    """Emptied and tripped while no authority looked: the trip counts from 1, below what is known."""
    await _grants(desk)
    async with running_authority(desk.settings):
        await desk.trip(BTC)
        assert (await desk.resume(BTC)).status == "done"
        await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")
    async with desk.platform.redis_line("operator1") as line:
        await line.command("INCR", f"trip:{BTC}")
    async with running_authority(desk.settings):
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
        await _restored(desk)
        assert await desk.state(BTC) is State.OPEN
        assert await desk.state(ETH) is State.CLOSED


async def test_a_counter_that_counted_up_to_the_known_one_again_is_no_grant(desk: Desk) -> None:  # I1, I2, F1
    await _grants(desk)
    before = await desk.epoch(BTC)
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")
        for name in desk.platform.catalogue.ids:
            await line.command("INCR", f"trip:{name}")
    assert (await desk.epoch(BTC)) == before
    async with running_authority(desk.settings):

        async def noticed() -> bool:
            return "STATE_LOSS_DETECTED" in await desk.actions("global")

        await until(noticed)
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
        assert (await desk.epoch(BTC)).counter > before.counter
        await _restored(desk)
        assert await desk.state(BTC) is State.OPEN


@pytest.mark.parametrize("again", ["same", "restart"])
async def test_a_trip_before_a_doubtful_restart_is_not_restored_away(
    desk: Desk, again: str
) -> None:  # I1, F2
    """A server that need not have kept everything: nothing is re-issued by itself, and a restore stops at
    the trip that nobody had audited yet."""
    await _grants(desk)
    async with desk.platform.redis_line("operator1") as line:
        await line.command("INCR", f"trip:{BTC}")
    await asyncio.to_thread(desk.platform.valkey.restart)
    try:
        async with desk.platform.redis_line() as line:
            await line.command("CONFIG", "SET", "appendfsync", "everysec")
        async with running_authority(desk.settings):
            await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
            assert await desk.state(ETH) is State.OPEN  # not by itself
            await _restored(desk)
            assert await desk.state(BTC) is State.OPEN
            assert await desk.state(ETH) is State.CLOSED
            if again == "restart":
                await desk.trip(ETH)
                await asyncio.to_thread(desk.platform.valkey.restart)
                await desk.becomes(GLOBAL, State.CLOSED, 15)
                assert {await desk.state(BTC), await desk.state(ETH)} == {State.OPEN}
    finally:
        async with desk.platform.redis_line() as line:
            await line.command("CONFIG", "SET", "appendfsync", "always")


async def test_a_trip_and_a_hand_written_key_at_once_are_both_answered(desk: Desk) -> None:  # I2, I22
    """The mirror of the trip must not wipe out the value before it was audited."""
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        before = await desk.epoch(GLOBAL)
        async with desk.platform.redis_line("admin1") as line:
            await line.exchange(
                ("INCR", "trip:global"), ("SET", "circuit_breaker:state", '{"state":"TRIPPED"}')
            )

        async def audited() -> bool:
            return "UNAUDITED_CHANGE" in await desk.actions("global")

        await until(audited, 3)
        assert (await desk.epoch(GLOBAL)).counter == before.counter + 2
