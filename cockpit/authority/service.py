"""`cockpit authority`: any number run, one acts. A store that is away ends a term, never the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from backends.evidence import Evidence
from backends.gateway import Gateway
from backends.postgres_store import PostgresStore
from backends.redis_authority import AuthorityRedis
from backends.signing import KeyRing, SigningKey
from cockpit.authority.chain import ChainGuard
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.faults import Fault, no_fault
from cockpit.authority.lease import Fenced, Lease, take_lease
from cockpit.authority.means import Doubt, Means
from cockpit.authority.objectives import EVERY_S, Objectives, SloReader
from cockpit.authority.pool import SESSION, open_pool
from cockpit.authority.proof import Readers
from cockpit.authority.size_share import Sizes
from cockpit.authority.status import Health
from cockpit.authority.term import Term
from cockpit.authority.waiting import first_of, sleep_unless
from cockpit.authority.world import WorldReader
from cockpit.config import BadSettings, Settings
from cockpit.domain.refusals import Refused
from cockpit.objectives import open_objectives

log: Final = logging.getLogger("cockpit.authority")
TURN_S: Final = 0.1
STANDBY_S: Final = 0.5
WAKE_S: Final = 1.0
MOST_NOTICES: Final = 2_000  # in a second
DEAF_S: Final = 10.0
FINISH_S: Final = 5.0
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
INBOX: Final = "cockpit_inbox"
_AWAY: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, Refused)


class Authority:
    """One process of the service. `acting` is set while it holds the lease. `objectives` stands in for the
    reader that the settings describe.

    Raises:
        BadSettings: a setting, a key or a file of objectives cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        fault: Fault = no_fault,
        holder: str | None = None,
        objectives: SloReader | None = None,
        objectives_every_s: float = EVERY_S,
    ) -> None:
        login = settings.credentials(AUTHORITY)
        if login.signing_key is None:
            raise BadSettings("logins.authority.signing_key: not set; name the authority's key file")
        self._settings = settings
        self._login = login
        self._key = SigningKey.load(login.signing_key)
        keys = dict(settings.authority_keys)
        if self._key.key_id not in keys:
            raise BadSettings(f"authority_keys: does not hold the authority's own key {self._key.key_id}")
        self._keyring = KeyRing(keys)
        self._fault = fault
        self._objectives = objectives or open_objectives(settings, login.postgres_dsn)
        self._objectives_every_s = objectives_every_s
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() % 10**9}"
        self._wake = asyncio.Event()
        self._asked = asyncio.Event()
        self._notices = 0
        self.acting = asyncio.Event()
        self.means: Means | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Act or stand by until `stop`, then release the lease."""
        try:
            await self._serve_terms(stop)
        finally:
            await self._objectives.close()

    async def _serve_terms(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            began = time.monotonic()
            try:
                await self._serve(stop)
            except (Doubt, Fenced, *_AWAY) as error:
                failures = 0 if time.monotonic() - began > 10 else failures + 1
                log.warning("term ended: %s", _line(error))
                await sleep_unless(stop, BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])
            except Exception:  # a fault of ours must not leave the desk without an authority
                failures += 1
                log.exception("term ended by an unexpected error")
                await sleep_unless(stop, BACKOFF_S[-1])
            finally:
                self.acting.clear()
                self.means = None

    async def _serve(self, stop: asyncio.Event) -> None:
        settings, login = self._settings, self._login
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(open_pool(login.postgres_dsn))
            lease = await self._await_lease(pool, stop)
            if lease is None:
                return
            redis = AuthorityRedis(login.redis_url, settings.catalogue, settings.gateways)
            stack.push_async_callback(redis.close)
            waker = AuthorityRedis(login.redis_url, settings.catalogue)
            stack.push_async_callback(waker.close)
            desk = PostgresStore(login.postgres_dsn)
            await desk.connect()
            stack.push_async_callback(desk.close)
            gateway = Gateway(settings.gateway_url, timeout_s=3.0) if settings.gateway_url else None
            if gateway is not None:
                stack.push_async_callback(gateway.close)
            health = Health()
            objectives = Objectives(self._objectives, health, self._objectives_every_s)
            evidence = Evidence(settings.evidence_url, settings.evidence_options)
            means = Means(
                settings=settings,
                pool=pool,
                redis=redis,
                evidence=evidence,
                key=self._key,
                keyring=self._keyring,
                lease=lease,
                reader=WorldReader(redis, settings.catalogue, self._keyring),
                chain=ChainGuard(evidence, self._keyring, health.chain),
                health=health,
                objectives=objectives,
                sizes=Sizes(objectives),
                fault=self._fault,
            )
            await self._act(means, Readers(desk, gateway), waker, stop)

    async def _await_lease(self, pool: Any, stop: asyncio.Event) -> Lease | None:
        while not stop.is_set():
            async with pool.acquire() as connection:
                lease = await take_lease(connection, self._holder)
            if lease is not None:
                return lease
            await sleep_unless(stop, STANDBY_S)
        return None

    async def _act(self, means: Means, readers: Readers, waker: AuthorityRedis, stop: asyncio.Event) -> None:
        log.info("acting in term %d as %s", means.lease.term, means.lease.holder)
        term = Term(means, readers)
        self.means = means
        await term.begin()
        beside = [
            asyncio.create_task(term.renew_forever(), name="lease"),
            asyncio.create_task(self._listen(), name="inbox notices"),
            asyncio.create_task(self._watch_events(waker), name="trip events"),
            asyncio.create_task(means.objectives.watch(), name="objectives"),
        ]
        try:
            await term.turn()  # what a predecessor left is settled before anything new is decided
            inbox = asyncio.create_task(self._serve_inbox(term, stop), name="inbox")
            beside += (inbox, asyncio.create_task(term.read_runs(), name="run folders"))
            self.acting.set()
            while not stop.is_set():
                for task in beside:
                    if task.done():
                        task.result()
                await self._pause(term, stop)
                self._wake.clear()
                await term.turn()
            await asyncio.wait([inbox], timeout=FINISH_S)
            await term.finish()
            async with means.pool.acquire() as connection:
                await means.lease.release(connection)
            log.info("term %d released", means.lease.term)
        finally:
            left = (*beside, *means.tasks, *term.beside)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _serve_inbox(self, term: Term, stop: asyncio.Event) -> None:
        """Take requests as they come in; never behind a turn, which reads all of Redis."""
        while not stop.is_set():
            self._asked.clear()
            await term.take_requests()
            await first_of(self._asked, stop, timeout_s=TURN_S)

    async def _pause(self, term: Term, stop: asyncio.Event) -> None:
        """Until something happens. A turn that nothing called for lets loosenings under way go first."""
        await first_of(self._wake, stop, timeout_s=TURN_S)
        if not self._wake.is_set():
            await term.give_way()

    async def _listen(self) -> None:
        """Wake at each notice of the inbox; polling goes on, since a killed listener misses some. Any login
        may send notices: in a flood of them it listens no more for a while."""
        while True:
            await self._listen_until_flooded()
            log.warning("a flood of notices: the inbox is polled for %g s", DEAF_S)
            await asyncio.sleep(DEAF_S)

    async def _listen_until_flooded(self) -> None:
        connection = await asyncpg.connect(self._login.postgres_dsn, timeout=5, server_settings=SESSION)
        try:
            await connection.add_listener(INBOX, self._noticed)
            ended = asyncio.Event()
            connection.add_termination_listener(lambda *_: ended.set())
            while not ended.is_set():
                self._notices = 0
                await first_of(ended, ended, timeout_s=WAKE_S)
                if self._notices > MOST_NOTICES:
                    return
            raise ConnectionError("the inbox's listener was closed")
        finally:
            connection.terminate()

    def _noticed(self, _connection: object, _pid: int, _channel: str, table: object) -> None:
        """The notice names the table: any login may send another, which is worth a look and no more."""
        self._notices += 1
        if table == "probe_results":
            self._wake.set()
        else:
            self._asked.set()

    async def _watch_events(self, waker: AuthorityRedis) -> None:
        """Wake at each stream entry."""
        place = "$"
        while True:
            try:
                events = await waker.read_events(place, WAKE_S)
            except Refused:
                await asyncio.sleep(STANDBY_S)  # the loop's own reading says what is wrong
                continue
            if events:
                place = events[-1].entry_id
                self._wake.set()


async def run(
    settings: Settings,
    stop: asyncio.Event,
    fault: Fault = no_fault,
    ready: Callable[[], None] | None = None,
    objectives: SloReader | None = None,
) -> None:
    """Run the service until `stop` is set. `ready` is called when it acts for the first time."""
    authority = Authority(settings, fault, objectives=objectives)
    work = asyncio.create_task(authority.run(stop))
    if ready is not None:
        await asyncio.wait(
            [work, asyncio.create_task(authority.acting.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        if authority.acting.is_set():
            ready()
    await work


@asynccontextmanager
async def running_authority(
    settings: Settings,
    fault: Fault = no_fault,
    wait_s: float = 60.0,
    objectives: SloReader | None = None,
    objectives_every_s: float = EVERY_S,
) -> AsyncIterator[Authority]:
    """An authority inside this process that acts already."""
    authority = Authority(settings, fault, None, objectives, objectives_every_s)
    stop = asyncio.Event()
    work = asyncio.create_task(authority.run(stop))
    try:
        await asyncio.wait_for(authority.acting.wait(), wait_s)
        yield authority
    finally:
        stop.set()
        await asyncio.wait_for(work, wait_s)


def _line(error: BaseException) -> str:
    """One line without the address of a store, which may hold a password."""
    return f"{type(error).__name__}: {str(error)[:300]}".replace("\n", " ")
