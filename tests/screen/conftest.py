"""The real screen on the real servers, driven by keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from cockpit.app import CockpitApp, open_desk
from tests.trading_platform import Platform
from widgets.line import text_of
from widgets.line_view import LineView


@dataclass(slots=True)
class Cockpit:
    """One running screen and the keys to drive it."""

    app: CockpitApp
    pilot: Pilot[int]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Text as a terminal sends it, in one burst: the pilot waits 50 ms and more after each key."""
        await self.burst(*text)

    async def burst(self, *keys: str) -> None:
        """Texts and keys (`tab`, `ctrl+s`), all sent before the first of them is looked at."""
        for key in keys:
            self.app.post_message(events.Key("space" if key == " " else key, key if len(key) == 1 else None))
        await self.pilot.pause()

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

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait for a condition; the screen's text is in the failure."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {timeout_s:g} s:\n{self.text()}")
            await asyncio.sleep(0.02)

    async def shows(self, *texts: str, timeout_s: float = 10.0) -> None:
        await self.until(lambda: all(text in self.text() for text in texts), timeout_s)

    async def shows_wide(self, *texts: str) -> None:
        """The same texts stand on a screen of 120×40 too; then it is 80×24 again."""
        await self.pilot.resize_terminal(120, 40)
        await self.until(lambda: self.app.screen.outer_size.width == 120)
        await self.shows(*texts)
        assert all(view.region.right <= 120 for view in self.app.screen.query(LineView))
        await self.pilot.resize_terminal(80, 24)
        await self.until(lambda: self.app.screen.outer_size.width == 80)


@contextlib.asynccontextmanager
async def cockpit(
    platform: Platform, login: str = "operator1", size: tuple[int, int] = (80, 24), heard: bool = True
) -> AsyncIterator[Cockpit]:
    """A screen that has heard of Postgres once, or that it is down; `heard` False: as it starts."""
    app = CockpitApp(platform.settings, platform.login(login), open_desk)
    async with app.run_test(size=size) as pilot:
        screen = Cockpit(app, pilot)
        if heard:
            await screen.until(lambda: bool(app.board.desk or app.board.desk_error))
        yield screen


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    return request.param  # type: ignore[no-any-return]


async def eventually(holds: Callable[[], Any], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "condition not met in time"
        await asyncio.sleep(0.01)
