"""What Postgres says unasked: that something changed, that a request is decided.

A connection of its own only listens. It is a help, never a need: without it, callers find out by looking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from backends.postgres_session import Session
from cockpit.domain.refusals import StoreUnreachable

_CHANGE: Final = "cockpit_change"
_OUTCOME: Final = "cockpit_outcome"


class Notices:
    """One login's ear. Safe to share between tasks."""

    def __init__(self, dsn: str, *, command_timeout_s: float) -> None:
        self._session = Session(
            dsn, command_timeout_s=command_timeout_s, application_name="cockpit listen", prepare=self._listen
        )
        self._changed = asyncio.Event()
        self._decided: dict[str, asyncio.Event] = {}

    async def close(self) -> None:
        await self._session.close()

    async def try_listening(self) -> None:
        try:
            await self._session.open()
        except StoreUnreachable:
            return

    async def change(self, timeout_s: float) -> bool:
        """True as soon as a change is told, or has been since the last call; False after `timeout_s`, also
        while nobody can be heard."""
        await self.try_listening()
        heard = await heard_within(self._changed, timeout_s)
        self._changed.clear()
        return heard

    @contextmanager
    def decision(self, request_id: str) -> Iterator[asyncio.Event]:
        """Set whenever the request is said to be decided."""
        try:
            yield self._decided.setdefault(request_id, asyncio.Event())
        finally:
            self._decided.pop(request_id, None)

    async def _listen(self, connection: Any) -> None:
        await connection.add_listener(_CHANGE, self._on_change)
        await connection.add_listener(_OUTCOME, self._on_outcome)
        self._changed.set()  # whatever happened while nobody listened

    def _on_change(self, _connection: object, _pid: int, _channel: str, _payload: str) -> None:
        self._changed.set()

    def _on_outcome(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        self._changed.set()
        if payload in self._decided:
            self._decided[payload].set()


async def heard_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Whether `event` is set before the time is over."""
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        return False
    return True
