from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from tests.kill.ground import Ground, be_patient, ground_on
from tests.trading_platform import Platform


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {"reset_interval_s": 2, "quiet_period_s": 1, "run_deadline_s": 20}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
async def ground(platform: Platform) -> AsyncIterator[Ground]:
    async with ground_on(platform) as made:
        yield made
