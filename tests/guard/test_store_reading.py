"""What the guard reads: late commits, odd rows, gauges, a store that goes away and comes back."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from backends import guard_store
from backends.guard_store import GuardStore, Term
from backends.postgres_admin import PostgresAdmin
from backends.prometheus_gauge import BadGauge, PrometheusGauges
from cockpit.config import BadSettings
from cockpit.domain.lookout import Lookout
from cockpit.domain.permissions import Role
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.trigger_reports import TriggerState
from cockpit.domain.trigger_rows import Gauge, Plan
from cockpit.guard.rule_file import RuleFile, shipped_rules
from cockpit.guard.service import Guard
from tests.authority.desk import until
from tests.guard.plant import (
    BTC,
    PATIENCE_S,
    desk,
    fired,
    firings,
    lasting_leases,
    now,
    orders,
    position,
    read_anew,
    report,
    rules,
    running_guard,
    sample,
    settled,
)
from tests.guard.test_acting import loss
from tests.prometheus.server import Prometheus, Series, free_port, needs_prometheus
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
            assert sum(each.settled for each in first.counted) == 2
            await orders(platform, 4, at=old, connection=quick, status="rejected")
            second = await store.changes(PLAN, term, [], first.cursor)
            assert len(second.orders) == 4
            again = await store.changes(PLAN, term, [], second.cursor)  # the slow one is open all the time
            assert again.orders == []
            await late.commit()
            third = await store.changes(PLAN, term, [], again.cursor)
            assert len({each.order_id for each in (*second.orders, *third.orders)}) == 7
            fourth = await store.changes(PLAN, term, [], third.cursor)
            assert fourth.orders == []
            again = await store.load(PLAN, term, [])
            assert sum(each.rejected for each in again.counted) == 9
    finally:
        await store.close()


@asynccontextmanager
async def reading(platform: Platform) -> AsyncIterator[tuple[GuardStore, Term]]:
    store = GuardStore(platform.login("automation1").postgres_dsn)
    try:
        term = await store.take("me")
        assert term is not None
        yield store, term
    finally:
        await store.close()


async def test_an_open_transaction_makes_nobody_read_twice(platform: Platform) -> None:  # F25
    async with reading(platform) as (store, term), platform.connection("gateway") as idle:
        await idle.execute("BEGIN")
        await idle.execute("SELECT pg_current_xact_id()")
        rows = await store.load(PLAN, term, [])
        seen = []
        for count in (3, 0, 2, 0):
            await orders(platform, count, at=await now(platform))
            for _ in range(count):
                await sample(platform, "api_errors", good=0)
            rows = await store.changes(PLAN, term, [], rows.cursor)
            seen.append((len(rows.orders), len(rows.samples)))
        assert seen == [(3, 3), (0, 0), (2, 2), (0, 0)]


async def test_samples_older_than_every_window_are_not_read_in_bulk(platform: Platform) -> None:
    """A backfill of old samples: only the newest before the window can matter."""
    async with reading(platform) as (store, term):
        rows = await store.load(PLAN, term, [])
        for ago_s in (9000, 8000, 7000, 10):
            await sample(platform, "api_errors", good=0, ago_s=ago_s)
        rows = await store.changes(PLAN, term, [], rows.cursor)
        loaded = await store.load(PLAN, term, [])
        found = {each.sample_id for each in rows.samples}
        assert found == {each.sample_id for each in loaded.samples} and len(found) == 2


async def test_rows_of_another_cluster_are_old_and_init_says_so(platform: Platform) -> None:
    """After a restore `noted_tx` lies ahead of every transaction of this cluster."""
    async with reading(platform) as (store, term), platform.connection() as owner:
        await orders(platform, 5, at=await now(platform) - timedelta(seconds=10), status="rejected")
        await sample(platform, "api_errors", good=0)
        await position(platform, "1", "10")
        for table in ("recent_orders", "sli_samples", "positions"):
            await owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await owner.execute(
                f"UPDATE {table} SET noted_tx = (pg_current_xact_id()::text::bigint + 500)::text::xid8"
            )
            await owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        rows = await store.load(PLAN, term, [])
        assert (len(rows.orders), len(rows.samples), len(rows.positions)) == (5, 1, 1)
        before = rows
        rows = await store.changes(PLAN, term, [], before.cursor)
        assert (rows.orders, rows.samples, rows.positions) == ([], [], [])
        admin = PostgresAdmin(platform.owner.postgres_dsn)
        try:
            await admin.upgrade(platform.catalogue)
        finally:
            await admin.close()
        # the numbers that the rows named go by
        await owner.execute(
            "DO $$ BEGIN FOR i IN 1..600 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
        rows = await store.changes(PLAN, term, [], before.cursor)
        assert (rows.orders, rows.samples, rows.positions) == ([], [], [])
        await orders(platform, 1, at=await now(platform))  # and the triggers work again
        assert len((await store.changes(PLAN, term, [], rows.cursor)).orders) == 1


async def test_a_store_that_lost_what_was_read_is_read_anew(platform: Platform) -> None:
    async with reading(platform) as (store, term):
        rows = await store.load(PLAN, term, [])
        first, end, _ = rows.cursor.split(":")
        with pytest.raises(StoreUnreachable, match="went back"):
            await store.changes(PLAN, term, [], f"{first}:{int(end) + 1_000_000}:")


async def test_an_order_counts_once_however_much_came_after_it(platform: Platform) -> None:
    """Touched again behind a hundred thousand others, within its hour."""
    lookout = Lookout(RuleFile(None, platform.catalogue).rules, platform.catalogue)
    async with reading(platform) as (store, term), platform.connection("gateway") as gateway:
        await store._reader.close()
        store._reader._timeout_s = PATIENCE_S  # it is about how many are counted, not about how fast
        rows = await store.load(lookout.plan, term, [])
        lookout.feed(rows)
        await orders(platform, 20, at=await now(platform), status="rejected")
        await gateway.execute("SET statement_timeout = 0")
        await gateway.execute(
            "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, slippage)"
            " SELECT 'o' || n, 'BTC-USD', 'buy', 1, 'filled', 0 FROM generate_series(1, 100001) n"
        )
        rows = await store.changes(lookout.plan, term, [], rows.cursor)
        lookout.feed(rows)
        await gateway.execute(
            "UPDATE recent_orders SET updated_at = updated_at + interval '1 us' WHERE status = 'rejected'"
        )
        again = await store.changes(lookout.plan, term, [], rows.cursor)
        assert len(again.orders) == 20
        lookout.feed(again)
    found = {each.rule: each for each in lookout.reports()}["reject-rate"]
    assert found.samples == 100_021 and found.value == 20 / 100_021


TIMES = ("infinity", "-infinity", "0044-03-15 BC", "20000-01-01", "10000-01-01", "1999-12-31")
ODD = [
    "INSERT INTO sli_samples (sli, good, total, value, observed_at) VALUES ('daily_pnl_usd', 1, 1, 0, '{}')",
    "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, latency_ms, slippage, updated_at)"
    " VALUES (gen_random_uuid(), 'BTC-USD', 'buy', 1, 'filled', 5, 0, '{}')",
    "INSERT INTO positions (symbol, quantity, max_quantity, updated_at) VALUES ('BTC-USD', 1, 10, '{0}')"
    " ON CONFLICT (symbol) DO UPDATE SET updated_at = '{0}'",
]


@pytest.mark.parametrize("insert", ODD, ids=["samples", "orders", "positions"])
async def test_times_that_are_no_times_stop_nothing(
    platform: Platform, insert: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # F8
    monkeypatch.setattr(guard_store, "WHOLE_S", 0.5)
    await platform.open_for_trading()
    async with platform.connection("gateway") as gateway:
        for at in TIMES:
            await gateway.execute(insert.format(at))
        async with running_guard(platform.settings) as guard:
            for at in TIMES:
                await gateway.execute(insert.format(at))
                await read_anew(guard)
                assert guard.acting.is_set()

            async def told() -> bool:
                snapshot = (await desk(platform)).guard
                said = "12 rows left out: times before 2000, or over a day ahead"
                return snapshot is not None and said in snapshot.faults

            await settled(guard)
            if "positions" not in insert:
                await until(told)
            assert await firings(platform) == []
            await sample(platform, "daily_pnl_usd", -5000.0)
            await fired(platform, "daily-loss")


async def test_a_position_stands_however_old_its_row(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is the state: written once, an hour ago, past the limit - until it is written anew, or gone."""
    monkeypatch.setattr(guard_store, "WHOLE_S", 0.5)
    await platform.open_for_trading()

    async def shown(state: TriggerState) -> None:
        async def reached() -> bool:
            found = await report(platform, "position-limit")
            return found is not None and found.state is state

        await until(reached)

    async with platform.connection() as owner:
        await position(platform, "16", "10")
        await owner.execute("UPDATE positions SET updated_at = updated_at - interval '1 hour'")
        async with running_guard(platform.settings):
            await fired(platform, "position-limit")
            await shown(TriggerState.BREACHED)
            await owner.execute(
                "UPDATE positions SET quantity = 1, updated_at = updated_at - interval '1 hour'"
            )
            await shown(TriggerState.CLEAR)
            await owner.execute("UPDATE positions SET quantity = -16")
            await shown(TriggerState.BREACHED)
            await owner.execute("UPDATE positions SET max_quantity = NULL")
            await shown(TriggerState.CLEAR)
            await owner.execute("UPDATE positions SET max_quantity = 10")
            await shown(TriggerState.BREACHED)
            await owner.execute("DELETE FROM positions")
            await shown(TriggerState.CLEAR)


