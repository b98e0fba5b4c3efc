"""What can be picked where an incident is opened or changed, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cockpit.domain.communications import Audience
from cockpit.domain.desk import NO_OBSTACLE, IncidentRow
from cockpit.domain.incident_rules import lost_needs
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.permissions import handles_incidents
from cockpit.domain.recovery import BRANCH, NEEDS, WORDS, Need
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.incident_clocks import severity_words
from widgets.incident_rows import alive_rows

SEVERITY_WORDS: Final = {
    Severity.P0: "all is down, or a position runs away · ack in 5 min",
    Severity.P1: "a core objective or the data feed is gone · 15 min",
    Severity.P2: "it works, but worse than promised · 1 h",
    Severity.P3: "worth a look · end of the next business day",
}
CLASS_WORDS: Final = {
    Classification.DATA_QUALITY: "bars stale, missing or wrong",
    Classification.RECONCILIATION: "our books and the venue's differ",
    Classification.BROKER: "the venue's API, its session or its feed",
    Classification.SECURITY: "logins, keys, the audit chain",
    Classification.OTHER: "none of these",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One thing to pick: its key, how it reads, what it means."""

    key: str
    name: str
    words: str = ""


def above(_board: Board, row: IncidentRow) -> Sequence[Option]:
    """The severities above its own, the next one first."""
    ranked = [each for each in Severity if each.value < row.severity]
    return [Option(each.value, f"{each.value}/{each.sev}", SEVERITY_WORDS[each]) for each in reversed(ranked)]


def logins(board: Board, row: IncidentRow) -> Sequence[Option]:
    """Oneself first, then everybody else whose role may handle incidents."""
    me = board.identity.login if board.identity else board.login
    roles = board.desk.roles if board.desk else {}
    others = sorted(each for each, held in roles.items() if each != me and handles_incidents(held))
    named = [Option(me, me, "yourself")] + [Option(each, clean(each, 40)) for each in others]
    return [
        Option(each.key, each.name, "owns it now" if each.key == row.owner else each.words) for each in named
    ]


def others(board: Board, row: IncidentRow) -> Sequence[Option]:
    """What is not over besides it, the most urgent first."""
    return [
        Option(each.incident_id, severity_words(each), clean(each.title, 200))
        for each in alive_rows(board)
        if each.incident_id != row.incident_id
    ]


def audiences(_board: Board, _row: IncidentRow) -> Sequence[Option]:
    return [Option(each.value, each.value, each.channel) for each in Audience]


def classes(_board: Board, row: IncidentRow) -> Sequence[Option]:
    """The five words, each with what a resume would wait for; what it is now says so, and none is chosen."""
    return [
        Option(
            each.value, each.value, f"{'IS NOW · ' if each == row.classification else ''}{_waits(row, each)}"
        )
        for each in Classification
    ]


def class_told(row: IncidentRow, picked: str) -> str:
    """What a resume waits for now and would wait for then, and what would be taken away."""
    said = [f"Now {clean(row.classification, 60)}: {_waits(row, row.classification)}."]
    if picked and picked != row.classification:
        said.append(f"As {picked}: {_waits(row, picked)}.")
        if lost := lost_needs(row, Classification(picked)):
            said.append(f"Taken away: {_named(lost)}; unless that holds, only a safety-admin may.")
    return " ".join(said)


def _waits(row: IncidentRow, classification: str) -> str:
    if row.source in NO_OBSTACLE:
        return "holds up no resume"
    branch = BRANCH.get(classification)
    return f"resume waits for {_named(NEEDS[branch])}" if branch else "resume waits for no proof"


def _named(needs: Sequence[Need]) -> str:
    return " and ".join(WORDS[need] for need in needs)
