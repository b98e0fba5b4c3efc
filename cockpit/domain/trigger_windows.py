"""Measures over windows of whole seconds: runs, shares, counts, and a quantile that stays over its bound.

A window of w seconds at second t holds the samples of the seconds (t - w, t]. All of it is exact: counts and
decimals are compared without dividing.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from cockpit.domain.trigger_samples import (
    EXACT,
    Ahead,
    Amount,
    Measured,
    Newest,
    Sample,
    missing,
    over,
    part_of,
    shown,
    too_few,
)
from cockpit.domain.triggers import Condition, Rule


class Consecutive:
    """Breached where the last `min_samples` of a key, all within the window, are over the threshold."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._last: dict[str, list[Sample]] = {}
        self._runs: dict[str, int] = {}
        self._from: dict[str, int] = {}
        self._ahead = Ahead(self._take)

    def add(self, sample: Sample) -> None:
        self._ahead.add(sample)

    def advance(self, now: datetime) -> None:
        self._ahead.advance(now)

    def restart(self, key: str, second: int) -> None:
        self._from[key] = max(second, self._from.get(key, 0))
        self._last[key] = [each for each in self._last.get(key, ()) if each.second > second]
        self._runs[key] = self._run(self._last[key])

    def breaches(self) -> Sequence[Measured]:
        wanted = self._rule.min_samples
        found = [self.of(key) for key, run in self._runs.items() if run >= wanted]
        return [each for each in found if each.breached]

    def nearest(self) -> Measured | None:
        """Samples that have left the window no longer count, so a second look may find another key."""
        while self._runs:
            key = max(self._runs, key=lambda name: (self._runs[name], name))
            live = self._live(key)
            if not live:
                del self._runs[key], self._last[key]
            elif self._run(live) == self._runs[key]:
                return self.of(key)
            else:
                self._last[key], self._runs[key] = live, self._run(live)
        return None

    def of(self, key: str) -> Measured:
        live = self._live(key)
        if not live:
            return missing(key, "no sample in the window")
        run, wanted = self._run(live), self._rule.min_samples
        evidence = Newest()
        for sample in live[len(live) - run :]:
            evidence.add(sample)
        newest = live[-1]
        refs = evidence.since(0)
        return Measured(key, run >= wanted, shown(newest), run / wanted, run, newest.at, refs)

    def _take(self, sample: Sample) -> None:
        if sample.second <= self._from.get(sample.key, 0):
            return
        last = self._last.setdefault(sample.key, [])
        if not last or sample.order > last[-1].order:
            last.append(sample)
            if len(last) > self._rule.min_samples:
                del last[0]
            run = self._runs.get(sample.key, 0) + 1
            self._runs[sample.key] = min(run, len(last)) if over(sample, self._rule.threshold) else 0
        elif not any(each.order == sample.order for each in last):
            insort(last, sample, key=lambda each: each.order)
            del last[: -self._rule.min_samples]
            self._runs[sample.key] = self._run(last)

    def _live(self, key: str) -> list[Sample]:
        begin = self._ahead.second - self._rule.window_s
        return [each for each in self._last.get(key, ()) if each.second > begin]

    def _run(self, samples: Sequence[Sample]) -> int:
        run = 0
        for sample in reversed(samples):
            if not over(sample, self._rule.threshold):
                break
            run += 1
        return run


