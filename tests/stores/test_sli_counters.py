"""Cumulative counts in `sli_samples`: trend and streak go by what was added, over restarts too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backends.sli_store import SliStore
from cockpit.domain.slos import Consecutive
from tests.stores.test_sli_readings import Sample, insert, slo
from tests.trading_platform import Platform

AT = datetime(2026, 3, 31, 2, 57, tzinfo=UTC)  # (02:50, 02:55] is the last whole five minutes


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[SliStore]:
    made = SliStore(platform.login("monitor1").postgres_dsn)
    yield made
    await made.close()


async def test_a_counters_trend_and_streak(platform: Platform, store: SliStore) -> None:
    counts = [(16, 100, 100), (11, 104, 104), (8, 110, 112), (6, 111, 116), (4, 2, 4), (1, 2, 7)]
    await insert(
        platform,
        "c",
        [Sample(AT - timedelta(minutes=ago), Decimal(g), Decimal(t), None) for ago, g, t in counts],
    )
    objective = slo("c", counter=True, consecutive=Consecutive(5, "orders"))
    reading = (await store.read([objective], [], AT))["c"]
    # Added: 4/4 at 02:46, 6/8 at 02:49, 1/4 at 02:51; a restart; 2/4 at 02:53, 0/3 after 02:55.
    assert reading.trend[:22] == (None,) * 22
    assert reading.trend[22:] == pytest.approx((10 / 12, 3 / 8))
    assert reading.streak == 8 + 4 + 4 + 3
