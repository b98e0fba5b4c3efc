"""A port in front of a server that a test opens and closes: closed, it refuses connections, as a server does
that is down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Gate:
    """Forwards to the server of `url`; `url` of the gate itself is the same with its own port."""

    def __init__(self, url: str, port: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self._server_at = (parts.hostname, parts.port)
        self._port = port
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.url = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for line in list(self._lines):
            line.cancel()
        if self._lines:
            await asyncio.wait(self._lines)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._server_at)
        for source, sink in ((reader, back), (there, writer)):
            line = asyncio.create_task(_copy(source, sink))
            self._lines.add(line)
            line.add_done_callback(self._lines.discard)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
    finally:
        sink.close()


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[Gate]:
    """A closed gate."""
    spare = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = spare.sockets[0].getsockname()[1]
    spare.close()
    gate = Gate(url, port)
    try:
        yield gate
    finally:
        await gate.close()
