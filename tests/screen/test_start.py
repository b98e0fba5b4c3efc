"""The moments between the first frame and open stores."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from cockpit.asking import is_dialog
from cockpit.screens.overview import Overview
from tests.screen.conftest import cockpit
from tests.trading_platform import Platform


def test_a_key_while_a_thread_loads_the_dialogs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "widgets.dialog", ModuleType("widgets.dialog"))
    assert not is_dialog(Overview.__new__(Overview))


async def test_keys_typed_before_the_stores_are_open_are_kept(platform: Platform) -> None:
    async with cockpit(platform) as screen:
        await screen.press("t")
        await screen.shows("TRIP")
