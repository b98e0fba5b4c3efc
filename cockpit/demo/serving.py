"""The gateway's HTTP server in the plant's process, and the measuring of its requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Measure = Callable[[str, str, int, float], None]
"""Told of each request: method, route, status code, seconds."""

_METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE"})


class Measured:
    """An application whose requests are measured. What is no known route counts as `other`, so that nobody
    makes series by asking for paths."""

    def __init__(self, app: ASGIApp, routes: frozenset[str], measure: Measure) -> None:
        self._app = app
        self._routes = routes
        self._measure = measure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code = time.monotonic(), 500

        async def noting(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = scope["path"] if scope["path"] in self._routes else "other"
            self._measure(method, route, code, time.monotonic() - began)


async def serve(app: ASGIApp, url: str) -> None:
    """Serve until cancelled."""
    address = urlsplit(url)
    listening = socket.create_server((address.hostname or "127.0.0.1", address.port or 0))
    # asyncio leaves Nagle's algorithm on for a socket that it did not make: 40 ms for each answer's body.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
    server = _Server(
        uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving
        listening.close()


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
