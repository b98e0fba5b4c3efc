"""When a rule fires, and what it reports: its measure, what it did last, and where it is heading.

A rule fires once for each breach of each subject. It fires anew where
- what it halted was resumed (or its limit lifted) and the condition holds. Events up to the second of the
  last firing were acted upon and are left out then; levels (latest, age) count as they are now;
- the condition cleared, came back, and a minute has gone by since the last firing; a limit that still
  holds is asked for once only, since each would be one more to lift;
- what it did failed: after 5 s, then 10, 20 and so on up to a minute.
Missing samples neither clear nor fire.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.trigger_levels import Age, Increase, Latest
from cockpit.domain.trigger_reports import SampleRef, TriggerReport, TriggerState
from cockpit.domain.trigger_samples import Measure, Measured, Sample, missing, second_of, usable
from cockpit.domain.trigger_sustained import Sustained
from cockpit.domain.trigger_windows import Consecutive, Windowed
from cockpit.domain.triggers import Condition, Effect, Figure, Mode, Rule

AGAIN_S: Final = 60.0
TRY_S: Final = 5.0  # after a failure; twice as long after each further one
_MEASURES: Final[Mapping[Condition, Callable[[Rule], Measure]]] = {
    Condition.CONSECUTIVE: Consecutive,
    Condition.RATIO: Windowed,
    Condition.COUNT: Windowed,
    Condition.SUSTAINED: Sustained,
    Condition.LATEST: Latest,
    Condition.AGE: Age,
    Condition.INCREASE: Increase,
}
_EVENTS: Final = frozenset({Figure.REJECTED, Figure.FAILURES})


class Standing(Enum):
    """What became of what a firing did."""

    HOLDS = auto()  # still halted (or limited), or that cannot be read
    RESUMED = auto()  # somebody resumed it, or lifted the limit
    NOT_YET = auto()  # on its way, and certain to be sent until it has halted
    FAILED = auto()  # it was never done


@dataclass(frozen=True, slots=True)
class Firing:
    """One rule over its threshold for one subject, at one moment of the store's clock. `tries`: how often in
    a row it has failed before."""

    rule: Rule
    subject: str
    breaker_id: BreakerId
    value: float
    evidence: tuple[SampleRef, ...]
    fired_at: datetime
    tries: int = 0


@dataclass(slots=True)
class Latch:
    """The last firing of one subject. `firing_id` is the event of the trip or the request of the limit.
    `breached` until a reading that was not missing found the condition clear."""

    firing_id: str
    breaker_id: BreakerId
    fired_at: datetime
    breached: bool = True
    restarted: bool = False
    tries: int = 0


class RuleWatch:
    """One rule over time."""

    def __init__(self, rule: Rule, catalogue: Catalogue) -> None:
        self.rule = rule
        self.latches: dict[str, Latch] = {}
        self.armed = not rule.while_incident
        self.odd = 0
        self._catalogue = catalogue
        self._measure = _MEASURES[rule.condition](rule)
        self._trend = Trend()

    def add(self, sample: Sample, is_sound: bool = True) -> None:
        """What is not `sound` is left out and counted in `odd`; as the newest sample of a level it stands as
        no number, since an older one would not be the latest."""
        if not is_sound:
            self.odd += 1
            if self.rule.condition is not Condition.LATEST:
                return
            sample = Sample(sample.sample_id, sample.key, sample.at, sample.second, math.nan)
        self._measure.add(sample)

    def advance(self, now: datetime) -> None:
        self._measure.advance(now)

    def inherit(self, subject: str, latch: Latch) -> None:
        """Take over what a predecessor's newest firing of this subject left."""
        self.latches[subject] = latch

    def due(self, now: datetime, standing: Callable[[Latch], Standing]) -> list[Firing]:
        """What must be done now. The caller adds a latch for each (`inherit`) as it does it."""
        standings = {subject: standing(latch) for subject, latch in self.latches.items()}
        for subject, latch in self.latches.items():
            if standings[subject] is Standing.RESUMED and not latch.restarted:
                self._measure.restart(subject, second_of(latch.fired_at))
                latch.restarted = True
        breaches = {each.key: each for each in self._measure.breaches()} if self.armed else {}
        found = [
            self._firing(each, now, standings.get(subject))
            for subject, each in breaches.items()
            if self._is_due(subject, now, standings.get(subject))
        ]
        for subject, latch in self.latches.items():
            if subject in breaches:
                latch.breached = True
            elif not self.armed or self._measure.of(subject).value is not None:
                latch.breached = False
        return found

    def report(self, now: datetime) -> TriggerReport:
        """How near it is. Call it once a second: the trend is made of these."""
        rule, measured = self.rule, self._nearest()
        newest = max(self.latches.values(), key=lambda latch: latch.fired_at, default=None)
        fraction = measured.fraction
        left_s = self._trend.breach_in(now, measured.key, fraction)
        if measured.left_s is not None:
            left_s = measured.left_s
        if rule.while_incident and not self.armed:
            fraction, left_s = None, None
        return TriggerReport(
            rule=rule.name,
            title=rule.title,
            mode=rule.mode.value,
            effect=rule.effect.value,
            aim=rule.aim,
            unit=rule.unit,
            threshold=float(rule.threshold),
            state=self._state(measured),
            subject=measured.key,
            value=measured.value,
            fraction=fraction,
            breach_in_s=None if measured.breached else left_s,
            samples=measured.samples,
            min_samples=rule.min_samples,
            newest_at=measured.newest_at,
            evidence=measured.evidence,
            fired_at=newest.fired_at if newest else None,
            fired_on=newest.breaker_id if newest else "",
            why=self._why(measured),
        )

    def _is_due(self, subject: str, now: datetime, standing: Standing | None) -> bool:
        if standing is None or standing is Standing.RESUMED:
            return True
        latch = self.latches[subject]
        if standing is Standing.FAILED:
            return now - latch.fired_at >= timedelta(seconds=min(TRY_S * 2**latch.tries, AGAIN_S))
        limits = self.rule.effect is Effect.LIMIT and self.rule.mode is Mode.LIVE
        if latch.breached or limits or standing is Standing.NOT_YET:
            return False
        return now - latch.fired_at >= timedelta(seconds=AGAIN_S)

    def _firing(self, measured: Measured, now: datetime, standing: Standing | None) -> Firing:
        rule, value = self.rule, measured.value
        breaker_id = rule.target(measured.key, self._catalogue)
        shown = float(rule.threshold) if value is None else value
        tries = min(self.latches[measured.key].tries + 1, 10) if standing is Standing.FAILED else 0
        return Firing(rule, measured.key, breaker_id, shown, measured.evidence, now, tries)

    def _nearest(self) -> Measured:
        breached: Sequence[Measured] = self._measure.breaches() if self.armed else ()
        worst = max(breached, key=lambda each: (each.fraction or 0.0, each.key), default=None)
        return worst or self._measure.nearest() or missing("", "no sample yet")

    def _state(self, measured: Measured) -> TriggerState:
        if not self.armed:
            return TriggerState.CLEAR
        if measured.breached:
            return TriggerState.BREACHED
        if measured.fraction is None:
            return TriggerState.MISSING
        return state_of(measured.fraction)

    def _why(self, measured: Measured) -> str:
        if not self.armed:
            return f"no {self.rule.while_incident} incident is open"
        odd = f"{self.odd} samples left out: no numbers, or more bad than there were" if self.odd else ""
        return "; ".join(part for part in (measured.why, odd) if part)


