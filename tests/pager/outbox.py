"""A platform's outbox as the tests fill and read it, and a pager that runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from backends.paging_client import PagingClient
from cockpit.authority.pages import page
from cockpit.config import Settings
from cockpit.pager import courier, service
from cockpit.pager.service import Pager
from cockpit.paging_settings import PagingSettings
from tests.trading_platform import Platform

_OPEN = """
INSERT INTO incidents (incident_id, severity, classification, title, source, breaker_id, dedup_key)
VALUES ($1, $2, 'other', $3, 'person', 'instrument:BTC-USD', $4)
"""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the authority would write, written by the owner."""

    platform: Platform
    owner: Any

    async def incident(self, severity: str = "P1", title: str = "Feed of BTC-USD is silent") -> UUID:
        """Open one and page."""
        incident_id = uuid4()
        async with self.owner.transaction():
            await self.owner.execute(_OPEN, incident_id, severity, title, f"manual:{incident_id}")
            await self.page(incident_id, "trigger", severity, title)
        return incident_id

    async def page(
        self, incident_id: UUID, event: Any, severity: str = "P1", title: str = "Feed of BTC-USD is silent"
    ) -> None:
        await page(self.owner, incident_id, event, severity, title, {"run": "r-1"})

    async def acknowledge(self, incident_id: UUID, severity: str = "P1") -> None:
        await self.owner.execute(
            "UPDATE incidents SET status = 'acknowledged', acknowledged_by = 'operator1'"
            " WHERE incident_id = $1",
            incident_id,
        )
        await self.page(incident_id, "acknowledge", severity)

    async def resolve(self, incident_id: UUID, severity: str = "P1") -> None:
        await self.owner.execute(
            "UPDATE incidents SET status = 'resolved' WHERE incident_id = $1", incident_id
        )
        await self.page(incident_id, "resolve", severity)

    async def deliveries(self, incident_id: UUID | None = None) -> list[Any]:
        """All of them, or an incident's, in the order of their pages."""
        return list(
            await self.owner.fetch(
                "SELECT o.event, o.unsent, o.settled_at, d.*"
                " FROM outbox o JOIN page_deliveries d USING (outbox_id)"
                " WHERE $1::uuid IS NULL OR o.incident_id = $1 ORDER BY o.outbox_id, d.receiver",
                incident_id,
            )
        )

    async def state(self) -> dict[str, Any]:
        """`paging_state()` as a login that may only read sees it."""
        async with self.platform.connection("monitor1") as connection:
            found: dict[str, Any] = json.loads(await connection.fetchval("SELECT paging_state()"))
            return found

    async def let_go(self) -> None:
        """What is in hand is so no longer, as after the time for which it was claimed."""
        await self.owner.execute("UPDATE page_deliveries SET busy_until = clock_timestamp()")

    async def settled(self, timeout_s: float = 60.0) -> None:
        """Wait until nothing is left to do."""

        async def nothing() -> bool:
            return bool(await self.owner.fetchval("SELECT count(*) = 0 FROM outbox WHERE settled_at IS NULL"))

        await until(nothing, timeout_s)


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)


async def turns(pager: Pager, count: int = 3) -> None:
    """Wait until it has looked at the outbox so many times more, each from its beginning to its end."""
    ended = 0
    turn = pager.turn

    async def counted() -> None:
        nonlocal ended
        await turn()
        ended += 1

    async def enough() -> bool:
        return ended >= count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pager, "turn", counted)
        await until(enough)


def paged(platform: Platform, **fields: Any) -> Settings:
    """The platform's settings with these of `[paging]`."""
    return replace(platform.settings, paging=PagingSettings(enabled=True, **fields))


@contextlib.asynccontextmanager
async def paging(
    settings: Settings, *, total_s: float = 20.0, holder: str | None = None
) -> AsyncIterator[Pager]:
    """A pager that has given its first sign of life; it ends in order. It looks more often than in service,
    and its first waits are shorter. `total_s` is how long it waits for an answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "TURN_S", 0.05)
        patch.setattr(courier, "FIRST_S", 0.3)
        async with _running(settings, total_s, holder) as pager:
            yield pager


@contextlib.asynccontextmanager
async def _running(settings: Settings, total_s: float, holder: str | None) -> AsyncIterator[Pager]:
    pager = Pager(settings, client=PagingClient(total_s=total_s), holder=holder)
    stop = asyncio.Event()
    work = asyncio.create_task(pager.run(stop))
    waiting = asyncio.create_task(pager.paging.wait())
    await asyncio.wait([work, waiting], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield pager
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await work
