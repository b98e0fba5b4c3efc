"""Objectives for a test's platform: their files, and the samples that the trading side would write."""

from __future__ import annotations

from pathlib import Path

from cockpit.config import load_settings
from tests.trading_platform import Platform

ORDERS = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: order-success
  displayName: Orders that the venue takes
  annotations:
    cockpit/breaker: component:execution
    cockpit/fresh: 10m
    cockpit/consecutive-over: 5 orders
spec:
  description: Of all orders, those that were not rejected.
  indicator:
    metadata: {name: order-success-ratio}
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {type: Postgres, spec: {sli: order_success}}}
        total: {metricSource: {type: Postgres, spec: {sli: order_success}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"""
ERRORS = """\
apiVersion: ops-cockpit/v1
kind: Threshold
metadata:
  name: data-errors
  displayName: Records of bad quality
  annotations:
    cockpit/breaker: component:ingest
    cockpit/fresh: 10m
spec:
  description: The newest count.
  metricSource: {type: Postgres, spec: {sli: data_errors}}
  statistic: latest
  op: lte
  value: 0
  unit: records
"""


def write_objectives(platform: Platform, **files: str) -> Path:
    """The folder of these files, by name without suffix, as the settings then say."""
    folder = platform.folder / "slos"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    text = platform.config.read_text()
    platform.config.write_text(text.replace("shipped = false\n", 'shipped = false\nfolders = ["slos"]\n', 1))
    platform.settings = load_settings(platform.config, env={})
    return folder


async def sample(
    platform: Platform, sli: str, good: int, total: int, age_s: float = 1, value: float | None = None
) -> None:
    """One sample, as old as `age_s` by the database's clock."""
    async with platform.connection() as connection:
        await connection.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
            " VALUES ($1, $2, $3, $4, clock_timestamp() - make_interval(secs => $5))",
            sli,
            good,
            total,
            value,
            age_s,
        )
