"""What panel 4 reads: only while somebody looks at it, through a connection of its own, but for one reading
soon after the start: whoever comes to the panel finds the connection open and the statement known."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from textual.message import Message

from cockpit.domain.refusals import Refused
from cockpit.incident_feeds import ShownFeed

if TYPE_CHECKING:
    from cockpit.domain.reconciliation import CleanCycles, ReconSnapshot
    from cockpit.feeds import Tell

RECON_S: Final = 2.0
RECON_LIMIT_S: Final = 6.0
OPEN_AHEAD_S: Final = 1.0
_log = logging.getLogger("cockpit.feeds")


class ReconSide(Protocol):
    async def reconciliations(self) -> ReconSnapshot: ...
    async def clean_cycles(self, symbol: str, since: datetime, fresh_s: float) -> CleanCycles: ...
    async def close(self) -> None: ...


class ReconRead(Message):
    """The reconciliation runs were read."""

    def __init__(self, snapshot: ReconSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot
        self.monotonic = time.monotonic()

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, ReconRead)


class ReconFeed(ShownFeed):
    """The lines of panel 4. `open_store` is called in a thread, and once."""

    def __init__(self, open_store: Callable[[], ReconSide], tell: Tell) -> None:
        super().__init__("reconciliation", tell, RECON_S)
        self._open = open_store
        self._store: ReconSide | None = None

    async def watch(self) -> None:
        await self._open_ahead()
        await self.run(self._read, self.never)

    async def _open_ahead(self) -> None:
        """What is read then is forgotten, and a failure too: it says nothing of when somebody looks."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_AHEAD_S):
                await self._shown.wait()
                return
        try:
            with contextlib.suppress(Refused, TimeoutError):
                await self._read()
        except Exception:  # noqa: BLE001 - logged; a feed that dies here would never read anything
            _log.exception("%s feed, ahead", self.source)

    async def store(self) -> ReconSide:
        if self._store is None:
            self._store = await asyncio.to_thread(self._open)
        return self._store

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _read(self) -> Message:
        store = await self.store()
        async with asyncio.timeout(RECON_LIMIT_S):
            return ReconRead(await store.reconciliations())
