"""What the first five minutes of an incident look at, part by part, each with its age. Pure.

Source: operations runbook, first five minutes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Classification

T = TypeVar("T")
POSTGRES: Final = "Postgres"
NO_GATEWAY: Final = "no gateway_url is set"
"""The fault of a gateway that nobody has configured: it was not asked, so it says nothing of any broker."""
FEED_BOUND_S: Final = 5.0
"""How old the gateway's newest market data may be before the data itself is in doubt, in seconds."""
CYCLE_STALE_S: Final = 300.0
"""A reconciliation or quality cycle older than this says nothing of now; the plant's come far oftener."""


def says(text: str, word: str) -> bool:
    """Whether a word of `text` begins with `word`, in any case: `bar` in `stale bars`, not in `crowbar`."""
    return re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE) is not None


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """One part of the page. `at` is the moment that it speaks of; `fault` is why it could not be read, and
    `value` is None then. Neither value nor fault: it was read, and there is none."""

    value: T | None = None
    at: datetime | None = None
    fault: str = ""

    def age_s(self, now: datetime) -> float | None:
        """Seconds since `at`; None where it speaks of no moment."""
        return None if self.at is None else max(0.0, (now - self.at).total_seconds())


@dataclass(frozen=True, slots=True)
class Halt:
    """What the gateway says of trading and of itself. `until` is its own text (`trading_halted_until`)."""

    reason: str | None
    until: str | None
    healthy: bool
    detail: str
    feed_age_s: float | None
    errors_5m: int | None

    @property
    def feed_fresh(self) -> bool | None:
        """Whether its market data is fresh; None where it does not say."""
        return None if self.feed_age_s is None else self.feed_age_s <= FEED_BOUND_S


@dataclass(frozen=True, slots=True)
class Breach:
    """The last measured breach of an objective; one that stands goes before one that is over. `source`:
    `Postgres`, of the authority's own watch, or the run folder's file, which only claims. `ended`: people
    have ended its incident, and no recovery was measured."""

    slo: str
    severity: str
    text: str
    recovered: bool
    source: str
    ended: bool = False

    @property
    def proved(self) -> bool:
        """Whether `recovered`, where it says so, was measured."""
        return self.source == POSTGRES and not self.ended


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """`run_says` is what the run folder's file says of it, "" where it says nothing; a claim."""

    status: str
    by: str | None
    at: datetime | None
    due_at: datetime
    owner: str | None
    run_says: str = ""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The newest reconciliation of one kind and symbol. `ids` are at most 20 of what differs."""

    kind: str
    symbol: str
    status: str
    at: datetime
    mismatches: int
    ids: tuple[str, ...]
    engine_seq: int | None
    ledger_seq: int | None
    source: str

    @property
    def proved(self) -> bool:
        """Whether Postgres says so; a run folder only claims."""
        return self.source == POSTGRES

    @property
    def lag(self) -> int | None:
        if self.engine_seq is None or self.ledger_seq is None:
            return None
        return self.engine_seq - self.ledger_seq


@dataclass(frozen=True, slots=True)
class Quality:
    """The newest data-quality cycle."""

    status: str
    errors: int
    stale_warnings: int
    at: datetime
    source: str

    @property
    def proved(self) -> bool:
        return self.source == POSTGRES

    @property
    def clean(self) -> bool:
        return self.status == "clean" and not self.errors and not self.stale_warnings


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was changed of late: a deployment, a configuration, a budget's or size's adjustment, a
    trip or release. `source`: `audit` (our own chain) or a file's name."""

    at: datetime
    what: str
    by: str
    source: str


@dataclass(frozen=True, slots=True)
class Halts:
    """What reads anything but CLOSED by itself: breakers, and switches that are set."""

    breakers: tuple[BreakerId, ...] = ()
    switches: tuple[BreakerId, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for a classification; `weight` 3 where it was measured now, 1 where it is a word."""

    classification: Classification
    text: str
    weight: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the incident looks like. `evidence` is for the suggested classification, `against` for others;
    `unread` names the parts that might have said otherwise."""

    classification: Classification
    evidence: tuple[Evidence, ...]
    against: tuple[Evidence, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NextStep:
    """Where the decision tree stands: `text` is what to do now, `why` what says so, `number` of `of`."""

    branch: Classification
    number: int
    of: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class DeskFacts:
    """What Postgres knows of an incident, by its own clock. `reconciled` holds the newest run of each kind
    and symbol; `changes` the newest first."""

    at: datetime
    incident: IncidentRow
    breach: Part[Breach]
    reconciled: tuple[Reconciled, ...]
    quality: Part[Quality]
    changes: tuple[Change, ...]
