"""What was read of an objective at one moment, and the judgement on it. Pure and immutable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.budgets import (
    BURN_WINDOWS,
    HOUR,
    MINUTE,
    BudgetState,
    Counts,
    WindowPair,
    burn_rate,
    colour,
    duration,
    exhausted_in_s,
    fired,
    minutes_left,
    one_failure_costs,
    remaining,
)
from cockpit.domain.incidents import Classification
from cockpit.domain.slos import Exclusion, Slo, SloBook, Statistic, Threshold

TREND_POINTS: Final = 24
TREND_STEP_S: Final = 300
NOTHING: Final = Counts()
MAX_SKEW_S: Final = 2.0  # how far a sample's clock may run ahead of the source's
_ROUNDING: Final = 1e-9
_NO_FIGURE: Final = frozenset({BudgetState.NO_DATA, BudgetState.CONTRADICTION})


@dataclass(frozen=True, slots=True)
class SliReading:
    """What a source says of one objective at `at`, by the source's own clock.

    `counts` by window in seconds hold the SLO's window and the burn windows, exclusions already taken out
    (`excluded` says how much of the SLO's window they were). `value` is a threshold's statistic or the
    newest value of a limit. `newest_at` is the newest sample, None where there is none. `streak` is the
    number of consecutive bad orders or bars up to now. `contradictions` counts the last hour's impossible
    samples (more good than total, negative, no number); these are in no count. `trend` is the share of good
    events per five minutes, oldest first. `fault` says why nothing could be read; the rest is then empty, or
    what was read at `at` before.
    """

    at: datetime
    counts: Mapping[int, Counts] = field(default_factory=dict)
    value: float | None = None
    newest_at: datetime | None = None
    streak: int = 0
    contradictions: int = 0
    excluded: Counts = NOTHING
    trend: tuple[float | None, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SloReport:
    """One SLO at one moment. `remaining` is negative where the budget is overspent, None where there is
    nothing to compute it from; `burns` by window in seconds. `breached`: the playbook's consecutive count is
    passed. `why` says in words what the state rests on. `read_at` is when the figures were read: older than
    the snapshot where a later reading failed, and then the state is STALE."""

    slo: Slo
    state: BudgetState
    counts: Counts
    remaining: Decimal | None
    burns: Mapping[int, Decimal | None]
    fired: tuple[WindowPair, ...]
    exhausted_in_s: Decimal | None
    minutes_left: Decimal | None
    one_failure_costs: Decimal | None
    ratio_now: Decimal | None
    streak: int
    breached: bool
    excluded: Counts
    exclusions: tuple[Exclusion, ...]
    trend: tuple[float | None, ...]
    newest_at: datetime | None
    read_at: datetime | None
    why: str

    @property
    def name(self) -> str:
        return self.slo.name

    @property
    def breaker(self) -> BreakerId:
        return self.slo.breaker

    @property
    def classification(self) -> Classification:
        return self.slo.classification


@dataclass(frozen=True, slots=True)
class ThresholdReport:
    """One plain threshold at one moment: GREEN while it is kept, RED where it is not, or unknown."""

    threshold: Threshold
    state: BudgetState
    value: float | None
    newest_at: datetime | None
    read_at: datetime | None
    why: str

    @property
    def name(self) -> str:
        return self.threshold.name

    @property
    def breaker(self) -> BreakerId:
        return self.threshold.breaker

    @property
    def classification(self) -> Classification:
        return self.threshold.classification


Report = SloReport | ThresholdReport


@dataclass(frozen=True, slots=True)
class SloSnapshot:
    """Every objective at one moment. `at` is the database's clock where it could be read; `monotonic` this
    process's. `faults` are what is wrong beyond single objectives: files, sources. What was sampled before
    `simulated_before` was never measured: the past of a demo."""

    at: datetime
    monotonic: float
    book: SloBook
    slos: tuple[SloReport, ...] = ()
    thresholds: tuple[ThresholdReport, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    faults: tuple[str, ...] = ()
    simulated_before: datetime | None = None

    @property
    def simulated(self) -> str:
        """What is to be said of samples that were never measured; "" where all were."""
        if self.simulated_before is None:
            return ""
        return f"samples before {self.simulated_before:%Y-%m-%d %H:%M} UTC are simulated"

    @property
    def reports(self) -> tuple[Report, ...]:
        return (*self.slos, *self.thresholds)

    def report(self, name: str) -> Report | None:
        return next((each for each in self.reports if each.name == name), None)

    def concerning(self, breaker_id: BreakerId, catalogue: Catalogue) -> tuple[Report, ...]:
        """The objectives that a resume of `breaker_id` must heed: its own, its ancestors' and those of what
        it contains, since all of that trades again with it."""
        line = _line(breaker_id, catalogue)
        return tuple(each for each in self.reports if each.breaker in line)

    def unreported(self, breaker_id: BreakerId, catalogue: Catalogue) -> tuple[str, ...]:
        """The objectives of the book that concern `breaker_id` and have no report here."""
        line, reported = _line(breaker_id, catalogue), {each.name for each in self.reports}
        written: tuple[Slo | Threshold, ...] = (*self.book.slos, *self.book.thresholds)
        return tuple(each.name for each in written if each.breaker in line and each.name not in reported)


def _line(breaker_id: BreakerId, catalogue: Catalogue) -> set[BreakerId]:
    return {breaker_id, *catalogue.ancestors(breaker_id), *catalogue.descendants(breaker_id)}


def worst_first(reports: Sequence[Report]) -> tuple[Report, ...]:
    """By state, then by what is left of the budget, then by name."""

    def key(report: Report) -> tuple[int, Decimal, str]:
        left = report.remaining if isinstance(report, SloReport) else None
        return -report.state.severity, left if left is not None else Decimal(1), report.name

    return tuple(sorted(reports, key=key))


def judge_slo(slo: Slo, reading: SliReading, exclusions: Sequence[Exclusion] = ()) -> SloReport:
    """The verdict on one SLO."""
    windows = {length: counts.rounded for length, counts in reading.counts.items()}
    sound = {length: counts for length, counts in windows.items() if counts.possible}
    counts = sound.get(slo.window_s, NOTHING)
    state, why = _state(slo, reading, windows)
    left = None if state in _NO_FIGURE else remaining(counts, slo.objective)
    recent = {length: sound[length] for length in (5 * MINUTE, HOUR) if length in sound}
    burns = {length: burn_rate(sound.get(length, NOTHING), slo.objective) for length in BURN_WINDOWS}
    return SloReport(
        slo=slo,
        state=state,
        counts=counts,
        remaining=left,
        burns=burns,
        fired=fired(burns, slo.window_s) if left is not None and state is not BudgetState.STALE else (),
        exhausted_in_s=exhausted_in_s(counts, slo.objective, recent) if left is not None else None,
        minutes_left=minutes_left(left, slo.objective, slo.window_s) if left is not None else None,
        one_failure_costs=one_failure_costs(counts, slo.objective) if left is not None else None,
        ratio_now=sound.get(HOUR, NOTHING).ratio,
        streak=reading.streak,
        breached=slo.consecutive is not None and reading.streak > slo.consecutive.over,
        excluded=reading.excluded,
        exclusions=tuple(each for each in exclusions if each.slo == slo.name),
        trend=reading.trend,
        newest_at=reading.newest_at,
        read_at=_read_at(reading),
        why=why,
    )


def judge_threshold(threshold: Threshold, reading: SliReading) -> ThresholdReport:
    """The verdict on one plain threshold."""
    state, why = _threshold_state(threshold, reading)
    return ThresholdReport(threshold, state, reading.value, reading.newest_at, _read_at(reading), why)


def _state(slo: Slo, reading: SliReading, windows: Mapping[int, Counts]) -> tuple[BudgetState, str]:
    unknown = _unknown(reading, windows, slo.fresh_s)
    if unknown is not None:
        return unknown
    counts = windows.get(slo.window_s, NOTHING)
    left = remaining(counts, slo.objective)
    if left is None and reading.excluded.total > 0:
        return BudgetState.NO_TRAFFIC, "every event of the window is excluded by agreement"
    if left is None:
        return BudgetState.NO_TRAFFIC, "samples come, and hold no event in the whole window"
    return colour(left), f"{counts.bad:f} bad of {counts.total:f} events"


def _threshold_state(threshold: Threshold, reading: SliReading) -> tuple[BudgetState, str]:
    windows = {length: counts.rounded for length, counts in reading.counts.items()}
    unknown = _unknown(reading, windows, threshold.fresh_s)
    if unknown is not None:
        return unknown
    value = reading.value
    if value is None:
        return BudgetState.NO_TRAFFIC, "samples come, and hold no event in the window"
    share = threshold.statistic is not Statistic.LATEST
    if not math.isfinite(value) or (share and not -_ROUNDING <= value <= 1 + _ROUNDING):
        return (
            BudgetState.CONTRADICTION,
            f"{value:g} is no {'share of events' if share else 'measured value'}",
        )
    kept = threshold.op.holds(value, threshold.bound)
    said = f"{value:g} {threshold.unit} (wanted {threshold.op.sign} {threshold.bound:g})"
    return (BudgetState.GREEN if kept else BudgetState.RED), said


def _unknown(
    reading: SliReading, windows: Mapping[int, Counts], fresh_s: float
) -> tuple[BudgetState, str] | None:
    """What makes every figure unreliable, if anything does. A sample of exactly `fresh_s` is fresh."""
    if reading.newest_at is None:
        return BudgetState.NO_DATA, reading.fault or "no sample was ever seen"
    if reading.fault:
        return BudgetState.STALE, reading.fault
    if reading.contradictions:
        return (
            BudgetState.CONTRADICTION,
            f"{reading.contradictions} impossible samples in the last hour",
        )
    wrong = next((length for length in sorted(windows) if not windows[length].possible), None)
    if wrong is not None:
        counts = windows[wrong]
        return (
            BudgetState.CONTRADICTION,
            f"{counts.good:f} good of {counts.total:f} events ({duration(wrong)})",
        )
    age_s = (reading.at - reading.newest_at).total_seconds()
    if age_s > fresh_s:
        return BudgetState.STALE, f"the newest sample is {age_s:.0f} s old (at most {fresh_s:g} s)"
    if age_s < -MAX_SKEW_S:
        return BudgetState.CONTRADICTION, f"the newest sample is of {-age_s:.0f} s in the future"
    return None


def _read_at(reading: SliReading) -> datetime | None:
    """When the figures were read: also of a reading that is kept because a later one failed."""
    return None if reading.fault and reading.newest_at is None else reading.at
