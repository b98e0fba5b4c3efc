"""A command is sent once, and a reply reaches nobody but who asked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from backends.fast_trip import FastTrip
from backends.redis_connection import Line
from backends.redis_store import RedisStore
from backends.signing import SigningKey
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import StoreUnreachable
from tests.stores.conftest import RedisDesk
from tests.stores.redis_documents import close_everything, signed_trip

BTC = BreakerId("instrument:BTC-USD")
PERSON = SigningKey.generate()


async def test_cancelled_exchanges_cross_no_replies(desk: RedisDesk, owner: Line) -> None:  # F4
    """Forty askers share one connection while others are cancelled at random moments."""
    for number in range(40):
        await owner.command("SET", f"trip:strategy:s{number}", f"{number}" * 50)
    line = Line(desk.url("monitor1"))
    chance = random.Random(20_240)
    answered = cancelled = 0

    async def ask(number: int) -> None:
        nonlocal answered
        keys = (f"trip:strategy:s{number}", f"trip:strategy:s{(number + 1) % 40}")
        replies = await line.exchange(("GET", keys[0]), ("PING",), ("GET", keys[1]))
        assert replies == [f"{number}".encode() * 50, b"PONG", f"{(number + 1) % 40}".encode() * 50]
        answered += 1

    for _ in range(60):
        tasks = [asyncio.create_task(ask(number)) for number in range(40)]
        unlucky = [task for number, task in enumerate(tasks) if number % 4]  # the others await their answers
        while not all(task.done() for task in unlucky):
            for _turn in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task = chance.choice(unlucky)
            cancelled += task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), asyncio.CancelledError}
    await line.close()
    assert answered >= 60 * 10
    assert cancelled > 500


async def test_a_cancelled_trip_or_snapshot_leaves_the_store_usable(
    desk: RedisDesk, owner: Line
) -> None:  # F4, I2
    run_id = await close_everything(owner, desk.catalogue, desk.key)
    store = RedisStore(desk.url("operator1"), desk.catalogue, desk.keyring)
    last = 1
    for turns in range(60):
        signed, event_id = signed_trip(BTC, PERSON)
        tasks = [
            asyncio.create_task(store.trip(BTC, signed, event_id)),
            asyncio.create_task(store.snapshot()),
        ]
        for _ in range(turns % 20):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        signed, event_id = signed_trip(BTC, PERSON)
        epoch = (await store.trip(BTC, signed, event_id)).epoch
        assert epoch.run_id == run_id
        assert last < epoch.counter <= last + 2
        last = epoch.counter
        assert (await store.snapshot()).readings[BTC].epoch == epoch
    await store.close()


@asynccontextmanager
async def mute_proxy(port: int, mute_after: bytes) -> AsyncIterator[int]:
    """Passes everything on to the server; once `mute_after` was sent, its answers are lost and the
    connection is cut. Yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
        mute = asyncio.Event()

        async def answers() -> None:
            while data := await upstream_reader.read(65_536):
                if mute.is_set():
                    break
                writer.write(data)
            writer.close()

        task = asyncio.create_task(answers())
        while data := await reader.read(65_536):
            if mute_after in data:
                mute.set()
            upstream_writer.write(data)
        upstream_writer.close()
        await task

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_lost_reply_is_no_second_trip(desk: RedisDesk, owner: Line) -> None:  # I8, F3
    async with mute_proxy(desk.server.port, b"INCR") as port:
        url = f"redis://operator1:operator1-secret@127.0.0.1:{port}/0"
        store = RedisStore(url, desk.catalogue, desk.keyring)
        signed, event_id = signed_trip(BTC, PERSON)
        with pytest.raises(StoreUnreachable) as caught:
            await store.trip(BTC, signed, event_id)
        await store.close()
        assert caught.value.maybe_applied
        assert await owner.command("GET", f"trip:{BTC}") == b"1"

        def fast() -> bool:
            with FastTrip(url) as trips, pytest.raises(StoreUnreachable) as lost:
                trips.trip(BTC, signed, event_id, "operator1", "x")
            return lost.value.maybe_applied

        assert await asyncio.to_thread(fast)
    assert await owner.command("GET", f"trip:{BTC}") == b"2"


async def test_a_hung_server_is_given_up_in_time(desk: RedisDesk) -> None:
    line = Line(desk.url("monitor1"), timeout_s=1.5)
    await line.command("PING")
    desk.server.pause()
    begin = datetime.now(UTC)
    try:
        with pytest.raises(StoreUnreachable, match=r"no answer in 1\.5 s"):
            await line.command("PING")
    finally:
        desk.server.resume()
    assert (datetime.now(UTC) - begin).total_seconds() < 30
    assert await line.command("PING") == b"PONG"
    await line.close()


async def test_a_killed_connection_is_opened_again(desk: RedisDesk, owner: Line) -> None:  # F20
    line = Line(desk.url("monitor1"))
    for _ in range(5):
        assert await line.command("PING") == b"PONG"
        await owner.command("CLIENT", "KILL", "USER", "monitor1")
    await line.close()