def state_of(fraction: float) -> TriggerState:
    """The warning that goes with how much of the way is gone."""
    if fraction >= 0.9:
        return TriggerState.NEAR_90
    if fraction >= 0.75:
        return TriggerState.NEAR_75
    return TriggerState.NEAR_50 if fraction >= 0.5 else TriggerState.CLEAR


class Trend:
    """A straight line (least squares) through the last minutes of one subject's way to the threshold."""

    SPAN_S: Final = 180.0
    LEAST_S: Final = 5.0
    FARTHEST_S: Final = 30 * 86_400.0  # a slope that is a rounding error leads to years beyond counting

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque()
        self._subject = ""

    def breach_in(self, now: datetime, subject: str, fraction: float | None) -> float | None:
        """Note where it is; seconds until the line reaches the threshold, None: not within 30 days."""
        if subject != self._subject or fraction is None:
            self._subject = subject
            self._points.clear()
        if fraction is None:
            return None
        moment = now.timestamp()
        self._points.append((moment, fraction))
        while self._points[0][0] < moment - self.SPAN_S:
            self._points.popleft()
        if moment - self._points[0][0] < self.LEAST_S or fraction >= 1:
            return None
        slope = _slope(self._points)
        return (1 - fraction) / slope if slope * self.FARTHEST_S >= 1 - fraction else None


def _slope(points: Iterable[tuple[float, float]]) -> float:
    listed = list(points)
    begin, count = listed[0][0], len(listed)
    times = [at - begin for at, _ in listed]
    mean_t, mean_f = sum(times) / count, sum(each for _, each in listed) / count
    spread = sum((at - mean_t) ** 2 for at in times)
    return sum((at - mean_t) * (each[1] - mean_f) for at, each in zip(times, listed, strict=True)) / spread


def sound(sample: Sample, figure: Figure) -> bool:
    """Whether it is made of numbers and does not contradict itself."""
    if not (usable(sample.value) and usable(sample.bad) and usable(sample.total)):
        return False
    return figure not in _EVENTS or 0 <= sample.bad <= sample.total
