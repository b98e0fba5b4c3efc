"""Answers of a gateway from which nothing may be concluded: none of them reads as an empty venue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from backends.gateway import Gateway, OrderNotPermitted
from cockpit.domain.refusals import StoreUnreachable

JSON = "application/json"


@asynccontextmanager
async def answering(
    status: str, *parts: bytes, pause_s: float = 0.0, timeout_s: float = 60.0
) -> AsyncIterator[Gateway]:
    """A client of a gateway that gives one answer to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            size = sum(map(len, parts))
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n".encode())
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except ConnectionError:
            pass  # the client has seen enough
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Gateway(url, timeout_s) as gateway:
        yield gateway


READS: list[tuple[str, Callable[[Gateway], Awaitable[object]]]] = [
    ("orders", lambda gateway: gateway.open_orders()),
    ("positions", lambda gateway: gateway.positions()),
]


@pytest.mark.parametrize(("name", "read"), READS)
@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        ("206 Partial Content", '{"NAME": []}', "answered 206"),
        ("202 Accepted", '{"NAME": []}', "answered 202"),
        ("203 Odd", '{"NAME": []}', "answered 203"),
        ("404 Not Found", '{"NAME": [], "error": "gone"}', "gone"),
        ("500 Oops", '{"NAME": []}', "answered 500"),
        ("302 Found", '{"NAME": []}', "answered 302"),
        ("200 OK", '{"NAME": [], "error": "venue away"}', "`error`"),
        ("200 OK", '{"NAME": [], "error": {"code": 1}}', "`error`"),
        ("200 OK", '{"NAME": [], "truncated": true}', "`truncated`"),
        ("200 OK", '{"NAME": [], "next_cursor": "a"}', "`next_cursor`"),
        ("200 OK", '{"NAME": [{}], "NAME": []}', "NAME twice"),
        ("200 OK", '{"NAME": [{"symbol": "A", "symbol": "B"}]}', "symbol twice"),
        ("200 OK", '{"other": []}', "without the list"),
        ("200 OK", '{"NAME": null}', "without the list"),
        ("200 OK", '{"NAME": {}}', "without the list"),
        ("200 OK", "[]", "no JSON object"),
        ("200 OK", "", "without JSON"),
        ("200 OK", '{"NAME": []} x', "without JSON"),
    ],
)
async def test_what_is_no_whole_list_is_no_empty_venue(  # I14, I15
    name: str, read: Callable[[Gateway], Awaitable[object]], status: str, body: str, why: str
) -> None:
    async with answering(status, body.replace("NAME", name).encode()) as gateway:
        with pytest.raises(StoreUnreachable) as caught:
            await read(gateway)
    assert why.replace("NAME", name) in caught.value.refusal.message


@pytest.mark.parametrize(("name", "read"), READS)
async def test_a_plain_answer_counts(name: str, read: Callable[[Gateway], Awaitable[object]]) -> None:
    plain = f'{{"{name}": [], "error": null, "truncated": false}}'
    async with answering("200 OK", plain.encode()) as gateway:
        assert await read(gateway) == ()


@pytest.mark.parametrize(("name", "read"), READS)
async def test_a_body_over_the_bound_is_not_read_in_part(
    name: str, read: Callable[[Gateway], Awaitable[object]]
) -> None:
    """Its first bytes are a whole answer."""
    whole = f'{{"{name}": []}}'.encode()
    async with answering("200 OK", whole.ljust(4_000_000), b" " * 500_000) as gateway:
        with pytest.raises(StoreUnreachable, match="over 4000000 bytes"):
            await read(gateway)


async def test_an_answer_that_drips_has_an_end() -> None:
    began = asyncio.get_running_loop().time()
    async with answering("200 OK", *[b" "] * 300, pause_s=0.2, timeout_s=1.0) as gateway:
        with pytest.raises(StoreUnreachable, match="no answer in time"):
            await gateway.positions()
    assert asyncio.get_running_loop().time() - began < 30


async def test_what_is_sent_keeps_its_words() -> None:
    async with answering("409 Conflict", b'{"error": "halted"}') as gateway:
        with pytest.raises(OrderNotPermitted, match="halted"):
            await gateway.faults()
        assert (await gateway.flatten("k")).why == "halted"
    async with answering("200 OK", b'{"orders": [], "orders": [], "refused": {}}') as gateway:
        with pytest.raises(StoreUnreachable, match="orders twice"):
            await gateway.flatten("k")
