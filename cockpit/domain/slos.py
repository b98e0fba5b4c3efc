"""Service level objectives as they are written down: what is measured, what is promised, over which window.

Source: OpenSLO v1; the operations runbook's operational SLOs; the incident playbook's SLO-01 to SLO-03.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from cockpit.domain.breakers import BreakerId
from cockpit.domain.incidents import Classification


class SourceKind(StrEnum):
    """Where a number comes from. The values are OpenSLO's `metricSource.type`."""

    PROMETHEUS = "Prometheus"
    POSTGRES = "Postgres"


class Budgeting(StrEnum):
    """What the error budget counts: events, or slices of time. The values are OpenSLO's."""

    OCCURRENCES = "Occurrences"
    TIMESLICES = "Timeslices"


class Op(StrEnum):
    """How a value is held against its bound. The values are OpenSLO's."""

    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"

    @property
    def sign(self) -> str:
        return {"lt": "<", "lte": "≤", "gt": ">", "gte": "≥"}[self.value]

    def holds(self, value: float, bound: float) -> bool:
        """Whether `value` is on the good side of `bound`; NaN never is."""
        match self:
            case Op.LT:
                return value < bound
            case Op.LTE:
                return value <= bound
            case Op.GT:
                return value > bound
            case _:
                return value >= bound


@dataclass(frozen=True, slots=True)
class Source:
    """`query` is a PromQL expression, or the name of an `sli` in `sli_samples` or of a figure of the desk."""

    kind: SourceKind
    query: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """Events: `total`, and either `good` or `bad` of them.

    `counter`: cumulative counts that only rise until their process restarts. Otherwise each sample is the
    number of events since the one before it.
    """

    total: Source
    good: Source | None
    bad: Source | None
    counter: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """A measured value, good where `value op bound`. Each sample, or each slice of time, is one event."""

    source: Source
    op: Op
    bound: float


@dataclass(frozen=True, slots=True)
class Slices:
    """Time slices of `width_s` seconds; one is good where at least `target` of its events are."""

    width_s: int
    target: Decimal


@dataclass(frozen=True, slots=True)
class Consecutive:
    """A breach counts once more than `over` consecutive `unit` ("orders", "bars") are bad."""

    over: int
    unit: str


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective. `objective` is the share of good events, 0 < objective < 1, over a rolling `window_s`.

    `breaker` is what a spent budget concerns. Samples older than `fresh_s` make the SLO STALE. `file` and
    `line` say where it is written. `classification` is that of the incident which a breach opens.
    """

    name: str
    title: str
    description: str
    objective: Decimal
    window_s: int
    indicator: Ratio | Limit
    budgeting: Budgeting
    slices: Slices | None
    breaker: BreakerId
    consecutive: Consecutive | None = None
    fresh_s: float = 60.0
    file: str = ""
    line: int = 0
    classification: Classification = Classification.OTHER


class Statistic(StrEnum):
    """What a plain threshold judges of the samples in its window."""

    LATEST = "latest"  # the newest sample's value
    RATIO = "ratio"  # good / total of the window
    FAILURE_RATIO = "failure-ratio"  # 1 - good / total of the window


@dataclass(frozen=True, slots=True)
class Threshold:
    """A plain bound that has no error budget: kept where `value op bound`. `window_s` is 0 for LATEST."""

    name: str
    title: str
    description: str
    source: Source
    statistic: Statistic
    window_s: int
    op: Op
    bound: float
    unit: str
    breaker: BreakerId
    fresh_s: float = 60.0
    file: str = ""
    line: int = 0
    classification: Classification = Classification.OTHER


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of time (from, until] whose events an agreed, signed adjustment leaves out of a budget."""

    exclusion_id: str
    slo: str
    from_at: datetime
    until_at: datetime
    notes: str
    login: str
    approved_by: str
    audit_seq: int
    reverted_at: datetime | None = None
    reverted_by: str | None = None

    @property
    def in_force(self) -> bool:
        return self.reverted_at is None


@dataclass(frozen=True, slots=True)
class SloBook:
    """All objectives that are loaded. `faults` say what could not be (file, line and why); then the book is
    the last good one, of `loaded_at`."""

    slos: tuple[Slo, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    loaded_at: datetime | None = None
    faults: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.slos and not self.thresholds
