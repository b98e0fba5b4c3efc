"""The plant's ledger on a real PostgreSQL: posted once, checked as stored, taken up after a restart."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from cockpit.demo import ledger
from cockpit.demo.accounts import CAPITAL_USD, Account, Fill
from cockpit.demo.books import Books, Standing
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Position
from cockpit.demo.plant import Plant
from cockpit.demo.setup import run_sql
from tests.demo.trading import PATIENCE_S, trading_on, until
from tests.trading_platform import Platform

D = Decimal
NOW = datetime.now(UTC)
PRICES = {symbol: listing.start_price for symbol, listing in LISTINGS.items()}


def fill(seq: int, quantity: str = "1", price: str = "10", age_s: float = 10) -> Fill:
    signed = D(quantity)
    return Fill(seq, "BTC-USD", signed, -signed * D(price), NOW - timedelta(seconds=age_s))


class Stored:
    """The plant's own login, on a ledger that was opened with nothing held."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.account = Account(CAPITAL_USD)

    async def note(self, *fills: Fill) -> None:
        for each in fills:
            self.account = self.account.after(each)
        await ledger.save(self.db, self.account)
        await ledger.note(self.db, fills)
        await self.db.execute(
            "INSERT INTO positions (symbol, quantity) VALUES ('BTC-USD', $1) ON CONFLICT (symbol)"
            " DO UPDATE SET quantity = positions.quantity + excluded.quantity",
            sum(each.quantity for each in fills),
        )

    async def balance(self) -> Decimal:
        return D(await self.db.fetchval("SELECT quantity FROM plant.balances WHERE symbol = 'BTC-USD'") or 0)


@pytest.fixture
async def stored(platform: Platform) -> Any:
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    await run_sql(platform.owner.postgres_dsn, "plant.sql")  # safe to repeat
    async with platform.connection("gateway") as db:
        await ledger.load(db, PRICES)
        yield Stored(db)


async def test_settles_what_is_due_and_each_fill_once(stored: Stored) -> None:
    await stored.note(fill(1, age_s=10), fill(2, "-0.5", age_s=8), fill(3, "2", age_s=1))
    assert await ledger.differences(stored.db) == {}
    until_then = NOW - timedelta(seconds=5)
    settled = await ledger.settle(stored.db, until_then, 0)
    assert (settled.ledger_seq, settled.doubled) == (2, 0)
    assert settled.oldest == NOW - timedelta(seconds=1)
    for _ in range(2):  # again, as after a lost reply
        assert (await ledger.settle(stored.db, until_then, 0)).ledger_seq == 2
        assert await stored.balance() == D("0.5")
    await ledger.note(stored.db, [fill(1), fill(2, "-0.5"), fill(3, "2")])  # sent again: there, or settled
    assert await ledger.differences(stored.db) == {}
    assert (await ledger.settle(stored.db, NOW, 0)).oldest is None
    assert await stored.balance() == D("2.5")
    assert await ledger.differences(stored.db) == {}


async def test_a_double_posting_is_found_and_corrected(stored: Stored) -> None:
    await stored.note(fill(1, "3", "7"), fill(2, "-1", "7"))
    assert (await ledger.settle(stored.db, NOW, 1)).doubled == 1
    assert await ledger.differences(stored.db) == {"BTC-USD": 3, "USD": -21}
    await ledger.correct(stored.db)
    assert await ledger.differences(stored.db) == {}
    assert await stored.balance() == 2


@pytest.mark.parametrize(
    ("tampered", "found"),
    [
        ("UPDATE positions SET quantity = quantity + 0.25", {"BTC-USD": D("-0.25")}),
        ("DELETE FROM plant.unsettled", {"BTC-USD": D(-1), "USD": D(10)}),
        ("UPDATE plant.account SET cash = cash - 1", {"USD": D(1)}),
        ("DELETE FROM positions", {"BTC-USD": D(1)}),
    ],
)
async def test_any_other_difference_is_found_too(
    stored: Stored, platform: Platform, tampered: str, found: dict[str, Decimal]
) -> None:
    await stored.note(fill(1))
    async with platform.connection() as owner:
        await owner.execute(tampered)
    assert await ledger.differences(stored.db) == found


async def test_positions_of_an_older_demo_open_the_ledger(platform: Platform) -> None:
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    async with platform.connection("gateway") as db:
        await db.execute(
            "INSERT INTO positions (symbol, quantity, avg_price, mark_price)"
            " VALUES ('BTC-USD', 0.5, 63000, 64100), ('GONE', 1, 1, 1)"
        )
        opened = await ledger.load(db, PRICES)
        assert opened.account.cash == CAPITAL_USD - D("0.5") * 64_100
        assert opened.account.equity(opened.positions, {**PRICES, **opened.marks}) == CAPITAL_USD
        assert await ledger.differences(db) == {}
        assert await ledger.load(db, PRICES) == opened


