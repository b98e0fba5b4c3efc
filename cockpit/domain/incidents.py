"""Incidents: severity, classification, states, clocks. Pure.

Sources: incident playbook, severity levels and communication protocol; operations runbook, triage and
acknowledgement; exchange operations runbook 1.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final


class Severity(StrEnum):
    """P0 to P3 of the incident playbook. The exchange runbook's SEV1 to SEV3 are the same scale without its
    last step: SEV1 = P0, SEV2 = P1, SEV3 = P2; a P3 reads SEV3."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"

    @property
    def sev(self) -> str:
        return _SEV[self]

    @property
    def critical(self) -> bool:
        return self in (Severity.P0, Severity.P1)


_SEV: Final = {Severity.P0: "SEV1", Severity.P1: "SEV2", Severity.P2: "SEV3", Severity.P3: "SEV3"}
_OF_SEV: Final = {"SEV1": Severity.P0, "SEV2": Severity.P1, "SEV3": Severity.P2}


class BadIncident(ValueError):
    """A field of an incident that cannot be used; the message names it and says what would be right."""


def parse_severity(text: str) -> Severity:
    """`P0`…`P3` or `SEV1`…`SEV3`, in any case.

    Raises:
        BadIncident: anything else.
    """
    word = text.strip().upper()
    if word in _OF_SEV:
        return _OF_SEV[word]
    try:
        return Severity(word)
    except ValueError:
        raise BadIncident(f"severity {text[:20]!r} is neither P0 to P3 nor SEV1 to SEV3") from None


class Classification(StrEnum):
    """What every incident is, whoever opens it. Rows of older versions have further words (`governance`,
    `state-loss`, `break-glass`, `slo-breach`, a trip's reason), which are shown as they are."""

    DATA_QUALITY = "data_quality"
    RECONCILIATION = "reconciliation"
    BROKER = "broker/connectivity"
    SECURITY = "security"
    OTHER = "other"


class Status(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    MERGED = "merged"

    @property
    def over(self) -> bool:
        return self in (Status.RESOLVED, Status.MERGED)


class Change(StrEnum):
    """What may happen to an incident. All but the first three leave its status as it is."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    MERGE = "merge"  # into another one
    EXPIRE = "expire"  # nothing happened after its acknowledgement
    ESCALATE = "escalate"  # a higher severity; its clock begins anew, and it must be acknowledged again
    NOTE = "note"
    ASSIGN = "assign"
    CLASSIFY = "classify"
    SNOOZE = "snooze"
    LINK = "link"
    TOLD = "told"
    ACTION = "action"


_AFTER: Final[dict[tuple[Status, Change], Status]] = {
    (Status.OPEN, Change.ACKNOWLEDGE): Status.ACKNOWLEDGED,
    (Status.ACKNOWLEDGED, Change.RESOLVE): Status.RESOLVED,
    (Status.OPEN, Change.MERGE): Status.MERGED,
    (Status.ACKNOWLEDGED, Change.MERGE): Status.MERGED,
    (Status.ACKNOWLEDGED, Change.EXPIRE): Status.OPEN,
    (Status.OPEN, Change.ESCALATE): Status.OPEN,
    (Status.ACKNOWLEDGED, Change.ESCALATE): Status.OPEN,
}
_STAYING: Final = (
    Change.NOTE,
    Change.ASSIGN,
    Change.CLASSIFY,
    Change.SNOOZE,
    Change.LINK,
    Change.TOLD,
    Change.ACTION,
)
_AFTERWARDS: Final = (Change.NOTE, Change.ACTION, Change.TOLD)
"""What still goes on after an incident is resolved: its postmortem."""

PARTICIPLES: Final = {
    Change.ACKNOWLEDGE: "acknowledged",
    Change.RESOLVE: "resolved",
    Change.MERGE: "merged",
    Change.EXPIRE: "opened again",
    Change.ESCALATE: "escalated",
    Change.NOTE: "noted upon",
    Change.ASSIGN: "assigned",
    Change.CLASSIFY: "classified",
    Change.SNOOZE: "snoozed",
    Change.LINK: "linked",
    Change.TOLD: "told of",
    Change.ACTION: "given action items",
}


class IllegalChange(ValueError):
    """The table has no such change."""

    def __init__(self, status: Status, change: Change) -> None:
        super().__init__(f"an incident that is {status.value} cannot be {PARTICIPLES[change]}")


def after(status: Status, change: Change) -> Status:
    """The status that `change` leads to.

    Raises:
        IllegalChange: it is not possible in this status.
    """
    if (status, change) in _AFTER:
        return _AFTER[status, change]
    if change in _STAYING and (not status.over or (status is Status.RESOLVED and change in _AFTERWARDS)):
        return status
    raise IllegalChange(status, change)


CRITICAL_WITHIN: Final = timedelta(minutes=15)
_WITHIN: Final = {
    Severity.P0: timedelta(minutes=5),
    Severity.P1: timedelta(minutes=15),
    Severity.P2: timedelta(hours=1),
}
_DAY_ENDS: Final = time(17, 0, tzinfo=UTC)
POSTMORTEM_WITHIN: Final = timedelta(hours=48)


def acknowledge_by(severity: Severity, alarm_at: datetime) -> datetime:
    """When it must be acknowledged: 5 min (P0), 15 min (P1), 1 h (P2), the end of the next business day
    (P3: Monday to Friday, 17:00 UTC). `alarm_at` is when its clock began, by the database."""
    if severity in _WITHIN:
        return alarm_at + _WITHIN[severity]
    day = alarm_at.astimezone(UTC).date() + timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return datetime.combine(day, _DAY_ENDS)


def postmortem_by(severity: Severity, resolved_at: datetime | None, opened_at: datetime) -> datetime | None:
    """When the postmortem of a P0 or P1 is due: 48 h after it is over, or after it began while it is not."""
    return (resolved_at or opened_at) + POSTMORTEM_WITHIN if severity.critical else None
