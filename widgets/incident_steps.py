"""What may be done with an incident now, and in words why the rest may not. The authority decides."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_rules import unreviewed
from cockpit.domain.incidents import Change, IllegalChange, Severity, Status, after
from cockpit.domain.permissions import Permission
from widgets.board import Board
from widgets.incident_clocks import severity_words
from widgets.next_steps import lacks

WORDS: Final = {
    Change.ACKNOWLEDGE: "acknowledge",
    Change.NOTE: "note",
    Change.ASSIGN: "assign",
    Change.CLASSIFY: "classify",
    Change.ESCALATE: "escalate",
    Change.SNOOZE: "snooze",
    Change.MERGE: "merge",
    Change.RESOLVE: "resolve",
    Change.TOLD: "told",
    Change.ACTION: "action item",
}


def recording_blocked(board: Board) -> str | None:
    """What stops every change of every incident: the right, Postgres, the authority."""
    if why := lacks(board, GLOBAL, Permission.ACK_INCIDENT):
        return why
    if not board.desk_readable:
        return f"{board.desk_lost}; incidents are kept there"
    if not board.authority_alive:
        return "no authority answers; it records incidents (`cockpit authority`)"
    return None


def why_not(board: Board, row: IncidentRow | None, change: Change) -> str | None:
    """None, or why this change of this incident is not possible now."""
    if why := recording_blocked(board):
        return why
    if row is None:
        return "that incident can no longer be read"
    try:
        status = Status(row.status)
    except ValueError:
        return "its state is none that this cockpit knows"
    if change is Change.ACKNOWLEDGE and status is Status.ACKNOWLEDGED:
        return f"{row.acknowledged_by or 'somebody'} has acknowledged it already"
    if change is Change.RESOLVE and status is Status.OPEN:
        return "acknowledge it first (a); then it can be resolved"
    if change is Change.ESCALATE and row.severity == Severity.P0.value:
        return f"it is {severity_words(row)} already, nothing is above that"
    if change is Change.SNOOZE and row.severity == Severity.P0.value:
        return "a P0 cannot be snoozed"
    if change in (Change.RESOLVE, Change.MERGE) and unreviewed(row):
        return "another safety-admin reviews this override first (a)"
    try:
        after(status, change)
    except IllegalChange as refused:
        return str(refused)
    return None
