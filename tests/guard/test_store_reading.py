"""What the guard reads: late commits, odd rows, gauges, a store that goes away and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from backends.guard_store import GuardStore
from backends.prometheus_gauge import BadGauge, PrometheusGauges
from cockpit.domain.permissions import Role
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.trigger_reports import TriggerState
from cockpit.domain.trigger_rows import Plan
from cockpit.guard.rule_file import RuleFile, shipped_rules
from cockpit.guard.service import Guard
from tests.authority.desk import until
from tests.guard.plant import (
    BTC,
    desk,
    fired,
    firings,
    now,
    orders,
    report,
    rules,
    running_guard,
    sample,
    two_publications,
)
from tests.guard.test_acting import loss
from tests.prometheus.server import Prometheus, free_port, needs_prometheus
from tests.trading_platform import Platform

PLAN = Plan(True, 60, 3600, False, 10, 3600, True, ("api_errors",), 3600, (), ("BTC-USD",))


async def test_a_transaction_that_commits_late_is_read_once_and_not_missed(platform: Platform) -> None:
    store = GuardStore(platform.login("automation1").postgres_dsn)
    try:
        term = await store.take("me")
        assert term is not None
        async with platform.connection("gateway") as slow, platform.connection("gateway") as quick:
            late = slow.transaction()
            await late.start()
            old = await now(platform) - timedelta(seconds=600)
            await orders(platform, 3, at=old, connection=slow, status="rejected")
            await orders(platform, 2, at=old, connection=quick, status="rejected")
            first = await store.load(PLAN, term, [])
            # What came after the slow one's begin is left to the next reading, which will meet it.
            assert sum(each.settled for each in first.counted) == 0
            second = await store.changes(PLAN, term, [], first.cursor)
            assert len(second.orders) == 2
            await late.commit()
            third = await store.changes(PLAN, term, [], second.cursor)
            ids = {each.order_id for each in (*second.orders, *third.orders)}
            assert len(ids) == 5
            fourth = await store.changes(PLAN, term, [], third.cursor)
            assert fourth.orders == []
            again = await store.load(PLAN, term, [])
            assert sum(each.rejected for each in again.counted) == 5
    finally:
        await store.close()


async def test_samples_that_commit_late_reach_their_own_second(platform: Platform) -> None:
    await platform.open_for_trading()
    async with running_guard(platform.settings) as guard, platform.connection("gateway") as slow:
        late = slow.transaction()
        await late.start()
        at = await now(platform) - timedelta(seconds=20)
        await orders(platform, 5, at=at, every_s=0.1, slippage="0.9", connection=slow)
        await orders(platform, 5, at=at + timedelta(seconds=5), every_s=0.1, slippage="0.9")
        await two_publications(platform, guard)
        assert await firings(platform) == []
        await late.commit()
        assert (await fired(platform, "slippage-run"))[0]["breaker_id"] == BTC


async def test_paper_orders_and_open_ones_are_no_samples(platform: Platform) -> None:
    async with running_guard(platform.settings) as guard:
        at = await now(platform) - timedelta(seconds=5)
        await orders(platform, 20, at=at, slippage="0.9", paper=True)
        await orders(platform, 20, at=at, slippage="0.9", status="open")
        await orders(platform, 20, at=at, slippage="0.9", status="cancelled")
        await two_publications(platform, guard)
        assert await firings(platform) == []
        found = await report(platform, "slippage-run")
        assert found is not None and found.state is TriggerState.MISSING


async def test_rows_of_nonsense_stop_nothing(platform: Platform) -> None:
    async with running_guard(platform.settings) as guard, platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, value) VALUES"
            " ('daily_pnl_usd', 1, 1, 'NaN'), ('drawdown', 1, 1, 'Infinity'), ('api_errors', 5, 1, NULL),"
            " ('api_errors', 'Infinity', 'Infinity', NULL), ('api_errors', 0, 1e90, NULL),"
            " ('feed_age_s', 1, 1, '-Infinity'), ('settlement_lag_s', 1, 1, -5)"
        )
        await gateway.execute(
            "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, latency_ms, slippage)"
            " VALUES ('a', 'BTC-USD', 'buy', 1, 'filled', 'NaN', 'NaN'),"
            " ('b', E'\\x1b[2J', 'buy', 1, 'filled', 'Infinity', 9)"
        )
        await gateway.execute(
            "INSERT INTO positions (symbol, quantity, max_quantity) VALUES ('BTC-USD', 'NaN', 1),"
            " ('ETH-USD', 1e30, NULL)"
        )
        await two_publications(platform, guard)
        found = {each.rule: each for each in (await desk(platform)).guard.reports}  # type: ignore[union-attr]
        assert found["daily-loss"].why.startswith("the newest sample is no number")
        assert found["api-errors"].why.endswith("3 samples left out: no numbers, or more bad than there were")
        assert found["position-limit"].state is TriggerState.MISSING
        assert await firings(platform) == []
        await sample(platform, "drawdown", 0.2)
        await fired(platform, "drawdown")


async def test_while_postgres_is_away_nothing_is_decided_and_then_it_goes_on(
    platform: Platform, tmp_path: Path
) -> None:  # F8
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss()))
    server = platform.template.postgres.owner_dsn.replace("/cockpit", "/postgres")
    async with running_guard(settings) as guard, platform.connection("gateway") as gateway:
        owner = await asyncpg.connect(server)
        try:
            await owner.execute(f"ALTER DATABASE {platform.database} ALLOW_CONNECTIONS false")
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'automation1' AND datname = $1",
                platform.database,
            )
            await gateway.execute(
                "INSERT INTO sli_samples (sli, good, total, value) VALUES ('daily_pnl_usd', 1, 1, -900)"
            )

            async def lost() -> bool:
                return not guard.acting.is_set()

            await until(lost, 15)
            assert await gateway.fetchval("SELECT count(*) FROM sli_samples") == 1
        finally:
            await owner.execute(f"ALTER DATABASE {platform.database} ALLOW_CONNECTIONS true")
            await owner.close()
        await fired(platform, "loss", limit_s=15)


@pytest.mark.parametrize("login", ["operator1", "monitor1", "admin1"])
async def test_only_an_automation_login_takes_the_lease(platform: Platform, login: str) -> None:  # I22
    store = GuardStore(platform.login(login).postgres_dsn)
    with pytest.raises(Refused):
        await store.take("me")
    await store.close()
    await platform.add_login("automation2", Role.AUTOMATION_ROLE, "person:automation2")
    assert not Guard(platform.settings, "automation2").acting.is_set()


def test_the_shipped_file_is_the_default(platform: Platform) -> None:
    assert RuleFile(None, platform.catalogue).path == shipped_rules()


async def test_what_a_guards_login_published_is_only_shown(platform: Platform) -> None:  # I22, I26
    """Its own login can publish anything: what is no report is left out, and said."""
    async with platform.connection("automation1") as psql:
        assert await psql.fetchval("SELECT guard_take($1)", "a\x1b[31m") == 1
        status = '{"reports": [3, {"rule": "x"}], "faults": ["\\u001b[2Jbad", 7], "breached": "no"}'
        assert await psql.fetchval("SELECT guard_renew($1, 1, $2::text::jsonb)", "a\x1b[31m", status)
        found = (await desk(platform)).guard
        assert found is not None and found.alive and found.reports == ()
        assert "\x1b" not in found.holder + "".join(found.faults)
        assert sum("no report" in fault for fault in found.faults) == 2
        for other in ("[]", "3", '{"reports": {}}', "null"):
            assert await psql.fetchval("SELECT guard_renew($1, 1, $2::text::jsonb)", "a\x1b[31m", other)
            again = (await desk(platform)).guard
            assert again is not None and again.reports == ()
        assert await psql.fetchval("SELECT guard_release($1, 1)", "a\x1b[31m")
    async with running_guard(platform.settings):  # what it finds there stops no successor
        await sample(platform, "daily_pnl_usd", -900)
        await fired(platform, "daily-loss")


async def test_size_limits_in_force_are_on_the_desk(platform: Platform) -> None:
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO size_limits"
            " (limit_id, breaker_id, share, source, rule, notes, login, audit_seq, lifted_at) VALUES"
            " (gen_random_uuid(), 'component:execution', 0.5, 'guard', 'settlement-slow', 'n', 'a', 1, NULL),"
            " (gen_random_uuid(), 'global', 0.25, 'person', '', 'n', 'admin1', 2, clock_timestamp())"
        )
    (found,) = (await desk(platform)).size_limits
    assert (found.breaker_id, str(found.share), found.rule) == (
        "component:execution",
        "0.5",
        "settlement-slow",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus")) as made:
        yield made


@needs_prometheus
async def test_gauges(server: Prometheus) -> None:
    gauges = PrometheusGauges(server.url)
    try:
        assert await gauges.value("vector(3)") == 3
        assert await gauges.value("scalar(vector(2))") == 2
        for query, said in (
            ("absent_metric", "no series"),
            ('vector(1) or label_replace(vector(2), "a", "b", "", "")', "2 series, where one is needed"),
            ("vector(0) / 0", "the value is NaN"),
            ("sum(", "the query is refused"),
        ):
            with pytest.raises(BadGauge, match=said):
                await gauges.value(query)
    finally:
        gauges.close()
    nobody = PrometheusGauges(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnreachable):
        await nobody.value("vector(1)")
    nobody.close()


@needs_prometheus
async def test_a_rule_on_prometheus(platform: Platform, server: Prometheus, tmp_path: Path) -> None:
    gauge = (
        loss().replace("sli:daily_pnl_usd", "prometheus:{}").replace('figure = "loss"', 'figure = "value"')
    )
    high = gauge.format("vector(501)")
    gone = gauge.format("absent_metric").replace('name = "loss"', 'name = "gone"')
    settings = replace(
        platform.settings, triggers_file=rules(tmp_path, high, gone), prometheus_url=server.url
    )
    async with running_guard(settings) as guard:
        await fired(platform, "loss")
        await two_publications(platform, guard)
        found = await report(platform, "gone")
        assert found is not None and found.state is TriggerState.MISSING
        snapshot = (await desk(platform)).guard
        assert snapshot is not None and any("absent_metric: no series" in each for each in snapshot.faults)
