"""A trading plant for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.demo.trading import PATIENCE_S, Trading, trading_on
from tests.trading_platform import Platform


@pytest.fixture
async def trading(platform: Platform) -> AsyncIterator[Trading]:
    await platform.open_for_trading()
    async with trading_on(platform, gate_s=PATIENCE_S) as made:
        yield made
