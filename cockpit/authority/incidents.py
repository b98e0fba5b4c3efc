"""Everything that people do to incidents: a signed request each, and all or nothing.

A change is one transaction: the row, one audit entry, one line of the story that names it, its page, and the
request's outcome. A crash before its end leaves none of it, and the request is decided by the next term.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from backends.audit_log import append
from cockpit.authority import faults
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.incident_acts import Act, Said, needed
from cockpit.authority.incident_book import NewIncident, add_event, began, hold, insert
from cockpit.authority.incident_changes import APPLY, check_links
from cockpit.authority.incident_recovery import UNASKED, asked_broker
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.override import check_reviewer
from cockpit.authority.pages import page
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command
from cockpit.domain.incident_requests import IncidentRequest, Verb, parse_request
from cockpit.domain.incident_rules import CHANGES, JUSTIFIED, PROVES
from cockpit.domain.incidents import BadIncident, Change, Severity
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refusal, Refused
from cockpit.domain.text import MAX_NOTES, clean
from cockpit.operations.ports import VenueGateway

# A run's own file is told of the acknowledgement later; who acknowledges what nobody owns owns it.
_ACKNOWLEDGE: Final = """
UPDATE incidents
   SET status = $2, acknowledged_at = clock_timestamp(), acknowledged_by = $3, owner = coalesce(owner, $3),
       last_event_at = clock_timestamp(), run_ack_due = run_id IS NOT NULL
 WHERE incident_id = $1
"""


async def acknowledge(means: Means, asked: Asked, command: Command, identity: Identity) -> None:
    """Acknowledge the incident in `command.target`.

    Raises:
        Refused: there is none, it is not open, it is of one's own override, or the notes do not count.
    """
    stop(bad_notes(command))
    try:
        incident_id = UUID(command.target or "")
    except ValueError:
        raise Refused(
            Code.MALFORMED, "target is not an incident's id.", "The incidents panel lists them."
        ) from None
    await means.fault(faults.BEFORE_INCIDENT)
    async with means.transaction() as connection:
        await _still_allowed(connection, command)
        held = await hold(connection, incident_id)
        status = held.after(Change.ACKNOWLEDGE)
        await check_reviewer(connection, incident_id, identity.person_id)
        await connection.execute(_ACKNOWLEDGE, incident_id, status.value, identity.login)
        title = held.row.title
        said = Said(f"Acknowledged: {title}", "acknowledged", {"title": title}, pages="acknowledge")
        act = Act(means, connection, asked, command, identity, IncidentRequest(Verb.NOTE), held)
        await _record(act, said, Action.ACKNOWLEDGED)
    await means.fault(faults.AFTER_INCIDENT)


async def change_incident(
    means: Means, gateway: VenueGateway | None, asked: Asked, command: Command, identity: Identity
) -> None:
    """Do what an INCIDENT command says: its verb is the reason, the arguments are the target.

    Raises:
        Refused: no such incident, its status or a rule does not allow it, or the request is malformed.
    """
    try:
        request = parse_request(command.reason, command.target)
    except BadIncident as fault:
        raise Refused(Code.MALFORMED, f"The request does not count: {fault}.") from fault
    stop(bad_notes(command) if request.verb in JUSTIFIED else _bad_remark(command, request.verb))
    broker = UNASKED
    if request.verb in PROVES and request.incident_id is not None:
        broker = await asked_broker(means, gateway, request.incident_id)
    await means.fault(faults.BEFORE_INCIDENT)
    async with means.transaction() as connection:
        await _still_allowed(connection, command)
        if request.incident_id is None:
            await _open(means, connection, asked, command, identity, request)
        else:
            held = await hold(connection, request.incident_id)
            held.after(CHANGES[request.verb])
            _about(command, (held.row.breaker_id, *held.row.breakers))
            act = Act(means, connection, asked, command, identity, request, held, broker)
            action, apply = APPLY[request.verb]
            await _record(act, await apply(act), action)
    await means.fault(faults.AFTER_INCIDENT)


async def _open(
    means: Means,
    connection: Any,
    asked: Asked,
    command: Command,
    identity: Identity,
    request: IncidentRequest,
) -> None:
    """A person's own incident; it bears the id of the request that asks for it."""
    check_links(means, request)
    _about(command, request.breakers)
    own, *others = dict.fromkeys(request.breakers) or (None,)
    new = NewIncident(
        severity=needed(request.severity),
        classification=needed(request.classification).value,
        title=request.title,
        source="manual",
        dedup_key=f"manual:{asked.request_id}",
        breaker_id=own,
        breakers=tuple(name for name in others if name),
        slos=tuple(dict.fromkeys(request.slos)),
        opened_by=identity.login,
        notes=command.notes,
        incident_id=asked.request_id,
    )
    await insert(connection, new)
    await means.fault(faults.INCIDENT_CHANGED)
    entry = await append(
        connection,
        new_entry(
            means.key,
            asked.author(identity.role.value),
            Action.INCIDENT_OPENED,
            asked.request_id,
            command.breaker_id,
            {
                "incident_id": new.incident_id,
                "severity": new.severity.value,
                "classification": new.classification,
                "title": new.title,
                "breakers": list(request.breakers),
                "slos": list(new.slos),
                "notes": command.notes,
            },
        ),
    )
    await began(connection, new, entry.seq)
    message = f"{new.severity} is open: {new.title} ({new.incident_id})"
    await _decide(means, connection, asked, command, message, entry.seq)


