"""What people ask of incidents: one `Wish` for each change, ready for `operations.resume.ask`.

Everything that the authority would call malformed is found here first. An INCIDENT's breaker is `global`,
since whoever may handle incidents may handle all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.incident_requests import IncidentRequest, Verb, parse_request
from cockpit.domain.incidents import Classification, Severity
from cockpit.operations.resume import Wish


class RunIncidents(Protocol):
    """Where a run's incident is found."""

    async def incident_of_run(self, run_id: str, run_incident: str) -> str: ...


def wish(request: IncidentRequest, notes: str = "") -> Wish:
    """Any change of an incident.

    Raises:
        BadIncident: a field that it needs is missing or cannot be used.
    """
    target = request.target()
    parse_request(request.verb.value, target)
    return Wish(Kind.INCIDENT, GLOBAL, notes, target=target, reason=request.verb.value)


def acknowledge_wish(incident_id: str, notes: str) -> Wish:
    return Wish(Kind.ACKNOWLEDGE, GLOBAL, notes, target=incident_id)


def open_wish(
    severity: Severity,
    classification: Classification,
    title: str,
    notes: str = "",
    breakers: tuple[BreakerId, ...] = (),
    slos: tuple[str, ...] = (),
) -> Wish:
    """A new incident. It bears the id of the request, which the outcome says as its event."""
    return wish(
        IncidentRequest(
            Verb.OPEN,
            severity=severity,
            classification=classification,
            title=title,
            breakers=breakers,
            slos=slos,
        ),
        notes,
    )


def note_wish(incident_id: str, notes: str) -> Wish:
    return wish(IncidentRequest(Verb.NOTE, incident_id), notes)


def assign_wish(incident_id: str, owner: str, notes: str = "") -> Wish:
    """`owner` is a login."""
    return wish(IncidentRequest(Verb.ASSIGN, incident_id, owner=owner), notes)


def classify_wish(incident_id: str, classification: Classification, notes: str) -> Wish:
    """What it is: which recovery conditions hold a resume up follows from it."""
    return wish(IncidentRequest(Verb.CLASSIFY, incident_id, classification=classification), notes)


def escalate_wish(incident_id: str, severity: Severity, notes: str) -> Wish:
    """To a higher severity; it must then be acknowledged anew."""
    return wish(IncidentRequest(Verb.ESCALATE, incident_id, severity=severity), notes)


def snooze_wish(incident_id: str, until: datetime, notes: str = "") -> Wish:
    """Quiet until then, at most 24 h; never a P0."""
    return wish(IncidentRequest(Verb.SNOOZE, incident_id, until=until), notes)


def merge_wish(incident_id: str, into: str, notes: str) -> Wish:
    return wish(IncidentRequest(Verb.MERGE, incident_id, into=into), notes)


def link_wish(
    incident_id: str, breakers: tuple[BreakerId, ...] = (), slos: tuple[str, ...] = (), notes: str = ""
) -> Wish:
    return wish(IncidentRequest(Verb.LINK, incident_id, breakers=breakers, slos=slos), notes)


def resolve_wish(incident_id: str, root_cause: str) -> Wish:
    """`root_cause` are the notes, 20 to 500 characters."""
    return wish(IncidentRequest(Verb.RESOLVE, incident_id), root_cause)


def told_wish(incident_id: str, audience: str, notes: str = "") -> Wish:
    """`audience` is one of the communication table's."""
    return wish(IncidentRequest(Verb.TOLD, incident_id, audience=audience), notes)


def action_wish(
    incident_id: str, what: str, owner: str = "", due_at: datetime | None = None, notes: str = ""
) -> Wish:
    """An action item; without an owner it is the asker's. It bears the id of the request."""
    return wish(IncidentRequest(Verb.ACTION, incident_id, title=what, owner=owner, until=due_at), notes)


def done_wish(incident_id: str, action_id: str, notes: str = "") -> Wish:
    return wish(IncidentRequest(Verb.DONE, incident_id, action_id=action_id), notes)
