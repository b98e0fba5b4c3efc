from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.authority.service import Authority, running_authority
from cockpit.exporter.service import Exporter, running_exporter
from tests.authority.desk import Desk, venue
from tests.trading_platform import Platform


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {"reset_interval_s": 2, "quiet_period_s": 60, "run_deadline_s": 20}


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with venue() as made:
        found = Desk(platform, replace(platform.settings, gateway_url=made.url), made)
        yield found
        await found.close()


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        yield running


@pytest.fixture
async def exporter(platform: Platform) -> AsyncIterator[Exporter]:
    async with running_exporter(platform.settings, "monitor1") as running:
        yield running
