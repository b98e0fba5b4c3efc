"""Who must hear of an incident, and by when: the communication table as a checklist with clocks. Pure.

Source: incident playbook, communication protocol and post-incident requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cockpit.domain.incident_story import IncidentStory
from cockpit.domain.incidents import Severity, parse_severity, postmortem_by

PAGE_WITHIN: Final = timedelta(minutes=1)
"""The playbook says at once; a page that needs longer than this on its way is late."""
TEAM_WITHIN: Final = timedelta(minutes=15)
STAKEHOLDERS_WITHIN: Final = timedelta(hours=1)


class Audience(StrEnum):
    """The words that `cockpit incident told` takes, in the table's order."""

    ON_CALL = "on-call"
    TEAM = "team"
    STAKEHOLDERS = "stakeholders"
    POSTMORTEM = "postmortem"

    @property
    def channel(self) -> str:
        return _CHANNELS[self]


_CHANNELS: Final = {
    Audience.ON_CALL: "page or phone, at once",
    Audience.TEAM: "incident channel, within 15 min",
    Audience.STAKEHOLDERS: "summary by mail, within 1 h",
    Audience.POSTMORTEM: "in writing, within 48 h",
}


class Word(StrEnum):
    """How one row of the checklist stands."""

    DONE = "done"
    DUE = "due"
    OVERDUE = "overdue"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True, slots=True)
class Raised:
    """That the incident had this severity from then on: its opening, then each escalation."""

    at: datetime
    severity: Severity


@dataclass(frozen=True, slots=True)
class Told:
    """That a person told an audience; `by` is the login."""

    audience: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """A page of the incident that reached a receiver. `event`: trigger, acknowledge or resolve."""

    event: str
    receiver: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CommunicationRow:
    """`due_at` is None where nothing is needed, `done_at` and `by` (a login, or a receiver of pages) where it
    is not done. One that was done late is done; `late` says so."""

    audience: Audience
    word: Word
    due_at: datetime | None = None
    done_at: datetime | None = None
    by: str = ""

    @property
    def late(self) -> bool:
        return self.done_at is not None and self.due_at is not None and self.done_at > self.due_at

    def left(self, now: datetime) -> timedelta | None:
        """Time to its deadline, negative past it; None where nothing is left to do."""
        return None if self.due_at is None or self.done_at is not None else self.due_at - now


def communication(
    raised: Sequence[Raised],
    told: Sequence[Told],
    deliveries: Sequence[Delivered],
    now: datetime,
    *,
    resolved_at: datetime | None = None,
    merged: bool = False,
) -> tuple[CommunicationRow, ...]:
    """One row for each audience, in the table's order.

    `raised` is not empty and in order of time. On-call must be paged, or called, at each escalation anew;
    the others are told once. On-call, stakeholders and postmortem are asked for from P1 on, the team always;
    the stakeholders' clock begins when the incident becomes a P0 or P1. A merged incident needs nothing
    more: the other one does.
    """
    last = raised[-1]
    critical = next((each.at for each in raised if each.severity.critical), None)
    pages = [Told(Audience.ON_CALL, each.at, each.receiver) for each in deliveries if each.event == "trigger"]
    deadlines: dict[Audience, tuple[datetime | None, datetime]] = {
        Audience.ON_CALL: (last.at + PAGE_WITHIN if last.severity.critical else None, last.at),
        Audience.TEAM: (raised[0].at + TEAM_WITHIN, raised[0].at),
        Audience.STAKEHOLDERS: (critical + STAKEHOLDERS_WITHIN if critical else None, raised[0].at),
        Audience.POSTMORTEM: (postmortem_by(last.severity, resolved_at, raised[0].at), raised[0].at),
    }
    return tuple(
        _row(audience, None if merged else due, since, [*told, *pages], now)
        for audience, (due, since) in deadlines.items()
    )


def _row(
    audience: Audience, due: datetime | None, since: datetime, told: Sequence[Told], now: datetime
) -> CommunicationRow:
    heard = [each for each in told if each.audience == audience and each.at >= since]
    if heard:  # done counts, whether or not it was asked for
        first = min(heard, key=lambda each: each.at)
        return CommunicationRow(audience, Word.DONE, due, first.at, first.by)
    if due is None:
        return CommunicationRow(audience, Word.NOT_NEEDED)
    return CommunicationRow(audience, Word.OVERDUE if now > due else Word.DUE, due)


def of_story(story: IncidentStory) -> tuple[CommunicationRow, ...]:
    """The table for an incident as it was read, at the moment when it was."""
    raised = [
        Raised(event.at, parse_severity(str(event.details["severity"])))
        for event in story.events
        if event.kind in ("opened", "escalated") and event.details.get("severity") in tuple(Severity)
    ]
    told = [
        Told(str(event.details.get("audience")), event.at, event.actor)
        for event in story.events
        if event.kind == "told"
    ]
    delivered = [
        Delivered(page.event, each.receiver, each.delivered_at)
        for page in story.pages
        for each in page.deliveries
        if each.delivered_at is not None
    ]
    row = story.row
    return communication(
        raised or [Raised(row.opened_at, Severity(row.severity))],
        told,
        delivered,
        story.server_time,
        resolved_at=row.resolved_at,
        merged=row.status == "merged",
    )
