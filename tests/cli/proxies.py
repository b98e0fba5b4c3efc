"""A TCP proxy in front of a server, which can lose a reply, keep one to itself, or wrap it all in TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Proxy:
    """`lose` connections in which `word` was sent get no reply to it and are cut; with `hold` nothing is
    passed on at all from that word, and the connection stays open. `met` is set when it was seen."""

    target: tuple[str, int]
    word: bytes = b""
    lose: int = 0
    hold: bool = False
    port: int = 0
    met: asyncio.Event = field(default_factory=asyncio.Event)
    seen: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.target)
        back = asyncio.create_task(_pass_on(far_reader, writer))
        try:
            while data := await reader.read(65_536):
                self.seen += data
                if self.word and self.word in data:
                    self.met.set()
                    if self.hold:
                        await asyncio.Event().wait()
                    if self.lose:
                        self.lose -= 1
                        back.cancel()
                        far_writer.write(data)
                        await far_reader.read(1)  # it has taken effect
                        return
                far_writer.write(data)
                await far_writer.drain()
        except ConnectionError:
            pass  # the client went away
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for each in (writer, far_writer):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def proxy(
    port: int, word: bytes = b"", lose: int = 0, hold: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Proxy]:
    made = Proxy(("127.0.0.1", port), word, lose, hold)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
