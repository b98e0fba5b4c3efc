"""Watches all that the plant does, and turns it into samples and metrics."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from backends.gate_ack import InFlight
from cockpit.demo.accounts import Fill
from cockpit.demo.bars import BAR_S, KINDS, Bars, Quality
from cockpit.demo.books import Books
from cockpit.demo.daily_bars import Today
from cockpit.demo.health import FEED_BOUND_S
from cockpit.demo.market import LISTINGS, Tick
from cockpit.demo.metrics import Gauge, Metrics, by_symbol, single
from cockpit.demo.orders import Order
from cockpit.demo.slis import SAMPLES_S, Slis
from cockpit.demo.venue import Outcome, Venue
from cockpit.demo.venue_record import VenueRecord
from cockpit.domain.reconciliation import Verdict

_CHECK_COUNTS_S: Final = 30.0  # a ledger check that is older says nothing


class Measuring:
    """The venue's witness, and the market's. `venue` and `bars` are set once they exist, before `run`.

    Samples are taken every `every_s` seconds.
    """

    venue: Venue
    bars: Bars

    def __init__(self, books: Books, flight: InFlight, every_s: float = SAMPLES_S) -> None:
        self.books = books
        self.slis = Slis()
        self.metrics = Metrics(self._gauges)
        self._flight = flight
        self._every_s = every_s
        self.record = VenueRecord()
        self.today = Today()
        self.missing_bars = 0
        self._quality = Quality({}, ())
        self._errors: Counter[str] = Counter()
        self._violations = 0
        self._checked_at: float | None = None
        self._known: Mapping[str, Decimal] = {}

    def order(self, order: Order) -> None:
        self.record.order(order)
        self.books.order(order)
        self.slis.order(order)
        self.metrics.order(order)

    def fill(self, fill: Fill) -> None:
        self.record.fill(fill)
        self.books.fill(fill)
        if fill.symbol in LISTINGS:
            self.today.fill(fill, self.venue.market.price(fill.symbol), datetime.now(UTC).date())
        self.metrics.fill(fill)

    def exchange(self, outcome: Outcome, seconds: float) -> None:
        self.slis.exchange(outcome)
        self.metrics.exchange(outcome, seconds)

    def signal(self, strategy: str, seconds: float) -> None:
        self.slis.signal(seconds)
        self.metrics.signal(strategy, seconds)

    def ticked(self, ticks: Sequence[Tick], passed_s: float, late_s: float) -> None:
        """One turn of the market: its ticks, the time since the turn before, and how late it woke."""
        self.bars.take(ticks)
        self.today.ticks(ticks, datetime.now(UTC).date())
        self.metrics.ticks(ticks)
        self.metrics.loop_lag(late_s)
        self.slis.feed(passed_s, self.venue.market.feed_age_s <= FEED_BOUND_S)

    def checked(self, differences: Mapping[str, Decimal]) -> None:
        """One check of the ledger: each difference that was not there before, or is another, counts once."""
        new = sum(self._known.get(name) != amount for name, amount in differences.items())
        self._violations += new
        self.metrics.violations(new)
        self._known, self._checked_at = dict(differences), time.monotonic()

    def corrected(self) -> None:
        """The ledger was made right: violations count from 0 again."""
        self._violations, self._known = 0, {}
        self._checked_at = time.monotonic()
        self.metrics.healed()

    def reconciled(self, verdict: Verdict, mismatch_runs: int) -> None:
        """One cycle over all lines."""
        clean = None if verdict is Verdict.UNKNOWN else verdict is Verdict.CLEAN
        self.slis.reconciled(clean, mismatch_runs)
        self.metrics.reconciled(verdict.value)

    def take_errors(self) -> tuple[dict[str, int], tuple[str, ...]]:
        """Errors in the data by kind since this was last asked, and the instruments that are stale now."""
        errors, self._errors = self._errors, Counter()
        return {kind: errors[kind] for kind in KINDS}, self.bars.stale()

    async def run(self) -> None:
        """Take samples on time, the first ones at once, whether or not they can be written."""
        turn = 0
        due = time.monotonic()
        while True:
            self._sample(bar=turn % round(BAR_S / SAMPLES_S) == 0)
            turn += 1
            due = max(due + self._every_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _sample(self, bar: bool) -> None:
        self._quality = self.bars.check()
        self.metrics.quality(self._quality)
        self.slis.counts()
        self._errors.update(self._quality.errors)
        self.slis.quality(self._quality, self.missing_bars)
        if bar:
            self.slis.bar()
        equity = self.venue.value()
        checked = self._checked_at is not None and time.monotonic() - self._checked_at < _CHECK_COUNTS_S
        for name, value in (
            ("bar_staleness_p99_s", self.bars.staleness_p99_s()),
            ("daily_pnl_usd", float(self.venue.account.daily_pnl(equity))),
            ("drawdown", float(self.venue.account.drawdown(equity))),
            ("feed_age_s", self.venue.market.feed_age_s),
            ("data_age_s", self.bars.data_age_s),
            ("settlement_lag_s", self.books.settlement_lag_s()),
            ("invariant_violations", float(self._violations) if checked else None),
        ):
            self.slis.value(name, value)

    @property
    def violations(self) -> int:
        return self._violations

    def _gauges(self) -> Iterable[Gauge]:
        venue, books = self.venue, self.books
        held = {name: float(position.quantity) for name, position in venue.positions.items()}
        marks = {name: float(price) for name, price in venue.marks().items()}
        equity = venue.value()
        limits = {name: float(listing.max_position) for name, listing in LISTINGS.items()}
        worth = {name: held[name] * marks[name] for name in held}
        stale = {name: self.bars.staleness_s(name) for name in LISTINGS}
        yield single("feed_age_seconds", "Since any tick arrived", venue.market.feed_age_s)
        yield single("data_age_seconds", "Age of the newest tick, by its own time", self.bars.data_age_s)
        yield by_symbol("bar_staleness_seconds", "Since the newest complete bar ended", stale)
        yield single("data_stale_warnings", "Stale instruments, last quality cycle", len(self._quality.stale))
        yield by_symbol("position_quantity", "What is held, signed", held)
        yield by_symbol("position_limit", "The largest absolute position", limits)
        yield by_symbol("position_notional_usd", "What is held, at its mark", worth)
        yield by_symbol("mark_price_usd", "The venue's mark", marks)
        yield single("daily_pnl_usd", "Since 00:00 UTC", float(venue.account.daily_pnl(equity)))
        yield single("equity_usd", "Capital and all profit", float(equity))
        yield single("drawdown_ratio", "Lost of the day's peak", float(venue.account.drawdown(equity)))
        yield single("open_orders", "Orders that rest at the venue", len(venue.resting))
        yield single("orders_in_flight", "Orders without an answer yet", len(self._flight))
        yield single("books_waiting", "Order states that are not in Postgres yet", books.waiting)
        engine_seq = venue.account.engine_seq
        yield single("engine_seq", "The venue's last fill", engine_seq)
        yield single("ledger_seq", "The last settled fill", books.ledger_seq)
        yield single("settlement_lag_seconds", "Age of the oldest unsettled fill", books.settlement_lag_s())
        yield single(
            "unsettled_fills",
            "Fills that the ledger has not posted",
            venue.account.engine_seq - books.ledger_seq,
        )
        yield single(
            "reconciliation_mismatch_runs", "Consecutive mismatches up to now", self.slis.mismatch_runs
        )
        faults = venue.current_faults().fields()
        yield Gauge("fault_in_force", "Injected faults, 0 for none", "fault", faults.items())
