"""What each verb does to an incident whose row is held and whose status allows it.

Every function writes the row and says what is to be recorded; the caller records it in the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from cockpit.authority.at_commit import stop
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.incident_acts import Act, Said, needed, no
from cockpit.authority.incident_book import Held, hold
from cockpit.authority.incident_classes import classify
from cockpit.authority.incident_recovery import resolve_refusal
from cockpit.authority.means import Means
from cockpit.authority.override import check_reviewer
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.communications import Audience
from cockpit.domain.documents import rfc3339
from cockpit.domain.incident_requests import IncidentRequest, Verb
from cockpit.domain.incident_rules import (
    MOST_LINKED,
    escalate_fault,
    freed_key,
    merge_fault,
    snooze_fault,
    unreviewed,
)
from cockpit.domain.incident_story import linked
from cockpit.domain.incidents import Change
from cockpit.domain.permissions import Permission
from cockpit.domain.refusals import Code, Refused

_TOUCH: Final = "UPDATE incidents SET last_event_at = clock_timestamp() WHERE incident_id = $1"
_ASSIGN: Final = "UPDATE incidents SET owner = $2, last_event_at = clock_timestamp() WHERE incident_id = $1"
# Whatever it was, it is an alarm again: its clock begins anew and nothing keeps it quiet.
_ESCALATE: Final = """
UPDATE incidents SET severity = $2, status = $3, alarm_at = clock_timestamp(), snoozed_until = NULL,
       last_event_at = clock_timestamp()
 WHERE incident_id = $1
"""
_SNOOZE: Final = (
    "UPDATE incidents SET snoozed_until = $2, last_event_at = clock_timestamp() WHERE incident_id = $1"
)
_LINK: Final = """
UPDATE incidents SET breakers = $2, slos = $3, last_event_at = clock_timestamp() WHERE incident_id = $1
"""
_OVER: Final = """
UPDATE incidents SET status = $2, resolved_at = clock_timestamp(), resolved_by = $3, root_cause = $4,
       merged_into = $5, dedup_key = $6, last_event_at = clock_timestamp()
 WHERE incident_id = $1
"""
_ACTION: Final = """
INSERT INTO incident_actions (action_id, incident_id, what, owner, due_at, added_by)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_DONE: Final = """
UPDATE incident_actions SET done_at = clock_timestamp(), done_by = $3
 WHERE action_id = $1 AND incident_id = $2 AND done_at IS NULL RETURNING what
"""


async def _note(act: Act) -> Said:
    await act.connection.execute(_TOUCH, act.held.incident_id)
    return Said(f"Noted on: {act.held.row.title}", "noted", {})


async def _assign(act: Act) -> Said:
    owner = act.request.owner
    standing = await read_standing(act.connection, owner)
    if authorise(standing, owner, Permission.ACK_INCIDENT, GLOBAL)[1] is not None:
        said = f"{owner} is no login that may handle incidents now."
        raise Refused(Code.MALFORMED, said, "Name an operator or a safety-admin.")
    await act.connection.execute(_ASSIGN, act.held.incident_id, owner)
    details = {"owner": owner, "before": act.held.row.owner}
    return Said(f"{owner} owns it now: {act.held.row.title}", "assigned", details)


async def _escalate(act: Act) -> Said:
    severity, row = needed(act.request.severity), act.held.row
    no(escalate_fault(row, severity), "Choose a higher severity; lower ones are nobody's to give.")
    status = act.held.after(Change.ESCALATE)
    await act.connection.execute(_ESCALATE, act.held.incident_id, severity.value, status.value)
    details = {"severity": severity.value, "before": row.severity}
    message = f"{severity} now, and to be acknowledged anew: {row.title}"
    return Said(message, "escalated", details, "trigger", severity)


