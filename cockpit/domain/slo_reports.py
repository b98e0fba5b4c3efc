"""What was read of an objective at one moment, and the judgement on it. Pure and immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.budgets import (
    BURN_WINDOWS,
    HOUR,
    BudgetState,
    Counts,
    WindowPair,
    burn_rate,
    colour,
    exhausted_in_s,
    fired,
    minutes_left,
    one_failure_costs,
    remaining,
)
from cockpit.domain.slos import Exclusion, Slo, SloBook, Threshold

TREND_POINTS: Final = 24
TREND_STEP_S: Final = 300
NOTHING: Final = Counts()


@dataclass(frozen=True, slots=True)
class SliReading:
    """What a source says of one objective at `at`, by the source's own clock.

    `counts` by window in seconds hold the SLO's window and the burn windows, exclusions already taken out
    (`excluded` says how much of the SLO's window they were). `value` is a threshold's statistic or the
    newest value of a limit. `newest_at` is the newest sample, None where there is none. `streak` is the
    number of consecutive bad orders or bars up to now. `contradictions` counts the last hour's impossible
    samples (more good than total, negative, no number); these are in no count. `trend` is the share of good
    events per five minutes, oldest first. `fault` says why nothing could be read; the rest is then empty.
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


Report = SloReport | ThresholdReport


@dataclass(frozen=True, slots=True)
class SloSnapshot:
    """Every objective at one moment. `at` is the database's clock where it could be read; `monotonic` this
    process's. `faults` are what is wrong beyond single objectives: files, sources."""

    at: datetime
    monotonic: float
    book: SloBook
    slos: tuple[SloReport, ...] = ()
    thresholds: tuple[ThresholdReport, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def reports(self) -> tuple[Report, ...]:
        return (*self.slos, *self.thresholds)

    def report(self, name: str) -> Report | None:
        return next((each for each in self.reports if each.name == name), None)

    def concerning(self, breaker_id: BreakerId, catalogue: Catalogue) -> tuple[Report, ...]:
        """The objectives that a resume of `breaker_id` must heed: its own, its ancestors' and those of what
        it contains, since all of that trades again with it."""
        line = {breaker_id, *catalogue.ancestors(breaker_id), *catalogue.descendants(breaker_id)}
        return tuple(each for each in self.reports if each.breaker in line)


def worst_first(reports: Sequence[Report]) -> tuple[Report, ...]:
    """By state, then by what is left of the budget, then by name."""

    def key(report: Report) -> tuple[int, Decimal, str]:
        left = report.remaining if isinstance(report, SloReport) else None
        return -report.state.severity, left if left is not None else Decimal(1), report.name

    return tuple(sorted(reports, key=key))


def judge_slo(slo: Slo, reading: SliReading, exclusions: Sequence[Exclusion] = ()) -> SloReport:
    """The verdict on one SLO."""
    counts = reading.counts.get(slo.window_s, NOTHING)
    state, why = _state(slo, reading, counts)
    left = remaining(counts, slo.objective)
    known = left is not None and state not in (BudgetState.NO_DATA, BudgetState.CONTRADICTION)
    burns = {length: _burn(reading, length, slo) for length in BURN_WINDOWS}
    return SloReport(
        slo=slo,
        state=state,
        counts=counts,
        remaining=left if known else None,
        burns=burns,
        fired=fired(burns, slo.window_s) if known and state is not BudgetState.STALE else (),
        exhausted_in_s=exhausted_in_s(left, burns[HOUR], slo.window_s) if known else None,
        minutes_left=minutes_left(left, slo.objective, slo.window_s) if known and left is not None else None,
        one_failure_costs=one_failure_costs(counts, slo.objective) if known else None,
        ratio_now=reading.counts.get(HOUR, NOTHING).ratio,
        streak=reading.streak,
        breached=slo.consecutive is not None and reading.streak > slo.consecutive.over,
        excluded=reading.excluded,
        exclusions=tuple(each for each in exclusions if each.slo == slo.name),
        trend=reading.trend,
        newest_at=reading.newest_at,
        read_at=None if reading.fault else reading.at,
        why=why,
    )


def judge_threshold(threshold: Threshold, reading: SliReading) -> ThresholdReport:
    """The verdict on one plain threshold."""
    state, why = _threshold_state(threshold, reading)
    return ThresholdReport(
        threshold, state, reading.value, reading.newest_at, None if reading.fault else reading.at, why
    )


def _state(slo: Slo, reading: SliReading, counts: Counts) -> tuple[BudgetState, str]:
    unknown = _unknown(reading, slo.fresh_s)
    if unknown is not None:
        return unknown
    if any(not 0 <= each.good <= each.total for each in reading.counts.values()):
        return BudgetState.CONTRADICTION, f"{counts.good:f} good of {counts.total:f} events"
    left = remaining(counts, slo.objective)
    if left is None:
        return BudgetState.NO_TRAFFIC, "samples come, and hold no event in the whole window"
    return colour(left), f"{counts.bad:f} bad of {counts.total:f} events"


def _threshold_state(threshold: Threshold, reading: SliReading) -> tuple[BudgetState, str]:
    unknown = _unknown(reading, threshold.fresh_s)
    if unknown is not None:
        return unknown
    if reading.value is None:
        return BudgetState.NO_TRAFFIC, "samples come, and hold no event in the window"
    kept = threshold.op.holds(reading.value, threshold.bound)
    said = f"{reading.value:g} {threshold.unit} (wanted {threshold.op.sign} {threshold.bound:g})"
    return (BudgetState.GREEN if kept else BudgetState.RED), said


def _unknown(reading: SliReading, fresh_s: float) -> tuple[BudgetState, str] | None:
    """What makes every figure unreliable, if anything does."""
    if reading.newest_at is None:
        return BudgetState.NO_DATA, reading.fault or "no sample was ever seen"
    if reading.fault:
        return BudgetState.STALE, reading.fault
    if reading.contradictions:
        return (
            BudgetState.CONTRADICTION,
            f"{reading.contradictions} impossible samples in the last hour",
        )
    age_s = (reading.at - reading.newest_at).total_seconds()
    if age_s > fresh_s:
        return BudgetState.STALE, f"the newest sample is {age_s:.0f} s old (at most {fresh_s:g} s)"
    return None


def _burn(reading: SliReading, length_s: int, slo: Slo) -> Decimal | None:
    return burn_rate(reading.counts.get(length_s, NOTHING), slo.objective)
