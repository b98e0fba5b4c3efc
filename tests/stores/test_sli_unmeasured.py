"""A halt stops what is measured, not who measures: rows of 0 of 0 without a value keep an objective fresh."""

from __future__ import annotations

import pytest

from backends.sli_store import SliStore
from cockpit.domain.budgets import BudgetState
from cockpit.domain.slo_reports import judge_slo, judge_threshold
from cockpit.domain.slos import Op, Slo, Statistic, Threshold
from tests.stores.test_sli_readings import limit, slo, threshold
from tests.trading_platform import Platform

_ROW = """
INSERT INTO sli_samples (sli, good, total, value, observed_at)
VALUES ('signal', $1, $1, $2, clock_timestamp() - make_interval(secs => $3))
"""


async def states(platform: Platform, *objectives: Slo | Threshold) -> list[BudgetState]:
    store = SliStore(platform.settings.credentials("operator1").postgres_dsn)
    try:
        found = await store.read(objectives, ())
    finally:
        await store.close()
    return [
        (
            judge_slo(each, found[each.name])
            if isinstance(each, Slo)
            else judge_threshold(each, found[each.name])
        ).state
        for each in objectives
    ]


@pytest.mark.parametrize(("looks_on", "expected"), [(True, BudgetState.GREEN), (False, BudgetState.STALE)])
async def test_a_halt_of_ninety_seconds_leaves_a_limit_known(
    platform: Platform, looks_on: bool, expected: BudgetState
) -> None:
    """Else no halt of over a minute could be resumed: nothing is measured while nothing trades."""
    signal, newest = slo("signal", limit("signal", Op.LTE, 1_000)), threshold("signal", Statistic.LATEST)
    async with platform.connection("gateway") as connection:
        await connection.execute(_ROW, 1, 0.5, 91)
        if looks_on:
            await connection.execute(_ROW, 0, None, 1)
    found = await states(platform, signal, newest)
    assert found == [expected, BudgetState.NO_TRAFFIC if looks_on else BudgetState.STALE]