async def _snooze(act: Act) -> Said:
    until = needed(act.request.until)
    no(snooze_fault(act.held.row, until, act.held.now), "Name a time within 24 h; a P0 stays loud.")
    await act.connection.execute(_SNOOZE, act.held.incident_id, until)
    message = f"Quiet until {_said(until, act.held.now)}, its clocks go on: {act.held.row.title}"
    return Said(message, "snoozed", {"until": rfc3339(until)})


def _said(until: datetime, now: datetime) -> str:
    """For people: the day too, where it is not today's."""
    until, now = until.astimezone(UTC), now.astimezone(UTC)
    return f"{until:%H:%M} UTC" if until.date() == now.date() else f"{until:%Y-%m-%d %H:%M} UTC"


async def _link(act: Act) -> Said:
    request, row = act.request, act.held.row
    if not (request.breakers or request.slos):
        raise Refused(Code.MALFORMED, "Nothing is named to link it to.", "Name breakers or SLOs.")
    check_links(act.means, request)
    breakers, slos = linked(row) + request.breakers, row.slos + request.slos
    await _write_links(act, act.held, breakers, slos)
    details = {"breakers": list(request.breakers), "slos": list(request.slos)}
    names = ", ".join((*request.breakers, *request.slos))
    return Said(f"Linked to {names}: {row.title}", "linked", details)


async def _told(act: Act) -> Said:
    audience = act.request.audience
    if audience not in tuple(Audience):
        said = f"{audience} is no audience of the communication table."
        raise Refused(Code.MALFORMED, said, f"They are {', '.join(Audience)}.")
    await act.connection.execute(_TOUCH, act.held.incident_id)
    return Said(f"{audience} told of: {act.held.row.title}", "told", {"audience": audience})


async def _action(act: Act) -> Said:
    request, owner = act.request, act.request.owner or act.identity.login
    if request.owner:
        await _known_login(act, owner)
    until: datetime | None = request.until
    if until is not None and until <= act.held.now:
        raise Refused(Code.MALFORMED, "It would be due in the past.", "Name a time to come, or none.")
    action_id = UUID(act.asked.request_id)
    await act.connection.execute(
        _ACTION, action_id, act.held.incident_id, request.title, owner, until, act.identity.login
    )
    await act.connection.execute(_TOUCH, act.held.incident_id)
    details = {
        "action_id": str(action_id),
        "what": request.title,
        "owner": owner,
        "due_at": rfc3339(until) if until else None,
    }
    return Said(f"To do for {owner}: {request.title} ({action_id})", "action", details)


async def _done(act: Act) -> Said:
    action_id = UUID(act.request.action_id)
    what = await act.connection.fetchval(_DONE, action_id, act.held.incident_id, act.identity.login)
    if what is None:
        raise Refused(
            Code.WRONG_STATE,
            f"The incident has no action item {action_id} that is to be done.",
            "`cockpit incident show` lists them.",
        )
    await act.connection.execute(_TOUCH, act.held.incident_id)
    return Said(f"Done: {what}", "done", {"action_id": str(action_id), "what": what})


async def _resolve(act: Act) -> Said:
    row, status = act.held.row, act.held.after(Change.RESOLVE)
    await _may_end(act)
    stop(await resolve_refusal(act.connection, act.means, row, act.broker))
    root_cause = act.command.notes
    await _end(act, status.value, root_cause, None)
    return Said(f"Resolved: {row.title}", "resolved", {"root_cause": root_cause}, "resolve")


async def _merge(act: Act) -> Said:
    row, into_id = act.held.row, act.request.into
    if into_id == row.incident_id:
        raise Refused(Code.WRONG_STATE, "An incident cannot be merged into itself.", "Choose another one.")
    status = act.held.after(Change.MERGE)
    into = await hold(act.connection, into_id)
    window = timedelta(seconds=act.means.limits.critical_window_s)
    why = merge_fault(row, into.row, act.held.now, window)
    no(why, "Choose another one, or acknowledge and resolve this one.")
    await _may_end(act)
    await _write_links(act, into, linked(into.row) + linked(row), into.row.slos + row.slos)
    await _end(act, status.value, None, UUID(into_id))
    links = {"breakers": list(linked(row)), "slos": list(row.slos)}
    taken = {"from": row.incident_id, "title": row.title, **links}
    details = {"into": into_id, "title": into.row.title}
    message = f"Merged into {into.row.title}: {row.title}"
    return Said(message, "merged", details, "resolve", elsewhere=((into_id, "took-over", taken),))


