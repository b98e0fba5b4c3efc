"""The stores behind the screen: opened after the first frame, read by a loop each, closed at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from cockpit.config import Credentials, Settings
from cockpit.domain.refusals import Refused
from cockpit.feeds import PostgresFeed, RedisFeed, SlosFeed, SourceFailed
from cockpit.showing import Showing

if TYPE_CHECKING:
    from backends.redis_store import RedisStore
    from cockpit.desk import Desk
    from cockpit.domain.desk import DeskSnapshot
    from cockpit.domain.slo_reports import SloSnapshot
    from cockpit.feeds import ObjectivesSide
    from cockpit.incident_feeds import MinutesSide
    from cockpit.recon_feed import ReconSide

STATES_S: Final = 0.25
OBJECTIVES_S: Final = 2.0
_SOURCES: Final = ("redis", "postgres", "objectives")


class WatchedFeed(Protocol):
    """A feed with a loop of its own."""

    source: str

    def wake(self) -> None: ...
    async def has_read(self, timeout_s: float) -> None: ...
    async def watch(self) -> None: ...


class OpenDesk(Protocol):
    def __call__(self, settings: Settings, credentials: Credentials, redis: RedisStore | None) -> Desk: ...


class Connecting(Showing):
    """The screen's sources. The shell below it starts them and takes what they read."""

    settings: Settings
    _open_desk: OpenDesk

    def __init__(self) -> None:
        super().__init__()
        self._feeds: list[WatchedFeed] = []
        self._redis: RedisStore | None = None
        self._slos: SlosFeed | None = None
        self._budgets_seq = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def _start_feeds(self) -> None:
        """Redis first, which is what people look at. Imports run in a thread: keys and drawing go on."""
        from cockpit.cli import screen_stores
        from cockpit.config import BadSettings

        try:
            await asyncio.to_thread(screen_stores.load_redis)
            redis = screen_stores.open_redis(self.settings, self.credentials)
            self._watch_redis(redis)
            await self._feeds[0].has_read(STATES_S)
            await asyncio.to_thread(screen_stores.load_rest)
            self.desk = await asyncio.to_thread(self._open_desk, self.settings, self.credentials, redis)
            self._slos = self._objectives_feed()
            self.desk.objectives = self._read_objectives
            self._watch_postgres(self.desk)
            self._watch_incidents(self.desk)
            self._watch_reconciliation()
        except (BadSettings, Refused, ValueError) as error:
            for source in _SOURCES[len(self._feeds) :]:
                self.post_message(SourceFailed(source, str(error)))
            self.tell(f"this screen can only look on: {error}", "bad")
        finally:
            self.take_keys()
        await asyncio.to_thread(screen_stores.load_dialogs)
        if self._slos is not None:
            self._watch(self._slos)

    def _watch_incidents(self, desk: Desk) -> None:
        from cockpit.incident_feeds import IncidentsFeed, MinutesFeed

        self.incidents_feed = IncidentsFeed(desk.stores.postgres, self.post_message)
        self._watch(self.incidents_feed)

        def opened() -> MinutesSide:  # in a thread, when a page is first looked at
            from cockpit.cli import screen_stores

            return screen_stores.open_first_minutes(self.settings, self.credentials, desk)

        self.minutes_feed = MinutesFeed(opened, self.post_message)
        self._watch(self.minutes_feed)
        self.incidents_shown()

    def _watch_redis(self, redis: RedisStore) -> None:
        self._redis = redis
        self._watch(RedisFeed(redis, self.post_message))

    def _watch_postgres(self, desk: Desk) -> None:
        self._watch(PostgresFeed(desk.stores.postgres, self.post_message))
        self._tasks.append(asyncio.create_task(self.keep_spool(), name="spool"))
        self._tasks.append(asyncio.create_task(self.keep_reports(), name="kill switch reports"))

    def _objectives_feed(self) -> SlosFeed:
        from cockpit.cli import screen_stores

        def opened() -> ObjectivesSide:  # in a thread: the modules, then the files
            screen_stores.load_objectives()
            return screen_stores.open_objectives(self.settings, self.credentials)

        return SlosFeed(opened, self.post_message)

    async def _read_objectives(self) -> SloSnapshot | None:
        """For the checklist: what the feed read last, None where that is old; the authority reads anew."""
        if self._slos is not None:
            await self._slos.has_read(OBJECTIVES_S)
        return self.board.slos if self.board.slos_readable else None

    def _watch(self, feed: WatchedFeed) -> None:
        self._feeds.append(feed)
        self._tasks.append(asyncio.create_task(feed.watch(), name=f"{feed.source} feed"))

    def _watch_reconciliation(self) -> None:
        from cockpit.cli import screen_stores
        from cockpit.recon_feed import ReconFeed

        def opened() -> ReconSide:
            return screen_stores.open_reconciliation(self.credentials)

        self.recon_feed = ReconFeed(opened, self.post_message)
        self._watch(self.recon_feed)
        self.recon_shown()

    async def on_unmount(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._slos is not None:
            await self._slos.close()
        if self.recon_feed is not None:
            await self.recon_feed.close()
        if self.minutes_feed is not None:
            await self.minutes_feed.close()
        if self.desk is not None:
            await self.desk.close()
        elif self._redis is not None:
            await self._redis.close()

    def wake_for_adjustments(self, desk: DeskSnapshot) -> None:
        """An exclusion that somebody made or took back shows at once."""
        seqs = [row.seq for row in desk.audit if row.action.startswith("BUDGET_")]
        newest = max(seqs, default=0)
        if newest > self._budgets_seq:
            self._budgets_seq = newest
            if self._slos is not None:
                self._slos.wake()

    def wake_feeds(self) -> None:
        for feed in self._feeds:
            feed.wake()
