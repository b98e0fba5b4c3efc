"""One connection to Postgres that heals itself, and what its errors mean.

A cancelled or timed-out query drops its connection: a reply that nobody waits for must reach no other caller.
A lost connection is opened again at the next use, with back-off while the server is away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.text import clean

CONNECT_S: Final = 3.0
_BACKOFF_S: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
STORE: Final = "Postgres"

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.QueryCanceledError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,
)


def translated(error: Exception) -> Refused | None:
    """The refusal that a driver's error means, without any password; None: the fault is ours."""
    why = clean(str(error) or type(error).__name__, 200)
    if isinstance(error, Refused):
        return error
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return Refused(
            Code.REVOKED, f"Postgres does not accept this login: {why}.", "Ask the owner for a login."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return Refused(Code.DENIED, f"Postgres denies this login: {why}.", "Use a login with that right.")
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        return Refused(
            Code.RATE_LIMITED, f"The inbox refused the request: {why}.", "Wait until it has been worked off."
        )
    if isinstance(error, asyncpg.CheckViolationError):
        return Refused(Code.MALFORMED, f"Postgres does not take it: {why}.", "Shorten it.")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return StoreUnreachable(
            STORE, f"its schema is not the cockpit's ({why})", "The owner runs `cockpit init`."
        )
    if isinstance(error, TimeoutError):
        return StoreUnreachable(STORE, "it gave no answer in time")
    return StoreUnreachable(STORE, why) if isinstance(error, _AWAY) else None


class Session:
    """A connection used by one query at a time. `prepare` runs on each fresh connection (LISTEN, for one)."""

    def __init__(
        self,
        dsn: str,
        *,
        command_timeout_s: float,
        application_name: str = "cockpit",
        prepare: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._timeout_s = command_timeout_s
        self._application_name = application_name
        self._prepare = prepare
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._failures = 0
        self._retry_at = 0.0
        self._why: Refused | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def open(self) -> None:
        """Connect now if that has not been done.

        Raises:
            StoreUnreachable: no server, or one that is away.
            Refused: the server knows no such login.
        """
        async with self._lock:
            await self._ready()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.is_closed():
            return
        try:
            await connection.close(timeout=1.0)
        except _AWAY:
            connection.terminate()  # the server is away: nothing is left to close in order
        except asyncio.CancelledError:
            connection.terminate()
            raise

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Any]:
        """The asyncpg connection, for one caller. Errors come out translated; a cancelled use drops it."""
        async with self._lock:
            connection = await self._ready()
            try:
                yield connection
            except asyncio.CancelledError:
                self._drop()
                raise
            except Exception as error:
                refusal = translated(error)
                if isinstance(refusal, StoreUnreachable):
                    self._drop()
                if refusal is None or refusal is error:
                    raise
                raise refusal from error

    async def _ready(self) -> Any:
        if self.connected:
            return self._connection
        if self._why is not None and time.monotonic() < self._retry_at:
            raise self._why
        try:
            self._connection = await self._connect()
        except (asyncpg.PostgresError, *_AWAY) as error:
            refusal = translated(error)
            if refusal is None:
                raise
            delay = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
            self._failures, self._retry_at, self._why = self._failures + 1, time.monotonic() + delay, refusal
            raise refusal from error
        self._failures, self._why = 0, None
        return self._connection

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_S,
            command_timeout=self._timeout_s,
            server_settings={"application_name": self._application_name, "timezone": "UTC"},
        )
        try:
            if self._prepare is not None:
                await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