async def _record(act: Act, said: Said, action: Action) -> None:
    """The audit entry of a change that is made, its line in the story, its page and its outcome."""
    means, connection, row = act.means, act.connection, act.held.row
    await means.fault(faults.INCIDENT_CHANGED)
    details = {"incident_id": row.incident_id, **said.details, "notes": act.command.notes}
    entry = await append(
        connection,
        new_entry(
            means.key,
            act.asked.author((said.role or act.identity.role).value),
            action,
            act.asked.request_id,
            act.command.breaker_id,
            details,
        ),
    )
    actor, notes = act.identity.login, act.command.notes
    await add_event(connection, row.incident_id, said.kind, actor, notes, said.details, entry.seq)
    for incident_id, kind, more in said.elsewhere:
        await add_event(connection, incident_id, kind, actor, notes, more, entry.seq)
    if said.pages:
        severity = said.severity or Severity(row.severity)
        told = {**said.details, "by": actor, "notes": notes, "breaker_id": row.breaker_id}
        await page(connection, row.incident_id, said.pages, severity, row.title, told)
    await _decide(means, connection, act.asked, act.command, said.message, entry.seq)


async def _decide(
    means: Means, connection: Any, asked: Asked, command: Command, message: str, seq: int
) -> None:
    outcome = done(command.breaker_id, message, asked.request_id, seq)
    await record_outcome(connection, asked.request_id, "done", outcome, seq, kind=command.kind.value)
    await tell(connection, CHANGE)
    await means.fault(faults.INCIDENT_AUDITED)


async def _still_allowed(connection: Any, command: Command) -> None:
    """Permission as of now (I21)."""
    standing = await read_standing(connection, command.login)
    stop(authorise(standing, command.login, Permission.ACK_INCIDENT, command.breaker_id)[1])


def _about(command: Command, linked: tuple[str | None, ...]) -> None:
    """A command names `global`, or what its incident is linked to."""
    if command.breaker_id != GLOBAL and command.breaker_id not in linked:
        said = f"The incident is not linked to {command.breaker_id}."
        raise Refused(Code.MALFORMED, said, "Ask about global.")


def _bad_remark(command: Command, verb: Verb) -> Refusal | None:
    """Notes that may be short or missing; of a NOTE they are what it says."""
    notes = command.notes
    if verb is Verb.NOTE and not notes.strip():
        return Refusal(Code.MALFORMED, "The note says nothing.", "Write what happened.")
    if len(notes) > MAX_NOTES or notes != clean(notes, MAX_NOTES) or notes != " ".join(notes.split()):
        said = f"The notes have over {MAX_NOTES} characters, or some that act on a terminal."
        return Refusal(Code.MALFORMED, said, "Send them as the cockpit would.")
    return None
