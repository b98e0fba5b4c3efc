"""The moments between the first frame and open stores."""

from __future__ import annotations

import sys
import threading
from types import ModuleType

import pytest

from backends.redis_store import RedisStore
from cockpit.app import open_desk
from cockpit.asking import is_dialog
from cockpit.config import Credentials, Settings
from cockpit.desk import Desk
from cockpit.screens.overview import Overview
from tests.screen.conftest import PATIENCE_S, cockpit
from tests.trading_platform import Platform
from widgets.trip_dialog import TripDialog


def test_a_key_while_a_thread_loads_the_dialogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "widgets.dialog", ModuleType("widgets.dialog"))
    assert not is_dialog(Overview.__new__(Overview))


async def test_keys_typed_before_the_stores_are_open_are_kept(platform: Platform) -> None:
    may_open = threading.Event()

    def late(settings: Settings, credentials: Credentials, redis: RedisStore | None) -> Desk:
        assert may_open.wait(PATIENCE_S)
        return open_desk(settings, credentials, redis)

    async with cockpit(platform, "admin1", heard=False, opened=late) as screen:
        try:
            await screen.press("t")
            assert isinstance(screen.app.screen, Overview)
        finally:
            may_open.set()
        await screen.until(lambda: isinstance(screen.app.screen, TripDialog))
        await screen.shows("TRIP global")