async def test_a_share_that_no_limit_can_have_is_refused_at_the_start(
    platform: Platform, tmp_path: Path
) -> None:
    """What loads can be asked for."""
    text = loss().replace('mode = "live"', 'mode = "live"\neffect = "limit"\nshare = {}')
    path = rules(tmp_path, text.format("0.3333333"))
    with pytest.raises(BadSettings, match=r"rule loss: share: 0\.3333333 has too many decimals"):
        Guard(replace(platform.settings, triggers_file=path), "automation1")
    settings = replace(platform.settings, triggers_file=rules(tmp_path, text.format("0.333333")))
    async with running_guard(settings):
        await sample(platform, "daily_pnl_usd", -900)
        row = (await fired(platform, "loss"))[0]
    async with platform.connection() as owner:
        payload = await owner.fetchval("SELECT payload FROM requests WHERE request_id = $1", row["firing_id"])
    assert '"target":"0.333333"' in payload


async def test_samples_that_commit_late_reach_their_own_second(platform: Platform) -> None:
    await platform.open_for_trading()
    async with running_guard(platform.settings) as guard, platform.connection("gateway") as slow:
        late = slow.transaction()
        await late.start()
        at = await now(platform) - timedelta(seconds=20)
        await orders(platform, 5, at=at, every_s=0.1, slippage="0.9", connection=slow)
        await orders(platform, 5, at=at + timedelta(seconds=5), every_s=0.1, slippage="0.9")
        await settled(guard)
        assert await firings(platform) == []
        await late.commit()
        assert (await fired(platform, "slippage-run"))[0]["breaker_id"] == BTC


