"""What the plant measures of itself for objectives and triggers: rows of `sli_samples`.

A count's row holds the events since the row before it (`good` of `total`); `total` 0 says that there was no
traffic, which is not the same as no data. A measured value's row has `good` = `total` = 1; where nothing
could be measured both are 0 and `value` is null. Rows are taken on time also while Postgres is away, and
wait. The demo writes about 300,000 of them a day.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from cockpit.demo.bars import Quality, percentile
from cockpit.demo.orders import Order, OrderStatus
from cockpit.demo.venue import Outcome

SAMPLES_S: Final = 5.0
LATENCY_BOUND_MS: Final = 300.0
COUNTS: Final = ("data_feed", "order_success", "execution_latency", "operations", "api_errors")
_MOST_SIGNALS: Final = 10_000
_MOST_WAITING: Final = 20_000  # an hour and a half
_PLACES: Final = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of `sli_samples`."""

    sli: str
    good: Decimal
    total: Decimal
    value: float | None
    observed_at: datetime


@dataclass(slots=True)
class _Count:
    good: Decimal = Decimal(0)
    total: Decimal = Decimal(0)

    def add(self, good: bool, amount: Decimal = Decimal(1)) -> None:
        self.good += amount if good else 0
        self.total += amount


@dataclass(slots=True)
class Slis:
    """Counts and measures until samples are taken. `waiting` are the rows that are not in Postgres yet."""

    waiting: deque[Sample] = field(default_factory=lambda: deque(maxlen=_MOST_WAITING))
    mismatch_runs: int = 0
    _counts: dict[str, _Count] = field(default_factory=lambda: {name: _Count() for name in COUNTS})
    _signals: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_SIGNALS))

    def order(self, order: Order) -> None:
        """Count an order that ended; not a paper one, nor one that nobody sent."""
        ended = order.status in (OrderStatus.FILLED, OrderStatus.REJECTED)
        if ended and not order.paper and order.latency_ms is not None:
            self._counts["order_success"].add(order.status is OrderStatus.FILLED)
            self._counts["execution_latency"].add(order.latency_ms <= LATENCY_BOUND_MS)

    def exchange(self, outcome: Outcome) -> None:
        """Count an exchange with the venue: an order's, or a check of the gateway's own."""
        self._counts["operations"].add(outcome is Outcome.OK)
        if outcome is Outcome.TIMEOUT:
            self._counts["api_errors"].add(False)

    def feed(self, seconds: float, fresh: bool) -> None:
        """Count time with or without a fresh feed."""
        self._counts["data_feed"].add(fresh, Decimal(seconds).quantize(_PLACES))

    def signal(self, took_s: float) -> None:
        """Note how long a signal took, from the look at the market to the venue's answer."""
        self._signals.append(took_s * 1_000)

    def reconciled(self, clean: bool | None, mismatch_runs: int) -> None:
        """Take the samples of one reconciliation cycle. `clean` None: one side could not be read, which is no
        event; `mismatch_runs`: the longest streak of mismatches of any line."""
        self.mismatch_runs = mismatch_runs
        self._row("reconciliation_pass", Decimal(int(clean is True)), Decimal(int(clean is not None)))
        self.value("reconciliation_mismatch_runs", float(self.mismatch_runs))

    def quality(self, quality: Quality, missing_bars: int = 0) -> None:
        """Take the samples of one quality check; `missing_bars` are the daily ones."""
        self.value("data_quality_errors", float(sum(quality.errors.values()) + missing_bars))
        self.value("data_stale_warnings", float(len(quality.stale)))

    def bar(self) -> None:
        """Take the sample of the signals of one bar."""
        signals = list(self._signals)
        self._signals.clear()
        self.value("signal_latency_p99_ms", percentile(signals, 0.99) if signals else None)

    def counts(self) -> None:
        """Take a sample of every count."""
        taken, self._counts = self._counts, {name: _Count() for name in COUNTS}
        for name, count in taken.items():
            self._row(name, count.good, count.total)

    def value(self, sli: str, value: float | None) -> None:
        """Take a sample of a measured value; one that is no number is one that could not be measured."""
        known = value is not None and math.isfinite(value)
        events = Decimal(int(known))
        self._row(sli, events, events, value if known else None)

    def written(self, rows: int) -> None:
        """The oldest `rows` are in Postgres."""
        for _ in range(min(rows, len(self.waiting))):
            self.waiting.popleft()

    def _row(self, sli: str, good: Decimal, total: Decimal, value: float | None = None) -> None:
        self.waiting.append(Sample(sli, good, total, value, datetime.now(UTC)))
