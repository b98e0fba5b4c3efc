"""Values that the trading side, a prober or the guard may write and nobody can use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import uuid4

import pytest

from backends.desk_parts import parsed
from backends.postgres_store import PostgresStore
from tests.trading_platform import Platform

HUGE = "9e131071"
ORDER = (
    "INSERT INTO recent_orders (order_id, symbol, side, quantity, price, status, placed_at, latency_ms)"
    " VALUES "
)
SOUND = ORDER + "('sound', 'BTC-USD', 'buy', 2, 50, 'open', clock_timestamp(), 7)"
POSITION = "INSERT INTO positions (symbol, quantity, mark_price, max_quantity, updated_at) VALUES "


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[PostgresStore]:
    store = platform.postgres_store("monitor1")
    yield store
    await store.close()


async def write(platform: Platform, *statements: str) -> None:
    async with platform.connection("gateway") as gateway:
        for statement in statements:
            await gateway.execute(statement)


@pytest.mark.parametrize(
    "order",
    [
        f"{HUGE}, {HUGE}, 'open', clock_timestamp(), 7",
        "'NaN', 1, 'open', clock_timestamp(), 7",
        "1, 'NaN', 'open', clock_timestamp(), 7",
        "1, 1, 'filled', 'infinity', 7",
        "1, 1, 'filled', '9999-12-31 23:59:59Z', 7",
        "1, 1, 'filled', '294276-01-01', 7",
        "1, 1, 'open', '-infinity', 7",
        "1, 1, 'open', '4000-01-01 BC', 7",
        "1, 1, 'filled', clock_timestamp(), 'NaN'",
        "1, 1, 'filled', clock_timestamp(), 1.7e308",
    ],
)
async def test_an_impossible_order_spoils_only_itself(
    platform: Platform, store: PostgresStore, order: str
) -> None:
    await write(platform, SOUND, ORDER + f"('bad', 'BTC-USD', 'buy', {order})")
    desk = await store.snapshot()
    (facts,) = desk.orders
    assert facts.notional in (Decimal(100), Decimal(101))
    assert facts.p95_ms_30s == 7
    assert facts.last_risk_at is not None
    assert abs((facts.last_risk_at - desk.server_time).total_seconds()) < 5
    (fault,) = desk.faults
    assert fault.startswith("orders: BTC-USD: 1 with no possible time, quantity, price or latency")
    async with platform.connection("gateway") as gateway:
        await gateway.execute("DELETE FROM recent_orders WHERE order_id = 'bad'")
    assert (await store.snapshot()).faults == ()


@pytest.mark.parametrize(
    "position",
    [
        "1, 1, 1, 'infinity'",
        "1, 1, 1, '-infinity'",
        "1, 1, 1, '4000-01-01 BC'",
        f"{HUGE}, 1, 1, clock_timestamp()",
        f"1, {HUGE}, 1, clock_timestamp()",
        "1, 1, 'NaN', clock_timestamp()",
        "'NaN', 1, 1, clock_timestamp()",
    ],
)
async def test_an_impossible_position_is_left_out_and_said(
    platform: Platform, store: PostgresStore, position: str
) -> None:
    await write(
        platform, POSITION + f"('EVIL', {position})", POSITION + "('SOUND', 1.50, 2, 1, clock_timestamp())"
    )
    desk = await store.snapshot()
    assert [(row.symbol, row.exposure, row.over) for row in desk.positions] == [("SOUND", Decimal(3), True)]
    (fault,) = desk.faults
    assert fault.startswith("positions: EVIL: left out: ")
    assert len(fault) < 300
    assert desk.breakers


async def test_an_automation_of_no_time_is_left_out_and_said(
    platform: Platform, store: PostgresStore
) -> None:
    await write(
        platform,
        "INSERT INTO automations (name, breaker_id, status, updated_at)"
        " SELECT 'evil' || n, 'x', 'running', 'infinity' FROM generate_series(1, 500) n",
        "INSERT INTO automations (name, breaker_id, status) VALUES ('sound', 'x', 'running')",
    )
    desk = await store.snapshot()
    assert [row.name for row in desk.automations] == ["sound"]
    assert len(desk.faults) == 4
    assert desk.faults[-1] == "automations: 497 more like it"


@pytest.mark.parametrize(
    "status",
    ['{"x": 1e9999}', "[" * 3_000 + "]" * 3_000, '{"reports": [{"value": 1e9999}]}'],
    ids=["number", "depth", "report"],
)
async def test_whatever_the_guard_published_the_rest_is_read(
    platform: Platform, store: PostgresStore, status: str
) -> None:
    async with platform.connection() as owner:  # also what it published before there was a rule
        await owner.execute(
            "INSERT INTO guard_lease (holder, login, term, renewed_at, expires_at, status) VALUES"
            " ('g', 'automation1', 1, clock_timestamp(), clock_timestamp() + interval '1 min', $1)"
            " ON CONFLICT (only_row) DO UPDATE SET status = EXCLUDED.status",
            status,
        )
    desk = await store.snapshot()
    assert desk.breakers
    if status.startswith("["):
        assert desk.guard is None
        assert desk.faults[0].startswith("guard: cannot be read: RecursionError")
    else:
        assert desk.guard is not None
        assert desk.guard.alive
        assert len(desk.guard.faults) == status.count("value")


async def test_a_latency_that_is_no_number_is_still_a_number(
    platform: Platform, store: PostgresStore
) -> None:
    """JSON carries NaN as a text, on which a screen's format would fail."""
    run_id = str(uuid4())
    async with platform.connection() as owner:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(
            "INSERT INTO probe_runs (run_id, breaker_id, redis_run_id, counter, request_id, login, person_id,"
            " probes, required, deadline, status) VALUES ($1, 'global', 'r', 1, $2, 'operator1', 'p', '{a}',"
            " 1, clock_timestamp(), 'running')",
            run_id,
            str(uuid4()),
        )
        await owner.execute(
            "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id,"
            " signature) VALUES ($1, 0, 'a', true, 'NaN', '', '', '', '')",
            run_id,
        )
    (row,) = (await store.snapshot()).runs
    assert f"{row.results[0].latency_ms:,.0f}" == "nan"


def test_whole_numbers_stay_whole_and_endless_ones_are_decimals() -> None:
    assert type(parsed('{"term": 12}')["term"]) is int
    assert parsed("1" + "0" * 9_999) == Decimal("1e9999")