async def _may_end(act: Act) -> None:
    """A break-glass ends only after somebody else's review, and never by who gave it (I19, I23)."""
    await check_reviewer(act.connection, act.held.incident_id, act.identity.person_id)
    if unreviewed(act.held.row):
        raise Refused(
            Code.UNREVIEWED,
            "Nobody has reviewed this override yet.",
            "Somebody other than who gave it acknowledges it first.",
        )


async def _end(act: Act, status: str, root_cause: str | None, into: UUID | None) -> None:
    key = freed_key(act.held.dedup_key, act.held.row.incident_id)
    await act.connection.execute(
        _OVER, act.held.incident_id, status, act.identity.login, root_cause, into, key
    )


async def _write_links(act: Act, held: Held, breakers: tuple[str, ...], slos: tuple[str, ...]) -> None:
    """Each once, and none that is the incident's own breaker already."""
    others = [name for name in dict.fromkeys(breakers) if name != held.row.breaker_id]
    if len(others) > MOST_LINKED or len(slos) > MOST_LINKED:
        raise Refused(Code.MALFORMED, "It would be linked to too much.", "Open an incident of its own.")
    await act.connection.execute(_LINK, held.incident_id, others, list(dict.fromkeys(slos)))


async def _known_login(act: Act, login: str) -> None:
    """
    Raises:
        Refused: no person's login that holds a role now.
    """
    standing = await read_standing(act.connection, login)
    if standing is None or standing.identity(None, GLOBAL) is None:
        raise Refused(Code.MALFORMED, f"{login} is no login that holds a role now.", "Name one that does.")


def check_links(means: Means, request: IncidentRequest) -> None:
    """
    Raises:
        Refused: a breaker that is not in the catalogue, or an objective that nobody has written down.
    """
    for name in request.breakers:
        if name not in means.catalogue:
            raise Refused(Code.MALFORMED, f"There is no breaker {name}.", "`cockpit status` lists them.")
    snapshot = means.objectives.recent()
    if snapshot is None or snapshot.faults:
        return  # not all that are written down are known: a name is only a name
    known = {each.name for each in (*snapshot.book.slos, *snapshot.book.thresholds, *snapshot.reports)}
    for slo in request.slos:
        if slo not in known:
            raise Refused(Code.MALFORMED, f"There is no objective {slo}.", "`cockpit slo` lists them.")


APPLY: Final[Mapping[Verb, tuple[Action, Callable[[Act], Awaitable[Said]]]]] = {
    Verb.NOTE: (Action.INCIDENT_NOTED, _note),
    Verb.ASSIGN: (Action.INCIDENT_ASSIGNED, _assign),
    Verb.CLASSIFY: (Action.INCIDENT_CLASSIFIED, classify),
    Verb.ESCALATE: (Action.INCIDENT_ESCALATED, _escalate),
    Verb.SNOOZE: (Action.INCIDENT_SNOOZED, _snooze),
    Verb.MERGE: (Action.INCIDENT_MERGED, _merge),
    Verb.LINK: (Action.INCIDENT_LINKED, _link),
    Verb.RESOLVE: (Action.INCIDENT_RESOLVED, _resolve),
    Verb.TOLD: (Action.INCIDENT_TOLD, _told),
    Verb.ACTION: (Action.INCIDENT_ACTION, _action),
    Verb.DONE: (Action.INCIDENT_ACTION, _done),
}
