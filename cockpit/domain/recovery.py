"""Recovery conditions: what must be proved of an unresolved incident before what it is linked to resumes.

Source: operations runbook, recovery decision tree. Data: 30 daily bars of each symbol and one clean quality
cycle; reconciliation: two clean runs in a row; broker: a healthy gateway and a reconciliation run anew. All
of it after the incident was opened; what cannot be read does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import (
    OF_A_SYMBOL,
    BreakerId,
    Catalogue,
    Scope,
    scope_of,
    switch_of,
    symbol_of,
)
from cockpit.domain.incidents import Classification
from cockpit.domain.limits import RECOVERY_FRESH_S
from cockpit.domain.reconciliation import stale_since

BARS: Final = 30
CLEAN_RUNS: Final = 2


class Need(StrEnum):
    BARS = "daily-bars"
    QUALITY = "quality-cycle"
    CLEAN_RUNS = "clean-runs"
    GATEWAY = "gateway"
    RERUN = "rerun"


BRANCH: Final[dict[str, Classification]] = {
    **{each.value: each for each in (Classification.DATA_QUALITY, Classification.RECONCILIATION)},
    Classification.BROKER.value: Classification.BROKER,
    "data-integrity": Classification.DATA_QUALITY,  # the guard's word for it in incidents of older versions
}
"""The branch of the decision tree that an incident's classification leads to; others have none."""
NEEDS: Final = {
    Classification.DATA_QUALITY: (Need.BARS, Need.QUALITY),
    Classification.RECONCILIATION: (Need.CLEAN_RUNS,),
    Classification.BROKER: (Need.GATEWAY, Need.RERUN),
}
WORDS: Final = {
    Need.BARS: f"{BARS} daily bars of each symbol",
    Need.QUALITY: "a clean data-quality cycle since",
    Need.CLEAN_RUNS: f"{CLEAN_RUNS} clean reconciliations in a row since",
    Need.GATEWAY: "gateway healthy, its feed fresh",
    Need.RERUN: "a clean reconciliation since",
}


@dataclass(frozen=True, slots=True)
class Linked:
    """The newest unresolved incident of one classification, and how many of it there are."""

    incident_id: str
    title: str
    classification: str
    opened_at: datetime
    count: int = 1


@dataclass(frozen=True, slots=True)
class Bars:
    """`newest` is the last day that is over and has a bar; `sound` counts the possible bars of the `BARS`
    days that end with it."""

    symbol: str
    newest: date | None
    sound: int


@dataclass(frozen=True, slots=True)
class QualityCycle:
    started_at: datetime
    status: str
    errors: int
    stale_warnings: int

    @property
    def clean(self) -> bool:
        return self.status == "clean" and not self.errors and not self.stale_warnings


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """What Postgres says, by its own clock. `impossible` counts quality cycles whose times no clock gives:
    they are unknown, and no newest one. `clean` counts, by symbol and moment, the clean reconciliations
    in a row that have begun since, of the kind that has fewest; `stale` says where a kind has not run for
    `fresh_s`, with its newest run's begin. The same bound holds for quality cycles: what was clean long ago
    proves nothing now (I25)."""

    at: datetime
    bars: tuple[Bars, ...] = ()
    cycle: QualityCycle | None = None
    clean: Mapping[tuple[str, datetime], int] = field(default_factory=dict)
    stale: Mapping[tuple[str, datetime], datetime] = field(default_factory=dict)
    fresh_s: float = RECOVERY_FRESH_S
    impossible: int = 0


@dataclass(frozen=True, slots=True)
class Broker:
    """What the gateway said; `healthy` None where it could not be asked, with the reason in `read`."""

    healthy: bool | None
    read: str


@dataclass(frozen=True, slots=True)
class Condition:
    """`met` None: it could not be read, which is as bad as not met."""

    incident: Linked
    need: Need
    met: bool | None
    read: str

    @property
    def line(self) -> str:
        return f"{WORDS[self.need]}: {self.read}"


def linked_names(breaker_id: BreakerId, catalogue: Catalogue) -> tuple[BreakerId, ...]:
    """Where an incident must be linked to stand in this breaker's way: to itself, above it, below it, or to a
    switch of an instrument among these."""
    near = (breaker_id, *catalogue.ancestors(breaker_id), *catalogue.descendants(breaker_id))
    own = [symbol_of(name) for name in near if scope_of(name) is Scope.INSTRUMENT]
    return (*near, *(switch_of(scope, symbol) for symbol in own for scope in OF_A_SYMBOL))


