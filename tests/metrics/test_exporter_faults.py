"""Stores killed, paused and slow: what the exporter says then, and that it goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cockpit.exporter.collection import Collection, Scrape
from cockpit.exporter.service import Exporter
from cockpit.exporter.web import Request
from tests.authority.desk import BTC, until
from tests.metrics.scraping import Samples, scrape
from tests.trading_platform import Platform

STALENESS = "cb_staleness_seconds"
FAILED = 999_999
PATIENCE_S = 10.0
"""What Prometheus waits for a scrape unless told otherwise. A store that is away costs a second of it."""


@pytest.fixture
def store_s() -> float:
    return 1.0


async def scraped(exporter: Exporter, name: str, wanted: float, **labels: str) -> Samples:
    """A scrape that says so. A busy machine's store may miss its second, which no scrape after it need do."""

    async def told() -> Samples | None:
        found = await scrape(exporter.url)
        return found if found.get(name, **labels) == wanted else None

    found: Samples = await until(told)
    return found


@pytest.fixture(autouse=True)
async def both_back(platform: Platform) -> AsyncIterator[None]:
    yield
    for server in (platform.valkey, platform.postgres):
        server.resume()
        await asyncio.to_thread(server.start)


async def test_redis_killed_counts_as_open_within_that_scrape(
    platform: Platform, exporter: Exporter
) -> None:  # I4, F9
    await platform.open_for_trading()
    await scraped(exporter, STALENESS, 0)
    await asyncio.to_thread(platform.valkey.kill)
    found = await scrape(exporter.url)
    assert found.get(STALENESS) == FAILED
    assert set(found.all("breaker_state")) == set(found.all("switch_set")) == {1}
    assert set(found.all("breaker_size_share")) == {0}
    assert found.all("breaker_trips_total") == []  # not known: absent, never 0
    assert found.get("exporter_source_up", source="redis") == 0
    await scraped(exporter, "authority_up", 0)  # Postgres is still told
    await asyncio.to_thread(platform.valkey.start)
    found = await scraped(exporter, "exporter_source_up", 1, source="redis")
    assert found.get(STALENESS) == FAILED  # another run_id: nothing written before proves anything
    await platform.open_for_trading()
    await scraped(exporter, STALENESS, 0)


async def test_redis_that_does_not_answer_costs_a_second(platform: Platform, exporter: Exporter) -> None:
    await platform.open_for_trading()
    await scraped(exporter, STALENESS, 0)
    platform.valkey.pause()
    begun = time.monotonic()
    found = await scrape(exporter.url)
    assert time.monotonic() - begun < PATIENCE_S
    assert found.get(STALENESS) == FAILED
    platform.valkey.resume()
    await scraped(exporter, STALENESS, 0)


async def test_redis_that_refuses_the_login(platform: Platform, exporter: Exporter) -> None:
    await platform.open_for_trading()
    async with platform.redis_line() as line:
        await line.command("ACL", "SETUSER", "monitor1", "-mget")
        try:
            found = await scrape(exporter.url)
        finally:
            await line.command("ACL", "SETUSER", "monitor1", "+mget")
    assert found.get(STALENESS) == FAILED
    assert set(found.all("breaker_state")) == set(found.all("switch_set")) == {1}
    await scraped(exporter, STALENESS, 0)


@pytest.mark.parametrize("connected", [True, False], ids=["while connected", "before it connects"])
@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_without_postgres_the_breakers_are_still_told(
    platform: Platform, exporter: Exporter, how: str, connected: bool, caplog: pytest.LogCaptureFixture
) -> None:  # F8
    await platform.open_for_trading()
    if connected:
        await scrape(exporter.url)
    await asyncio.to_thread(getattr(platform.postgres, how))
    begun = time.monotonic()
    found = await scrape(exporter.url)
    assert time.monotonic() - begun < PATIENCE_S
    assert found.get("exporter_source_up", source="postgres") == 0
    found = await scraped(exporter, STALENESS, 0)
    assert found.get("breaker_state", breaker_id=BTC) == 0
    assert found.get("exporter_source_up", source="postgres") == 0
    for name in ("authority_up", "audit_head_seq", "guard_up", "breaker_resets_total"):
        assert found.all(name) == []
    assert "postgres cannot be read: " in caplog.text
    assert "unexpected" not in caplog.text
    platform.postgres.resume()
    await asyncio.to_thread(platform.postgres.start)

    async def back() -> bool:
        return (await scrape(exporter.url)).get("authority_up") == 0

    await until(back)


async def test_scrapes_at_once_share_a_reading_and_pile_up_nothing(
    platform: Platform, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await platform.open_for_trading()
    readings = 0
    read = Collection._read

    async def counted(self: Collection) -> Scrape:
        nonlocal readings
        readings += 1
        return await read(self)

    monkeypatch.setattr(Collection, "_read", counted)
    platform.valkey.pause()
    begun = time.monotonic()
    found = await asyncio.gather(*(exporter.answer(Request("GET", "/metrics", {})) for _ in range(40)))
    assert time.monotonic() - begun < PATIENCE_S
    assert readings == 1  # not forty: all came before it began
    (body,) = {each.body for each in found}
    assert Samples(text_string_to_metric_families(body.decode())).get(STALENESS) == FAILED
    together = await asyncio.gather(*(scrape(exporter.url) for _ in range(20)))
    assert {each.get(STALENESS) for each in together} == {FAILED}
    platform.valkey.resume()
    await scraped(exporter, STALENESS, 0)


async def test_a_scrape_never_tells_what_was_read_before_it_came(
    platform: Platform, exporter: Exporter
) -> None:
    await platform.open_for_trading()
    platform.valkey.pause()
    early = asyncio.create_task(scrape(exporter.url))

    async def reading() -> bool:
        return len(asyncio.all_tasks()) > 2 and any(
            task.get_name() == "collection" for task in asyncio.all_tasks()
        )

    await until(reading)
    platform.valkey.resume()
    async with platform.redis_line() as line:
        await line.command("INCR", f"trip:{BTC}")
    late = await scrape(exporter.url)
    assert late.get("breaker_state", breaker_id=BTC) == 1
    await early


async def test_no_scrape_holds_a_secret(platform: Platform, exporter: Exporter) -> None:  # I27
    import httpx

    await platform.open_for_trading()
    async with httpx.AsyncClient(verify=False) as client:
        body = (await client.get(exporter.url)).text
        await asyncio.to_thread(platform.valkey.kill)
        body += (await client.get(exporter.url)).text
    for login in platform.settings.logins.values():
        for address in (login.redis_url, login.postgres_dsn):
            password = address.partition("@")[0].rpartition(":")[2]
            assert password and password not in body
    assert "127.0.0.1" not in body


async def test_a_row_that_nobody_can_use_costs_only_itself(
    platform: Platform, exporter: Exporter, caplog: pytest.LogCaptureFixture
) -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO positions (symbol, quantity, updated_at) VALUES ('EVIL', 9e131071, 'infinity')"
        )
        await gateway.execute(
            "INSERT INTO recent_orders (order_id, symbol, side, quantity, price, status, placed_at)"
            " VALUES ('e', 'EVIL', 'buy', 9e131071, 9e131071, 'open', 'infinity')"
        )
    found = await scraped(exporter, "exporter_source_up", 1, source="postgres")
    assert found.all("audit_head_seq")
    assert "not all of postgres is read: orders: EVIL: 1 with no possible" in caplog.text
    assert "positions: EVIL: left out" in caplog.text
