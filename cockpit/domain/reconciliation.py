"""Reconciliation runs of the platform: what the venue reports against what the books hold. Pure.

A line is one kind of run on one instrument. Its third mismatch in a row is a breach, which sets the
instrument's safety latch; an unknown run (one side could not be read) neither counts nor clears. The latch is
released only after two clean cycles in a row, and there an unknown run begins the count anew.
Source: operations runbook, "Operational SLOs" and "Recovery Decision Tree"; exchange operations runbook 3.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

BREACH_AT: Final = 3
CLEAN_WANTED: Final = 2
FRESH_FOR: Final = timedelta(seconds=60)
"""A line without a run for longer is stale: three cycles of 20 s."""
MOST_COUNTED: Final = 100
"""Clean cycles and mismatches in a row are counted up to here."""
_BREACHES: Final = UUID("5b7a3f0e-9f0c-5d58-8b7f-3c2f6f3c6e51")
_GAP: Final = re.compile(r"gap:([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


class Kind(StrEnum):
    ORDER = "order"
    POSITION = "position"
    LEDGER = "ledger"


class Verdict(StrEnum):
    CLEAN = "clean"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing on which both sides differ: `name` is an order's id, a symbol, or `gap:FROM-TO` for fills
    that the ledger never got."""

    name: str
    venue: Decimal
    books: Decimal

    @property
    def difference(self) -> Decimal:
        """What the venue has more than the books."""
        return self.venue - self.books


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers, both included, that the engine gave and the ledger does not have."""

    first: int
    last: int

    @property
    def missing(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class ReconRun:
    """One run. `symbol` is "" where it is of no single instrument. `doubt` says why a run that claims another
    verdict counts as unknown; `unlisted` are mismatches beyond those in `mismatches`. `finished_at` is None
    where the trading side did not say."""

    run_id: str
    kind: Kind
    symbol: str
    verdict: Verdict
    started_at: datetime
    finished_at: datetime | None = None
    mismatches: tuple[Mismatch, ...] = ()
    unlisted: int = 0
    engine_seq: int | None = None
    ledger_seq: int | None = None
    doubt: str = ""

    @property
    def lag(self) -> int | None:
        """How far the ledger is behind the engine, in sequence numbers; below 0 it claims what the engine has
        not done. None where one of them is not known."""
        if self.engine_seq is None or self.ledger_seq is None:
            return None
        return self.engine_seq - self.ledger_seq

    @property
    def gaps(self) -> tuple[Gap, ...]:
        found = (_GAP.fullmatch(each.name) for each in self.mismatches)
        gaps = (Gap(int(each[1]), int(each[2])) for each in found if each is not None)
        return tuple(each for each in gaps if each.last >= each.first)


class LineState(StrEnum):
    """In the order of how bad it is, the worst first."""

    BREACHED = "breached"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    STALE = "stale"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of run on one instrument, as of one reading.

    `last` is the newest run. `consecutive` counts the mismatches since the last clean run, `clean` the clean
    runs up to the newest one, both up to `MOST_COUNTED`. `passed`, `failed` and `unknown` count the runs of
    the last 24 hours. `last_known` is the newest run that is not unknown, if it is among the newest ones."""

    kind: Kind
    symbol: str
    last: ReconRun
    consecutive: int
    clean: int
    passed: int
    failed: int
    unknown: int
    last_known: ReconRun | None = None

    @property
    def k(self) -> int:
        """Of `BREACH_AT`."""
        return min(self.consecutive, BREACH_AT)

    @property
    def breached(self) -> bool:
        return self.consecutive >= BREACH_AT

    @property
    def pass_rate(self) -> Decimal | None:
        """Clean runs of all that came to a verdict, 0 to 1; None where there are none."""
        decided = self.passed + self.failed
        return Decimal(self.passed) / Decimal(decided) if decided else None

    @property
    def engine_seq(self) -> int | None:
        return self.last.engine_seq

    @property
    def ledger_seq(self) -> int | None:
        return self.last.ledger_seq

    @property
    def lag(self) -> int | None:
        return self.last.lag

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return self.last.gaps

    def age(self, at: datetime) -> timedelta:
        """Since its newest run began. `at` by the database's clock."""
        return max(timedelta(0), at - self.last.started_at)

    def state(self, at: datetime) -> LineState:
        """What to show. Old or unknown is never clean (I25); a breach stays one until a clean run."""
        if self.breached:
            return LineState.BREACHED
        if self.last.verdict is Verdict.UNKNOWN:
            return LineState.UNKNOWN
        if self.age(at) > FRESH_FOR:
            return LineState.STALE
        return LineState.CLEAN if self.last.verdict is Verdict.CLEAN else LineState.MISMATCH


