"""One Redis connection that never retries and never lets a reply reach the wrong caller.

The packaged client retries by default and reuses a connection in whose middle a task was cancelled. Here a
command is sent once; whatever ends an exchange early (cancellation, timeout, lost peer) drops the connection.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from backends.redis_replies import REDIS, Reply, checked, explained
from backends.trip_exchange import Command
from cockpit.domain.refusals import StoreUnreachable

TIMEOUT_S: Final = 2.0
_FIXED: Final = {
    "retry_on_timeout": False,
    "retry_on_error": [],
    "health_check_interval": 0,
    "decode_responses": False,
    "protocol": 2,
    "driver_info": None,
    "maint_notifications_config": None,
}


class BadRedisUrl(ValueError):
    """Not a `redis://`, `rediss://` or `unix://` address; the message does not repeat it (I27)."""


class Line:
    """One connection and its turn-taking: exchanges run one after the other.

    `url` may hold a password, so it is kept by the connection only. Connects at first use and again after
    every drop.

    Raises:
        BadRedisUrl: `url` cannot be used.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError as error:
            raise BadRedisUrl(
                "redis_url: write redis://LOGIN:PASSWORD@HOST:PORT/0 (rediss for TLS)"
            ) from error
        connection_class = options.pop("connection_class", Connection)
        limits = {"socket_timeout": None, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
        self._connection = connection_class(**options | _FIXED | limits)
        self._turn = asyncio.Lock()
        self._timeout_s = timeout_s

    async def exchange(self, *commands: Command, timeout_s: float | None = None) -> list[Reply]:
        """Send `commands` in one write and read a reply to each; errors that the server answers are among
        the replies. One round trip; `timeout_s` bounds all of it, the wait for a turn included.

        Raises:
            StoreUnreachable: no connection, no answer in time, or the connection broke; `maybe_applied`
                where the commands had been sent.
            StoreCannotWrite: the server refuses the login.
        """
        limit = self._timeout_s if timeout_s is None else timeout_s
        sent = False
        try:
            async with asyncio.timeout(limit), self._turn:
                try:
                    await self._ready()
                    sent = True
                    packed = self._connection.pack_commands(commands)
                    await self._connection.send_packed_command(packed, check_health=False)
                    return [await self._reply() for _ in commands]
                except BaseException:
                    await self._connection.disconnect(nowait=True)
                    raise
        except TimeoutError as error:
            raise StoreUnreachable(REDIS, f"no answer in {limit:g} s", maybe_applied=sent) from error
        except (RedisError, OSError) as error:
            raise explained(error, maybe_applied=sent) from error

    async def command(self, *command: str | bytes | int, timeout_s: float | None = None) -> Reply:
        """One command; an error that the server answers is raised like those of `exchange`.

        Raises:
            Refused: the login lacks the right.
            StoreUnreachable, StoreCannotWrite: as `exchange`.
        """
        return checked((await self.exchange(command, timeout_s=timeout_s))[0])

    async def close(self) -> None:
        async with self._turn:
            await self._connection.disconnect()

    async def _ready(self) -> None:
        """Connect, unless connected. A peer that went away while we were idle, or bytes that nobody asked
        for, cost a new connection here instead of a failed command."""
        if not self._connection.is_connected:
            await self._connection.connect()
        elif await self._connection.can_read() or self._readable():
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()

    def _readable(self) -> bool:
        """Whether the kernel holds bytes or an end that the event loop has not seen yet."""
        poller = select.poll()
        poller.register(self._connection._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poller.poll(0))

    async def _reply(self) -> Reply:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error


def transaction(replies: Sequence[Reply]) -> list[Reply]:
    """The results of `MULTI … EXEC` from the replies to all of it.

    Raises:
        Refused, StoreUnreachable, StoreCannotWrite: a command was refused, so that none was executed.
    """
    for reply in replies[:-1]:
        checked(reply)
    results = checked(replies[-1])
    if not isinstance(results, list):
        raise StoreUnreachable(REDIS, "EXEC answered nonsense")
    return results
