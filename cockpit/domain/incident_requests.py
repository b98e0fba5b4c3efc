"""What an INCIDENT command asks for: the verb is its `reason`, the arguments its `target`, as JSON.

Notes (20 to 500 characters) are needed to acknowledge, classify, escalate, merge and resolve; elsewhere they
may be short or missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from cockpit.domain.breakers import BreakerId, InvalidBreakerId, parse_breaker_id
from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.domain.incidents import BadIncident, Classification, Severity, parse_severity
from cockpit.domain.text import clean

MOST_TITLE: Final = 200
MOST_LINKS: Final = 20


class Verb(StrEnum):
    OPEN = "open"
    NOTE = "note"
    ASSIGN = "assign"
    CLASSIFY = "classify"
    ESCALATE = "escalate"
    SNOOZE = "snooze"
    MERGE = "merge"
    LINK = "link"
    RESOLVE = "resolve"
    TOLD = "told"  # an audience of the communication table
    ACTION = "action"  # add an action item
    DONE = "done"  # an action item is done


@dataclass(frozen=True, slots=True)
class IncidentRequest:
    """One change. `incident_id` is None for OPEN alone. Which other fields count depends on the verb:

    OPEN severity, classification, title, breakers, slos · ASSIGN owner (a login) · CLASSIFY classification ·
    ESCALATE severity · SNOOZE until · MERGE into · LINK breakers, slos · TOLD audience ·
    ACTION title, owner, until (due) · DONE action_id. RESOLVE and NOTE say what they say in the command's
    notes (a resolve's are the root cause).
    """

    verb: Verb
    incident_id: str | None = None
    severity: Severity | None = None
    classification: Classification | None = None
    title: str = ""
    breakers: tuple[BreakerId, ...] = field(default=())
    slos: tuple[str, ...] = field(default=())
    owner: str = ""
    until: datetime | None = None
    into: str = ""
    audience: str = ""
    action_id: str = ""

    def target(self) -> str:
        """The command's target: JSON with sorted keys and without empty fields."""
        values: dict[str, object] = {
            "incident_id": self.incident_id,
            "severity": self.severity.value if self.severity else None,
            "classification": self.classification.value if self.classification else None,
            "title": self.title,
            "breakers": list(self.breakers),
            "slos": list(self.slos),
            "owner": self.owner,
            "until": rfc3339(self.until) if self.until else None,
            "into": self.into,
            "audience": self.audience,
            "action_id": self.action_id,
        }
        return json.dumps({name: value for name, value in values.items() if value}, sort_keys=True)


_NEEDS: Final[Mapping[Verb, frozenset[str]]] = {
    Verb.OPEN: frozenset({"severity", "classification", "title"}),
    Verb.NOTE: frozenset({"incident_id"}),
    Verb.ASSIGN: frozenset({"incident_id", "owner"}),
    Verb.CLASSIFY: frozenset({"incident_id", "classification"}),
    Verb.ESCALATE: frozenset({"incident_id", "severity"}),
    Verb.SNOOZE: frozenset({"incident_id", "until"}),
    Verb.MERGE: frozenset({"incident_id", "into"}),
    Verb.LINK: frozenset({"incident_id"}),
    Verb.RESOLVE: frozenset({"incident_id"}),
    Verb.TOLD: frozenset({"incident_id", "audience"}),
    Verb.ACTION: frozenset({"incident_id", "title"}),
    Verb.DONE: frozenset({"incident_id", "action_id"}),
}
_MAY: Final[Mapping[Verb, frozenset[str]]] = {
    Verb.OPEN: frozenset({"breakers", "slos"}),
    Verb.LINK: frozenset({"breakers", "slos"}),
    Verb.ACTION: frozenset({"owner", "until"}),
}


def parse_request(verb: str, target: str | None) -> IncidentRequest:
    """The change that a command's reason and target name.

    Raises:
        BadIncident: an unknown verb, or a field that is missing, foreign or of the wrong kind.
    """
    try:
        chosen = Verb(verb)
    except ValueError:
        raise BadIncident(f"{clean(verb, 40)!r} is nothing to do with an incident") from None
    try:
        fields = json.loads(target or "{}")
    except (ValueError, RecursionError):
        raise BadIncident("target is not JSON") from None
    if not isinstance(fields, dict):
        raise BadIncident("target is not a JSON object")
    needs, may = _NEEDS[chosen], _MAY.get(chosen, frozenset())
    for name in sorted(needs - fields.keys()):
        raise BadIncident(f"{name} is missing")
    for name in sorted(fields.keys() - needs - may):
        raise BadIncident(f"{clean(name, 40)} does not belong to {chosen.value}")
    return _read(chosen, fields)


def _read(verb: Verb, fields: Mapping[str, object]) -> IncidentRequest:
    names = _texts(fields, "breakers")
    try:
        breakers = tuple(parse_breaker_id(name) for name in names)
    except InvalidBreakerId as error:
        raise BadIncident(str(error)) from error
    classification = _text(fields, "classification")
    if classification and classification not in tuple(Classification):
        known = ", ".join(Classification)
        raise BadIncident(f"classification {clean(classification, 40)!r} is not one of {known}")
    until = _text(fields, "until")
    try:
        moment = parse_rfc3339(until) if until else None
    except ValueError as error:
        raise BadIncident(f"until: {error}") from error
    severity = _text(fields, "severity")
    return IncidentRequest(
        verb,
        _uuid(fields, "incident_id") or None,
        parse_severity(severity) if severity else None,
        Classification(classification) if classification else None,
        _text(fields, "title"),
        breakers,
        _texts(fields, "slos"),
        _text(fields, "owner"),
        moment,
        _uuid(fields, "into"),
        _text(fields, "audience"),
        _uuid(fields, "action_id"),
    )


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str) or (name in fields and not value.strip()):
        raise BadIncident(f"{name} is not a text")
    if len(value) > MOST_TITLE:
        raise BadIncident(f"{name} has over {MOST_TITLE} characters")
    if value != clean(value, MOST_TITLE):
        raise BadIncident(f"{name} holds characters that act on a terminal")
    return value


def _texts(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise BadIncident(f"{name} is not a list of names")
    if len(value) > MOST_LINKS or any(len(each) > 100 or each != clean(each, 100) for each in value):
        raise BadIncident(f"{name} holds more than {MOST_LINKS} names, or one that is none")
    return tuple(value)


def _uuid(fields: Mapping[str, object], name: str) -> str:
    text = _text(fields, name)
    if not text:
        return ""
    try:
        same = str(UUID(text)) == text
    except ValueError:
        same = False
    if not same:
        raise BadIncident(f"{name} is not an id as the cockpit shows it")
    return text
