"""A quantile that stays over its bound.

At each whole second the samples of the trailing window are judged: over, where the q-quantile by nearest
rank is over the bound, which is the same as more than a share 1 - q of the samples being over it. A second
with too few samples says nothing, neither clears nor starts. Breached is what has been over, with no clean
second since, for `for_s`. The start may lie one more `for_s` back, across seconds that say nothing, and no
further.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from cockpit.domain.trigger_samples import (
    Ahead,
    Measured,
    Newest,
    Number,
    Sample,
    missing,
    over,
    part_of,
    second_of,
    too_few,
)
from cockpit.domain.triggers import Rule


@dataclass(slots=True)
class _Second:
    over: int = 0
    values: list[Number] = field(default_factory=list)


@dataclass(slots=True)
class _Lane:
    """One key's seconds, the newest samples over the bound, and the sums of the trailing window. Nothing up
    to the second `begin` counts; `last_over` is the second of the newest sample over the bound."""

    seconds: dict[int, _Second] = field(default_factory=dict)
    hits: Newest = field(default_factory=Newest)
    newest: datetime | None = None
    last: Number = 0
    begin: int = 0
    over: int = 0
    total: int = 0
    last_over: int = -1

    def shift(self, seconds: Iterable[int]) -> None:
        """These seconds have left the trailing window."""
        for second in seconds:
            gone = self.seconds.get(second)
            if gone is not None:
                self.over -= gone.over
                self.total -= len(gone.values)


class Sustained:
    """The measure of `Condition.SUSTAINED`."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._lanes: dict[str, _Lane] = {}
        self._ahead = Ahead(self._take)
        spare = 1 - Fraction(rule.quantile)
        self._spare, self._of = spare.numerator, spare.denominator
        self._least = max(1, math.ceil(Fraction(rule.min_samples * rule.window_s, rule.for_s)))
        self._pruned = 0

    def add(self, sample: Sample) -> None:
        self._ahead.add(sample)

    def advance(self, now: datetime) -> None:
        before, second = self._ahead.second, max(self._ahead.second, second_of(now))
        gone = range(before - self._rule.window_s + 1, min(before, second - self._rule.window_s) + 1)
        if gone:
            for lane in self._lanes.values():
                lane.shift(gone)
        self._ahead.advance(now)
        if second - self._pruned > self._rule.for_s:
            self._prune(second)

    def restart(self, key: str, second: int) -> None:
        lane = self._lanes.setdefault(key, _Lane())
        lane.begin = max(second, lane.begin)
        old = [each for each in lane.seconds if each <= second]
        lane.shift([each for each in old if each > self._ahead.second - self._rule.window_s])
        for each in old:
            del lane.seconds[each]

    def breaches(self) -> Sequence[Measured]:
        found = [self.of(key) for key, lane in self._lanes.items() if self._may_be_over(lane)]
        return [each for each in found if each.breached]

    def nearest(self) -> Measured | None:
        """By the share that is over the bound, then by the newest value."""
        if not self._lanes:
            return None
        return self.of(max(self._lanes, key=lambda key: (*self._nearness(self._lanes[key]), key)))

    def of(self, key: str) -> Measured:
        rule, lane, now = self._rule, self._lanes.get(key, _Lane()), self._ahead.second
        samples = self._count(lane, rule.for_s)
        value = self._quantile(lane)
        start = self._start(lane)
        if value is None and start is None:
            return missing(key, "too few samples in the window", samples, lane.newest)
        if samples < rule.min_samples:
            return too_few(rule, key, samples, lane.newest)
        held = 0 if start is None else now - start
        breached = start is not None and held >= rule.for_s
        # A window that says nothing just now leaves the last word standing: at the bound.
        told = float(rule.threshold) if value is None else value
        fraction = part_of(told, rule.threshold) if breached else min(1.0, part_of(told, rule.threshold))
        left = None if start is None else float(max(0, rule.for_s - held))
        why = f"over for {held} of {rule.for_s} s" if start is not None and not breached else ""
        evidence = lane.hits.since(max(lane.begin, now - rule.for_s - rule.window_s))
        return Measured(key, breached, told, fraction, samples, lane.newest, evidence, left, why)

    def _prune(self, second: int) -> None:
        """Forget what no verdict can rest on any more."""
        self._pruned, horizon = second, second - self._rule.horizon_s
        for lane in self._lanes.values():
            for each in [each for each in lane.seconds if each <= horizon]:
                del lane.seconds[each]

    def _take(self, sample: Sample) -> None:
        lane = self._lanes.get(sample.key)
        if lane is None:
            lane = self._lanes[sample.key] = _Lane()
        now, at = self._ahead.second, sample.second
        if at <= lane.begin or at <= now - self._rule.horizon_s:
            return
        second = lane.seconds.get(at)
        if second is None:
            second = lane.seconds[at] = _Second()
        second.values.append(sample.value)
        is_over, inside = over(sample, self._rule.threshold), at > now - self._rule.window_s
        if is_over:
            second.over += 1
            lane.last_over = max(lane.last_over, at)
            lane.hits.add(sample)
        if inside:
            lane.total += 1
            lane.over += is_over
        if lane.newest is None or sample.at > lane.newest:
            lane.newest, lane.last = sample.at, sample.value

    def _may_be_over(self, lane: _Lane) -> bool:
        """Quickly, of most: neither clean just now, nor without any sample over the bound in reach."""
        clean = lane.total >= self._least and lane.over * self._of <= self._spare * lane.total
        return not clean and lane.last_over > max(lane.begin, self._ahead.second - self._rule.horizon_s)

    def _nearness(self, lane: _Lane) -> tuple[bool, float, float]:
        if lane.total < self._least:
            return (False, 0.0, 0.0)
        return (True, lane.over / lane.total, float(lane.last))

    def _start(self, lane: _Lane) -> int | None:
        """Since which second it has been over without a clean one; None: not at all."""
        start = None
        for second, verdict in self._verdicts(lane):
            if verdict is False:
                break
            if verdict:
                start = second
        return start

    def _verdicts(self, lane: _Lane) -> Iterator[tuple[int, bool | None]]:
        """Second by second, back from now: over, clean, or None where too few samples say so."""
        now, width = self._ahead.second, self._rule.window_s
        bad, total = lane.over, lane.total
        for second in range(now, now - 2 * self._rule.for_s - 1, -1):
            yield second, None if total < self._least else bad * self._of > self._spare * total
            bad, total = _with(lane, second, bad, total, -1)
            bad, total = _with(lane, second - width, bad, total, 1)

    def _count(self, lane: _Lane, width_s: int) -> int:
        begin = self._ahead.second - width_s
        return sum(len(each.values) for second, each in lane.seconds.items() if second > begin)

    def _quantile(self, lane: _Lane) -> float | None:
        """The quantile of the trailing window by nearest rank, where it has enough samples."""
        begin = self._ahead.second - self._rule.window_s
        values = [value for second, each in lane.seconds.items() if second > begin for value in each.values]
        if len(values) < self._least:
            return None
        rank = math.ceil(Fraction(self._rule.quantile) * len(values))
        return float(sorted(values)[max(1, rank) - 1])


def _with(lane: _Lane, second: int, bad: int, total: int, sign: int) -> tuple[int, int]:
    each = lane.seconds.get(second)
    return (bad, total) if each is None else (bad + sign * each.over, total + sign * len(each.values))
