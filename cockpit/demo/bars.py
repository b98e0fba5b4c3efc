"""Bars built from the feed's ticks, and the quality check on them.

A bar holds the ticks of `BAR_S` seconds by their own time. A tick that carries no positive price, or that is
older than the one before it, goes into no bar and is an error; so is each bar that is missing between two.
Source: the operations runbook's SLOs on data quality (errors and stale warnings per quality cycle).
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from cockpit.demo.market import LISTINGS, Tick

BAR_S: Final = 10.0
STALE_S: Final = BAR_S  # an instrument without a newer tick than this is stale
KINDS: Final = ("gap", "out_of_order", "bad_price")
_MOST_GAPS: Final = 1_000_000
_MOST_AGES: Final = 2_000  # two minutes of them


@dataclass(slots=True)
class Bar:
    """Open, high, low, close of one instrument; `number` counts bars of the clock."""

    number: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    ticks: int = 1

    def take(self, price: Decimal) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.ticks += 1

    @property
    def ends_at(self) -> float:
        return (self.number + 1) * BAR_S


@dataclass(slots=True)
class _Series:
    """One instrument. `newest_at` is the last tick's own time, taken into a bar or not."""

    newest_at: float
    ordered_at: float
    building: Bar | None = None
    complete: Bar | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """One quality cycle: the errors since the cycle before by kind, and the instruments that are stale."""

    errors: Mapping[str, int]
    stale: tuple[str, ...]


@dataclass(slots=True)
class Bars:
    """Takes ticks, keeps the newest bars. `clock` is the market's."""

    clock: Callable[[], float]
    _series: dict[str, _Series] = field(default_factory=dict)
    _errors: Counter[str] = field(default_factory=Counter)
    _ages: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_AGES))

    def __post_init__(self) -> None:
        now = self.clock()
        self._series = {symbol: _Series(now, now) for symbol in LISTINGS}

    def take(self, ticks: Iterable[Tick]) -> None:
        """Build bars from the ticks that just arrived, and note how stale the newest bars are now."""
        for tick in ticks:
            series = self._series[tick.symbol]
            if tick.price <= 0:
                self._errors["bad_price"] += 1
                continue
            series.newest_at = tick.at
            if tick.at < series.ordered_at:
                self._errors["out_of_order"] += 1
                continue
            series.ordered_at = tick.at
            self._build(series, tick)
        self._ages.extend(self.staleness_s(symbol) for symbol in self._series)

    def staleness_s(self, symbol: str) -> float:
        """Since the newest complete bar ended; before there is one, since the newest tick."""
        series = self._series[symbol]
        since = series.ordered_at if series.complete is None else series.complete.ends_at
        return max(0.0, self.clock() - since)

    def staleness_p99_s(self) -> float:
        """The 99th percentile of the bars' staleness since this was last asked, over all instruments."""
        found = percentile(self._ages or [self.staleness_s(symbol) for symbol in self._series], 0.99)
        self._ages.clear()
        return found

    @property
    def data_age_s(self) -> float:
        """Age of the newest tick, by its own time, of the instrument that is worst off."""
        return max(self._age_s(symbol) for symbol in self._series)

    def check(self) -> Quality:
        """One quality cycle."""
        errors, self._errors = self._errors, Counter()
        return Quality({kind: errors[kind] for kind in KINDS}, self.stale())

    def stale(self) -> tuple[str, ...]:
        """The instruments without a fresh tick, by the ticks' own time."""
        return tuple(symbol for symbol in self._series if self._age_s(symbol) > STALE_S)

    def _age_s(self, symbol: str) -> float:
        return max(0.0, self.clock() - self._series[symbol].newest_at)

    def _build(self, series: _Series, tick: Tick) -> None:
        number, bar = int(tick.at // BAR_S), series.building
        if bar is not None and number == bar.number:
            bar.take(tick.price)
            return
        if bar is not None:
            series.complete = bar
            self._errors["gap"] += min(_MOST_GAPS, number - bar.number - 1)
        series.building = Bar(number, tick.price, tick.price, tick.price, tick.price)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed. `values` is not empty."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]
