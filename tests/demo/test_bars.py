"""Bars and their quality; samples; and that a quiet market comes nowhere near a limit by chance."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cockpit.demo.bars import BAR_S, STALE_S, Bars, percentile
from cockpit.demo.faults import BadFault, Faults, with_changes
from cockpit.demo.market import LISTINGS, Market, Tick
from cockpit.demo.orders import Position
from cockpit.demo.reconciling import Run, Streaks
from cockpit.demo.slis import Slis
from cockpit.demo.traders import STRATEGIES, chosen_side
from cockpit.demo.venue import Outcome
from cockpit.domain.reconciliation import Kind, Verdict

NONE = {"gap": 0, "out_of_order": 0, "bad_price": 0}


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Feed:
    """Bars with a clock of our own; `tick` brings one tick of every instrument."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bars = Bars(self.clock)

    def tick(self, at: float, price: str = "10", symbols: tuple[str, ...] = tuple(LISTINGS)) -> None:
        self.clock.now = max(self.clock.now, at)
        self.bars.take([Tick(symbol, at, Decimal(price)) for symbol in symbols])

    def run(self, start: float, end: float) -> None:
        at = start
        while at <= end:
            self.tick(at)
            at += 0.5


def test_a_healthy_feed_has_no_errors_and_bars_as_old_as_a_bar_at_most() -> None:
    feed = Feed()
    feed.run(1_000, 1_060)
    assert feed.bars.check().errors == NONE
    assert feed.bars.check().stale == ()
    assert feed.bars.data_age_s == 0
    assert 9 <= feed.bars.staleness_p99_s() <= BAR_S


def test_missing_bars_are_gaps_once() -> None:
    feed = Feed()
    feed.run(1_000, 1_019.5)
    feed.bars.check()
    feed.run(1_050, 1_051)  # the bars of 1,020, 1,030 and 1,040 are missing
    assert feed.bars.check().errors == NONE | {"gap": 3 * len(LISTINGS)}
    assert feed.bars.check().errors == NONE


@pytest.mark.parametrize(("silent_s", "stale"), [(STALE_S, 0), (STALE_S + 0.01, len(LISTINGS))])
def test_stale_at_its_edge(silent_s: float, stale: int) -> None:
    feed = Feed()
    feed.run(1_000, 1_005)
    feed.clock.now = 1_005 + silent_s
    assert len(feed.bars.check().stale) == stale
    assert feed.bars.data_age_s == pytest.approx(silent_s)


def test_one_silent_instrument_is_the_data_s_age() -> None:
    feed = Feed()
    feed.run(1_000, 1_005)
    for at in range(1_006, 1_040):
        feed.tick(at, symbols=("BTC-USD",))
    assert feed.bars.data_age_s == 34
    assert feed.bars.check().stale == tuple(symbol for symbol in LISTINGS if symbol != "BTC-USD")


def test_out_of_order_and_priceless_ticks_go_into_no_bar() -> None:
    feed = Feed()
    feed.run(1_000, 1_009)
    feed.tick(1_005, price="99", symbols=("BTC-USD",))
    feed.tick(1_009.5, price="0", symbols=("BTC-USD",))
    feed.tick(1_009.6, price="-1", symbols=("BTC-USD",))
    assert feed.bars.check().errors == NONE | {"out_of_order": 1, "bad_price": 2}
    bar = feed.bars._series["BTC-USD"].building
    assert bar is not None
    assert (bar.low, bar.high, bar.ticks) == (Decimal(10), Decimal(10), 19)


def test_staleness_grows_with_silence_and_returns() -> None:
    feed = Feed()
    feed.run(1_000, 1_025)
    feed.bars.staleness_p99_s()
    feed.clock.now = 1_200
    feed.bars.take([])
    assert feed.bars.staleness_p99_s() == 180  # since the bar that ended at 1,020
    feed.run(1_200, 1_215)
    feed.bars.staleness_p99_s()
    feed.tick(1_216)
    assert feed.bars.staleness_p99_s() == 6


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [
        ([5], 0.99, 5),
        (range(1, 101), 0.99, 99),
        (range(1, 102), 0.99, 100),
        ([1, 2], 0.5, 1),
        ([3, 1, 2], 1, 3),
    ],
)
def test_percentile(values: list[float], share: float, wanted: float) -> None:
    assert percentile(values, share) == wanted


