"""Each rule of the shipped file, just at its edge and just past it, on real servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerState
from tests.guard.plant import (
    BTC,
    EXECUTION,
    becomes,
    fired,
    firings,
    now,
    orders,
    position,
    report,
    running_guard,
    sample,
    states,
    two_publications,
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
            "INSERT INTO incidents (severity, classification, title) VALUES ('P2', 'order-execution', 'x')"
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
CASES: list[tuple[str, Write, Write, BreakerId]] = [
    ("slippage-run", slips(9), slips(10), BTC),
    ("slippage-run", slips(12, "0.5"), slips(10, "0.50000001"), BTC),
    ("execution-latency", slow(100), slow(128), EXECUTION),
    ("rejections-hour", rejects(15, 15, 600), rejects(16, 15, 600), EXECUTION),
    ("rejections-hour", rejects(19, 0, 600), rejects(20, 0, 600), EXECUTION),
    ("reject-rate", rejects(3, 27), rejects(3, 26), EXECUTION),
    ("reject-rate", rejects(9, 0), rejects(20, 0), EXECUTION),
    ("reject-rate", rejects(9, 0, 306), rejects(20, 0, 280), EXECUTION),
    ("reject-rate-in-incident", in_incident(1, 99), in_incident(1, 98), EXECUTION),
    ("reject-rate-in-incident", rejects(2, 28), in_incident(2, 28), EXECUTION),
    ("api-errors", errors(10), errors(11), EXECUTION),
    ("daily-loss", level(PNL, -500), level(PNL, -500.0000001), EXECUTION),
    ("daily-loss", level(PNL, 900), level(PNL, -501), EXECUTION),
    ("daily-loss-hard-stop", level(PNL, -1000), level(PNL, -1000.01), EXECUTION),
    ("position-limit", held("-15"), held("-15.00000001"), EXECUTION),
    ("position-limit", held("0", "0"), held("0.001", "0"), EXECUTION),
    ("drawdown", level("drawdown", 0.05), level("drawdown", 0.05000000000000001), EXECUTION),
    ("feed-gap", level("feed_age_s", 280), level("feed_age_s", 300.5), EXECUTION),
    ("feed-gap", level("feed_age_s", 5, 280), level("feed_age_s", 5, 296), EXECUTION),
    ("data-stale", level("data_age_s", 1780), level("data_age_s", 1800.5), EXECUTION),
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
        await two_publications(platform, guard)
        found = await report(platform, rule)
        assert found is not None
        assert rule not in {row["rule"] for row in await firings(platform)}
        assert found.state is not TriggerState.BREACHED
    async with platform.connection() as owner:
        await owner.execute(
            "TRUNCATE recent_orders, positions, sli_samples, incidents, incident_events, outbox CASCADE"
        )
    await past(platform)
    async with running_guard(platform.settings):
        row = (await fired(platform, rule))[0]
    assert row["breaker_id"] == halted
    assert (await states(platform))[halted] is State.OPEN
    assert row["mode"] == "live"


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
    async with running_guard(platform.settings) as guard:
        await two_publications(platform, guard)
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
    await becomes(platform, EXECUTION, State.OPEN)  # no document was ever written here
