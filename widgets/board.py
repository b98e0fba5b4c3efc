"""What the screen knows at one moment, and how old each part of it is. Pure: `now` is part of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.limits import Limits
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board_entries import AuditCheck, PendingTrip, Story

if TYPE_CHECKING:  # the first frame is drawn before there is anything of these
    from cockpit.domain.desk import DeskSnapshot, KillRow, RequestRow, RunRow
    from cockpit.domain.documents import Effective, Epoch, Reading
    from cockpit.domain.incident_page import IncidentPage
    from cockpit.domain.incident_story import IncidentList
    from cockpit.domain.kill import KillProgress
    from cockpit.domain.permissions import Identity
    from cockpit.domain.reconciliation import ReconSnapshot
    from cockpit.domain.slo_reports import SloSnapshot
    from cockpit.domain.snapshots import BreakerSnapshot
    from cockpit.domain.trigger_reports import GuardSnapshot

STALE_AFTER_S: Final = 3.0
SLOS_STALE_AFTER_S: Final = 20.0
"""Objectives are read every five seconds: after a few readings that did not come they say nothing of now."""
RECON_STALE_AFTER_S: Final = 8.0
"""Reconciliation is read every two seconds while its panel is looked at."""
_RECORDED: Final = "recorded in Postgres; the authority applies it when Redis answers"


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that panels draw. `monotonic` is this process's clock (s), `now` this machine's (UTC).

    `redis_error`, `desk_error` and `slos_error` are why the last reading failed, None where it did not.
    `objectives`: whether any are configured.
    """

    profile: str
    login: str
    catalogue: Catalogue
    limits: Limits
    monotonic: float
    now: datetime
    identity: Identity | None = None
    identity_error: str | None = None
    breakers: BreakerSnapshot | None = None
    desk: DeskSnapshot | None = None
    redis_error: str | None = None
    desk_error: str | None = None
    redis_asked_at: float = 0.0
    local_pending: tuple[PendingTrip, ...] = ()
    gateways: tuple[str, ...] = ()
    audit_check: AuditCheck = field(default_factory=AuditCheck)
    slos: SloSnapshot | None = None
    slos_error: str | None = None
    objectives: bool = True
    incidents: IncidentList | None = None
    incidents_at: float = 0.0  # `monotonic` when they were read
    incidents_error: str | None = None
    page: IncidentPage | None = None  # of the incident that somebody looks at, or looked at last
    minutes_error: str | None = None
    recon: ReconSnapshot | None = None
    recon_at: float = 0.0  # `monotonic` when it was read
    recon_error: str | None = None
    kill: KillProgress | None = None  # of the kill switch that this cockpit runs, or ran last
    kills_kept: tuple[KillRow, ...] = ()  # not over by this machine's journal, newest first

    @property
    def redis_age_s(self) -> float | None:
        return None if self.breakers is None else max(0.0, self.monotonic - self.breakers.monotonic)

    @property
    def desk_age_s(self) -> float | None:
        return None if self.desk is None else max(0.0, self.monotonic - self.desk.monotonic)

    @property
    def slos_age_s(self) -> float | None:
        return None if self.slos is None else max(0.0, self.monotonic - self.slos.monotonic)

    @property
    def slos_readable(self) -> bool:
        """Whether the objectives were read lately; what each of them rests on may be older (I25)."""
        age = self.slos_age_s
        return age is not None and age <= SLOS_STALE_AFTER_S and self.slos_error is None

    @property
    def recon_age_s(self) -> float | None:
        return None if self.recon is None else max(0.0, self.monotonic - self.recon_at)

    @property
    def recon_readable(self) -> bool:
        """Whether the reconciliation runs were read lately; how old the runs are is another matter (I25)."""
        age = self.recon_age_s
        return age is not None and age <= RECON_STALE_AFTER_S and self.recon_error is None

    @property
    def guard(self) -> GuardSnapshot | None:
        return None if self.desk is None else self.desk.guard

    @property
    def guard_age_s(self) -> float | None:
        """Seconds since the guard's last sign of life; None where none is known."""
        return None if self.guard is None else self.guard.age_s + (self.desk_age_s or 0.0)

    @property
    def guard_alive(self) -> bool:
        return self.desk_readable and self.guard is not None and self.guard.alive

    @property
    def connecting(self) -> bool:
        """Nothing has been read and nothing has failed: the first seconds."""
        return self.breakers is None and self.redis_error is None

    @property
    def blank(self) -> bool:
        """Connecting, and neither Postgres nor anything asked here has added to that."""
        known = (self.desk, self.desk_error, self.identity, self.identity_error)
        return self.connecting and not self.local_pending and all(each is None for each in known)

    @property
    def redis_readable(self) -> bool:
        """Whether what stands here about the breakers is what Redis says now (I25)."""
        age = self.redis_age_s
        return age is not None and age <= STALE_AFTER_S and self.redis_error is None

    @property
    def desk_readable(self) -> bool:
        age = self.desk_age_s
        return age is not None and age <= STALE_AFTER_S and self.desk_error is None

    @property
    def desk_lost(self) -> str:
        """What to say where `desk_readable` does not hold."""
        unread = self.desk is None and self.desk_error is None
        return "Postgres has not answered yet" if unread else "Postgres is unreadable here"

    @property
    def redis_now(self) -> datetime:
        """The Redis server's clock, carried on by our own monotonic one (I13)."""
        if self.breakers is None:
            return self.now
        return self.breakers.server_time + timedelta(seconds=self.redis_age_s or 0.0)

    @property
    def desk_now(self) -> datetime:
        if self.desk is None:
            return self.now
        return self.desk.server_time + timedelta(seconds=self.desk_age_s or 0.0)

    @property
    def authority_silent_s(self) -> float | None:
        """Seconds since the authority's last sign of life; None where nothing can be read about it."""
        if self.desk is None:
            return None
        if self.desk.lease is None:
            return float("inf")
        return self.desk.lease.age_s + (self.desk_age_s or 0.0)

    @property
    def authority_alive(self) -> bool:
        if not self.desk_readable or self.desk is None or self.desk.lease is None:
            return False
        return self.desk.lease.alive

    @property
    def authority_status(self) -> Mapping[str, object]:
        if self.desk is None or self.desk.lease is None:
            return {}
        return self.desk.lease.status

    def reading(self, breaker_id: str) -> Reading | None:
        return None if self.breakers is None else self.breakers.readings.get(BreakerId(breaker_id))

    def effective(self, breaker_id: str) -> Effective | None:
        return None if self.breakers is None else self.breakers.effective.get(BreakerId(breaker_id))

    def epoch(self, breaker_id: str) -> Epoch | None:
        reading = self.reading(breaker_id)
        return None if reading is None else reading.epoch

    def run(self, breaker_id: str) -> RunRow | None:
        """The probe run of the breaker's current epoch."""
        epoch = self.epoch(breaker_id)
        if self.desk is None or epoch is None:
            return None
        return self.desk.run_of(BreakerId(breaker_id), epoch)

    def last_run(self, breaker_id: str) -> RunRow | None:
        """The probe run of the current epoch, else the newest: a failed run's own epoch is over with it."""
        rows = [row for row in (self.desk.runs if self.desk else ()) if row.run.breaker_id == breaker_id]
        return self.run(breaker_id) or max(rows, key=lambda row: row.run.started_at, default=None)

    def waiting(self) -> tuple[RequestRow, ...]:
        """Requests that wait for a second person's approval."""
        if self.desk is None:
            return ()
        return tuple(row for row in self.desk.requests if row.status == "awaiting_approval")

    @property
    def pending(self) -> tuple[PendingTrip, ...]:
        """Trips that halt nothing yet: of this machine, and recorded in Postgres for the authority to apply.
        One whose breaker reads OPEN in Redis is no longer listed."""
        rows = self.desk.requests if self.desk else ()
        recorded = tuple(
            PendingTrip(
                row.breaker_id or _asked(row, "breaker_id"), row.request_id, row.submitted_at, _RECORDED
            )
            for row in rows
            if row.open and (row.kind or _asked(row, "kind")) == "trip"
        )
        return tuple(trip for trip in (*self.local_pending, *recorded) if not self._halted(trip.breaker_id))

    def _halted(self, breaker_id: str) -> bool:
        effective = self.effective(breaker_id)
        return self.redis_readable and effective is not None and effective.state is State.OPEN

    def pending_trip(self, breaker_id: str) -> PendingTrip | None:
        return next((trip for trip in self.pending if trip.breaker_id == breaker_id), None)

    def story(self, breaker_id: str) -> Story:
        """Who brought the breaker where it is, from whatever source knows its present epoch. `reason` is a
        trip's: where it is not OPEN any more, only the notes of its last change are told; and where it reads
        OPEN in spite of that change, the change explains nothing and its doubt does."""
        reading = self.reading(breaker_id)
        if reading is None or reading.epoch is None:
            return Story()
        document = reading.document
        if document is not None and document.epoch == reading.epoch and document.state is reading.state:
            reason = document.reason if document.state is State.OPEN else ""
            return Story(document.issued_at, document.actor, reason, document.notes, document.event_id)
        row = self.desk.breakers.get(BreakerId(breaker_id)) if self.desk else None
        if row is not None and row.run_id == reading.epoch.run_id and row.counter == reading.epoch.counter:
            if row.state != State.OPEN.value:
                return Story()
            return Story(row.since, row.actor, row.reason, row.notes, row.event_id or "")
        return self._claimed(breaker_id)

    def _claimed(self, breaker_id: str) -> Story:
        from cockpit.domain.documents import parse_rfc3339

        for event in self.breakers.events if self.breakers else ():
            if event.breaker_id == breaker_id and event.kind == "TRIP":
                reason, notes = claimed_reason(event.payload)
                try:
                    since: datetime | None = parse_rfc3339(event.at)
                except ValueError:
                    since = None
                return Story(since, event.login, reason, notes, event.event_id, claimed=True)
        return Story()


def _asked(row: RequestRow, name: str) -> str:
    """A field of a request that the authority has not read yet: a claim, and shown as one."""
    try:
        fields = json.loads(row.payload)
    except (ValueError, RecursionError):
        return ""
    return clean(str(fields.get(name, "")), 80) if isinstance(fields, dict) else ""


def claimed_reason(payload: bytes) -> tuple[str, str]:
    """Reason and notes that an event's payload claims; empty where it cannot be read."""
    try:
        fields = json.loads(payload[:16_384])
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(fields, dict):
        return "", ""
    return clean(str(fields.get("reason", "")), 60), clean(str(fields.get("notes", "")), 500)
