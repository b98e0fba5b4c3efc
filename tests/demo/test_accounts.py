"""Profit and loss: cash plus marks, against an average-cost reckoning of its own; days; drawdown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.demo.accounts import CAPITAL_USD, Account, Day, Fill, opening_account
from cockpit.demo.ledger import coalesced
from cockpit.demo.orders import Position, Side

D = Decimal
AT = datetime(2026, 3, 1, tzinfo=UTC)
TODAY, TOMORROW = date(2026, 3, 1), date(2026, 3, 2)
BUY, SELL = Side.BUY, Side.SELL

TABLE: list[tuple[str, list[tuple[Side, str, str]], str, str]] = [
    ("nothing", [], "100", "0"),
    ("long, marked up", [(BUY, "2", "100")], "110", "20"),
    ("long, marked down", [(BUY, "2", "100")], "99.5", "-1"),
    ("short, marked up", [(SELL, "3", "100")], "101", "-3"),
    ("closed with a gain", [(BUY, "1", "100"), (SELL, "1", "107")], "50", "7"),
    ("part closed", [(BUY, "4", "100"), (SELL, "1", "110")], "90", "-20"),
    ("turned over", [(BUY, "1", "100"), (SELL, "3", "90")], "80", "10"),
]


def booked(fills: list[tuple[Side, D, D]]) -> tuple[Account, dict[str, Position]]:
    position, account = Position("X"), Account(CAPITAL_USD)
    for seq, (side, quantity, price) in enumerate(fills, 1):
        signed = side.sign * quantity
        position = position.after(side, quantity, price)
        account = account.after(Fill(seq, "X", signed, -signed * price, AT))
    return account, {"X": position}


@pytest.mark.parametrize(
    ("fills", "mark", "profit"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_profit(fills: list[tuple[Side, str, str]], mark: str, profit: str) -> None:
    account, positions = booked([(side, D(quantity), D(price)) for side, quantity, price in fills])
    assert account.equity(positions, {"X": D(mark)}) - CAPITAL_USD == D(profit)
    assert account.engine_seq == len(fills)


def average_cost(fills: list[tuple[Side, D, D]], mark: D) -> Fraction:
    """Realised plus unrealised, as a book-keeper reckons it: no cash in it."""
    held, cost, realised = Fraction(0), Fraction(0), Fraction(0)
    for side, quantity, price in fills:
        left = Fraction(quantity) * side.sign
        if held * left < 0:
            closing = min(abs(left), abs(held)) * (1 if left > 0 else -1)
            realised += -closing * (Fraction(price) - cost)
            held, left = held + closing, left - closing
        if left:
            cost = (cost * abs(held) + Fraction(price) * abs(left)) / (abs(held) + abs(left))
            held += left
    return realised + held * (Fraction(mark) - cost)


amounts = st.decimals("0.0001", "1000", places=4)
fills_of = st.lists(st.tuples(st.sampled_from(Side), amounts, amounts), max_size=30)


@given(fills_of, amounts)
def test_cash_and_marks_equal_realised_and_unrealised(fills: list[tuple[Side, D, D]], mark: D) -> None:
    account, positions = booked(fills)
    profit = account.equity(positions, {"X": mark}) - CAPITAL_USD
    assert Fraction(profit) == average_cost(fills, mark)


@given(st.lists(st.tuples(st.sampled_from("XYZ"), st.sampled_from(Side), amounts, amounts), max_size=40))
def test_merging_fills_keeps_every_sum(rows: list[tuple[str, Side, D, D]]) -> None:
    fills = [
        Fill(seq, symbol, side.sign * quantity, -side.sign * quantity * price, AT)
        for seq, (symbol, side, quantity, price) in enumerate(rows, 1)
    ]
    merged = coalesced(fills)
    for symbol in "XYZ":
        for name in ("quantity", "cash"):
            assert sum(getattr(f, name) for f in merged if f.symbol == symbol) == sum(
                getattr(f, name) for f in fills if f.symbol == symbol
            )
    assert [f.seq for f in merged] == sorted({f.seq for f in merged})
    assert not fills or merged[-1].seq == fills[-1].seq
    assert len(merged) <= 3


def test_a_day_is_measured_against_its_first_equity() -> None:
    account = Account(CAPITAL_USD)
    assert not any((account.daily_pnl(D(1)), account.drawdown(D(1))))  # before the first valuation
    account = account.valued(D(50_000), TODAY).valued(D(50_400), TODAY).valued(D(50_100), TODAY)
    assert account.day == Day(TODAY, D(50_000), D(50_400))
    assert account.daily_pnl(D(49_896)) == -104
    assert account.drawdown(D(49_896)) == D("0.01")
    assert account.valued(D(1), date(2026, 2, 28)).day == account.day  # a clock that steps back
    account = account.valued(D(50_100), TOMORROW)
    assert account.day == Day(TOMORROW, D(50_100), D(50_100))
    assert account.daily_pnl(D(50_100)) == 0


@pytest.mark.parametrize(("equity", "lost"), [("60000", "0"), ("50000", "0"), ("0", "1"), ("-7", "1")])
def test_drawdown_is_a_share(equity: str, lost: str) -> None:
    account = Account(CAPITAL_USD).valued(D(50_000), TODAY)
    assert account.drawdown(D(equity)) == D(lost)


def test_an_account_opens_worth_the_capital() -> None:
    positions = {"X": Position("X", D(-3), D(90))}
    account = opening_account(positions, {"X": D(100)})
    assert account.cash == CAPITAL_USD + 300
    assert account.equity(positions, {"X": D(100)}) == CAPITAL_USD
