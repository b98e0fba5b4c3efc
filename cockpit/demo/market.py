"""A small market: four prices that walk at random, and a feed of ticks that can fall silent, lag or err."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final


@dataclass(frozen=True, slots=True)
class Listing:
    """One instrument: its tick and lot, the normal order and the largest absolute position, in units."""

    symbol: str
    start_price: Decimal
    tick: Decimal
    lot: Decimal
    normal_quantity: Decimal
    max_position: Decimal


LISTINGS: Final[Mapping[str, Listing]] = {
    listing.symbol: listing
    for listing in (
        Listing("BTC-USD", Decimal(64_000), Decimal("0.5"), Decimal("0.0001"), Decimal("0.02"), Decimal(1)),
        Listing("ETH-USD", Decimal(3_100), Decimal("0.05"), Decimal("0.001"), Decimal("0.4"), Decimal(20)),
        Listing("SOL-USD", Decimal(150), Decimal("0.01"), Decimal("0.01"), Decimal(8), Decimal(400)),
        Listing("ADA-USD", Decimal("0.45"), Decimal("0.0001"), Decimal(1), Decimal(2_500), Decimal(120_000)),
    )
}
# A quiet market: about one per cent a day, so that what the plant holds never comes near its daily loss limit
# by chance (tests/demo/test_quiet_market.py).
_STEP: Final = 0.00002  # standard deviation of a relative price change per tick
_PULL: Final = 0.0005  # back to the start per tick, so that a demo of many days stays in sight of it
_RESUMES: Final = 0.2  # a price of an earlier run is gone on from if it is this near to the start


def to_lot(listing: Listing, quantity: Decimal) -> Decimal:
    """The largest whole number of lots that `quantity` holds."""
    return quantity // listing.lot * listing.lot


@dataclass(frozen=True, slots=True)
class Tick:
    """One price as the feed delivers it. `at` is the tick's own time, in seconds of the market's clock."""

    symbol: str
    at: float
    price: Decimal


class Market:
    """Prices by symbol, each on its tick. `clock` gives monotonic seconds; `random` decides the walk."""

    def __init__(self, random: random.Random, clock: Callable[[], float]) -> None:
        self._random = random
        self.clock = clock
        self._exact = {symbol: float(listing.start_price) for symbol, listing in LISTINGS.items()}
        self._prices = {symbol: listing.start_price for symbol, listing in LISTINGS.items()}
        self._before = dict(self._exact)
        self._ticked_at = clock()
        self._silent_until = 0.0
        self.delay_s = 0.0
        self.bad_tick_rate = 0.0

    def go_on_from(self, prices: Mapping[str, Decimal]) -> None:
        """Take up the prices of an earlier run, so that what is held keeps its value over a restart."""
        for symbol, price in prices.items():
            start = float(LISTINGS[symbol].start_price)
            if abs(float(price) / start - 1) <= _RESUMES:
                self._exact[symbol], self._prices[symbol] = float(price), price

    def advance(self) -> Sequence[Tick]:
        """One tick of every price; none while the feed is silent."""
        now = self.clock()
        if now < self._silent_until:
            return ()
        self._before = dict(self._exact)
        ticks = []
        for symbol, listing in LISTINGS.items():
            pull = (float(listing.start_price) / self._exact[symbol] - 1) * _PULL
            self._exact[symbol] *= 1 + pull + self._random.gauss(0, _STEP)
            steps = (Decimal(self._exact[symbol]) / listing.tick).to_integral_value(ROUND_HALF_EVEN)
            price = max(listing.tick, steps * listing.tick)
            bad = self.bad_tick_rate > 0 and self._random.random() < self.bad_tick_rate
            if not bad:
                self._prices[symbol] = price
            ticks.append(Tick(symbol, now - self.delay_s, Decimal(0) if bad else price))
        self._ticked_at = now
        return ticks

    def silence(self, seconds: float) -> None:
        """Stop the feed for so long from now; 0 lets it go on."""
        self._silent_until = self.clock() + seconds if seconds > 0 else 0.0

    @property
    def silent_for_s(self) -> float:
        """What is left of a silence, 0 when the feed runs."""
        return max(0.0, self._silent_until - self.clock())

    @property
    def feed_age_s(self) -> float:
        """Since anything arrived, however old it was."""
        return max(0.0, self.clock() - self._ticked_at)

    def price(self, symbol: str) -> Decimal:
        return self._prices[symbol]

    def rising(self, symbol: str) -> bool:
        """Whether the last tick did not lower the price."""
        return self._exact[symbol] >= self._before[symbol]
