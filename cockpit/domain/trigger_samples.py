"""Samples as the triggers take them, and what a measure says of them."""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final, Protocol

from cockpit.domain.trigger_reports import SampleRef
from cockpit.domain.triggers import Rule

Number = int | float | Decimal
Amount = int | Decimal
EVIDENCE: Final = 10
EXACT: Final = Context(prec=120, traps=[Inexact])
_LONGEST: Final = 40  # digits either side of the point: more is no amount of anything


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of one stream. `key` is the instrument, "" where the figure has none. Events are `bad` out
    of `total`; a position's `bad` and `total` are what is held and what is allowed. `second` is the one that
    it counts in, found once for all rules. An empty `sample_id` stands for many events of one second that
    were counted in the store."""

    sample_id: str
    key: str
    at: datetime
    second: int
    value: Number = 0
    bad: Amount = 0
    total: Amount = 0

    @property
    def order(self) -> tuple[datetime, str]:
        return (self.at, self.sample_id)

    @property
    def ref(self) -> SampleRef:
        return SampleRef(self.sample_id, self.at, shown(self))


@dataclass(frozen=True, slots=True)
class Measured:
    """A measure's word on one key at one moment. `value` None: missing, for the reason in `why`. `held_s`
    is for how long it has been over already, where that counts; `left_s` what is left of it."""

    key: str
    breached: bool
    value: float | None
    fraction: float | None
    samples: int
    newest_at: datetime | None = None
    evidence: tuple[SampleRef, ...] = ()
    left_s: float | None = None
    why: str = ""


def second_of(at: datetime) -> int:
    """Whole seconds since 1970; a float of today's seconds holds microseconds."""
    return int(at.timestamp())


class Measure(Protocol):
    """Samples of one rule over time. A function of the samples and the time: when they were added, and in
    which order, changes nothing. Time only moves on."""

    def add(self, sample: Sample) -> None:
        """Take a sample in; one of a later second counts once its second has come."""

    def advance(self, now: datetime) -> None:
        """Move on to `now`, by the store's clock."""

    def restart(self, key: str, second: int) -> None:
        """From now on leave out this key's events up to the end of `second`: they have been acted upon."""

    def breaches(self) -> Sequence[Measured]:
        """Every key over the threshold."""

    def nearest(self) -> Measured | None:
        """The key that is nearest to the threshold; None: no sample at all."""

    def of(self, key: str) -> Measured:
        """One key."""


class Ahead:
    """Samples whose second has not come yet."""

    def __init__(self, take: Callable[[Sample], None]) -> None:
        self._take = take
        self._waiting: list[tuple[datetime, int, Sample]] = []
        self._count = 0
        self.second = 0
        self.now: datetime | None = None

    def add(self, sample: Sample) -> None:
        if sample.second <= self.second:
            self._take(sample)
            return
        self._count += 1
        heapq.heappush(self._waiting, (sample.at, self._count, sample))

    def advance(self, now: datetime) -> None:
        self.now, self.second = now, max(self.second, second_of(now))
        while self._waiting and self._waiting[0][2].second <= self.second:
            self._take(heapq.heappop(self._waiting)[2])


def usable(value: object) -> bool:
    """Whether a number can be measured: finite, and not longer than anything real."""
    if type(value) is int:
        return True
    if isinstance(value, Decimal):
        return value.is_finite() and -_LONGEST <= value.adjusted() <= _LONGEST and not _long(value)
    return isinstance(value, float) and math.isfinite(value)


def _long(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent < -_LONGEST


def over(sample: Sample, threshold: Decimal) -> bool:
    """Strictly over the threshold; a share is compared without dividing, a binary fraction with the one that
    is nearest to the threshold: whoever reports 0.05 means what the rule says."""
    if sample.total or sample.bad:
        return sample.bad > EXACT.multiply(threshold, sample.total)
    return sample.value > (float(threshold) if isinstance(sample.value, float) else threshold)


def edge(threshold: Decimal) -> Fraction:
    """The threshold for sums of decimal and binary fractions: neither form of it is past it."""
    return max(Fraction(threshold), Fraction(float(threshold)))


def shown(sample: Sample) -> float:
    """The sample's value for people; a position where none is allowed counts a thousand times the limit."""
    if sample.total > 0:
        return float(sample.bad) / float(sample.total)
    return 1_000.0 if sample.bad else float(sample.value)


def part_of(value: float, threshold: Decimal) -> float:
    """How much of the way to the threshold is gone."""
    if threshold == 0:
        return 1.0 if value > 0 else 0.0
    return max(0.0, value / float(threshold))


def missing(key: str, why: str, samples: int = 0, newest_at: datetime | None = None) -> Measured:
    return Measured(key, False, None, None, samples, newest_at, why=why)


def too_few(rule: Rule, key: str, samples: int, newest_at: datetime | None) -> Measured:
    why = f"{samples} of {rule.min_samples} samples" if samples else "no sample in the window"
    return missing(key, why, samples, newest_at)


class Newest:
    """The newest ten of some samples, whatever the order in which they come."""

    def __init__(self) -> None:
        self._kept: list[Sample] = []

    def add(self, sample: Sample) -> None:
        if sample.sample_id:
            insort(self._kept, sample, key=lambda each: each.order)
            del self._kept[:-EVIDENCE]

    def since(self, second: int) -> tuple[SampleRef, ...]:
        """Those after `second`, newest first."""
        return tuple(each.ref for each in reversed(self._kept) if each.second > second)