async def test_a_fill_between_standing_and_flush_is_in_neither(platform: Platform) -> None:
    """What is written is of one moment, however long the connection takes."""
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    books = Books(platform.login("gateway").postgres_dsn)
    standing = await books.load(PRICES)
    books.drop()
    first = fill(1)
    books.fill(first)
    held = {"BTC-USD": Position("BTC-USD", D(1))}
    flushing = asyncio.create_task(books.flush(Standing(held, PRICES, standing.account.after(first))))
    await asyncio.sleep(0)
    books.fill(fill(2))  # while it connects
    await flushing
    assert await books.differences() == {}
    assert books.settlement_lag_s() >= 10
    await books.close()


async def test_a_restart_in_the_middle_of_a_day_goes_on(platform: Platform) -> None:
    """The day's opening is kept, marks go on, and what an injected slippage cost is paid back."""
    await platform.open_for_trading()
    async with trading_on(platform, seed=1, gate_s=PATIENCE_S) as first:
        await first.gateway.set_faults({"slippage": 0.2, "settlement_lag_s": 600})

        async def lost() -> bool:
            row = (await first.samples("daily_pnl_usd"))[0]
            return row["value"] is not None and row["value"] < -1_100  # a part of it is the market's

        await until(lost)
    async with platform.connection() as owner:
        before = await owner.fetchrow("SELECT * FROM plant.account")
        marks = dict(await owner.fetch("SELECT symbol, mark_price FROM positions"))
        assert before["slipped"] > 1_000
        assert before["ledger_seq"] < before["engine_seq"]
        await owner.execute("UPDATE plant.account SET opening = opening + 777")  # a loss of the morning
        since = await owner.fetchval("SELECT clock_timestamp()")
    async with trading_on(platform, seed=2, gate_s=PATIENCE_S) as second:
        account = second.plant.venue.account
        assert account.day is not None
        assert account.day.opening == before["opening"] + 777
        assert account.slipped == 0
        assert account.engine_seq > before["engine_seq"]
        for symbol, price in marks.items():
            assert abs(second.plant.venue.market.price(symbol) / price - 1) < D("0.01")

        async def measured() -> bool:
            rows = await second.samples("daily_pnl_usd", since)
            return bool(rows) and -877 < rows[-1]["value"] < -677

        await until(measured)

        async def settled() -> bool:  # also what was left unsettled
            rows = await second.samples("settlement_lag_s", since)
            return rows[0]["value"] < 3 and await second.ledger_agrees()

        await until(settled)
        violations = await second.samples("invariant_violations")
        assert {row["value"] for row in violations} <= {0.0, None}


async def test_the_time_in_which_nothing_ran_is_no_lag(platform: Platform) -> None:
    """A fill that was left unsettled hours ago: the guard must not see its age in any sample."""
    await platform.open_for_trading()
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    async with platform.connection("gateway") as db:
        await ledger.load(db, PRICES)
        await Stored(db).note(fill(1, "0.5", "63000", age_s=6_000), fill(2, "0.25", "63000", age_s=5_990))
    async with trading_on(platform, gate_s=PATIENCE_S) as second:

        async def measured() -> bool:
            return len(await second.samples("settlement_lag_s")) >= 3

        await until(measured)
        assert all(row["value"] < 30 for row in await second.samples("settlement_lag_s"))
        for sli in ("feed_age_s", "data_age_s", "bar_staleness_p99_s"):
            assert all(row["value"] < 30 for row in await second.samples(sli)), sli
        assert {row["value"] for row in await second.samples("invariant_violations")} <= {0.0, None}
        runs = await second.fetch("SELECT status FROM reconciliation_runs")
        assert {row["status"] for row in runs} <= {"clean"}
        assert await second.ledger_agrees()


@pytest.mark.parametrize("steps", [1, 3, 10, 30, 60])
async def test_a_plant_stopped_while_it_starts_overwrites_nothing(platform: Platform, steps: int) -> None:
    await run_sql(platform.owner.postgres_dsn, "plant.sql")
    async with platform.connection("gateway") as db:
        await db.execute("INSERT INTO positions (symbol, quantity, avg_price) VALUES ('BTC-USD', 0.5, 63000)")
        await ledger.load(db, PRICES)
        before = await db.fetchrow("SELECT * FROM plant.account")
        task = asyncio.create_task(Plant(replace(platform.settings, gateway_url="http://127.0.0.1:0")).run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await db.fetchval("SELECT quantity FROM positions WHERE symbol = 'BTC-USD'") == D("0.5")
        after = await db.fetchrow("SELECT * FROM plant.account")
        assert (after["cash"], after["ledger_seq"]) == (before["cash"], before["ledger_seq"])
        assert await ledger.differences(db) == {}
