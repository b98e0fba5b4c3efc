"""One scrape of a desk where everything happens at once: every metric that is promised is really served."""

from __future__ import annotations

import json
from dataclasses import replace

from cockpit.authority.service import Authority
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerReport, TriggerState
from cockpit.exporter.metric_names import METRICS
from cockpit.exporter.service import running_exporter
from tests.authority.desk import BTC, Desk, until
from tests.metrics.scraping import scrape

SAMPLES = """
INSERT INTO sli_samples (sli, good, total, value, observed_at)
VALUES ('order_success', 998, 1000, NULL, clock_timestamp() - interval '1 minute'),
       ('order_success', 99, 100, NULL, clock_timestamp()),
       ('operations', 99, 100, NULL, clock_timestamp())
"""
LEASE = """
INSERT INTO guard_lease (holder, login, term, renewed_at, expires_at, status)
VALUES ('host:1', 'automation1', 7, clock_timestamp(), clock_timestamp() + interval '1 hour', $1)
"""
FIRING = """
INSERT INTO guard_firings (firing_id, term, rule, mode, effect, aim, breaker_id, value, threshold, samples)
VALUES (gen_random_uuid(), 7, 'daily-loss', 'live', 'trip', 'global', 'component:execution', 600, 500, '[]')
"""
REPORT = TriggerReport(
    "daily-loss", "Daily loss", "live", "trip", "global", "USD", 500.0, TriggerState.NEAR_90,
    value=460.0, fraction=0.92, breach_in_s=30.0, samples=10,
)  # fmt: skip


async def test_every_promised_metric_is_served(desk: Desk, authority: Authority) -> None:
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    async with desk.platform.connection() as connection:
        await connection.execute(SAMPLES)
        await connection.execute(LEASE, json.dumps({"reports": [REPORT.payload()], "faults": ["a fault"]}))
        await connection.execute(FIRING)
        await connection.execute("SELECT pager_sign('host:1', '{webhook}', 'critical', '{a fault}')")
    settings = replace(desk.settings, shipped_slos=True)
    async with running_exporter(settings, "monitor1") as exporter:

        async def all_served() -> bool:
            return (await scrape(exporter.url)).names == METRICS.keys()

        try:
            await until(all_served, 60)
        except AssertionError:
            missing = METRICS.keys() - (await scrape(exporter.url)).names
            raise AssertionError(f"not served: {sorted(missing)}") from None
        found = await scrape(exporter.url)
    assert found.get("guard_up") == 1
    assert found.get("guard_term") == 7
    assert found.get("guard_faults") == 1
    assert (found.get("pager_up"), found.get("pager_faults")) == (1, 1)
    assert found.get("guard_trigger_fraction", rule="daily-loss") == 0.92
    assert found.get("guard_trigger_firings_total", rule="daily-loss", mode="live") == 1
    assert found.get("slo_events", slo="order-success", outcome="bad") == 3
    assert (found.get("slo_error_budget_remaining_ratio", slo="order-success") or 0) < 1
    assert found.get("slo_threshold_value", threshold="operational-error-rate") == 0.01
    assert found.get("slo_state", slo="data-feed-uptime", state="NO DATA") == 1
    assert found.get("slo_error_budget_remaining_ratio", slo="data-feed-uptime") is None  # I25
