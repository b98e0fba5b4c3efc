"""The breakers in the exporter's metrics, on real stores with a real authority."""

from __future__ import annotations

import json

import pytest

from cockpit.authority.service import Authority
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.exporter.metric_names import METRICS
from cockpit.exporter.service import Exporter
from tests.authority.desk import BTC, ETH, Desk, until
from tests.metrics.scraping import Samples, scrape
from tests.trading_platform import Platform

STALENESS = "cb_staleness_seconds"
FAILED = 999_999


async def test_each_state_has_its_number_and_its_share(
    desk: Desk, authority: Authority, exporter: Exporter
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.becomes(BTC, State.CLOSED)
    found = await scrape(exporter.url)
    assert found.get(STALENESS) == 0
    assert set(found.all("breaker_state")) == {0}
    assert found.get("breaker_size_share", breaker_id=BTC) == 1
    assert found.get("breaker_trips_total", breaker_id=BTC) == found.get("breaker_epoch", breaker_id=BTC) == 1
    assert found.get("breaker_resets_total", breaker_id=BTC) == 0
    assert found.get("breaker_probe_success_ratio", breaker_id=BTC) is None  # no run: absent, never 0

    await desk.trip(BTC)
    found = await scrape(exporter.url)
    assert found.get("breaker_state", breaker_id=BTC) == 1
    assert found.get("breaker_state", breaker_id=ETH) == 0
    assert found.get("breaker_size_share", breaker_id=BTC) == 0
    assert found.get("breaker_trips_total", breaker_id=BTC) == 2
    assert found.get("breaker_resets_total", breaker_id=BTC) == 0
    assert found.get(STALENESS) == 0  # halted, and proved to be

    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    found = await scrape(exporter.url)
    assert found.get("breaker_state", breaker_id=BTC) == 2
    assert found.get("breaker_probe_success_ratio", breaker_id=BTC) == 0
    assert found.get("breaker_size_share", breaker_id=BTC) == 0

    await desk.run_status(await desk.probe(BTC, passes=(True, True, True, False, True)), "passed")
    assert (await desk.ask(Kind.CLOSE, BTC)).status == "done"
    found = await scrape(exporter.url)
    assert found.get("breaker_state", breaker_id=BTC) == 3
    assert found.get("breaker_probe_success_ratio", breaker_id=BTC) == pytest.approx(0.8)
    assert found.get("breaker_size_share", breaker_id=BTC) == float(desk.settings.limits.size_share)
    assert found.get("breaker_resets_total", breaker_id=BTC) == 1
    assert found.get("breaker_probe_success_ratio", breaker_id=ETH) is None

    await desk.trip(BTC)
    found = await scrape(exporter.url)
    assert found.get("breaker_probe_success_ratio", breaker_id=BTC) is None  # the run was of the last epoch


async def test_an_ancestor_halts_and_the_own_state_stays_told(
    platform: Platform, exporter: Exporter
) -> None:  # I5
    await platform.open_for_trading()
    async with platform.redis_line() as line:
        await line.command("INCR", f"trip:{EXECUTION}")
    found = await scrape(exporter.url)
    assert found.get("breaker_state", breaker_id=BTC) == 1
    assert found.get("breaker_own_state", breaker_id=BTC) == 0
    assert found.get("breaker_own_state", breaker_id=EXECUTION) == 1
    assert found.get("breaker_state", breaker_id=GLOBAL) == 0
    # Tripped and not yet written down: the document is older, and the state is proved nevertheless.
    assert found.get("breaker_doubt", breaker_id=EXECUTION) == 1
    assert found.get(STALENESS) == 0


async def test_a_switch_is_told_set_or_in_doubt(platform: Platform, exporter: Exporter) -> None:  # I4
    await platform.open_for_trading()
    found = await scrape(exporter.url)
    assert set(found.all("switch_set")) == {0}
    assert len(found.all("switch_set")) == len(platform.catalogue.switches)
    async with platform.redis_line() as line:
        await line.command("INCR", "trip:soft_halt:BTC-USD")
        await line.command("DEL", "breaker:withdrawals")
    found = await scrape(exporter.url)
    assert found.get("switch_set", switch="soft_halt:BTC-USD") == 1
    assert found.get("switch_set", switch="withdrawals") == 1
    assert found.get("switch_set", switch="latch:BTC-USD") == 0
    assert found.get("breaker_state", breaker_id=BTC) == 1  # what orders meet
    assert found.get("breaker_own_state", breaker_id=BTC) == 0
    assert found.get(STALENESS) == 0


async def test_without_documents_everything_counts_as_open(exporter: Exporter) -> None:  # I4
    found = await scrape(exporter.url)
    assert set(found.all("breaker_state")) == {1}
    assert set(found.all("breaker_doubt")) == {1}
    assert set(found.all("switch_set")) == {1}
    assert found.get(STALENESS) == FAILED


DOUBTS = {
    "the legacy key is missing": ("DEL", "circuit_breaker:state"),
    "the legacy key is written by hand": ("SET", "circuit_breaker:state", '{"state":"OPEN"}'),
    "the legacy key is no JSON": ("SET", "circuit_breaker:state", "{"),
    "the global document is missing": ("DEL", "breaker:global"),
    "the global document is malformed": ("SET", "breaker:global", "{}"),
    "the global counter is missing": ("DEL", "trip:global"),
    "the global counter is malformed": ("SET", "trip:global", "one"),
    "another breaker's document is missing": ("DEL", f"breaker:{BTC}"),
    "another breaker's counter went back": ("SET", f"trip:{BTC}", "1"),
}


@pytest.mark.parametrize("command", DOUBTS.values(), ids=DOUBTS.keys())
async def test_what_is_not_proved_is_stale_in_that_scrape(
    platform: Platform, exporter: Exporter, command: tuple[str, ...]
) -> None:  # I4
    async with platform.redis_line() as line:
        await line.command("INCR", f"trip:{BTC}")
        await platform.open_for_trading()
        before = await scrape(exporter.url)
        assert before.get(STALENESS) == 0
        await line.command(*command)
    after = await scrape(exporter.url)
    assert after.get(STALENESS) == FAILED
    doubted = BTC if BTC in command[1] else GLOBAL
    assert after.get("breaker_state", breaker_id=doubted) == 1


async def test_a_forged_document_proves_nothing(platform: Platform, exporter: Exporter) -> None:  # I4
    await platform.open_for_trading()
    async with platform.redis_line() as line:
        forged = json.loads(await line.command("GET", f"breaker:{BTC}")) | {"actor": "somebody"}
        await line.command("SET", f"breaker:{BTC}", json.dumps(forged))
    found = await scrape(exporter.url)
    assert found.get("breaker_state", breaker_id=BTC) == 1
    assert found.get(STALENESS) == FAILED


async def test_both_formats_say_the_same(desk: Desk, authority: Authority, exporter: Exporter) -> None:
    await desk.becomes(BTC, State.CLOSED)
    compared = ("breaker_state", "breaker_trips_total", "audit_head_seq")

    async def both() -> tuple[Samples, Samples] | None:
        """Of a time in which nothing changed: the authority goes on meanwhile, and anchors."""
        before = await scrape(exporter.url)
        text, after = await scrape(exporter.url, "text/plain"), await scrape(exporter.url)
        still = all(sorted(before.all(name)) == sorted(after.all(name)) for name in compared)
        return (after, text) if still and before.names == after.names else None

    openmetrics, text = await until(both)
    assert openmetrics.names == text.names
    assert openmetrics.names <= METRICS.keys()
    for name in compared:
        assert sorted(openmetrics.all(name)) == sorted(text.all(name))


async def test_authority_chain_and_alarms(desk: Desk, authority: Authority, exporter: Exporter) -> None:
    await desk.becomes(BTC, State.CLOSED)

    async def told() -> bool:
        return (await scrape(exporter.url)).get("audit_chain_ok") == 1

    await until(told)
    found = await scrape(exporter.url)
    assert found.get("authority_up") == 1
    assert found.get("authority_term") == 1
    assert found.get("authority_evidence_ok") == 1
    assert found.get("authority_pending_trips") == 0
    assert 0 <= (found.get("authority_lease_age_seconds") or 0) < 5
    assert (found.get("audit_head_seq") or 0) > 0
    assert found.get("incidents_unacknowledged", severity="P1") == 0
    assert found.get("guard_up") == 0
    async with desk.platform.connection() as connection:
        await connection.execute("INSERT INTO incidents (severity, title) VALUES ('P1', 'a test')")
    found = await scrape(exporter.url)
    assert found.get("incidents_unacknowledged", severity="P1") == 1


async def test_without_an_authority_its_health_is_absent(platform: Platform, exporter: Exporter) -> None:
    found = await scrape(exporter.url)
    assert found.get("authority_up") == 0
    for name in ("authority_evidence_ok", "audit_chain_ok", "authority_pending_trips"):
        assert found.all(name) == []
