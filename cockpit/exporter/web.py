"""As much of HTTP/1.1 as a scrape needs: one GET a connection, bounded in size, time and number.

Connections that have not said what they want, and requests being answered, are counted apart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

log: Final = logging.getLogger("cockpit.exporter")
HEAD_LIMIT: Final = 16_384
MOST_CONNECTIONS: Final = 64  # being answered
MOST_UNREAD: Final = 256  # above what one turn of the loop accepts, so that a burst of scrapes is no flood
REQUEST_S: Final = 5.0
REPLY_S: Final = 10.0
PLAIN: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without its query; `headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    status: HTTPStatus
    body: bytes
    kind: str = PLAIN


Handler = Callable[[Request], Awaitable[Reply]]


class BadRequest(ValueError):
    """Not HTTP/1.x, or not in time."""


def said(status: HTTPStatus, text: str) -> Reply:
    return Reply(status, f"{text}\n".encode())


class Web:
    """A listening socket. `address` is `HOST:PORT` as bound."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()
        self._unread: dict[asyncio.StreamWriter, None] = {}  # oldest first
        self._answering = 0
        self._server: asyncio.Server | None = None
        self.address = ""

    async def open(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._accept, host, port, limit=HEAD_LIMIT)
        bound = self._server.sockets[0].getsockname()
        self.address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Stop listening and end every connection at once."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Who connects and says nothing never keeps a scrape out: the one silent for longest makes room."""
        while len(self._unread) >= MOST_UNREAD:
            oldest = next(iter(self._unread))
            del self._unread[oldest]
            oldest.transport.abort()
        self._unread[writer] = None
        task = asyncio.create_task(self._connected(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("a client went away: %s", type(error).__name__)  # nobody is left to tell
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        else:
            writer.close()
        finally:
            self._unread.pop(writer, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await _read(reader)
        except BadRequest as error:
            await _send(writer, said(HTTPStatus.BAD_REQUEST, str(error)))
            return
        self._unread.pop(writer, None)
        if self._answering >= MOST_CONNECTIONS:
            reply = said(HTTPStatus.SERVICE_UNAVAILABLE, "too many scrapes at once")
            await _send(writer, reply, request.method != "HEAD")
            return
        self._answering += 1
        try:
            await _send(writer, await self._answer(request), request.method != "HEAD")
        finally:
            self._answering -= 1

    async def _answer(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            return said(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is served")
        try:
            return await self._handler(request)
        except Exception:  # the service outlives a fault of ours; Prometheus sees the scrape fail
            log.exception("a scrape failed")
            return said(HTTPStatus.INTERNAL_SERVER_ERROR, "the scrape failed; the exporter's log says why")


async def _send(writer: asyncio.StreamWriter, reply: Reply, body: bool = True) -> None:
    writer.write(_head(reply))
    if body:
        writer.write(reply.body)
    async with asyncio.timeout(REPLY_S):
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Request:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise BadRequest(f"the request's head is over {HEAD_LIMIT} bytes") from None
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("not an HTTP/1.1 request")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Request(words[0], words[1].partition("?")[0], headers)


def _head(reply: Reply) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status.value} {reply.status.phrase}",
        f"Content-Type: {reply.kind}",
        f"Content-Length: {len(reply.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if reply.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
