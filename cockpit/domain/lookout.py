"""All rules over what the store holds: rows in, firings and reports out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import Catalogue
from cockpit.domain.trigger_reports import TriggerReport
from cockpit.domain.trigger_rows import (
    CountedOrders,
    Gauge,
    HeldPosition,
    PastFiring,
    Rows,
    SettledOrder,
    SliSample,
    plan_of,
)
from cockpit.domain.trigger_samples import EXACT, Sample, second_of, usable
from cockpit.domain.trigger_watch import Firing, Latch, RuleWatch, Standing, sound
from cockpit.domain.triggers import Figure, Rule, StreamKind

_ORDERS: Final = StreamKind.ORDERS.value
_SPARE_S: Final = 5  # clocks may go back a little
_NO_NUMBER: Final = Decimal("NaN")
_AHEAD: Final = timedelta(seconds=5)


class Lookout:
    """The rules of one platform over time. Feed it every reading of the store, then ask what is due."""

    def __init__(self, rules: Sequence[Rule], catalogue: Catalogue) -> None:
        self.watches = {rule.name: RuleWatch(rule, catalogue) for rule in rules}
        self.plan = plan_of(rules, catalogue)
        self._by_figure: defaultdict[tuple[str, Figure], list[RuleWatch]] = defaultdict(list)
        for watch in self.watches.values():
            self._by_figure[(str(watch.rule.stream), watch.rule.figure)].append(watch)
        self._orders = _Seen(self.plan.horizon_s + _SPARE_S)
        self._samples = _Seen(self.plan.sli_s + _SPARE_S)
        self._before: dict[str, str] = {}
        self._held: dict[str, HeldPosition] = {}
        self._positioned: dict[str, datetime] = {}
        self._gauged: dict[str, datetime] = {}
        self._odd = 0
        self._newest: datetime | None = None
        self.now: datetime | None = None

    def feed(self, rows: Rows) -> None:
        """Take one reading in. What was read before changes nothing. Time only moves on."""
        self.now = rows.now if self.now is None else max(self.now, rows.now)
        for watch in self.watches.values():
            watch.advance(self.now)
            if watch.rule.while_incident:
                watch.armed = watch.rule.while_incident in rows.incidents
        self._orders.advance(self.now)
        self._samples.advance(self.now)
        for order in rows.orders:
            if self._orders.is_new(order.order_id, second_of(order.at)):
                self._order(order)
        for order in rows.runs:
            self._slippage(order, second_of(order.at))
        for counted in rows.counted:
            self._counted(counted)
        for position in rows.positions:
            self._position(position, rows.now)
        if rows.every_position:
            for symbol in self._held.keys() - {each.symbol for each in rows.positions}:
                self._position(HeldPosition(symbol, rows.now, Decimal(0), None), rows.now)
        for sample in rows.samples:
            if self._is_new(sample):
                self._sli(sample)
        self._odd = self._odd if rows.odd is None else rows.odd
        read = [each.at for each in rows.orders] + [each.at for each in rows.samples]
        self._newest = max((*read, self._newest or self.now))

    def feed_gauge(self, query: str, asked_at: datetime, gauge: Gauge) -> None:
        """One value of a Prometheus query. It counts from when it was measured, and after the one before."""
        at = asked_at - timedelta(seconds=gauge.age_s)
        at = self._gauged[query] = max(at, self._gauged.get(query, at))
        self._level(f"{StreamKind.PROMETHEUS.value}:{query}", f"{at.timestamp():.3f}", at, gauge.value)

    def inherit(self, firings: Sequence[PastFiring], breached: frozenset[tuple[str, str]]) -> None:
        """Take over from a predecessor: its newest firings, and which of them it held for still breached."""
        for each in firings:
            watch = self.watches.get(each.rule)
            if watch is not None:
                held = (each.rule, each.subject) in breached
                watch.inherit(each.subject, Latch(each.firing_id, each.breaker_id, each.fired_at, held))

    def forget(self, firing_id: str) -> None:
        """A firing that was never begun."""
        for watch in self.watches.values():
            for subject in [name for name, each in watch.latches.items() if each.firing_id == firing_id]:
                del watch.latches[subject]

    def due(self, standing: Callable[[Rule, Latch], Standing]) -> list[Firing]:
        """Every firing that must be done now."""
        if self.now is None:
            return []
        found: list[Firing] = []
        for watch in self.watches.values():
            rule = watch.rule
            found += watch.due(self.now, lambda latch, rule=rule: standing(rule, latch))  # type: ignore[misc]
        return found

    def reports(self) -> tuple[TriggerReport, ...]:
        """How near each rule is; once a second."""
        if self.now is None:
            return ()
        now = self.now
        return tuple(watch.report(now) for watch in self.watches.values())

    def breached(self) -> list[list[str]]:
        """[rule, subject] of everything that fired and still holds, for a successor."""
        return [
            [name, subject]
            for name, watch in self.watches.items()
            for subject, latch in watch.latches.items()
            if latch.breached
        ]

    @property
    def latches(self) -> Iterator[tuple[Rule, Latch]]:
        for watch in self.watches.values():
            for latch in watch.latches.values():
                yield watch.rule, latch

    def faults(self) -> tuple[str, ...]:
        """What is odd about the samples, one line each."""
        odd = f"{self._odd} rows left out: times before 2000, or over a day ahead" if self._odd else ""
        ahead = ""
        if self.now is not None and self._newest is not None and self._newest - self.now > _AHEAD:
            ahead_s = (self._newest - self.now).total_seconds()
            ahead = f"the newest sample is {ahead_s:.0f} s ahead of the database's clock"
        return tuple(line for line in (odd, ahead) if line)

    def _order(self, order: SettledOrder) -> None:
        name, symbol, at, second = order.order_id, order.symbol, order.at, second_of(order.at)
        self._event(_ORDERS, Figure.REJECTED, Sample(name, symbol, at, second, 0, int(order.rejected), 1))
        if order.latency_ms is not None:
            self._event(_ORDERS, Figure.LATENCY, Sample(name, symbol, at, second, order.latency_ms))
        self._slippage(order, second)

    def _slippage(self, order: SettledOrder, second: int) -> None:
        if order.slippage is not None and not order.rejected:
            sample = Sample(order.order_id, order.symbol, order.at, second, order.slippage)
            self._event(_ORDERS, Figure.SLIPPAGE, sample)

    def _counted(self, counted: CountedOrders) -> None:
        at, second = counted.at, second_of(counted.at)
        sample = Sample("", counted.symbol, at, second, 0, counted.rejected, counted.settled)
        self._event(_ORDERS, Figure.REJECTED, sample)

    def _position(self, position: HeldPosition, now: datetime) -> None:
        """Both sides of the share are at one price, so the price falls out. A row that is read later stands,
        whatever its time; where the limit or the whole row is gone nothing is over it any more."""
        name, known = position.symbol, self._held.get(position.symbol)
        if known is not None and _same(known, position):
            return
        if known is None and position.max_quantity is None:
            return
        self._held[name] = position
        at = min(position.at, now)
        at = self._positioned[name] = max(at, self._positioned.get(name, at))
        held, most = abs(position.quantity), position.max_quantity
        if most is None:
            held, most = Decimal(0), Decimal(1)
        self._event(
            StreamKind.POSITIONS.value,
            Figure.LIMIT_SHARE,
            Sample(name, name, at, second_of(at), 0, held, most),
        )

    def _sli(self, sample: SliSample) -> None:
        stream, at, second = f"{StreamKind.SLI.value}:{sample.sli}", sample.at, second_of(sample.at)
        counted = usable(sample.good) and usable(sample.total)
        bad = EXACT.subtract(sample.total, sample.good) if counted else _NO_NUMBER
        self._event(stream, Figure.FAILURES, Sample(sample.sample_id, "", at, second, 0, bad, sample.total))
        if sample.value is not None:
            self._level(stream, sample.sample_id, at, sample.value)

    def _level(self, stream: str, name: str, at: datetime, value: float) -> None:
        second = second_of(at)
        self._event(stream, Figure.VALUE, Sample(name, "", at, second, value))
        self._event(stream, Figure.LOSS, Sample(name, "", at, second, -value))

    def _event(self, stream: str, figure: Figure, sample: Sample) -> None:
        watches = self._by_figure.get((stream, figure))
        if not watches:
            return
        is_sound, whole = sound(sample, figure), sample
        if sample.key:
            name, at, second = sample.sample_id, sample.at, sample.second
            whole = Sample(name, "", at, second, sample.value, sample.bad, sample.total)
        for watch in watches:
            watch.add(sample if watch.rule.keyed else whole, is_sound)

    def _is_new(self, sample: SliSample) -> bool:
        """What lies before every window is read each time, the newest of each sli."""
        second = second_of(sample.at)
        if second > self._samples.begin:
            return self._samples.is_new(sample.sample_id, second)
        known, self._before[sample.sli] = self._before.get(sample.sli), sample.sample_id
        return known != sample.sample_id


class _Seen:
    """Rows that were taken in, for as long as they can be read again."""

    def __init__(self, horizon_s: int) -> None:
        self._horizon_s = horizon_s
        self._names: set[str] = set()
        self._seconds: dict[int, list[str]] = {}
        self.begin = 0

    def advance(self, now: datetime) -> None:
        begin = second_of(now) - self._horizon_s
        if begin <= self.begin:
            return
        self.begin = begin
        for second in [each for each in self._seconds if each <= begin]:
            self._names.difference_update(self._seconds.pop(second))

    def is_new(self, name: str, second: int) -> bool:
        if name in self._names:
            return False
        self._names.add(name)
        self._seconds.setdefault(second, []).append(name)
        return True


def _same(one: HeldPosition, other: HeldPosition) -> bool:
    """Not by ==, for which NaN is another than itself."""
    return repr(one) == repr(other)
