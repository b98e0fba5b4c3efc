"""A real HTTP server that takes pages, and fails in every way that receivers are known to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Conduct = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: Any


def answers(status: str, body: bytes = b"", **headers: str) -> Conduct:
    """A whole answer: `429 Too Many Requests`, with headers like `retry_after="3"`."""

    async def conduct(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return conduct


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3_600)


async def drop(writer: asyncio.StreamWriter) -> None:
    """No answer at all, and the line is cut."""
    writer.transport.abort()


async def drop_in_the_middle(writer: asyncio.StreamWriter) -> None:
    """Half a status line, then the line is cut."""
    writer.write(b"HTTP/1.1 20")
    await writer.drain()
    writer.transport.abort()


async def cut_body(writer: asyncio.StreamWriter) -> None:
    """A 200 whose body breaks off."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    await writer.drain()
    writer.transport.abort()


async def drip(writer: asyncio.StreamWriter) -> None:
    """An answer that comes one byte at a time and never ends."""
    for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(writer: asyncio.StreamWriter) -> None:
    """A 500 with a body that never ends."""
    writer.write(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()


ACCEPTED = answers("202 Accepted", b'{"status": "success"}')


@dataclass(slots=True)
class Receiver:
    """`script` is how the next requests are met, `default` how all others are. `received` are all of them,
    those too that got no good answer; `open` and `most_open` count requests at once."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    script: deque[Conduct] = field(default_factory=deque)
    default: Conduct = ACCEPTED
    open: int = 0
    most_open: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def events(self) -> list[str]:
        """What generic webhooks were told, in order."""
        return [each.body["event"] for each in self.received]

    async def until(self, count: int, timeout_s: float = 60.0) -> list[Received]:
        """Wait until so many requests came in all."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            conduct = self.script.popleft() if self.script else self.default
            async with self.changed:
                self.received.append(Received(head[0].split()[1], headers, json.loads(body or b"null")))
                self.changed.notify_all()
            try:
                await conduct(writer)
            finally:
                self.open -= 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the pager went away, which is its right
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):  # the test is over
            await receiver.serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
