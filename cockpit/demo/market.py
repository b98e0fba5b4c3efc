"""A small market: four prices that walk at random, and a feed that can fall silent."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
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
_STEP: Final = 0.0004  # standard deviation of a relative price change per tick


def to_lot(listing: Listing, quantity: Decimal) -> Decimal:
    """The largest whole number of lots that `quantity` holds."""
    return quantity // listing.lot * listing.lot


class Market:
    """Prices by symbol, each on its tick. `clock` gives monotonic seconds; `random` decides the walk."""

    def __init__(self, random: random.Random, clock: Callable[[], float]) -> None:
        self._random = random
        self._clock = clock
        self._prices = {symbol: listing.start_price for symbol, listing in LISTINGS.items()}
        self._before = dict(self._prices)
        self._ticked_at = clock()
        self._silent_until = 0.0

    def advance(self) -> None:
        """One tick of every price, unless the feed is silent."""
        now = self._clock()
        if now < self._silent_until:
            return
        self._before = dict(self._prices)
        for symbol, listing in LISTINGS.items():
            # Drawn back to the start, so that a demo of many days stays in sight of it.
            drift = float(listing.start_price / self._prices[symbol] - 1) * 0.002
            moved = self._prices[symbol] * Decimal(1 + drift + self._random.gauss(0, _STEP))
            self._prices[symbol] = max(listing.tick, moved // listing.tick * listing.tick)
        self._ticked_at = now

    def silence(self, seconds: float) -> None:
        """Stop the feed for so long from now; 0 lets it go on."""
        self._silent_until = self._clock() + seconds if seconds > 0 else 0.0

    @property
    def silent_for_s(self) -> float:
        """What is left of a silence, 0 when the feed runs."""
        return max(0.0, self._silent_until - self._clock())

    @property
    def feed_age_s(self) -> float:
        return max(0.0, self._clock() - self._ticked_at)

    def price(self, symbol: str) -> Decimal:
        return self._prices[symbol]

    def rising(self, symbol: str) -> bool:
        """Whether the last tick did not lower the price."""
        return self._prices[symbol] >= self._before[symbol]