class Windowed:
    """Breached where bad / total of the window (or bad alone) is over the threshold."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._ratio = rule.condition is Condition.RATIO
        self._seconds: dict[int, dict[str, _Events]] = {}
        self._sums: dict[str, _Events] = {}
        self._hits: defaultdict[str, Newest] = defaultdict(Newest)
        self._newest: dict[str, datetime] = {}
        self._from: dict[str, int] = {}
        self._changed: set[str] = set()
        self._hot: set[str] = set()
        self._ahead = Ahead(self._take)

    def add(self, sample: Sample) -> None:
        self._ahead.add(sample)

    def advance(self, now: datetime) -> None:
        before = self._begin
        self._ahead.advance(now)
        gone: Iterable[int] = range(before + 1, self._begin + 1)
        if self._begin - before > len(self._seconds):
            gone = [second for second in self._seconds if second <= self._begin]
        for second in gone:
            for key, events in self._seconds.pop(second, {}).items():
                self._subtract(key, events)

    def restart(self, key: str, second: int) -> None:
        self._from[key] = max(second, self._from.get(key, 0))
        for each in [each for each in self._seconds if each <= second]:
            events = self._seconds[each].pop(key, None)
            if events is not None:
                self._subtract(key, events)

    def breaches(self) -> Sequence[Measured]:
        """Only sums that have changed since the last look are judged anew."""
        for key in self._changed:
            sums = self._sums.get(key)
            if sums is not None and self._over(sums):
                self._hot.add(key)
            else:
                self._hot.discard(key)
        self._changed.clear()
        return [self.of(key) for key in sorted(self._hot)]

    def nearest(self) -> Measured | None:
        if not self._sums:
            return None
        return self.of(max(self._sums, key=lambda key: (*self._nearness(self._sums[key]), key)))

    def of(self, key: str) -> Measured:
        sums, newest = self._sums.get(key), self._newest.get(key)
        if sums is None:
            return too_few(self._rule, key, 0, newest)
        evidence = self._hits[key].since(max(self._begin, self._from.get(key, 0)))
        samples = int(sums.total) if self._ratio else sums.rows
        if samples < self._rule.min_samples and not self._over(sums):
            return too_few(self._rule, key, samples, newest)
        value = self._value(sums)
        fraction = part_of(value, self._rule.threshold)
        return Measured(key, self._over(sums), value, fraction, samples, newest, evidence)

    @property
    def _begin(self) -> int:
        """The last second that has left the window."""
        return self._ahead.second - self._rule.window_s

    def _over(self, sums: _Events) -> bool:
        if not self._ratio:
            return sums.bad > self._rule.threshold
        enough = sums.total >= self._rule.min_samples
        return enough and sums.bad > EXACT.multiply(self._rule.threshold, sums.total)

    def _nearness(self, sums: _Events) -> tuple[bool, float]:
        """Those with enough samples come first."""
        return (not self._ratio or sums.total >= self._rule.min_samples, self._value(sums))

    def _value(self, sums: _Events) -> float:
        if not self._ratio:
            return float(sums.bad)
        return float(sums.bad) / float(sums.total) if sums.total else 0.0

    def _take(self, sample: Sample) -> None:
        key, second = sample.key, sample.second
        if second <= self._begin or second <= self._from.get(key, 0):
            return
        self._changed.add(key)
        for events in (self._seconds.setdefault(second, {}), self._sums):
            found = events.get(key)
            if found is None:
                found = events[key] = _Events()
            found.add(sample.bad, sample.total, 1)
        if sample.bad:
            self._hits[key].add(sample)
        if key not in self._newest or sample.at > self._newest[key]:
            self._newest[key] = sample.at

    def _subtract(self, key: str, events: _Events) -> None:
        self._changed.add(key)
        sums = self._sums[key]
        sums.add(-events.bad, -events.total, -events.rows)
        if not sums.rows:
            del self._sums[key]


class _Events:
    """Sums of one key: bad and all events, and how many samples told of them."""

    __slots__ = ("bad", "rows", "total")

    def __init__(self) -> None:
        self.bad: Amount = 0
        self.total: Amount = 0
        self.rows = 0

    def add(self, bad: Amount, total: Amount, rows: int) -> None:
        self.bad = _plus(self.bad, bad)
        self.total = _plus(self.total, total)
        self.rows += rows


def _plus(one: Amount, other: Amount) -> Amount:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return EXACT.add(one, other)
