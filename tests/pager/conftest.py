from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.pager.outbox import Desk
from tests.pager.receiver import Receiver, receiving
from tests.trading_platform import Platform


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with platform.connection() as owner:
        yield Desk(platform, owner)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found
