"""The real screen on the real servers, driven by keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from textual import events
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from backends import postgres_session
from backends.postgres_store import PostgresStore
from backends.redis_connection import Line
from cockpit import typed_ahead
from cockpit.app import CockpitApp, open_desk
from cockpit.cli import killing
from cockpit.connecting import OpenDesk
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State
from cockpit.operations import checklist, probes
from cockpit.operations.kill_ports import Pace
from tests.trading_platform import Platform
from widgets import board, header, incident_rows
from widgets.line import text_of
from widgets.line_view import LineView

PATIENCE_S: Final = 60.0
SLOW: Final = {
    "latency_bound_ms": 20_000, "max_clock_skew_s": 20, "late_trip_s": 60, "run_deadline_s": 120,
}  # fmt: skip
"""`[limits]` that no busy machine exceeds, for tests that are not about them."""
_CHARACTERS: Final = {"space": " ", "slash": "/", "question_mark": "?"}


@dataclass(slots=True)
class Cockpit:
    """One running screen and the keys to drive it."""

    app: CockpitApp
    pilot: Pilot[int]

    async def press(self, *keys: str) -> None:
        """Keys, each with all that comes of it on this screen before the next."""
        for key in keys:
            await self.burst(key)

    async def type(self, text: str) -> None:
        """Text as a terminal sends it, in one burst."""
        await self.burst(*text)

    async def burst(self, *keys: str) -> None:
        """Texts and keys (`tab`, `ctrl+s`), all sent before the first of them is looked at."""
        for key in keys:
            name = "space" if key == " " else key
            self.app.post_message(events.Key(name, key if len(key) == 1 else _CHARACTERS.get(key)))
        await self.settled()

    async def resize(self, columns: int, rows: int) -> None:
        await self.pilot.resize_terminal(columns, rows)
        await self.until(lambda: self.app.screen.outer_size == (columns, rows))
        await self.settled()

    async def settled(self) -> None:
        """Wait until every key was looked at, all messages that came of them were handled, and what they
        changed is laid out. What stores and services still have to say is waited for with `shows`.

        Textual's own wait asks whether the process uses the processor; on a busy machine it uses none while
        it has work to do.
        """
        deadline, quiet, before = time.monotonic() + PATIENCE_S, 0, 0
        while quiet < 2:
            if not self.app.is_running or self.app._exit or self.app._exception:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"keys or messages wait for {PATIENCE_S:g} s:\n{self.text()}")
            pumps = self._pumps()
            await self._round(pumps, deadline)
            idle = not any(pump.message_queue_size for pump in pumps)
            quiet = quiet + 1 if idle and len(pumps) == before and not self._keys_wait() else 0
            before = len(pumps)

    def _pumps(self) -> list[MessagePump]:
        shown = (each for screen in self.app.screen_stack for each in screen.walk_children(with_self=True))
        return [self.app, *shown]

    def _keys_wait(self) -> bool:
        """Before the stores are open they may wait for long."""
        app = self.app
        return not app._opening and (bool(app._typed_ahead) or app._waits())

    async def _round(self, pumps: list[MessagePump], deadline: float) -> None:
        """Until each of them has handled what it has now."""
        waits: set[MessagePump] = set()

        def handled(pump: MessagePump) -> None:
            waits.discard(pump)

        waits.update(pump for pump in pumps if pump.call_later(handled, pump))
        while any(not pump._closed for pump in waits) and time.monotonic() < deadline:
            if self.app._exit or self.app._exception:
                return
            await asyncio.sleep(0.001)
        if self.app.screen_stack:
            self.app.screen._on_timer_update()  # what waits for the next frame is laid out now

    def text(self) -> str:
        """All that the screens show, the topmost last."""
        return "\n".join(self._lines(screen) for screen in self.app.screen_stack)

    def top(self) -> str:
        return self._lines(self.app.screen)

    @staticmethod
    def _lines(screen: Any) -> str:
        lines = []
        for view in screen.query(LineView):
            lines += [text_of(view.line_at(y, view.size.width)) for y in range(view.size.height)]
        return "\n".join(lines)

    async def until(self, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait for a condition and the layout that comes of it; the screen's text is in the failure."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {timeout_s:g} s:\n{self.text()}")
            await asyncio.sleep(0.02)
        await self.settled()

    async def becomes(self, name: BreakerId, state: State) -> None:
        """Wait until this screen reads the breaker so, by the authority's document: a counter alone is OPEN
        before it is written, and what is asked for meanwhile is void."""

        def is_so() -> bool:
            reading = self.app.board.reading(name)
            document = reading.document if reading is not None else None
            return document is not None and reading.state is state is document.state

        await self.until(is_so)

    async def shows(self, *texts: str, timeout_s: float = PATIENCE_S) -> None:
        await self.until(lambda: all(text in self.text() for text in texts), timeout_s)

    async def shows_wide(self, *texts: str) -> None:
        """The same texts stand on a screen of 120×40 too; then it is 80×24 again."""
        await self.resize(120, 40)
        await self.shows(*texts)
        await self.settled()
        assert all(view.region.right <= 120 for view in self.app.screen.query(LineView))
        await self.resize(80, 24)


@contextlib.contextmanager
def any_speed() -> Iterator[None]:
    """A machine may take as long as it likes: nothing is called old, silent or slow for it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (board, header, incident_rows):
            patch.setattr(module, "STALE_AFTER_S", PATIENCE_S)
        patch.setattr(board, "SLOS_STALE_AFTER_S", PATIENCE_S)
        patch.setattr(board, "RECON_STALE_AFTER_S", PATIENCE_S)
        patch.setattr(checklist, "READ_S", PATIENCE_S)
        patch.setattr(probes, "STORE_BOUND_MS", PATIENCE_S * 1_000)
        patch.setattr(typed_ahead, "SETTLES_S", PATIENCE_S)
        patch.setattr(postgres_session, "CONNECT_S", PATIENCE_S)
        for made in (Line, PostgresStore):  # how long a command may take
            patch.setattr(made.__init__, "__defaults__", (PATIENCE_S,))
        patch.setattr(killing, "PACE", Pace(acks=PATIENCE_S / 2, limit=PATIENCE_S))
        yield


@contextlib.asynccontextmanager
async def cockpit(
    platform: Platform,
    login: str = "operator1",
    size: tuple[int, int] = (80, 24),
    heard: bool = True,
    real_bounds: bool = False,
    opened: OpenDesk = open_desk,
) -> AsyncIterator[Cockpit]:
    """A screen that has heard of each store once, or that it is down; `heard` False: as it starts.
    `real_bounds`: for tests in which a store falls silent, and is called so after as long as in service."""
    app = CockpitApp(platform.settings, platform.login(login), opened)
    with contextlib.nullcontext() if real_bounds else any_speed():
        async with app.run_test(size=size) as pilot:
            screen = Cockpit(app, pilot)
            if heard:
                await screen.until(lambda: bool(app.board.desk or app.board.desk_error))
                await screen.until(lambda: bool(app.board.breakers or app.board.redis_error))
            yield screen


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param  # type: ignore[no-any-return]
