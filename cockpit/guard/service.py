"""`cockpit guard`: any number run, one acts. A store that is away ends a term, never the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from backends.guard_store import GuardStore, Term
from backends.redis_store import RedisStore
from backends.signing import KeyRing
from cockpit.config import Settings
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.text import clean
from cockpit.guard.actions import Actions
from cockpit.guard.rule_file import RuleFile
from cockpit.guard.watchkeeping import Fenced, Watchkeeping
from cockpit.serving import serve, sleep_unless

log: Final = logging.getLogger("cockpit.guard")
STANDBY_S: Final = 0.5
BACKOFF_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)


class Guard:
    """One process of the service. `acting` is set while it holds the lease and evaluates.

    Raises:
        BadSettings: there is no such login, or the rules cannot be used.
    """

    def __init__(self, settings: Settings, login: str | None = None, holder: str | None = None) -> None:
        self._settings = settings
        self._login = settings.credentials(login or settings.guard_login)
        self._file = RuleFile(settings.triggers_file, settings.catalogue)
        self._holder = holder or f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() % 10**9}"
        self.acting = asyncio.Event()
        self.watchkeeping: Watchkeeping | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Act or stand by until `stop`, then release the lease."""
        store = GuardStore(self._login.postgres_dsn)
        actions = Actions(self._settings, self._login, store)
        redis = RedisStore(
            self._login.redis_url, self._settings.catalogue, KeyRing(dict(self._settings.authority_keys))
        )
        failures = 0
        try:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    await self._serve(stop, store, redis, actions)
                except (Fenced, Refused, OSError) as error:
                    failures = 0 if time.monotonic() - began > 10 else failures + 1
                    log.warning("term ended: %s", clean(str(error), 300))
                    if isinstance(error, StoreUnreachable):
                        actions.redeliver()  # what was decided goes out also while nobody can hold a lease
                    await sleep_unless(stop, BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])
                except Exception:  # a fault of ours must not leave the platform without its triggers
                    failures += 1
                    log.exception("term ended by an unexpected error")
                    await sleep_unless(stop, BACKOFF_S[-1])
                finally:
                    self.acting.clear()
        finally:
            for close in (actions.close, redis.close, store.close):
                with contextlib.suppress(Refused, OSError):
                    await close()

    async def _serve(
        self, stop: asyncio.Event, store: GuardStore, redis: RedisStore, actions: Actions
    ) -> None:
        term = await self._await_lease(stop, store)
        if term is None:
            return
        log.info("acting in term %d as %s", term.number, term.holder)
        keeping = Watchkeeping(self._settings, store, redis, actions, self._file, term)
        if self.watchkeeping is not None:
            keeping.remember(self.watchkeeping)
        self.watchkeeping = keeping
        work = asyncio.create_task(keeping.run(stop))
        began = asyncio.create_task(keeping.began.wait())
        try:
            await asyncio.wait([work, began], return_when=asyncio.FIRST_COMPLETED)
            if keeping.began.is_set():
                self.acting.set()
            await work
        finally:
            began.cancel()
            work.cancel()
        await keeping.finish()
        log.info("term %d released", term.number)

    async def _await_lease(self, stop: asyncio.Event, store: GuardStore) -> Term | None:
        while not stop.is_set():
            term = await store.take(self._holder)
            if term is not None:
                return term
            await sleep_unless(stop, STANDBY_S)
        return None


async def run(
    settings: Settings,
    login: str | None,
    stop: asyncio.Event,
    ready: Callable[[], None] | None = None,
) -> None:
    """Run the service as `login` until `stop` is set. `ready` is called when it acts for the first time.

    Raises:
        BadSettings: there is no such login, or the rules cannot be used.
    """
    guard = Guard(settings, login)
    await serve(guard.run(stop), guard.acting, ready)
