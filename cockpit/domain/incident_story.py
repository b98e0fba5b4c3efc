"""Incidents as they are read back: the list of panel 3, and the whole story of one. Pure and immutable.

Kinds of events: `opened`, `fired` (a guard's rule, once more), `tripped` (once more, or what it is linked to,
by a person), `acknowledged`, `ack-expired`, `escalated`, `noted`, `assigned`, `classified`, `snoozed`,
`linked`, `told`, `action`, `done`, `merged` (into another), `took-over` (another one's links), `resolved`,
`slo-breach`, `slo-eased`, `slo-recovered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Severity, postmortem_by


@dataclass(frozen=True, slots=True)
class IncidentList:
    """`unresolved` are the worst ones: unacknowledged before acknowledged, then by severity, then by their
    clock; `recent` the last that were resolved or merged, newest first. The counts are of all there are,
    whatever was asked for; `matching_count` is of the unresolved ones that were asked for (None: all), so
    that a list that was cut says so. `server_time` is the database's clock."""

    server_time: datetime
    unresolved: tuple[IncidentRow, ...] = ()
    recent: tuple[IncidentRow, ...] = ()
    open_count: int = 0
    acknowledged_count: int = 0
    over_count: int = 0
    snoozed_open: int = 0  # of the open ones
    snoozed_acknowledged: int = 0
    matching_count: int | None = None

    @property
    def unresolved_count(self) -> int:
        return self.open_count + self.acknowledged_count

    @property
    def total(self) -> int:
        return self.unresolved_count + self.over_count

    @property
    def hidden(self) -> int:
        """Unresolved incidents that match and are not in the list."""
        count = self.unresolved_count if self.matching_count is None else self.matching_count
        return count - len(self.unresolved)

    @property
    def overdue(self) -> tuple[IncidentRow, ...]:
        """Of the listed ones, those that nobody acknowledged in time."""
        return tuple(row for row in self.unresolved if overdue(row, self.server_time))


@dataclass(frozen=True, slots=True)
class StoryEvent:
    """One line of the timeline. `audit_seq` is its entry in the audit chain, None where the guard wrote it;
    `details` depend on the kind."""

    event_id: int
    at: datetime
    kind: str
    actor: str
    notes: str
    details: Mapping[str, object] = field(default_factory=dict)
    audit_seq: int | None = None


@dataclass(frozen=True, slots=True)
class ActionItem:
    action_id: str
    what: str
    owner: str
    due_at: datetime | None
    added_by: str
    added_at: datetime
    done_at: datetime | None
    done_by: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one page fares with one receiver."""

    receiver: str
    attempts: int
    next_attempt_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class StoryPage:
    """One thing that had to be said of the incident. `event` is trigger, acknowledge or resolve; without
    deliveries no pager has taken it yet."""

    event: str
    severity: str
    title: str
    created_at: datetime
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """An incident that was merged into this one."""

    incident_id: str
    title: str


@dataclass(frozen=True, slots=True)
class IncidentStory:
    """Everything about one incident at one moment, oldest first. `cut` counts events that were left out
    between the first and the last."""

    server_time: datetime
    row: IncidentRow
    events: tuple[StoryEvent, ...] = ()
    actions: tuple[ActionItem, ...] = ()
    pages: tuple[StoryPage, ...] = ()
    merged: tuple[Merged, ...] = ()
    cut: int = 0

    @property
    def breakers(self) -> tuple[str, ...]:
        """All that it is linked to, its own one first."""
        return linked(self.row)

    @property
    def postmortem_by(self) -> datetime | None:
        return postmortem_by(Severity(self.row.severity), self.row.resolved_at, self.row.opened_at)

    @property
    def left(self) -> timedelta | None:
        """Time until it must be acknowledged, negative once overdue; None where that is done."""
        return self.row.acknowledge_by - self.server_time if self.row.status == "open" else None


def linked(row: IncidentRow) -> tuple[str, ...]:
    """The breakers and switches that an incident is linked to, its own one first, each once."""
    own = (row.breaker_id,) if row.breaker_id else ()
    return tuple(dict.fromkeys((*own, *row.breakers)))


def overdue(row: IncidentRow, now: datetime) -> bool:
    """Whether nobody has acknowledged it in time. `now` is the database's clock."""
    return row.status == "open" and now > row.acknowledge_by


def snoozed(row: IncidentRow, now: datetime) -> bool:
    """Whether it warns nobody at the moment; its clocks go on."""
    return row.snoozed_until is not None and now < row.snoozed_until
