"""The market's daily bars in Postgres: UTC days, complete ones and today's.

The plant builds today's bar from its own ticks and fills. Days on which it did not run are asked of the data
source; the demo's source makes them up, the same for each day and instrument however often it is asked. What
lies before `slos.simulated_before` was thus never measured, like the samples that the demo begins with.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from cockpit.demo.accounts import Fill
from cockpit.demo.market import LISTINGS, Listing, Tick
from cockpit.demo.venue import RUNAWAY

DAYS: Final = 30
"""Complete days that each instrument must have. Source: operations runbook, recovery decision tree."""
_HELD: Final = 35
_STEP: Final = 0.01  # a day's relative change
_WRITE: Final = """
INSERT INTO daily_bars AS b (symbol, day, open, high, low, close, volume)
SELECT * FROM unnest($1::text[], $2::date[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                     $7::numeric[])
ON CONFLICT (symbol, day) DO UPDATE
SET high = greatest(b.high, excluded.high), low = least(b.low, excluded.low), close = excluded.close,
    volume = b.volume + excluded.volume
"""
_BACKFILL: Final = """
INSERT INTO daily_bars (symbol, day, open, high, low, close, volume)
SELECT * FROM unnest($1::text[], $2::date[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[],
                     $7::numeric[])
ON CONFLICT (symbol, day) DO NOTHING
"""
# NaN is above every number, and a low above a high is no bar.
_HELD_DAYS: Final = """
SELECT symbol, day FROM daily_bars
 WHERE symbol = ANY ($1::text[]) AND day >= $2 AND day < $3
   AND low > 0 AND low <= least(open, close) AND greatest(open, close) <= high
   AND high < 'Infinity' AND volume >= 0
"""
_WITHDRAW: Final = "DELETE FROM daily_bars WHERE symbol = $1 AND day >= $2 AND day < $3"


@dataclass(frozen=True, slots=True)
class DailyBar:
    symbol: str
    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def made_up(listing: Listing, day: date) -> DailyBar:
    """The demo source's bar of one day."""
    chance = random.Random(f"{listing.symbol} {day.isoformat()}")  # noqa: S311 (a market, not a secret)

    def price(share: float) -> Decimal:
        steps = (listing.start_price * Decimal(str(round(1 + share, 6))) / listing.tick).to_integral_value()
        return max(listing.tick, steps * listing.tick)

    begin, end = (price(chance.gauss(0, _STEP)) for _ in range(2))
    high, low = (price(abs(chance.gauss(0, _STEP / 2))) for _ in range(2))
    above, below = high - listing.start_price, low - listing.start_price
    volume = listing.max_position * chance.randrange(20, 60)
    return DailyBar(
        listing.symbol,
        day,
        begin,
        max(begin, end) + above,
        max(listing.tick, min(begin, end) - below),
        end,
        volume,
    )


class Today:
    """What the plant saw since its bars were last written."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, date], DailyBar] = {}

    def ticks(self, ticks: Iterable[Tick], day: date) -> None:
        """Prices that just arrived; one that is no price goes into no bar."""
        for tick in ticks:
            if tick.price > 0:
                self._add(tick.symbol, day, tick.price, Decimal(0))

    def fill(self, fill: Fill, price: Decimal, day: date) -> None:
        if fill.quantity and fill.symbol in LISTINGS:
            self._add(fill.symbol, day, price, abs(fill.quantity))

    def _add(self, symbol: str, day: date, price: Decimal, volume: Decimal) -> None:
        held = self._bars.get((symbol, day)) or DailyBar(symbol, day, price, price, price, price, Decimal(0))
        self._bars[symbol, day] = DailyBar(
            symbol, day, held.open, max(held.high, price), min(held.low, price), price, held.volume + volume
        )

    async def write(self, connection: Any) -> None:
        """Add what was seen to the bars; what cannot be written is kept."""
        bars, self._bars = self._bars, {}
        if not bars:
            return
        try:
            await connection.execute(_WRITE, *_columns(list(bars.values())))
        except BaseException:
            self._bars = bars  # ticks in between are lost: the next ones are near enough
            raise


async def missing_days(connection: Any, today: date) -> dict[str, int]:
    """How many of the last complete days each instrument lacks."""
    held = await connection.fetch(_HELD_DAYS, list(LISTINGS), today - timedelta(days=DAYS), today)
    return {symbol: DAYS - sum(row["symbol"] == symbol for row in held) for symbol in LISTINGS}


async def complete(connection: Any, today: date, withheld: int) -> int:
    """Ask the source for the days that are missing; how many it gave. Of the first instrument it withholds
    the newest `withheld`, also those that it had given."""
    begin, hidden = today - timedelta(days=_HELD), today - timedelta(days=withheld)
    if withheld:
        await connection.execute(_WITHDRAW, RUNAWAY, hidden, today)
    rows = await connection.fetch(_HELD_DAYS, list(LISTINGS), begin, today)
    held = {(row["symbol"], row["day"]) for row in rows}
    wanted = [
        made_up(listing, day)
        for symbol, listing in LISTINGS.items()
        for day in (begin + timedelta(days=number) for number in range(_HELD))
        if (symbol, day) not in held and not (symbol == RUNAWAY and day >= hidden)
    ]
    if wanted:
        await connection.execute(_BACKFILL, *_columns(wanted))
    return len(wanted)


def _columns(bars: Sequence[DailyBar]) -> list[list[object]]:
    names = ("symbol", "day", "open", "high", "low", "close", "volume")
    rows: list[Mapping[str, object]] = [{name: getattr(bar, name) for name in names} for bar in bars]
    return [[row[name] for row in rows] for name in names]
