"""The live items of the pre-resume checklist, each on real rows and a venue that answers over HTTP.

Of every item: what passes, what fails, and that what cannot be read fails too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backends.gateway import Gateway
from backends.postgres_store import PostgresStore
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import LIVE, Finding, failing
from cockpit.domain.limits import Limits
from cockpit.domain.refusals import StoreUnreachable
from cockpit.operations import checklist
from cockpit.operations.checklist import READ_S, ChainState, ChecklistPorts, chain_from_status, read_findings
from tests.authority.desk import Venue, venue
from tests.cli.proxies import proxy
from tests.trading_platform import Platform

BTC = BreakerId("instrument:BTC-USD")
LIMITS = Limits()


@dataclass(slots=True)
class Bench:
    """The ports of one reading; a test changes the rows, the venue or the ports."""

    platform: Platform
    venue: Venue
    ports: ChecklistPorts
    limits: Limits = LIMITS
    chain: ChainState = field(default_factory=lambda: ChainState(True, 9, datetime.now(UTC)))

    async def sql(self, statement: str, *arguments: object) -> None:
        async with self.platform.connection() as connection:
            await connection.execute(statement, *arguments)

    async def orders(
        self, symbol: str, count: int, status: str = "filled", ms: float = 12, age_s: float = 10
    ) -> None:
        await self.sql(
            "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, latency_ms, placed_at)"
            " SELECT gen_random_uuid()::text, $1, 'buy', 1, $2, $3, clock_timestamp()"
            " - make_interval(secs => $4) FROM generate_series(1, $5)",
            symbol,
            status,
            ms,
            age_s,
            count,
        )

    async def read(self, item_id: str) -> Finding:
        found = {each.item_id: each for each in await read_findings(self.ports, BTC, self.limits)}
        assert list(found) == [item.item_id for item in LIVE]
        return found[item_id]


@pytest.fixture
async def bench(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """An item may take its time here, which a busy machine needs, but in the test that is about it."""
    monkeypatch.setattr(checklist, "READ_S", 30.0)
    redis, postgres, evidence = (
        platform.redis_store("operator1"),
        platform.postgres_store("operator1"),
        platform.evidence(),
    )
    async with venue() as made, Gateway(made.url) as gateway:
        bench: Bench

        async def chain() -> ChainState:
            return bench.chain

        bench = Bench(
            platform,
            made,
            ChecklistPorts(
                redis.ping,
                postgres.ping,
                evidence.check,
                chain,
                postgres,
                gateway,
                platform.catalogue,
                lambda: datetime.now(UTC),
            ),
        )
        yield bench
    await redis.close()
    await postgres.close()


async def gone() -> float:
    raise StoreUnreachable("It", "a test says so")


def away(platform: Platform) -> PostgresStore:
    """Postgres where nobody listens."""
    dsn = platform.login("operator1").postgres_dsn
    return PostgresStore(dsn.replace(f":{platform.postgres.port}/", ":1/"), 1.0)


Change = Callable[[Bench], Awaitable[None]]


def sql(text: str) -> Change:
    return lambda bench: bench.sql(text)


async def nothing(_: Bench) -> None:
    pass


def chain_is(ok: bool, age: timedelta | None, why: str = "") -> Change:
    async def change(bench: Bench) -> None:
        bench.chain = ChainState(ok, 9, None if age is None else datetime.now(UTC) - age, why)

    return change


async def no_hurry(bench: Bench) -> None:
    """However long the gateway takes to answer."""
    bench.limits = replace(LIMITS, latency_bound_ms=60_000)


def orders(*batches: tuple[Any, ...]) -> Change:
    async def change(bench: Bench) -> None:
        for batch in batches:
            await bench.orders(*batch)

    return change


def the_venue(**changes: bool) -> Change:
    async def change(bench: Bench) -> None:
        for name, value in changes.items():
            setattr(bench.venue, name, value)

    return change


INCIDENT = "INSERT INTO incidents (severity, title, status, source, alarm_at) VALUES "
LINKED = "INSERT INTO incidents (severity, title, source, classification, breaker_id) VALUES "
POSITION = "INSERT INTO positions (symbol, quantity, avg_price, mark_price, max_quantity) VALUES "
CASES: dict[str, tuple[str, Change, bool, str]] = {
    "stores answer": ("stores", nothing, True, "Postgres"),
    "chain intact": ("audit-chain", nothing, True, "intact up to entry 9"),
    "chain broken": ("audit-chain", chain_is(False, None, "entry 4 was edited"), False, "entry 4 was edited"),
    "chain never verified whole": ("audit-chain", chain_is(True, None), False, "never verified"),
    "chain verified a day ago": ("audit-chain", chain_is(True, timedelta(hours=24)), False, "1440 min ago"),
    "no incident": ("incidents", nothing, True, "none"),
    "critical incident": ("incidents", sql(INCIDENT + "('P1','feed','open','watch',now())"), False, "feed"),
    "critical incident of severity 0": (
        "incidents",
        sql(INCIDENT + "('P0','all','open','x',now())"),
        False,
        "all",
    ),
    "acknowledged": ("incidents", sql(INCIDENT + "('P0','x','acknowledged','watch',now())"), True, "none"),
    "minor incident": ("incidents", sql(INCIDENT + "('P2','x','open','watch',now())"), True, "none"),
    "a person's own trip": ("incidents", sql(INCIDENT + "('P1','x','open','trip',now())"), True, "none"),
    "old incident": (
        "incidents",
        sql(INCIDENT + "('P1','x','open','watch',now() - interval '16 min')"),
        True,
        "none",
    ),
    "a limit that is no number": (
        "positions",
        sql(POSITION + "('SOL-USD', 1, 1, 1, 'NaN')"),
        False,
        "SOL-USD",
    ),
    "no limit": ("positions", sql(POSITION + "('SOL-USD', 1, 1, 1, 'Infinity')"), False, "SOL-USD"),
    "quick orders": ("latency", orders(("BTC-USD", 20)), True, "p95 12 ms of 20 orders"),
    "slow orders": ("latency", orders(("BTC-USD", 20, "filled", 301.0)), False, "p95 301 ms"),
    "only the newest are slow": (
        "latency",
        orders(("BTC-USD", 200), ("BTC-USD", 1, "filled", 900.0, 0)),
        False,
        "p95 900 ms",
    ),
    "old orders count no more": (
        "latency",
        orders(("BTC-USD", 20, "filled", 900.0, 40), ("BTC-USD", 5)),
        True,
        "of 5 orders",
    ),
    "others' orders where it has none": (
        "latency",
        orders(("ETH-USD", 20, "filled", 900.0)),
        False,
        "20 orders of global",
    ),
    "no orders: the gateway's answers": (
        "latency",
        no_hurry,
        True,
        "no orders in 30 s; the gateway answered",
    ),
    "few rejected": ("error-rate", orders(("BTC-USD", 98), ("BTC-USD", 2, "rejected")), True, "2.0% of 100"),
    "many rejected": (
        "error-rate",
        orders(("BTC-USD", 97), ("BTC-USD", 3, "rejected")),
        False,
        "3.0% of 100",
    ),
    "only the newest rejected": (
        "error-rate",
        orders(("BTC-USD", 200), ("BTC-USD", 1, "rejected", 12, 0)),
        False,
        "100.0%",
    ),
    "no orders: healthy answers": ("error-rate", nothing, True, "3 of 3 times healthy"),
    "no orders: unhealthy answers": ("error-rate", the_venue(healthy=False), False, "0 of 3 times"),
    "gateway healthy": ("gateway", nothing, True, "0 API errors"),
    "gateway degraded": ("gateway", the_venue(healthy=False), False, "degraded"),
    "positions within": ("positions", sql(POSITION + "('BTC-USD', -5, 1, 1, 5)"), True, "all within"),
    "short beyond its limit": (
        "positions",
        sql(POSITION + "('BTC-USD', -6, 1, 1, 5)"),
        False,
        "1 over: BTC-USD",
    ),
    "queue empty": ("queue", nothing, True, "0 waiting"),
    "no incident to recover from": ("recovery", nothing, True, "no linked incident"),
    "one that asks for nothing": (
        "recovery",
        sql(LINKED + "('P1', 'x', 'watch', 'slippage', 'global')"),
        True,
        "no linked incident",
    ),
    "a person's own trip asks for nothing": (
        "recovery",
        sql(LINKED + "('P2', 'x', 'trip', 'data_quality', 'global')"),
        True,
        "no linked incident",
    ),
    "linked elsewhere": (
        "recovery",
        sql(LINKED + "('P1', 'x', 'watch', 'data_quality', 'instrument:ETH-USD')"),
        True,
        "no linked incident",
    ),
    "no bars and no cycle": (
        "recovery",
        sql(LINKED + "('P1', 'feed lost', 'watch', 'data_quality', 'global')"),
        False,
        "2 of 2 missing: feed lost: 30 daily bars of each symbol: BTC-USD has none",
    ),
    "no reconciliation, linked to the latch": (
        "recovery",
        sql(LINKED + "('P1', 'books differ', 'guard', 'reconciliation', 'latch:BTC-USD')"),
        False,
        "BTC-USD 0 of 2",
    ),
    "no rerun": (
        "recovery",
        sql(LINKED + "('P1', 'broker gone', 'watch', 'broker/connectivity', 'component:execution')"),
        False,
        "1 of 2 missing: broker gone: a clean reconciliation since: BTC-USD 0 of 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_item_reads_what_is_so(bench: Bench, name: str) -> None:
    item_id, change, expected, words = CASES[name]
    await change(bench)
    found = await bench.read(item_id)
    assert (found.ok, words in found.read) == (expected, True), found
    assert found.wanted in found.line


async def test_the_queue_counts_what_others_asked_for(bench: Bench) -> None:
    async with bench.platform.connection("monitor1") as connection:
        await connection.execute(
            "INSERT INTO requests (request_id, payload, key_id, signature)"
            " VALUES (gen_random_uuid(), 'x', '0123456789abcdef', 'x')"
        )
    found = await bench.read("queue")
    assert (found.ok, found.read) == (False, "1 waiting")
    bench.ports = replace(bench.ports, own_requests=1)
    assert (await bench.read("queue")).ok is True


NEEDS = {
    "stores": ("redis_ping", "postgres_ping", "evidence_ping"),
    "audit-chain": ("chain",),
    "incidents": ("figures",),
    "latency": ("figures", "gateway"),
    "error-rate": ("figures", "gateway"),
    "gateway": ("gateway",),
    "positions": ("figures",),
    "queue": ("figures",),
    "recovery": ("figures",),
}


@pytest.mark.parametrize(
    ("item_id", "port"), [(item, port) for item, ports in NEEDS.items() for port in ports]
)
async def test_what_cannot_be_read_fails(bench: Bench, item_id: str, port: str) -> None:  # I25 F19
    """Each port by itself: away, or (the gateway) not configured."""
    store = away(bench.platform)
    replaced: Any = {"figures": store, "gateway": None}.get(port, gone)
    bench.ports = replace(bench.ports, **{port: replaced})
    found = await read_findings(bench.ports, BTC, LIMITS)
    await store.close()
    by_id = {each.item_id: each for each in found}
    assert by_id[item_id].ok is None
    assert by_id[item_id] in failing(found)
    assert by_id[item_id].line.startswith("unreadable: ")


@pytest.mark.parametrize("away", ["gone", "none", "silent"])
async def test_a_broker_that_cannot_be_asked_has_not_recovered(bench: Bench, away: str) -> None:  # I25
    await bench.sql(LINKED + "('P1', 'x', 'watch', 'broker/connectivity', 'global')")
    await bench.sql(
        "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
        " SELECT 'order', 'BTC-USD', 'clean', clock_timestamp() FROM generate_series(1, 2)"
    )

    class Silent(Gateway):
        async def health(self) -> Any:
            return replace(await super().health(), feed_age_s=None)

    assert (await bench.read("recovery")).ok is True
    url = "http://127.0.0.1:1" if away == "gone" else bench.venue.url
    async with (Silent if away == "silent" else Gateway)(url) as gateway:
        bench.ports = replace(bench.ports, gateway=None if away == "none" else gateway)
        found = await bench.read("recovery")
    assert found.ok is None and "1 of 2 missing" in found.read


async def test_a_gateway_that_does_not_say_is_unreadable(bench: Bench) -> None:
    class Silent(Gateway):
        async def health(self) -> Any:
            return replace(await super().health(), errors_5m=None)

    async with Silent(bench.venue.url) as gateway:
        bench.ports = replace(bench.ports, gateway=gateway)
        found = await bench.read("gateway")
    assert found.ok is None and "unknown API errors" in found.read


async def test_what_hangs_is_unreadable_after_three_seconds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # F11
    monkeypatch.setattr(checklist, "READ_S", READ_S)
    port = int(bench.venue.url.rpartition(":")[2])
    async with (
        proxy(port, b"GET", hold=True) as mute,
        Gateway(f"http://127.0.0.1:{mute.port}") as gateway,
    ):
        bench.ports = replace(bench.ports, gateway=gateway)
        found = await bench.read("gateway")
    assert (found.ok, found.read) == (None, "no answer in 3 s")


@pytest.mark.parametrize(
    "status", [{}, {"chain": None}, {"chain": {"ok": "yes"}}, {"chain": {"ok": 1, "full_verified_at": 5}}]
)
def test_a_chain_state_that_is_malformed_is_not_ok(status: dict[str, object]) -> None:
    assert chain_from_status(status).ok is False


def test_an_item_that_nobody_read_fails() -> None:
    assert [each.item_id for each in failing(())] == [item.item_id for item in LIVE]
