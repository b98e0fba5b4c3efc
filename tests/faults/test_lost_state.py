"""A Redis that was emptied, rolled back or replaced, with a trip in between (F1, F2)."""

from __future__ import annotations

import asyncio

import pytest

from cockpit.authority.service import running_authority
from cockpit.demo.servers import Valkey
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, Desk, until
from tests.authority.test_clocks_and_servers import follow


async def _grants(desk: Desk) -> None:
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.becomes(BTC, State.CLOSED)


async def _restored(desk: Desk) -> None:
    row = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
    assert row.status == "done", row.message


async def _loss_noticed(desk: Desk) -> None:
    async def noticed() -> bool:
        return "STATE_LOSS_DETECTED" in await desk.actions("global")

    await until(noticed)


async def test_a_trip_after_a_loss_is_not_restored_away(desk: Desk) -> None:  # I1, I8, F1
    """Emptied and tripped at once: the trip counts from 1, below what is known."""
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.resume(BTC)).status == "done"
        await desk.becomes(BTC, State.CLOSED)
        async with desk.platform.redis_line() as owner, desk.platform.redis_line("operator1") as operator:
            await owner.command("FLUSHALL")
            await operator.command("INCR", f"trip:{BTC}")
        await _loss_noticed(desk)
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
        await _restored(desk)
        assert await desk.state(BTC) is State.OPEN
        assert await desk.state(ETH) is State.CLOSED


async def test_what_was_lost_while_nobody_watched_is_not_restored(desk: Desk) -> None:  # I1, F1
    """A trip that no authority saw went with the rest: its breaker must not come back with the others."""
    await _grants(desk)
    async with desk.platform.redis_line("operator1") as line:
        await line.command("INCR", f"trip:{BTC}")
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")
    async with running_authority(desk.settings):
        await _loss_noticed(desk)
        await _restored(desk)
        assert {await desk.state(name) for name in (GLOBAL, BTC, ETH)} == {State.OPEN}
        async with desk.platform.connection() as connection:
            incident = await connection.fetchval("SELECT incident_id::text FROM incidents")
        await desk.ask(Kind.ACKNOWLEDGE, GLOBAL, "admin1", target=incident)
        asked = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
        assert asked.status == "awaiting_approval", asked.message
        approved = await desk.ask(Kind.APPROVE, GLOBAL, "admin2", target=asked.request_id)
        assert approved.status == "done", approved.message
        await desk.run_status(await desk.probe(GLOBAL, "admin1"), "passed")
        closed = await desk.ask(Kind.CLOSE, GLOBAL, "admin1")
        assert closed.status == "done", closed.message
        await desk.becomes(GLOBAL, State.CLOSED)  # the procedure is open


async def test_with_replicas_no_restart_is_taken_for_the_same_server(desk: Desk) -> None:  # I1, F2
    """A replica that was promoted and restarted says nothing of it; so nothing is re-issued by itself."""
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        with Valkey(desk.platform.folder / "replica") as replica:
            await follow(replica, desk.platform.valkey)
            async with desk.platform.connection() as connection:

                async def seen() -> bool:
                    return bool(
                        await connection.fetchval(
                            "SELECT (status ->> 'replicated')::boolean FROM authority_lease"
                        )
                    )

                await until(seen)
        await asyncio.to_thread(desk.platform.valkey.restart)
        await _loss_noticed(desk)
        assert await desk.state(GLOBAL) is State.OPEN
        await _restored(desk)
        assert await desk.state(GLOBAL) is State.CLOSED


async def test_a_counter_that_counted_up_to_the_known_one_again_is_no_grant(desk: Desk) -> None:  # I1, I2, F1
    await _grants(desk)
    before = await desk.epoch(BTC)
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")
        for name in desk.platform.catalogue.everything:
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
    the trip that was made right before."""
    valkey = desk.platform.valkey
    try:
        async with running_authority(desk.settings):
            await desk.becomes(GLOBAL, State.CLOSED)
            await desk.becomes(BTC, State.CLOSED)
            valkey.settings = {**valkey.settings, "appendfsync": "everysec"}
            async with desk.platform.redis_line("operator1") as line:
                await line.command("INCR", f"trip:{BTC}")
            await asyncio.to_thread(valkey.restart)
            await _loss_noticed(desk)
            await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
            assert await desk.state(ETH) is State.OPEN  # not by itself
            await _restored(desk)
            assert await desk.state(BTC) is State.OPEN
            assert await desk.state(ETH) is State.CLOSED
            if again == "restart":
                valkey.settings = {**valkey.settings, "appendfsync": "always"}
                await desk.trip(ETH)
                await asyncio.to_thread(valkey.restart)
                await desk.becomes(GLOBAL, State.CLOSED)
                assert {await desk.state(BTC), await desk.state(ETH)} == {State.OPEN}
    finally:
        valkey.settings = {**valkey.settings, "appendfsync": "always"}
        await asyncio.to_thread(valkey.restart)


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

        await until(audited)
        assert (await desk.epoch(GLOBAL)).counter == before.counter + 2
