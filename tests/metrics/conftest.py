from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.authority.service import Authority, running_authority
from cockpit.exporter import collection, service
from cockpit.exporter.service import Exporter, running_exporter
from tests.authority.desk import LONG_S, UNHURRIED, Desk, venue
from tests.trading_platform import Platform


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {**UNHURRIED, "quiet_period_s": LONG_S}


@pytest.fixture
def store_s() -> float:
    """How long the exporter waits for a store. The second that ships is a matter of `test_exporter_faults`;
    elsewhere no busy machine may make a store look away."""
    return 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, store_s: float) -> None:
    monkeypatch.setattr(collection, "TIMEOUT_S", store_s)
    monkeypatch.setattr(service, "STORE_S", store_s * 0.9)


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
