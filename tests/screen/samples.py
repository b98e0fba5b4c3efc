"""Samples of the shipped objectives as a plant would have written them, in a test's real database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.trading_platform import Platform

VALUES: Final[Mapping[str, float]] = {
    "bar_staleness_p99_s": 20.0,
    "signal_latency_p99_ms": 400.0,
    "reconciliation_mismatch_runs": 0.0,
    "data_quality_errors": 0.0,
    "data_stale_warnings": 0.0,
}
COUNTS: Final = ("data_feed", "order_success", "execution_latency", "reconciliation_pass", "operations")


async def write(
    platform: Platform, sli: str, good: float, total: float, value: float | None = None, ago_s: float = 0
) -> None:
    """One sample, `ago_s` seconds before the database's present."""
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
            " VALUES ($1, $2::numeric, $3::numeric, $4,"
            " clock_timestamp() - make_interval(secs => $5::double precision))",
            sli, str(good), str(total), value, ago_s,
        )  # fmt: skip


async def write_good(platform: Platform, *but: str, ago_s: float = 0) -> None:
    """Samples with which every shipped objective is kept, except those of `but`."""
    for sli in COUNTS:
        if sli not in but:
            await write(platform, sli, 1_000, 1_000, ago_s=ago_s)
    for sli, value in VALUES.items():
        if sli not in but:
            await write(platform, sli, 1, 1, value, ago_s=ago_s)
