"""What one reading of the store brings the triggers, and which rows they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from cockpit.domain.breakers import BreakerId, Catalogue, Scope, scope_of
from cockpit.domain.triggers import Condition, Figure, Rule, StreamKind, streams_of


@dataclass(frozen=True, slots=True)
class SettledOrder:
    """A filled or rejected order, `at` when it was settled. `slippage` is a fill's, `latency_ms` either's."""

    order_id: str
    symbol: str
    at: datetime
    rejected: bool
    latency_ms: float | None
    slippage: Decimal | None


@dataclass(frozen=True, slots=True)
class CountedOrders:
    """The settled orders of one second, "" being every instrument's."""

    symbol: str
    at: datetime
    rejected: int
    settled: int


@dataclass(frozen=True, slots=True)
class HeldPosition:
    symbol: str
    at: datetime
    quantity: Decimal
    max_quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class SliSample:
    sample_id: str
    sli: str
    at: datetime
    good: Decimal
    total: Decimal
    value: float | None


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value of a Prometheus query; `age_s` is how long ago it was measured, where Prometheus knows."""

    value: float
    age_s: float


@dataclass(frozen=True, slots=True)
class PastFiring:
    """The newest recorded firing of one rule and subject."""

    firing_id: str
    rule: str
    subject: str
    breaker_id: BreakerId
    fired_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rows the rules rest on. Orders are needed one by one for `raw_s` back, as counts by the second
    for `counted_s`, and the newest `run` fills of each instrument in `run_s`; samples of `slis` for
    `sli_s`."""

    orders: bool
    raw_s: int
    counted_s: int
    counted_by_symbol: bool
    run: int
    run_s: int
    positions: bool
    slis: tuple[str, ...]
    sli_s: int
    incidents: tuple[str, ...]
    symbols: tuple[str, ...]

    @property
    def horizon_s(self) -> int:
        return max(self.raw_s, self.counted_s, self.run_s)


_EVIDENCE_S = 60
"""Orders that are only counted are still read one by one this far back, to name some of them."""


def plan_of(rules: Sequence[Rule], catalogue: Catalogue) -> Plan:
    """What to read for these rules."""
    orders = [rule for rule in rules if rule.stream.kind is StreamKind.ORDERS]
    counted = [rule for rule in orders if rule.condition in (Condition.RATIO, Condition.COUNT)]
    runs = [
        rule for rule in orders if rule.condition is Condition.CONSECUTIVE and rule.figure is Figure.SLIPPAGE
    ]
    single = [rule.horizon_s for rule in orders if rule not in counted and rule not in runs]
    slis = [rule for rule in rules if rule.stream.kind is StreamKind.SLI]
    names = (name for name in catalogue.ids if scope_of(name) is Scope.INSTRUMENT)
    return Plan(
        orders=bool(orders),
        raw_s=max((*single, _EVIDENCE_S)),
        counted_s=max((rule.horizon_s for rule in counted), default=0),
        counted_by_symbol=any(rule.keyed for rule in counted),
        run=max((rule.min_samples for rule in runs), default=0),
        run_s=max((rule.window_s for rule in runs), default=0),
        positions=any(rule.stream.kind is StreamKind.POSITIONS for rule in rules),
        slis=streams_of(rules, StreamKind.SLI),
        sli_s=max((rule.horizon_s for rule in slis), default=0),
        incidents=tuple({rule.while_incident: None for rule in rules if rule.while_incident}),
        symbols=tuple(name.partition(":")[2] for name in names),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """One reading. `now` is the store's clock; `cursor` where the next reading goes on; `holds` whether the
    reader held its lease at `now`. Of the guard's own limits `limits` are in force, `lifted` are not any
    more, `asked` wait to be decided. `runs` are fills that only count for runs of them. With
    `every_position` what is not among `positions` is not held any more. `odd` rows were left out for their
    times; None: not counted this time."""

    now: datetime
    cursor: str
    holds: bool
    incidents: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()
    lifted: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    orders: Sequence[SettledOrder] = field(default=())
    runs: Sequence[SettledOrder] = field(default=())
    counted: Sequence[CountedOrders] = field(default=())
    positions: Sequence[HeldPosition] = field(default=())
    samples: Sequence[SliSample] = field(default=())
    every_position: bool = False
    odd: int | None = None
