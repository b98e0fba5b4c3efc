"""A forwarder in front of a server that counts round trips by what passes on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Wire:
    """`round_trips` grows when a client writes first or after the server has answered it."""

    port: int = 0
    round_trips: int = 0
    to_server: int = 0
    to_client: int = 0


@asynccontextmanager
async def counted(host: str, port: int) -> AsyncIterator[Wire]:
    """Forward a free local port to `host:port` while inside."""
    wire = Wire()
    open_writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, port)
        open_writers.extend((writer, server_writer))
        answered = True

        async def ask() -> None:
            nonlocal answered
            while data := await reader.read(1 << 20):
                wire.round_trips += answered
                answered = False
                wire.to_server += len(data)
                server_writer.write(data)
            server_writer.close()

        async def answer() -> None:
            nonlocal answered
            while data := await server_reader.read(1 << 20):
                answered = True
                wire.to_client += len(data)
                writer.write(data)
            writer.close()

        with suppress(ConnectionError):
            await asyncio.gather(ask(), answer())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        for writer in open_writers:
            writer.close()