def test_counts_start_anew_with_each_sample() -> None:
    slis = Slis()
    slis.exchange(Outcome.OK)
    slis.exchange(Outcome.REJECTED)
    slis.exchange(Outcome.TIMEOUT)
    slis.feed(5.0, True)
    slis.feed(2.0, False)
    slis.counts()
    slis.counts()
    rows = [(row.sli, float(row.good), float(row.total)) for row in slis.waiting]
    assert ("operations", 1, 3) in rows[:5]
    assert ("api_errors", 0, 1) in rows[:5]
    assert ("data_feed", 5, 7) in rows[:5]
    assert {total for _, _, total in rows[5:]} == {0}  # no traffic has a row too


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_no_number_was_not_measured(value: float | None) -> None:
    slis = Slis()
    slis.value("x", value)
    assert slis.waiting[0].total == 0
    assert slis.waiting[0].value is None


def test_consecutive_mismatches() -> None:
    slis, streaks = Slis(), Streaks()
    verdicts = {"c": Verdict.CLEAN, "m": Verdict.MISMATCH, "u": Verdict.UNKNOWN}
    for orders, positions in ("mc", "mm", "uu", "cm", "cu", "cc", "mc"):
        cycle = [
            Run(Kind.ORDER, "X", verdicts[orders], datetime.now(UTC)),
            Run(Kind.POSITION, "X", verdicts[positions], datetime.now(UTC)),
        ]
        clean = None if "u" in (orders, positions) else orders == positions == "c"
        slis.reconciled(clean, streaks.take(cycle))
    rows = [row for row in slis.waiting if row.value is not None]
    assert [row.value for row in rows] == [1, 2, 2, 2, 2, 0, 1]  # the longest of any line
    passes = [(row.good, row.total) for row in slis.waiting if row.value is None]
    assert passes == [(0, 1), (0, 1), (0, 0), (0, 1), (0, 0), (1, 1), (0, 1)]  # unknown is no event


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"price_shock": 0.95}, "price_shock"),
        ({"ledger_violations": 1.5}, "whole"),
        ({"ledger_violations": 101}, "ledger_violations"),
        ({"position_runaway": -1}, "position_runaway"),
        ({"settlement_lag_s": float("nan")}, "settlement_lag_s"),
    ],
)
def test_faults_out_of_range(changes: dict[str, float], named: str) -> None:
    with pytest.raises(BadFault, match=named):
        with_changes(Faults(), changes)


@pytest.mark.parametrize("seed", range(3))
def test_a_quiet_market_comes_nowhere_near_the_daily_loss_limit(seed: int) -> None:
    """Two hours of the real market and the real strategies: no tenth of the limit of 500 USD."""
    chance, clock = random.Random(seed), Clock()
    market = Market(chance, clock)
    positions = {symbol: Position(symbol) for symbol in LISTINGS}
    cash, lowest, largest = Decimal(0), Decimal(0), Decimal(0)
    for turn in range(2 * 3_600 * 4):
        clock.now += 0.25
        market.advance()
        symbol = list(LISTINGS)[turn % 4]
        listing = LISTINGS[symbol]
        for strategy in STRATEGIES:
            if chance.random() < 0.25 / 0.3:
                held, price = positions[symbol].quantity, market.price(symbol)
                side = chosen_side(strategy, listing, held, market.rising(symbol), chance)
                quantity = listing.normal_quantity * Decimal("0.7")
                positions[symbol] = positions[symbol].after(side, quantity, price)
                cash -= side.sign * quantity * price
        if turn % 40 == 0:
            worth = [each.quantity * market.price(each.symbol) for each in positions.values()]
            lowest = min(lowest, cash + sum(worth))
            largest = max(
                largest, *(abs(p.quantity) / LISTINGS[p.symbol].max_position for p in positions.values())
            )
    assert lowest > -50
    assert largest < Decimal("0.35")
