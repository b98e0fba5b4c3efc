"""What fails at the venue never clears a trip."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from backends.gate import Gate, OrderKind
from backends.gateway import Gateway
from cockpit.authority.service import Authority
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk

HEAD = b"content-type: application/json\r\ncontent-length: 17\r\n\r\n"
ANSWERS = {  # an error is one, whatever its body says
    "error": b"HTTP/1.1 502 Bad Gateway\r\n" + HEAD + b'{"cancelled": []}',
    "nonsense": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "closed": b"",
}


@asynccontextmanager
async def failing_venue(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_failed_cancel_leaves_the_breaker_tripped(
    desk: Desk, authority: Authority, answer: str
) -> None:
    # I17
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    before = await desk.epoch(BTC)
    async with failing_venue(ANSWERS[answer]) as url, Gateway(url, timeout_s=2) as gateway:
        with pytest.raises(StoreUnreachable):
            await gateway.cancel_all()
    redis = Redis.from_url(desk.platform.login("gateway").redis_url)
    try:
        gate = Gate(redis, desk.platform.catalogue, desk.settings.authority_keys, timeout_s=2)
        decision = await gate.decide("BTC-USD")
    finally:
        await redis.aclose()
    assert decision.effective_state is State.OPEN
    assert OrderKind.NEW not in decision.permits
    assert await desk.epoch(BTC) == before
    assert (await desk.actions(BTC))[-1] == "CIRCUIT_BREAKER_TRIP"