@dataclass(frozen=True, slots=True)
class ReconSnapshot:
    """All lines at `at`, by the database's clock. `faults` name what could not be used: such runs count as
    unknown. Without any line nothing is known, which is not clean."""

    at: datetime
    lines: tuple[Line, ...]
    faults: tuple[str, ...] = ()
    latency_ms: float = 0.0

    def line(self, kind: Kind, symbol: str) -> Line | None:
        return next((each for each in self.lines if (each.kind, each.symbol) == (kind, symbol)), None)

    def of(self, symbol: str) -> tuple[Line, ...]:
        """The lines of one instrument."""
        return tuple(each for each in self.lines if each.symbol == symbol)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.symbol for each in self.lines))


@dataclass(frozen=True, slots=True)
class CleanCycles:
    """How many clean cycles in a row an instrument has had since a moment, over all kinds of its runs; `why`
    is one line for people, also where it is enough. `stale` names the kinds that have not run lately, each
    with its newest run's begin, `breached` those whose line is breached: none counts then."""

    count: int
    wanted: int
    why: str
    stale: Mapping[str, datetime] = field(default_factory=dict)
    breached: frozenset[str] = frozenset()

    @property
    def enough(self) -> bool:
        return self.count >= self.wanted


def consecutive_mismatches(newest_first: Iterable[Verdict]) -> int:
    """Mismatches since the last clean run; an unknown one neither counts nor clears."""
    count = 0
    for verdict in newest_first:
        if verdict is Verdict.CLEAN:
            break
        count += verdict is Verdict.MISMATCH
    return count


def clean_in_a_row(newest_first: Iterable[Verdict]) -> int:
    """Clean runs up to the newest; anything else begins the count anew."""
    count = 0
    for verdict in newest_first:
        if verdict is not Verdict.CLEAN:
            break
        count += 1
    return count


def breach_id(third_run_id: str) -> str:
    """The event of the latch that this run sets: the same in every guard, however often it is asked."""
    return str(uuid5(_BREACHES, third_run_id))


def clean_cycles_of(
    counts: Sequence[tuple[str, int]],
    wanted: int = CLEAN_WANTED,
    stale: Mapping[str, datetime] | None = None,
    breached: Collection[str] = (),
) -> CleanCycles:
    """`counts`: the clean runs in a row of each kind of an instrument's runs. A cycle is clean where every
    kind is, so the lowest counts; without any kind nothing is proved. `stale`: kinds whose newest run is too
    old to prove anything, with its begin; `breached`: kinds whose newest runs are mismatches. Then none
    counts (I25)."""
    stale = stale or {}
    if not counts:
        return CleanCycles(0, wanted, f"0 of {wanted} clean cycles: it has no reconciliation runs")
    least = min(0 if name in stale or name in breached else count for name, count in counts)
    said = ", ".join(
        f"{name} breached"
        if name in breached
        else f"{name} {stale_since(stale[name])}"
        if name in stale
        else f"{name} {count}"
        for name, count in counts
    )
    why = f"{min(least, wanted)} of {wanted} clean cycles in a row since then ({said})"
    return CleanCycles(least, wanted, why, dict(stale), frozenset(breached))


def stale_since(newest: datetime) -> str:
    """In words, of something whose newest run began at `newest`."""
    return f"stale since {newest:%Y-%m-%d %H:%M:%S} UTC"
