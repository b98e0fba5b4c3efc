"""Reads one incident's first-five-minutes page, through connections of its own: it may be slow, and must hold
up neither the desk's snapshot nor a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.incident_story import IncidentStory
from cockpit.domain.playbooks import Playbook
from cockpit.domain.refusals import Refused
from cockpit.domain.text import clean
from cockpit.operations.first_minutes import FirstMinutesPorts, first_minutes

STORY_S: Final = 3.0


class MinutesStore(Protocol):
    """What of Postgres the page needs besides its triage."""

    async def incident(self, incident_id: str, events: int = 500) -> IncidentStory: ...
    async def close(self) -> None: ...


class Closing(Protocol):
    async def close(self) -> None: ...


class WatchedRuns(Closing, Protocol):
    async def wait(self, timeout_s: float) -> bool: ...


class MinutesReader:
    """`gateway` and `runs` are those of `ports`, closed with the rest. `load_playbooks` is called in a thread
    until it succeeds; where it fails the page says so and has none."""

    def __init__(
        self,
        store: MinutesStore,
        ports: FirstMinutesPorts,
        load_playbooks: Callable[[], tuple[Playbook, ...]],
        gateway: Closing | None = None,
        runs: WatchedRuns | None = None,
    ) -> None:
        self._gateway, self._runs = gateway, runs
        self._store = store
        self._ports = ports
        self._load = load_playbooks
        self._playbooks: tuple[Playbook, ...] = ()
        self._playbooks_fault = ""

    async def read(self, incident_id: str) -> IncidentPage:
        """The whole page; what cannot be read says why."""
        if not self._playbooks:
            await self._read_playbooks()
        minutes, (story, fault) = await asyncio.gather(
            first_minutes(incident_id, self._ports), self._story(incident_id)
        )
        return IncidentPage(minutes, story, self._playbooks, time.monotonic(), fault, self._playbooks_fault)

    async def wait(self, timeout_s: float) -> bool:
        """Whether something happened in the run folders within `timeout_s`."""
        if self._runs is not None:
            return await self._runs.wait(timeout_s)
        await asyncio.sleep(timeout_s)
        return False

    async def close(self) -> None:
        await self._store.close()
        for each in (self._gateway, self._runs):
            if each is not None:
                await each.close()

    async def _read_playbooks(self) -> None:
        try:
            self._playbooks = await asyncio.to_thread(self._load)
            self._playbooks_fault = ""
        except (OSError, ValueError) as error:
            self._playbooks_fault = clean(f"{type(error).__name__}: {error}", 300)

    async def _story(self, incident_id: str) -> tuple[IncidentStory | None, str]:
        try:
            async with asyncio.timeout(STORY_S):
                return await self._store.incident(incident_id), ""
        except TimeoutError:
            return None, f"no answer in {STORY_S:g} s"
        except Refused as error:
            return None, error.refusal.message