async def test_paper_orders_and_open_ones_are_no_samples(platform: Platform) -> None:
    async with running_guard(platform.settings) as guard:
        at = await now(platform) - timedelta(seconds=5)
        await orders(platform, 20, at=at, slippage="0.9", paper=True)
        await orders(platform, 20, at=at, slippage="0.9", status="open")
        await orders(platform, 20, at=at, slippage="0.9", status="cancelled")
        await settled(guard)
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
        await settled(guard)
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

            await until(lost)
            assert await gateway.fetchval("SELECT count(*) FROM sli_samples") == 1
        finally:
            await owner.execute(f"ALTER DATABASE {platform.database} ALLOW_CONNECTIONS true")
            await owner.close()
        await fired(platform, "loss")


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
    await lasting_leases(platform)
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
    begin = time.time() - 600
    stopped = Series("stopped", {}, [(begin + each, 501.0) for each in range(0, 500, 10)])  # 110 s ago
    with Prometheus(tmp_path_factory.mktemp("prometheus"), [stopped]) as made:
        yield made


@needs_prometheus
async def test_gauges(server: Prometheus) -> None:
    gauges = PrometheusGauges(server.url)
    try:
        assert await gauges.value("vector(3)") == Gauge(3, 0)
        assert await gauges.value("scalar(vector(2))") == Gauge(2, 0)
        old = await gauges.value("stopped  # was scraped until then")
        assert old.value == 501 and 109 < old.age_s < 300
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
    stale = gauge.format("stopped").replace('name = "loss"', 'name = "stale"')
    settings = replace(
        platform.settings, triggers_file=rules(tmp_path, high, gone, stale), prometheus_url=server.url
    )
    async with running_guard(settings) as guard:
        await fired(platform, "loss")

        async def looked() -> bool:  # the queries are asked one after the other
            found = {rule: await report(platform, rule) for rule in ("gone", "stale")}
            told = (await desk(platform)).guard
            return (
                told is not None
                and any("absent_metric: no series" in each for each in told.faults)
                and (stale := found["stale"]) is not None
                # Prometheus repeats the old value for five minutes.
                and re.match(r"the newest sample is \d+ s old", stale.why) is not None
            )

        await until(looked)
        found = await report(platform, "gone")
        assert found is not None and found.state is TriggerState.MISSING
        await settled(guard)
        assert {row["rule"] for row in await firings(platform)} == {"loss"}
