"""Measures of levels: the newest value, the age of data, the rise of a counter."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from cockpit.domain.trigger_samples import (
    EVIDENCE,
    Ahead,
    Measured,
    Sample,
    edge,
    missing,
    over,
    part_of,
    shown,
    too_few,
    usable,
)
from cockpit.domain.triggers import Rule

_MICROSECOND = timedelta(microseconds=1)


class _ByKey:
    """The newest sample of each key. Levels are of now: nothing that was acted upon is left out."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._newest: dict[str, Sample] = {}
        self._ahead = Ahead(self._take)

    def add(self, sample: Sample) -> None:
        self._ahead.add(sample)

    def advance(self, now: datetime) -> None:
        self._ahead.advance(now)

    def restart(self, key: str, second: int) -> None:
        """Levels do not restart."""

    def _take(self, sample: Sample) -> None:
        known = self._newest.get(sample.key)
        if known is None or sample.order >= known.order:
            self._newest[sample.key] = sample


class Latest(_ByKey):
    """Breached where the newest sample is over the threshold and not older than `fresh_s` (0: of any age)."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._hot: set[str] = set()

    def breaches(self) -> Sequence[Measured]:
        return [each for each in map(self.of, sorted(self._hot)) if each.breached]

    def nearest(self) -> Measured | None:
        fresh = [sample for sample in self._newest.values() if self._stale(sample) is None]
        if fresh:
            return self.of(max(fresh, key=lambda each: (shown(each), each.key)).key)
        newest = max(self._newest.values(), key=lambda each: each.order, default=None)
        return None if newest is None else self.of(newest.key)

    def of(self, key: str) -> Measured:
        sample = self._newest.get(key)
        if sample is None:
            return missing(key, "no sample yet")
        stale = self._stale(sample)
        if stale is not None:
            return missing(key, stale, 0, sample.at)
        value = shown(sample)
        breached = over(sample, self._rule.threshold)
        fraction = part_of(value, self._rule.threshold)
        return Measured(key, breached, value, fraction, 1, sample.at, (sample.ref,))

    def _take(self, sample: Sample) -> None:
        super()._take(sample)
        if over(self._newest[sample.key], self._rule.threshold):
            self._hot.add(sample.key)
        else:
            self._hot.discard(sample.key)

    def _stale(self, sample: Sample) -> str | None:
        if not usable(sample.value):
            return "the newest sample is no number"
        now = self._ahead.now
        age = timedelta(0) if now is None else now - sample.at
        if self._rule.fresh_s and age > timedelta(seconds=self._rule.fresh_s):
            return f"the newest sample is {age.total_seconds():.0f} s old"
        return None


class Age(_ByKey):
    """Breached where the newest data are older than the threshold. A sample's value is how old the data were
    when it was taken: whoever falls silent goes on ageing. What was never seen is missing, not young."""

    def breaches(self) -> Sequence[Measured]:
        return [each for each in map(self.of, self._newest) if each.breached]

    def nearest(self) -> Measured | None:
        measured = [self.of(key) for key in self._newest]
        return max(measured, key=lambda each: (each.fraction or 0.0, each.key), default=None)

    def of(self, key: str) -> Measured:
        sample = self._newest.get(key)
        if sample is None or self._ahead.now is None:
            return missing(key, "never seen")
        elapsed = Fraction((self._ahead.now - sample.at) // _MICROSECOND, 1_000_000)
        age = max(Fraction(0), elapsed + max(Fraction(0), Fraction(sample.value)))
        value = float(age)
        fraction = part_of(value, self._rule.threshold)
        breached = age > edge(self._rule.threshold)
        return Measured(key, breached, value, fraction, 1, sample.at, (sample.ref,))

    def _take(self, sample: Sample) -> None:
        if usable(sample.value):  # what is no number tells nothing about the data: they go on ageing
            super()._take(sample)


class Increase:
    """Breached where a cumulative counter rose by more than the threshold within the window. A counter that
    fell was restarted at 0; one without any sample before the window began at 0."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._samples: dict[str, list[Sample]] = {}
        self._from: dict[str, int] = {}
        self._ahead = Ahead(self._take)

    def add(self, sample: Sample) -> None:
        self._ahead.add(sample)

    def advance(self, now: datetime) -> None:
        self._ahead.advance(now)
        for key in self._samples:
            self._trim(key)

    def restart(self, key: str, second: int) -> None:
        self._from[key] = max(second, self._from.get(key, 0))

    def breaches(self) -> Sequence[Measured]:
        return [each for each in map(self.of, self._samples) if each.breached]

    def nearest(self) -> Measured | None:
        measured = [self.of(key) for key in self._samples]
        return max(measured, key=lambda each: (each.fraction or -1.0, each.key), default=None)

    def of(self, key: str) -> Measured:
        self._trim(key)
        samples, begin = self._samples.get(key, []), self._begin(key)
        before = samples[0] if samples and samples[0].second <= begin else None
        inside = samples if before is None else samples[1:]
        if len(inside) < self._rule.min_samples:
            return too_few(self._rule, key, len(inside), samples[-1].at if samples else None)
        rise, level, rose = Fraction(0), Fraction(0 if before is None else before.value), []
        for sample in inside:
            now = Fraction(sample.value)
            step = now if now < level else now - level
            if step:
                rose.append(sample.ref)
            rise, level = rise + step, now
        value = float(rise)
        evidence = tuple(reversed(rose[-EVIDENCE:]))
        fraction = part_of(value, self._rule.threshold)
        breached = rise > edge(self._rule.threshold)
        return Measured(key, breached, value, fraction, len(inside), inside[-1].at, evidence)

    def _begin(self, key: str) -> int:
        return max(self._ahead.second - self._rule.window_s, self._from.get(key, 0))

    def _take(self, sample: Sample) -> None:
        if usable(sample.value) and sample.value >= 0:
            insort(self._samples.setdefault(sample.key, []), sample, key=lambda each: each.order)

    def _trim(self, key: str) -> None:
        """Of what lies before the window, the last one is what the rise is counted from."""
        samples, begin = self._samples.get(key, []), self._begin(key)
        before = sum(1 for each in samples if each.second <= begin)
        del samples[: max(0, before - 1)]
