"""What panel 3 and the first-five-minutes page read: only while somebody looks at them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from textual.message import Message

from cockpit.feeds import WAIT_S, Feed, SourceFailed, Tell

if TYPE_CHECKING:
    from cockpit.domain.incident_page import IncidentPage
    from cockpit.domain.incident_story import IncidentList

INCIDENTS_LIMIT_S: Final = 10.0
MINUTES_S: Final = 2.0
MINUTES_LIMIT_S: Final = 12.0


class IncidentsSide(Protocol):
    async def incidents(self, limit: int = 200, recent: int = 50, words: str = "") -> IncidentList: ...


class IncidentsRead(Message):
    """The incidents were read; `words` is the filter they were read with."""

    def __init__(self, incidents: IncidentList, words: str) -> None:
        super().__init__()
        self.incidents = incidents
        self.words = words
        self.monotonic = time.monotonic()

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, IncidentsRead)


class ShownFeed(Feed):
    """Reads while what it feeds is on the screen; else it waits."""

    def __init__(self, source: str, tell: Tell, poll_s: float = 1.0) -> None:
        super().__init__(source, tell, poll_s)
        self._shown = asyncio.Event()

    def show(self, shown: bool) -> None:
        """Whether it is looked at now."""
        if shown and not self._shown.is_set():
            self._shown.set()
            self.wake()
        elif not shown:
            self._shown.clear()

    async def _read_once(self, read: Callable[[], Awaitable[Message]]) -> None:
        await self._shown.wait()
        await super()._read_once(read)

    async def never(self) -> bool:
        """No source tells this feed by itself; what wakes it is the desk's news, through the screen."""
        await asyncio.sleep(WAIT_S)
        return False


class IncidentsFeed(ShownFeed):
    """The list of panel 3. `words` narrows it in the database."""

    def __init__(self, store: IncidentsSide, tell: Tell) -> None:
        super().__init__("incidents", tell)
        self._store = store
        self.words = ""

    def narrow(self, words: str) -> None:
        if words != self.words:
            self.words = words
            self.wake()

    async def watch(self) -> None:
        await self.run(self._read, self.never)

    async def _read(self) -> Message:
        words = self.words
        try:
            async with asyncio.timeout(INCIDENTS_LIMIT_S):
                return IncidentsRead(await self._store.incidents(words=words), words)
        except TimeoutError:
            return SourceFailed(self.source, f"no answer in {INCIDENTS_LIMIT_S:g} s")


class MinutesSide(Protocol):
    async def read(self, incident_id: str) -> IncidentPage: ...
    async def wait(self, timeout_s: float) -> bool: ...
    async def close(self) -> None: ...


class MinutesRead(Message):
    """One incident's page was read."""

    def __init__(self, page: IncidentPage) -> None:
        super().__init__()
        self.page = page

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, MinutesRead)


class MinutesFeed(ShownFeed):
    """The page of one incident, every two seconds. `open_reader` is called in a thread, at the first look."""

    def __init__(self, open_reader: Callable[[], MinutesSide], tell: Tell) -> None:
        super().__init__("first minutes", tell, MINUTES_S)
        self._open = open_reader
        self._reader: MinutesSide | None = None
        self.incident_id = ""

    def about(self, incident_id: str) -> None:
        """Read this one from now on."""
        if incident_id != self.incident_id:
            self.incident_id = incident_id
            self.wake()

    async def watch(self) -> None:
        await self.run(self._read, self._listen_once)

    async def _listen_once(self) -> bool:
        """A run folder tells of itself while the page is looked at; what else there is is polled."""
        await self._shown.wait()
        if self._reader is None:
            return await self.never()
        return await self._reader.wait(WAIT_S)

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()

    async def _read(self) -> Message:
        if self._reader is None:
            self._reader = await asyncio.to_thread(self._open)
        try:
            async with asyncio.timeout(MINUTES_LIMIT_S):
                return MinutesRead(await self._reader.read(self.incident_id))
        except TimeoutError:
            return SourceFailed(self.source, f"no answer in {MINUTES_LIMIT_S:g} s")
