"""`cockpit exporter`: the state of breakers, budgets, authority and guard for Prometheus.

It reads with a login that can change nothing. A store that is away never ends it: `cb_staleness_seconds`
is then 999999 and every breaker counts as OPEN.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Final

from backends.event_counts import EventCounter
from backends.postgres_store import PostgresStore
from backends.redis_connection import BadRedisUrl
from backends.redis_store import RedisStore
from backends.signing import KeyRing
from cockpit.config import BadSettings, Settings
from cockpit.domain.breakers import Catalogue
from cockpit.exporter.collection import STORE_S, Collection, Scrape
from cockpit.exporter.page import Page
from cockpit.exporter.web import Reply, Request, Web, said
from cockpit.objectives import open_objectives

log: Final = logging.getLogger("cockpit.exporter")
METRICS: Final = "/metrics"
HEALTHY: Final = "/-/healthy"


class Exporter:
    """Answers requests from one collection. `url` is where its metrics are, once it listens."""

    def __init__(self, collection: Collection, catalogue: Catalogue) -> None:
        self._collection = collection
        self._catalogue = catalogue
        self._page: Page | None = None
        self.url = ""

    async def answer(self, request: Request) -> Reply:
        if request.path == HEALTHY:
            return said(HTTPStatus.OK, "the exporter runs; /metrics says what it can read")
        if request.path != METRICS:
            return said(HTTPStatus.NOT_FOUND, f"nothing here; see {METRICS}")
        page = self._page_of(await self._collection.scrape())
        body, kind = page.text(request.headers.get("accept", ""))
        return Reply(HTTPStatus.OK, body, kind)

    def _page_of(self, scrape: Scrape) -> Page:
        """Scrapes that share a reading share its text."""
        if self._page is None or self._page.scrape is not scrape:
            self._page = Page(scrape, self._catalogue)
        return self._page


@asynccontextmanager
async def running_exporter(settings: Settings, login: str | None, port: int = 0) -> AsyncIterator[Exporter]:
    """An exporter that listens on `[exporter] host` and `port` (0: any free one).

    Raises:
        BadSettings: the address cannot be bound, or login, objectives or addresses cannot be used.
    """
    credentials = settings.credentials(login or settings.exporter_login)
    async with AsyncExitStack() as stack:
        try:
            keyring = KeyRing(dict(settings.authority_keys))
            breakers = RedisStore(credentials.redis_url, settings.catalogue, keyring, timeout_s=STORE_S)
        except BadRedisUrl as error:
            raise BadSettings(f"logins.{credentials.name}.{error}") from error
        stack.push_async_callback(breakers.close)
        desk = PostgresStore(credentials.postgres_dsn, command_timeout_s=STORE_S)
        stack.push_async_callback(desk.close)
        counts = EventCounter(credentials.postgres_dsn, command_timeout_s=STORE_S)
        stack.push_async_callback(counts.close)
        objectives = open_objectives(settings, credentials.postgres_dsn)
        stack.push_async_callback(objectives.close)
        collection = Collection(breakers, desk, counts, objectives)
        stack.push_async_callback(collection.close)
        exporter = Exporter(collection, settings.catalogue)
        web = Web(exporter.answer)
        stack.push_async_callback(web.close)
        try:
            await web.open(settings.exporter_host, port)
        except OSError as error:
            where = f"{settings.exporter_host}:{port}"
            raise BadSettings(f"metrics_port: cannot listen on {where}: {error.strerror or error}") from error
        exporter.url = f"http://{web.address}{METRICS}"
        log.info("metrics as %s on %s", credentials.name, exporter.url)
        yield exporter


async def run(
    settings: Settings,
    login: str | None,
    port: int,
    stop: asyncio.Event,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve until `stop` is set. `ready` is called once it listens.

    Raises:
        BadSettings: as `running_exporter`.
    """
    async with running_exporter(settings, login, port):
        if ready is not None:
            ready()
        await stop.wait()
