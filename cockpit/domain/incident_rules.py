"""What stands in the way of a change of one incident, besides its status. Pure.

Every fault is a sentence without its first capital and its full stop; None means that nothing does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cockpit.domain.desk import CRITICAL, NO_OBSTACLE, IncidentRow
from cockpit.domain.incident_requests import Verb
from cockpit.domain.incidents import Change, Classification, Severity, Status
from cockpit.domain.recovery import BRANCH, NEEDS, Need

SNOOZE_AT_MOST: Final = timedelta(hours=24)
MOST_LINKED: Final = 100
STANDING: Final = ("slo:", "latch:")
"""Keys of conditions that stand and come again; the end of their incident sets the key free."""
CHANGES: Final = {
    Verb.NOTE: Change.NOTE,
    Verb.ASSIGN: Change.ASSIGN,
    Verb.CLASSIFY: Change.CLASSIFY,
    Verb.ESCALATE: Change.ESCALATE,
    Verb.SNOOZE: Change.SNOOZE,
    Verb.MERGE: Change.MERGE,
    Verb.LINK: Change.LINK,
    Verb.RESOLVE: Change.RESOLVE,
    Verb.TOLD: Change.TOLD,
    Verb.ACTION: Change.ACTION,
    Verb.DONE: Change.ACTION,
}
JUSTIFIED: Final = frozenset({Verb.CLASSIFY, Verb.ESCALATE, Verb.MERGE, Verb.RESOLVE})
"""What needs notes of 20 to 500 characters; a resolve's are the root cause."""
PROVES: Final = frozenset({Verb.CLASSIFY, Verb.RESOLVE})
"""What may take recovery conditions away, which must hold then."""
_ENTAILED: Final = {Need.CLEAN_RUNS: Need.RERUN}
"""Who demands the one demands the other too: two clean reconciliations in a row are one."""


def unreviewed(row: IncidentRow) -> bool:
    """A break-glass that no second person has looked at yet: until then it can be neither resolved nor
    merged away (I23)."""
    return row.source == "override" and row.acknowledged_at is None


def escalate_fault(row: IncidentRow, severity: Severity) -> str | None:
    if severity.value < row.severity:
        return None
    return f"it is {row.severity} already, and {severity.value} is not higher"


def snooze_fault(row: IncidentRow, until: datetime, now: datetime) -> str | None:
    """`now` is the database's clock."""
    if row.severity == Severity.P0:
        return "a P0 cannot be snoozed"
    if until <= now:
        return "until lies in the past"
    if until > now + SNOOZE_AT_MOST:
        return "nothing is snoozed for more than 24 h"
    return None


def merge_fault(row: IncidentRow, into: IncidentRow, now: datetime, window: timedelta) -> str | None:
    """Why `row` cannot become part of `into`. What holds up a resume does so afterwards too: a critical
    incident that nobody acknowledged goes only into one that holds up as well, and recovery conditions are
    not lost, nor the moment since when they must be met. `window` is how long an unacknowledged critical
    incident holds up."""
    if row.incident_id == into.incident_id:
        return "an incident cannot be merged into itself"
    if Status(into.status).over:
        return f"the other one is {into.status}"
    if row.severity in CRITICAL and into.severity > row.severity:
        return f"the other one is only {into.severity}, and this one {row.severity}"
    if _holds_up(row, now, window) and not _holds_up(into, now, window):
        return "nobody has acknowledged it yet, and the other one holds up no resume"
    return _lost_conditions(row, into)


def _lost_conditions(row: IncidentRow, into: IncidentRow) -> str | None:
    """What recovery demands is demanded since the opening of what is left: of the same branch, and no
    earlier. Nothing is demanded of a person's own trip and of an override."""
    branch = BRANCH.get(row.classification)
    if branch is None or row.source in NO_OBSTACLE:
        return None
    lost = f"its recovery conditions ({row.classification}) would be lost"
    if into.source in NO_OBSTACLE:
        return f"{lost}: of the other one, a person's own {into.source}, recovery demands nothing"
    if BRANCH.get(into.classification) is not branch:
        return f"{lost}: the other one is {into.classification}"
    if into.opened_at < row.opened_at:
        return f"{lost}: the other one was opened before it, and recovery counts since then"
    return None


def classify_fault(row: IncidentRow, classification: Classification) -> str | None:
    if row.classification != classification.value:
        return None
    return f"it is classified as {classification.value} already"


def lost_needs(row: IncidentRow, classification: Classification) -> tuple[Need, ...]:
    """What recovery demands of it now and would demand no more under another classification. Nothing is
    demanded of a person's own trip and of an override."""
    before = BRANCH.get(row.classification)
    if before is None or row.source in NO_OBSTACLE:
        return ()
    branch = BRANCH.get(classification.value)
    kept = set(NEEDS[branch]) if branch else set()
    kept |= {_ENTAILED[need] for need in kept if need in _ENTAILED}
    return tuple(need for need in NEEDS[before] if need not in kept)


def _holds_up(row: IncidentRow, now: datetime, window: timedelta) -> bool:
    recent = now - (row.alarm_at or row.opened_at) < window
    return row.severity in CRITICAL and row.status == Status.OPEN and row.source not in NO_OBSTACLE and recent


def acknowledgement_ends(row: IncidentRow, expiry: timedelta) -> datetime | None:
    """When the acknowledgement of a critical incident runs out, if nothing happens until then; never while
    it is snoozed. None where there is none that could."""
    if row.status != Status.ACKNOWLEDGED or row.severity not in CRITICAL:
        return None
    ends = (row.last_event_at or row.opened_at) + expiry
    return ends if row.snoozed_until is None else max(ends, row.snoozed_until)


def freed_key(dedup_key: str | None, incident_id: str) -> str | None:
    """The key that an incident keeps once it is over."""
    if dedup_key is None or not dedup_key.startswith(STANDING):
        return dedup_key
    return f"{dedup_key}#{incident_id}"
