"""What rests at the venue, asked of a gateway that is slow, on a machine that is slower."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from backends.gateway import Gateway
from cockpit.cli import venue

ORDER = '{"order_id": "o1", "symbol": "BTC-USD", "strategy": null, "side": "buy", "quantity": "1"}'


@asynccontextmanager
async def venue_that(answer: str, begins: Callable[[], None]) -> AsyncIterator[Any]:
    """Settings with the address of a gateway; `begins` is called as a question comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begins()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n"
        writer.write(f"{head}{answer}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield SimpleNamespace(gateway_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(("answers_after_s", "found"), [(4.0, 1), (6.0, None)])
async def test_only_the_gateways_own_slowness_counts(
    monkeypatch: pytest.MonkeyPatch, answers_after_s: float, found: int | None
) -> None:  # I25
    """The loop's clock is moved on: a minute while the client is made, then while the gateway is asked."""
    loop = asyncio.get_running_loop()
    real, passed = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real() + sum(passed))
    monkeypatch.setattr("backends.gateway.Gateway", lambda url: _made(passed, url))
    async with venue_that(f'{{"orders": [{ORDER}]}}', lambda: passed.append(answers_after_s)) as settings:
        assert await venue.resting_orders(settings, "BTC-USD") == found


def _made(passed: list[float], url: str) -> Gateway:
    made = Gateway(url, 60.0)
    passed.append(60.0)
    return made


async def test_what_cannot_be_read_is_no_number() -> None:  # I25
    async with venue_that('{"orders": 7}', lambda: None) as settings:
        assert await venue.resting_orders(settings, "BTC-USD") is None
    assert await venue.resting_orders(settings, "BTC-USD") is None  # nobody listens there any more
    assert await venue.resting_orders(SimpleNamespace(gateway_url=None), "BTC-USD") is None  # type: ignore[arg-type]
