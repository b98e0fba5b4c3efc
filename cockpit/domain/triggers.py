"""The automatic triggers as they are written down: what is watched, how it is measured, what it does.

A rule looks at one figure of one stream of samples and trips (or limits) once a condition holds. All
comparisons are strict: at the edge nothing fires. Source: the pause runbook's automatic triggers, the circuit
breaker runbook's automatic trips, the incident playbook's hard stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, Catalogue
from cockpit.domain.incidents import Classification
from cockpit.domain.reasons import Reason

OWN_INSTRUMENT: Final = "instrument"
PAGED: Final = frozenset({"P0", "P1"})


class Condition(StrEnum):
    """How samples become a verdict; `trigger_windows` has the measure of each."""

    CONSECUTIVE = "consecutive"  # the last `min_samples` of the window are all over the threshold
    RATIO = "ratio"  # bad / total of the window
    SUSTAINED = "sustained"  # the quantile over a trailing window stays over the threshold for `for_s`
    COUNT = "count"  # bad events in the window
    LATEST = "latest"  # the newest sample
    AGE = "age"  # now - newest data time, in seconds
    INCREASE = "increase"  # what a cumulative counter rose in the window


class Figure(StrEnum):
    """What is taken from a sample."""

    SLIPPAGE = "slippage"  # of a fill: the share by which it was worse than expected
    LATENCY = "latency_ms"  # of a settled order
    REJECTED = "rejected"  # an event: a settled order, bad where rejected
    LIMIT_SHARE = "limit_share"  # of a position: its notional as a share of the largest one allowed
    VALUE = "value"
    LOSS = "loss"  # the value with its sign turned
    FAILURES = "failures"  # events: total, and total - good of them bad


class StreamKind(StrEnum):
    ORDERS = "orders"
    POSITIONS = "positions"
    SLI = "sli"
    PROMETHEUS = "prometheus"


class Mode(StrEnum):
    LIVE = "live"
    SHADOW = "shadow"


class Effect(StrEnum):
    TRIP = "trip"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Stream:
    """Where samples come from: `query` is the sli's name or the PromQL expression, else ""."""

    kind: StreamKind
    query: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.query}" if self.query else self.kind.value


@dataclass(frozen=True, slots=True)
class Rule:
    """One trigger. `keyed`: each instrument is judged by itself. `aim` is a breaker's name or "instrument"
    (the one that broke the rule). `window_s`, `for_s` and `fresh_s` are seconds, 0 where the condition has no
    use for them; `quantile` is 0 likewise. `share` is the size that a limit leaves. `while_incident`: the
    rule is armed only while an incident of this classification is unresolved, "" always. `classification`
    of its own incident, None where its reason says it."""

    name: str
    title: str
    stream: Stream
    figure: Figure
    condition: Condition
    threshold: Decimal
    unit: str
    min_samples: int
    aim: str
    reason: Reason
    severity: str
    effect: Effect = Effect.TRIP
    mode: Mode = Mode.LIVE
    keyed: bool = False
    window_s: int = 0
    for_s: int = 0
    fresh_s: int = 0
    quantile: Decimal = Decimal(0)
    share: Decimal | None = None
    while_incident: str = ""
    classification: Classification | None = None

    def target(self, subject: str, catalogue: Catalogue) -> BreakerId:
        """What the guard itself halts: it may not halt `global`, so there it halts execution and escalates;
        an instrument that the catalogue lacks has no breaker of its own, so execution stands in for it."""
        if self.aim == GLOBAL:
            return EXECUTION
        if self.aim == OWN_INSTRUMENT:
            name = BreakerId(f"instrument:{subject}")
            return name if name in catalogue else EXECUTION
        return BreakerId(self.aim)

    @property
    def pages(self) -> bool:
        """Whether a firing opens an incident and queues a page: whatever halts, and what is critical."""
        return self.mode is Mode.LIVE and (self.effect is Effect.TRIP or self.severity in PAGED)

    @property
    def incident_class(self) -> Classification:
        """What its incident is classified as, and so what recovery from it demands."""
        return self.classification or self.reason.classification

    @property
    def horizon_s(self) -> int:
        """How far back the samples reach that its verdict may rest on."""
        if self.condition is Condition.SUSTAINED:
            return 2 * self.for_s + self.window_s
        return self.window_s


def streams_of(rules: Iterable[Rule], kind: StreamKind) -> tuple[str, ...]:
    """The queries of this kind that the rules look at, each once."""
    return tuple(dict.fromkeys(rule.stream.query for rule in rules if rule.stream.kind is kind))
