from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.authority.service import Authority, running_authority
from tests.authority.desk import UNHURRIED, Desk, venue
from tests.trading_platform import Platform


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return UNHURRIED


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with venue() as made:
        found = Desk(platform, replace(platform.settings, gateway_url=made.url), made)
        with platform.config.open("r+") as config:  # the processes that a test starts ask the same venue
            text = config.read()
            config.seek(0)
            config.write(f'gateway_url = "{made.url}"\n{text}')
        yield found
        await found.close()


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        yield running
