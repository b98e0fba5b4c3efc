"""A real Prometheus scrapes the exporter with the rules that ship."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import yaml

from cockpit.exporter.service import Exporter
from tests.authority.desk import BTC, until
from tests.metrics.queries import RULES
from tests.prometheus.server import Prometheus, needs_prometheus
from tests.trading_platform import Platform

pytestmark = needs_prometheus


@pytest.fixture
async def prometheus(platform: Platform, exporter: Exporter, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """With the shipped rules, whose waiting times alone are cut: a real minute is promtool's to wait."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
            if rule.get("alert") == "CBVerificationFailed":
                rule["for"] = "1s"
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / RULES.name).write_text(yaml.safe_dump(rules))
    target = urlsplit(exporter.url).netloc
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "200ms"},
        "rule_files": [RULES.name],
        "scrape_configs": [{"job_name": "cockpit", "static_configs": [{"targets": [target]}]}],
    }
    server = Prometheus(folder, config=yaml.safe_dump(config))
    await asyncio.to_thread(server.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(platform.valkey.start)


def firing(server: Prometheus) -> set[str]:
    with urlopen(f"{server.url}/api/v1/alerts", timeout=60) as answer:
        alerts: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
    return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


async def fires(server: Prometheus, alert: str, wanted: bool) -> None:
    async def reached() -> bool:
        return (alert in await asyncio.to_thread(firing, server)) is wanted

    await until(reached, 60)


async def fire_together(server: Prometheus, *alerts: str, without: str) -> None:
    """Groups of rules have turns of their own; and a scrape that a busy machine drops is told as one."""

    async def reached() -> bool:
        found = await asyncio.to_thread(firing, server)
        return found.issuperset(alerts) and without not in found

    await until(reached, 60)


async def value(server: Prometheus, promql: str) -> float | None:
    return await asyncio.to_thread(server.value, promql, time.time())


async def becomes(server: Prometheus, promql: str, wanted: float) -> None:
    async def reached() -> bool:
        return await value(server, promql) == wanted

    await until(reached, 60)


async def test_verification_fails_where_redis_is_killed_and_clears_once_it_is_proved(
    platform: Platform, prometheus: Prometheus
) -> None:  # I4, F9
    await platform.open_for_trading()
    await becomes(prometheus, "cb_staleness_seconds", 0)
    await becomes(prometheus, f'breaker_state{{breaker_id="{BTC}"}}', 0)
    await becomes(prometheus, 'up{job="cockpit"}', 1)
    await fires(prometheus, "CBVerificationFailed", False)  # it did until the first scrape
    await fires(prometheus, "ExporterDown", False)
    await asyncio.to_thread(platform.valkey.kill)
    await fire_together(prometheus, "CBVerificationFailed", "CockpitSourceDown", without="ExporterDown")
    await becomes(prometheus, "cb_staleness_seconds", 999_999)
    await becomes(prometheus, f'breaker_state{{breaker_id="{BTC}"}}', 1)
    await asyncio.to_thread(platform.valkey.start)
    await platform.open_for_trading()
    await fires(prometheus, "CBVerificationFailed", False)


async def test_prometheus_takes_every_sample_and_every_rule(
    platform: Platform, prometheus: Prometheus
) -> None:
    await platform.open_for_trading()
    await becomes(prometheus, "cb_staleness_seconds", 0)
    await becomes(prometheus, "instance:breakers_halted:sum", 0)
    with urlopen(f"{prometheus.url}/api/v1/rules", timeout=60) as answer:
        groups = json.load(answer)["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
    async with platform.redis_line() as line:
        await line.command("INCR", "trip:global")
    await fires(prometheus, "GlobalHalted", True)
    await becomes(prometheus, "instance:breakers_halted:sum", 1)
