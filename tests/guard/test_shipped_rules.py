"""Each rule of the shipped file, just at its edge and just past it, on real servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from backends.guard_store import GuardStore
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.lookout import Lookout
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerState
from cockpit.domain.trigger_rows import plan_of
from cockpit.domain.trigger_watch import Standing
from cockpit.guard.rule_file import RuleFile
from tests.guard.plant import (
    BTC,
    EXECUTION,
    counters,
    fired,
    firings,
    now,
    orders,
    position,
    report,
    running_guard,
    sample,
    settled,
    states,
)
from tests.trading_platform import Platform

Write = Callable[[Platform], Awaitable[None]]


async def _slips(platform: Platform, bad: int, worst: str = "0.6") -> None:
    at = await now(platform) - timedelta(seconds=30)
    await orders(platform, 5, at=at, every_s=0.1, slippage="0.5")
    await orders(platform, bad, at=at + timedelta(seconds=5), every_s=0.1, slippage=worst)


async def _rejects(platform: Platform, rejected: int, filled: int, ago_s: float = 20) -> None:
    at = await now(platform) - timedelta(seconds=ago_s)
    await orders(platform, filled, at=at, every_s=0.01)
    await orders(platform, rejected, at=at, every_s=0.01, status="rejected")


async def _slow(platform: Platform, seconds: int) -> None:
    """Clean executions, then slow ones for so long until now."""
    begin = await now(platform) - timedelta(seconds=seconds)
    await orders(platform, 200, at=begin - timedelta(seconds=60), every_s=0.25)
    await orders(platform, seconds * 4, at=begin, every_s=0.25, latency_ms=300.5)


async def _errors(platform: Platform, count: int) -> None:
    await sample(platform, "api_errors", good=0, total=4, ago_s=200)
    await sample(platform, "api_errors", good=0, total=count - 4, ago_s=5)


async def _incident_rejects(platform: Platform, rejected: int, filled: int) -> None:
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO incidents (severity, title, classification)"
            " VALUES ('P2', 'x', 'broker/connectivity')"
        )
    await _rejects(platform, rejected, filled)


async def _counter(platform: Platform, *values: int) -> None:
    for place, value in enumerate(values):
        await sample(platform, "invariant_violations", value, ago_s=len(values) - place)


def slips(bad: int, worst: str = "0.6") -> Write:
    return lambda platform: _slips(platform, bad, worst)


def slow(seconds: int) -> Write:
    return lambda platform: _slow(platform, seconds)


def rejects(rejected: int, filled: int, ago_s: float = 20) -> Write:
    return lambda platform: _rejects(platform, rejected, filled, ago_s)


def in_incident(rejected: int, filled: int) -> Write:
    return lambda platform: _incident_rejects(platform, rejected, filled)


def errors(count: int) -> Write:
    return lambda platform: _errors(platform, count)


def level(sli: str, value: float, ago_s: float = 0.0) -> Write:
    return lambda platform: sample(platform, sli, value, ago_s=ago_s)


def held(quantity: str, most: str = "10") -> Write:
    return lambda platform: position(platform, quantity, most)


def counted(*values: int) -> Write:
    return lambda platform: _counter(platform, *values)


PNL = "daily_pnl_usd"
# What moves on by itself stays a minute and more from its edge, which EDGES look at.
CASES: list[tuple[str, Write, Write, BreakerId]] = [
    ("slippage-run", slips(9), slips(10), BTC),
    ("slippage-run", slips(12, "0.5"), slips(10, "0.50000001"), BTC),
    ("execution-latency", slow(60), slow(128), EXECUTION),
    ("rejections-hour", rejects(15, 15, 600), rejects(16, 15, 600), EXECUTION),
    ("rejections-hour", rejects(19, 0, 600), rejects(20, 0, 600), EXECUTION),
    ("reject-rate", rejects(3, 27), rejects(3, 26), EXECUTION),
    ("reject-rate", rejects(19, 0), rejects(20, 0), EXECUTION),
    ("reject-rate", rejects(20, 0, 301), rejects(20, 0, 220), EXECUTION),
    ("reject-rate-in-incident", in_incident(19, 0), in_incident(20, 0), EXECUTION),
    ("reject-rate-in-incident", in_incident(1, 99), in_incident(1, 98), EXECUTION),
    ("reject-rate-in-incident", rejects(2, 28), in_incident(2, 28), EXECUTION),
    ("api-errors", errors(10), errors(11), EXECUTION),
    ("daily-loss", level(PNL, -500), level(PNL, -500.0000001), EXECUTION),
    ("daily-loss", level(PNL, 900), level(PNL, -501), EXECUTION),
    ("daily-loss-hard-stop", level(PNL, -1000), level(PNL, -1000.01), EXECUTION),
    ("position-limit", held("-15"), held("-15.00000001"), EXECUTION),
    ("position-limit", held("0", "0"), held("0.001", "0"), EXECUTION),
    ("drawdown", level("drawdown", 0.05), level("drawdown", 0.05000000000000001), EXECUTION),
    ("feed-gap", level("feed_age_s", 200), level("feed_age_s", 300.5), EXECUTION),
    ("feed-gap", level("feed_age_s", 5, 200), level("feed_age_s", 5, 296), EXECUTION),
    ("data-stale", level("data_age_s", 1700), level("data_age_s", 1800.5), EXECUTION),
    ("ledger-invariant", counted(0, 0), counted(0, 1), EXECUTION),
    ("settlement-stuck", level("settlement_lag_s", 120), level("settlement_lag_s", 120.1), EXECUTION),
]


@pytest.mark.parametrize(
    ("rule", "under", "past", "halted"), CASES, ids=lambda each: each if isinstance(each, str) else ""
)
async def test_fires_past_its_edge_and_not_at_it(
    platform: Platform, rule: str, under: Write, past: Write, halted: BreakerId
) -> None:
    await platform.open_for_trading()
    await under(platform)
    async with running_guard(platform.settings) as guard:
        await settled(guard)
        found = await report(platform, rule)
        assert found is not None
        assert rule not in {row["rule"] for row in await firings(platform)}
        assert found.state is not TriggerState.BREACHED
    async with platform.connection() as owner:  # as if nothing had happened yet
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(
            "TRUNCATE recent_orders, positions, sli_samples, incidents, incident_events, outbox CASCADE"
        )
    await past(platform)
    async with running_guard(platform.settings):
        row = (await fired(platform, rule))[0]
    assert row["breaker_id"] == halted
    assert (await states(platform))[halted] is State.OPEN
    assert row["mode"] == "live"


@dataclass(frozen=True, slots=True)
class Edge:
    """`write` puts rows at a whole second, `ago_s` ago; `due_us` after that second the rule is over, one
    microsecond away it is not: before (`until` False), or from then on not any more (`until` True)."""

    rule: str
    ago_s: int
    write: Callable[[Platform, datetime], Awaitable[None]]
    due_us: int
    until: bool


async def _rejected(platform: Platform, at: datetime) -> None:
    await orders(platform, 20, at=at, status="rejected")


async def _incident_rejected(platform: Platform, at: datetime) -> None:
    await in_incident(0, 0)(platform)
    await _rejected(platform, at)


async def _ten_slips(platform: Platform, at: datetime) -> None:
    """The first of them is the oldest: once it has left the window nine are no run of ten."""
    await orders(platform, 1, at=at, slippage="0.6")
    await orders(platform, 9, at=at + timedelta(seconds=5), slippage="0.6")


async def _eleven_errors(platform: Platform, at: datetime) -> None:
    await _sli(platform, "api_errors", at, total=1)
    await _sli(platform, "api_errors", at + timedelta(seconds=5), total=10)


async def _slow_from(platform: Platform, at: datetime) -> None:
    """4 a second; of the 120 of a window 6 are a twentieth: the 95th percentile is over from the second
    slow second on."""
    await orders(platform, 400, at=at - timedelta(seconds=100), every_s=0.25)
    await orders(platform, 500, at=at, every_s=0.25, latency_ms=300.5)


async def _rise(platform: Platform, at: datetime) -> None:
    await _sli(platform, "invariant_violations", at - timedelta(seconds=1), value=4)
    await _sli(platform, "invariant_violations", at, value=5)


async def _sli(
    platform: Platform, sli: str, at: datetime, value: float | None = None, total: int = 1
) -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, value, observed_at) VALUES ($1, 0, $2, $3, $4)",
            sli,
            total,
            value,
            at,
        )


def told(sli: str, value: float) -> Callable[[Platform, datetime], Awaitable[None]]:
    return lambda platform, at: _sli(platform, sli, at, value)


S = 1_000_000
EDGES = [
    Edge("slippage-run", 20, _ten_slips, 3600 * S, until=True),
    Edge("slippage-run", 3000, _ten_slips, 3600 * S, until=True),
    Edge("execution-latency", 124, _slow_from, 121 * S, until=False),
    Edge("rejections-hour", 20, _rejected, 3600 * S, until=True),
    Edge("rejections-hour", 3000, _rejected, 3600 * S, until=True),
    Edge("reject-rate", 20, _rejected, 300 * S, until=True),
    Edge("reject-rate", 200, _rejected, 300 * S, until=True),
    Edge("reject-rate-in-incident", 200, _incident_rejected, 300 * S, until=True),
    Edge("api-errors", 200, _eleven_errors, 300 * S, until=True),
    Edge("ledger-invariant", 3000, _rise, 3600 * S, until=True),
    Edge("feed-gap", 20, told("feed_age_s", 5), 295 * S + 1, until=False),
    Edge("feed-gap", 20, told("feed_age_s", 0), 300 * S + 1, until=False),
    Edge("data-stale", 20, told("data_age_s", 60), 1740 * S + 1, until=False),
    Edge("daily-loss", 20, told(PNL, -501), 60 * S + 1, until=True),
    Edge("daily-loss-hard-stop", 20, told(PNL, -1001), 60 * S + 1, until=True),
    Edge("drawdown", 20, told("drawdown", 0.06), 60 * S + 1, until=True),
    Edge("settlement-slow", 20, told("settlement_lag_s", 31), 60 * S + 1, until=True),
    Edge("settlement-stuck", 20, told("settlement_lag_s", 121), 60 * S + 1, until=True),
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda each: f"{each.rule}-{each.ago_s}")
async def test_a_window_ends_and_an_age_begins_to_the_microsecond(platform: Platform, edge: Edge) -> None:
    """The shipped rules over what the real store reads, at moments that no wait could hit."""
    at = (await now(platform)).replace(microsecond=0) - timedelta(seconds=edge.ago_s)
    await edge.write(platform, at)
    file = RuleFile(None, platform.catalogue)
    store = GuardStore(platform.login("automation1").postgres_dsn)
    try:
        term = await store.take("me")
        assert term is not None
        rows = await store.load(plan_of(file.rules, platform.catalogue), term, [])
    finally:
        await store.close()
    verdicts = []
    for microseconds in (edge.due_us - 1, edge.due_us):
        lookout = Lookout(file.rules, platform.catalogue)
        lookout.feed(replace(rows, now=at + timedelta(microseconds=microseconds)))
        verdicts.append(edge.rule in {each.rule.name for each in lookout.due(lambda *_: Standing.HOLDS)})
    assert verdicts == [edge.until, not edge.until]


async def test_a_global_aim_halts_execution_and_escalates(platform: Platform) -> None:  # I6, I22
    await platform.open_for_trading()
    async with running_guard(platform.settings):
        await sample(platform, "daily_pnl_usd", -640)
        row = (await fired(platform, "daily-loss"))[0]
        found = await states(platform)
        assert (found[EXECUTION], found[GLOBAL]) == (State.OPEN, State.CLOSED)
        assert (row["aim"], row["breaker_id"], row["value"], row["threshold"]) == (
            "global",
            EXECUTION,
            640,
            500,
        )
        async with platform.connection() as owner:
            incident = await owner.fetchrow("SELECT * FROM incidents WHERE source = 'guard'")
            page = await owner.fetchrow("SELECT * FROM outbox")
        assert (incident["severity"], incident["status"]) == ("P0", "open")
        assert (page["severity"], page["incident_id"]) == ("P0", incident["incident_id"])
        assert incident["dedup_key"] == page["dedup_key"] == f"guard:daily-loss:{row['firing_id']}"


async def test_settlement_lag_past_t2_asks_for_half_size(platform: Platform) -> None:
    await platform.open_for_trading()
    async with running_guard(platform.settings):
        await sample(platform, "settlement_lag_s", 30)
        await sample(platform, "settlement_lag_s", 31)
        row = (await fired(platform, "settlement-slow"))[0]
    assert (row["effect"], row["breaker_id"]) == ("limit", EXECUTION)
    assert (await states(platform))[EXECUTION] is State.CLOSED
    async with platform.connection() as owner:
        request = await owner.fetchrow("SELECT * FROM requests WHERE request_id = $1", row["firing_id"])
    assert request["login"] == "automation1"
    assert '"kind":"limit"' in request["payload"] and '"target":"0.5"' in request["payload"]


async def test_missing_is_neither_zero_nor_clear(platform: Platform) -> None:  # F14, I25
    await platform.open_for_trading()
    before = await counters(platform, platform.catalogue.ids)
    async with running_guard(platform.settings) as guard:
        await settled(guard)
        for rule in (
            "feed-gap",
            "daily-loss",
            "api-errors",
            "reject-rate",
            "execution-latency",
            "position-limit",
        ):
            found = await report(platform, rule)
            assert found is not None and found.state is TriggerState.MISSING, rule
            assert (found.value, found.fraction) == (None, None)
        assert await firings(platform) == []
    assert await counters(platform, platform.catalogue.ids) == before  # nothing was halted