def active_symbols(names: Iterable[str], catalogue: Catalogue) -> tuple[str, ...]:
    """The instruments that these breakers and switches concern, in the catalogue's order. One that contains
    no instrument (a strategy, a bare component) may concern any of them, and so do no names at all."""
    every = tuple(symbol_of(name) for name in catalogue.ids if scope_of(name) is Scope.INSTRUMENT)
    found: set[str] = set()
    for name in names:
        if name not in catalogue:
            continue
        known = BreakerId(name)
        scope = scope_of(known)
        if scope is Scope.INSTRUMENT or scope in OF_A_SYMBOL:
            found.add(symbol_of(known))
            continue
        below = [each for each in catalogue.descendants(known) if scope_of(each) is Scope.INSTRUMENT]
        if not below:
            return every
        found.update(symbol_of(each) for each in below)
    return tuple(symbol for symbol in every if symbol in found) or every


def needs(incident: Linked) -> tuple[Need, ...]:
    """What must be proved of an incident; nothing where the decision tree has no branch for it."""
    branch = BRANCH.get(incident.classification)
    return NEEDS[branch] if branch else ()


def moments(incidents: Iterable[Linked]) -> tuple[datetime, ...]:
    """Since when reconciliations must be clean, for those that need such."""
    counted = (Need.CLEAN_RUNS, Need.RERUN)
    return tuple(
        dict.fromkeys(each.opened_at for each in incidents if any(need in counted for need in needs(each)))
    )


def conditions(
    incidents: Iterable[Linked], facts: RecoveryFacts, symbols: Sequence[str], broker: Broker
) -> tuple[Condition, ...]:
    """Every condition of these incidents, met or not."""
    return tuple(
        Condition(incident, need, *_judge(need, incident, facts, symbols, broker))
        for incident in incidents
        for need in needs(incident)
    )


def _judge(
    need: Need, incident: Linked, facts: RecoveryFacts, symbols: Sequence[str], broker: Broker
) -> tuple[bool | None, str]:
    if need is Need.BARS:
        return _bars(facts, symbols)
    if need is Need.QUALITY:
        met, read = _quality(facts, incident.opened_at)
        odd = f"; {facts.impossible} cycles with impossible times count as unknown"
        return met, read + (odd if facts.impossible else "")
    if need is Need.GATEWAY:
        return broker.healthy, broker.read
    return _clean_runs(facts, symbols, incident.opened_at, CLEAN_RUNS if need is Need.CLEAN_RUNS else 1)


def _bars(facts: RecoveryFacts, symbols: Sequence[str]) -> tuple[bool, str]:
    """The newest bar must be yesterday's (UTC): a day's bar is whole once the day is over."""
    known = {each.symbol: each for each in facts.bars}
    yesterday = facts.at.date() - timedelta(days=1)
    bad = []
    for symbol in symbols:
        bars = known.get(symbol, Bars(symbol, None, 0))
        if bars.newest is None:
            bad.append(f"{symbol} has none")
        elif bars.newest < yesterday:
            bad.append(f"{symbol} has none since {bars.newest}")
        elif bars.sound < BARS:
            bad.append(f"{symbol} has {bars.sound} of {BARS}")
    return not bad, "; ".join(bad) or f"all {len(symbols)} symbols have them"


def _quality(facts: RecoveryFacts, since: datetime) -> tuple[bool, str]:
    cycle = facts.cycle
    if cycle is None:
        return False, "no cycle has run"
    if not cycle.clean:
        return (
            False,
            f"the newest is {cycle.status}: {cycle.errors} errors, {cycle.stale_warnings} stale warnings",
        )
    if cycle.started_at <= since:
        return False, f"the newest began {cycle.started_at:%H:%M:%S}, before the incident"
    if (facts.at - cycle.started_at).total_seconds() > facts.fresh_s:
        return False, f"clean, but {stale_since(cycle.started_at)}"
    return True, f"clean, began {cycle.started_at:%H:%M:%S}"


def _clean_runs(
    facts: RecoveryFacts, symbols: Sequence[str], since: datetime, wanted: int
) -> tuple[bool, str]:
    counts = {symbol: facts.clean.get((symbol, since), 0) for symbol in symbols}
    stale = {symbol: facts.stale[symbol, since] for symbol in symbols if (symbol, since) in facts.stale}
    short = [
        f"{symbol} {count} of {wanted}" + (f", {stale_since(stale[symbol])}" if symbol in stale else "")
        for symbol, count in counts.items()
        if count < wanted or symbol in stale
    ]
    return not short, "; ".join(short) or f"all {len(symbols)} symbols have them"
