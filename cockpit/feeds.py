"""One long-lived loop for each source: woken by an event, at least once a second, never twice at once.

A reading is posted as an immutable snapshot; the newest replaces one that has not been handled yet. What
fails is posted as well: the screen keeps the last snapshot and shows its age.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from textual.message import Message

from cockpit.config import BadSettings
from cockpit.domain.refusals import Refused

if TYPE_CHECKING:
    from cockpit.domain.desk import DeskSnapshot
    from cockpit.domain.permissions import Identity
    from cockpit.domain.slo_reports import SloSnapshot
    from cockpit.domain.snapshots import BreakerSnapshot, StreamEvent

POLL_S: Final = 1.0
SLOS_S: Final = 5.0
SLOS_LIMIT_S: Final = 30.0
LEAST_S: Final = 0.03
WAIT_S: Final = 5.0
IDENTITY_S: Final = 15.0
_log = logging.getLogger("cockpit.feeds")


class RedisSide(Protocol):
    async def snapshot(self) -> BreakerSnapshot: ...
    async def wait_events(self, last_id: str, timeout_s: float) -> list[StreamEvent]: ...


class PostgresSide(Protocol):
    async def snapshot(self, audit_rows: int = 50) -> DeskSnapshot: ...
    async def wait_notice(self, timeout_s: float) -> bool: ...
    async def identity(self) -> Identity: ...


class ObjectivesSide(Protocol):
    async def read(self) -> SloSnapshot: ...
    async def close(self) -> None: ...


class BreakersRead(Message):
    """Redis was read."""

    def __init__(self, snapshot: BreakerSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, BreakersRead)


class DeskRead(Message):
    """Postgres was read."""

    def __init__(self, snapshot: DeskSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, DeskRead)


class SlosRead(Message):
    """The objectives were read and judged."""

    def __init__(self, snapshot: SloSnapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SlosRead)


class IdentityRead(Message):
    """Who this login is, or why that is not known."""

    def __init__(self, identity: Identity | None, why: str | None = None) -> None:
        super().__init__()
        self.identity = identity
        self.why = why


class SourceFailed(Message):
    """A reading failed; `why` is for people."""

    def __init__(self, source: str, why: str) -> None:
        super().__init__()
        self.source = source
        self.why = why


Tell = Callable[[Message], object]


class Feed:
    """Reads when woken, and at least every `poll_s`."""

    def __init__(self, source: str, tell: Tell, poll_s: float = POLL_S) -> None:
        self.source = source
        self._poll_s = poll_s
        self._tell = tell
        self._wake = asyncio.Event()
        self._has_read = asyncio.Event()

    def wake(self) -> None:
        """Read again now."""
        self._wake.set()

    async def has_read(self, timeout_s: float) -> None:
        """Wait until the first reading came or failed, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_read.wait()

    async def run(
        self, read: Callable[[], Awaitable[Message]], listen: Callable[[], Awaitable[bool]]
    ) -> None:
        """Until cancelled. `listen` returns True where something happened; it may wait for long."""
        listener = asyncio.create_task(self._listen(listen), name=f"{self.source} events")
        try:
            while True:
                self._wake.clear()
                began = time.monotonic()
                await self._read_once(read)
                self._has_read.set()
                rest = LEAST_S - (time.monotonic() - began)
                if rest > 0:
                    await asyncio.sleep(rest)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, began + self._poll_s - time.monotonic())):
                        await self._wake.wait()
        finally:
            listener.cancel()

    async def _read_once(self, read: Callable[[], Awaitable[Message]]) -> None:
        try:
            self._tell(await read())
        except Refused as error:
            self._tell(SourceFailed(self.source, error.refusal.message))
        except Exception as error:  # noqa: BLE001 - shown and logged; a feed that dies would leave old data
            _log.exception("%s feed", self.source)
            self._tell(SourceFailed(self.source, f"{type(error).__name__} while reading"))

    async def _listen(self, listen: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                if await listen():
                    self._wake.set()
            except Refused:
                await asyncio.sleep(POLL_S)  # the poll goes on meanwhile and says what is wrong
            except Exception:  # noqa: BLE001 - as above
                _log.exception("%s events", self.source)
                await asyncio.sleep(POLL_S)


class RedisFeed(Feed):
    """Breakers: woken by the event stream."""

    def __init__(self, store: RedisSide, tell: Tell) -> None:
        super().__init__("redis", tell)
        self._store = store
        self._last_id = "$"

    async def watch(self) -> None:
        await self.run(self._read, self._listen_once)

    async def _read(self) -> Message:
        return BreakersRead(await self._store.snapshot())

    async def _listen_once(self) -> bool:
        events: Sequence[StreamEvent] = await self._store.wait_events(self._last_id, WAIT_S)
        if events:
            self._last_id = events[-1].entry_id
        return bool(events)


class PostgresFeed(Feed):
    """The desk: woken by the authority's notices. Also asks now and then who this login is."""

    def __init__(self, store: PostgresSide, tell: Tell) -> None:
        super().__init__("postgres", tell)
        self._store = store
        self._identity_at = float("-inf")

    async def watch(self) -> None:
        await self.run(self._read, lambda: self._store.wait_notice(WAIT_S))

    async def _read(self) -> Message:
        snapshot = await self._store.snapshot()
        if time.monotonic() - self._identity_at >= IDENTITY_S:
            self._identity_at = time.monotonic()
            try:
                self._tell(IdentityRead(await self._store.identity()))
            except Refused as error:
                self._tell(IdentityRead(None, str(error)))
        return DeskRead(snapshot)


class SlosFeed(Feed):
    """The objectives: every few seconds, and when an exclusion changed. `open_reader` may take long and may
    find a file that cannot be used; it is called in a thread, and again until one can."""

    def __init__(self, open_reader: Callable[[], ObjectivesSide], tell: Tell) -> None:
        super().__init__("objectives", tell, SLOS_S)
        self._open = open_reader
        self._reader: ObjectivesSide | None = None

    async def watch(self) -> None:
        await self.run(self._read, self._listen_once)

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()

    async def _read(self) -> Message:
        try:
            if self._reader is None:
                self._reader = await asyncio.to_thread(self._open)
            async with asyncio.timeout(SLOS_LIMIT_S):
                return SlosRead(await self._reader.read())
        except BadSettings as error:
            return SourceFailed(self.source, str(error))
        except TimeoutError:
            return SourceFailed(self.source, f"no answer in {SLOS_LIMIT_S:g} s")

    async def _listen_once(self) -> bool:
        """No source tells by itself; what wakes the feed is the audit log's news, through the screen."""
        await asyncio.sleep(SLOS_LIMIT_S)
        return False
