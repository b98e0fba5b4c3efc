"""What one round trip to Postgres shows of the desk: requests, runs, incidents, orders, the chain's tail.

Immutable, so that a screen may keep one while the next is read. Times are the database's, aware UTC; ages are
judged against `DeskSnapshot.server_time`, never against this machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from cockpit.domain.audit import Head
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.incidents import Severity, acknowledge_by
from cockpit.domain.paging import Paging, TripPage
from cockpit.domain.probes import ProbeResult, ProbeRun
from cockpit.domain.trading import AutomationRow, OrderFacts, PositionRow
from cockpit.domain.trigger_reports import GuardSnapshot

OPEN_STATUSES = frozenset({"new", "awaiting_approval", "committing"})
CRITICAL = frozenset({"P0", "P1"})
NO_OBSTACLE = frozenset({"trip", "override"})
"""Sources of incidents that hold up no resume."""


@dataclass(frozen=True, slots=True)
class BreakerRow:
    """What the authority last audited of a breaker. Redis rules; this adds who, why and since when."""

    breaker_id: BreakerId
    state: str
    since: datetime
    actor: str
    reason: str
    notes: str
    event_id: str | None
    run_id: str | None
    counter: int
    quiet_until: datetime | None
    review_due_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request of the inbox. `status` is one of `new, awaiting_approval, committing, done, refused,
    denied, rejected, void, expired`; `outcome` is the contract's object once decided; `payload` the signed
    text."""

    request_id: str
    kind: str | None
    breaker_id: str | None
    login: str
    status: str
    code: str | None
    message: str | None
    outcome: Mapping[str, object] | None
    audit_seq: int | None
    submitted_at: datetime
    decided_at: datetime | None
    expires_at: datetime | None
    payload: str = ""

    @property
    def open(self) -> bool:
        return self.status in OPEN_STATUSES


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """A second person's approval of one request at one epoch."""

    approval_id: str
    request_id: str
    breaker_id: BreakerId
    epoch: Epoch
    login: str
    person_id: str
    approved_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """A probe run with what has arrived of it. `used_by` is the close that it authorised."""

    run: ProbeRun
    request_id: str
    person_id: str
    results: tuple[ProbeResult, ...]
    decided_at: datetime | None
    used_by: str | None

    @property
    def ratio(self) -> float:
        """Passed results out of the probes of the run, 0 to 1."""
        return sum(result.passed for result in self.results) / max(1, len(self.run.probes))


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """`severity` P0 to P3; `source` 'trip' marks a person's own trip and 'override' a break-glass that awaits
    its review; neither holds up a resume."""

    incident_id: str
    opened_at: datetime
    severity: str
    classification: str
    title: str
    status: str
    source: str
    breaker_id: str | None
    owner: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    alarm_at: datetime | None = None  # when its acknowledgement clock began; None: with `opened_at`
    snoozed_until: datetime | None = None
    last_event_at: datetime | None = None
    opened_by: str = ""
    breakers: tuple[str, ...] = ()
    slos: tuple[str, ...] = ()
    run_id: str | None = None
    run_incident: str | None = None
    resolved_at: datetime | None = None  # or merged
    resolved_by: str | None = None
    root_cause: str | None = None
    merged_into: str | None = None

    @property
    def acknowledge_by(self) -> datetime:
        """By when it must be acknowledged; the clock runs on the database's time and survives restarts."""
        return acknowledge_by(Severity(self.severity), self.alarm_at or self.opened_at)

    @property
    def critical(self) -> bool:
        """Unacknowledged, P0 or P1, and neither a person's own trip nor an override of one."""
        return self.severity in CRITICAL and self.status == "open" and self.source not in NO_OBSTACLE


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One audit entry as the screen lists it; `details` is its canonical JSON, at most 2,000 characters."""

    seq: int
    event_id: str
    timestamp: datetime
    action: str
    user_id: str
    role: str
    target: str
    details: str
    evidence_link: str | None
    evidence_sha256: str | None
    chain_hash: str


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """A signed head of the chain, and the key of the evidence object that holds it too."""

    seq: int
    chain_hash: str
    signed_at: datetime
    key_id: str
    signature: str
    evidence_key: str


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Who acts as the authority. `age_s` is the time since the last renewal, by the database's clock."""

    holder: str
    term: int
    renewed_at: datetime
    expires_at: datetime
    age_s: float
    alive: bool
    status: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """A cap on the order size of a breaker's scope, in force until somebody lifts it. `source` is `guard`
    or `person`; `rule` the trigger that asked for it, "" where a person did."""

    limit_id: str
    breaker_id: BreakerId
    share: Decimal
    source: str
    rule: str
    notes: str
    login: str
    set_at: datetime


@dataclass(frozen=True, slots=True)
class KillStepRow:
    """What one step of a kill switch reported, in the words of `cockpit.domain.kill`."""

    step: str
    outcome: str
    details: Mapping[str, object]
    login: str
    at: datetime


@dataclass(frozen=True, slots=True)
class KillRow:
    """A kill switch whose review is not approved yet. `kill_id` is the event of its trip of `global`."""

    kill_id: str
    epoch: Epoch
    login: str
    notes: str
    started_at: datetime
    steps: tuple[KillStepRow, ...]


@dataclass(frozen=True, slots=True)
class DeskSnapshot:
    """Everything that the screen shows from Postgres, of one moment.

    `requests` are the open ones, newest first, and those decided in the last 15 min; `runs` those of the last
    hour; `incidents` the unresolved ones; `guard` what the acting guard published; `size_limits` those in
    force; `faults` what of all this could not be read, and so is not in it. `monotonic` is this process's
    clock when the answer came, for ages.
    """

    server_time: datetime
    observed_at: datetime
    monotonic: float
    latency_ms: float
    breakers: Mapping[BreakerId, BreakerRow]
    requests: tuple[RequestRow, ...]
    approvals: tuple[ApprovalRow, ...]
    runs: tuple[RunRow, ...]
    incidents: tuple[IncidentRow, ...]
    lease: LeaseRow | None
    audit: tuple[AuditRow, ...]
    head: Head
    orders: tuple[OrderFacts, ...]
    positions: tuple[PositionRow, ...]
    automations: tuple[AutomationRow, ...]
    anchor: AnchorRow | None = None
    last_reset_at: datetime | None = None
    queue: int = 0
    persons: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # that each login holds now
    guard: GuardSnapshot | None = None
    size_limits: tuple[SizeLimit, ...] = ()
    kills: tuple[KillRow, ...] = ()
    paging: Paging | None = None
    trip_pages: tuple[TripPage, ...] = ()
    faults: tuple[str, ...] = ()

    def run_of(self, breaker_id: BreakerId, epoch: Epoch | None) -> RunRow | None:
        """The run of this breaker's epoch, if there was one in the last hour."""
        return next(
            (row for row in self.runs if row.run.breaker_id == breaker_id and row.run.epoch == epoch), None
        )

    def criticals(self, window: timedelta) -> tuple[IncidentRow, ...]:
        """Unacknowledged critical incidents whose clock began within `window`: opened, escalated, or open
        again."""
        since = self.server_time - window
        return tuple(
            row for row in self.incidents if row.critical and (row.alarm_at or row.opened_at) >= since
        )
