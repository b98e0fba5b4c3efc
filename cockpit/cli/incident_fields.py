"""Incidents as JSON and as lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cockpit.cli.columns import aligned, span
from cockpit.domain.desk import IncidentRow
from cockpit.domain.documents import rfc3339
from cockpit.domain.event_words import event_line
from cockpit.domain.incident_story import IncidentList, IncidentStory, linked, overdue, snoozed
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.text import clean

_MOST_CLASS: Final = len(Classification.BROKER)
_MOST_LINK: Final = 26  # `strategy:` and most names, `cancel_only:BTC-USD`
_MOST_LINE: Final = 1_000  # notes are no longer than half of it


def _at(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


def row_fields(row: IncidentRow, now: datetime) -> dict[str, object]:
    """`now` is the database's clock."""
    return {
        "incident_id": row.incident_id,
        "severity": row.severity,
        "sev": Severity(row.severity).sev,
        "status": row.status,
        "classification": row.classification,
        "title": row.title,
        "source": row.source,
        "breaker_id": row.breaker_id,
        "breakers": list(linked(row)),
        "slos": list(row.slos),
        "owner": row.owner,
        "opened_by": row.opened_by or None,
        "opened_at": rfc3339(row.opened_at),
        "alarm_at": _at(row.alarm_at),
        "acknowledge_by": rfc3339(row.acknowledge_by),
        "overdue": overdue(row, now),
        "acknowledged_at": _at(row.acknowledged_at),
        "acknowledged_by": row.acknowledged_by,
        "snoozed_until": _at(row.snoozed_until),
        "last_event_at": _at(row.last_event_at),
        "resolved_at": _at(row.resolved_at),
        "resolved_by": row.resolved_by,
        "root_cause": row.root_cause,
        "merged_into": row.merged_into,
        "run_id": row.run_id,
        "run_incident": row.run_incident,
    }


def list_fields(found: IncidentList, rows: tuple[IncidentRow, ...]) -> dict[str, object]:
    return {
        "incidents": [row_fields(row, found.server_time) for row in rows],
        "counts": {
            "open": found.open_count,
            "acknowledged": found.acknowledged_count,
            "over": found.over_count,
        },
        "observed_at": rfc3339(found.server_time),
    }


def list_lines(found: IncidentList, rows: tuple[IncidentRow, ...]) -> tuple[str, ...]:
    if not rows:
        return ("No incident is unresolved.",) if not found.unresolved_count else ("None is listed.",)
    lines = aligned([_cells(row, found.server_time) for row in rows])
    return (*lines, f"… and {found.hidden} more unresolved ones.") if found.hidden > 0 else lines


def _cells(row: IncidentRow, now: datetime) -> tuple[str, ...]:
    owner = row.owner or "nobody's"
    return (
        row.severity,
        row.status,
        clock_words(row, now),
        age_words(row, now),
        owner,
        row.incident_id,
        _cut(row.classification, _MOST_CLASS),
        linked_words(row),
        row.title,
    )


def linked_words(row: IncidentRow) -> str:
    """The first that it is linked to, and how many more; breakers before objectives."""
    names = (*linked(row), *(f"slo:{each}" for each in row.slos))
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return _cut(names[0], _MOST_LINK) + more if names else "-"


def _cut(text: str, most: int) -> str:
    safe = clean(text, 200)
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


def age_words(row: IncidentRow, now: datetime) -> str:
    return span(max(0.0, (now - row.opened_at).total_seconds())) + " old"


def clock_words(row: IncidentRow, now: datetime) -> str:
    """How its acknowledgement stands."""
    if row.status != "open":
        quiet = snoozed(row, now) and row.status == "acknowledged" and row.snoozed_until
        return f"quiet until {row.snoozed_until:%H:%M}Z" if quiet else f"by {row.acknowledged_by or 'nobody'}"
    left = (row.acknowledge_by - now).total_seconds()
    return f"OVERDUE {span(-left)}" if left < 0 else f"due in {span(left)}"


def story_fields(story: IncidentStory) -> dict[str, object]:
    return {
        "incident": {
            **row_fields(story.row, story.server_time),
            "postmortem_by": _at(story.postmortem_by),
            "events": [
                {
                    "at": rfc3339(each.at),
                    "kind": each.kind,
                    "actor": each.actor,
                    "notes": each.notes,
                    "details": dict(each.details),
                    "audit_seq": each.audit_seq,
                }
                for each in story.events
            ],
            "events_left_out": story.cut,
            "actions": [
                {
                    "action_id": each.action_id,
                    "what": each.what,
                    "owner": each.owner,
                    "due_at": _at(each.due_at),
                    "added_by": each.added_by,
                    "added_at": rfc3339(each.added_at),
                    "done_at": _at(each.done_at),
                    "done_by": each.done_by,
                }
                for each in story.actions
            ],
            "pages": [
                {
                    "event": each.event,
                    "severity": each.severity,
                    "title": each.title,
                    "created_at": rfc3339(each.created_at),
                    "deliveries": [
                        {
                            "receiver": to.receiver,
                            "attempts": to.attempts,
                            "delivered_at": _at(to.delivered_at),
                            "given_up_at": _at(to.given_up_at),
                            "last_error": to.last_error,
                        }
                        for to in each.deliveries
                    ],
                }
                for each in story.pages
            ],
            "merged": [{"incident_id": each.incident_id, "title": each.title} for each in story.merged],
        },
        "observed_at": rfc3339(story.server_time),
    }


def story_lines(story: IncidentStory) -> tuple[str, ...]:
    row, now = story.row, story.server_time
    head = [
        f"{row.severity} ({Severity(row.severity).sev}) · {row.status} · {row.classification} · {row.title}",
        f"id        {row.incident_id}",
        f"opened    {rfc3339(row.opened_at)} by {row.opened_by or row.source}, {age_words(row, now)}",
        f"clock     {clock_words(row, now)}, owner {row.owner or 'nobody'}",
    ]
    told: Mapping[str, str] = {
        "linked": ", ".join((*story.breakers, *row.slos)),
        "run": f"{row.run_id} {row.run_incident}" if row.run_id else "",
        "snoozed": f"until {rfc3339(row.snoozed_until)}" if row.snoozed_until else "",
        "cause": row.root_cause or "",
        "merged": f"into {row.merged_into}" if row.merged_into else "",
        "took over": ", ".join(each.incident_id for each in story.merged),
    }
    head += [f"{name:<10}{text}" for name, text in told.items() if text]
    actions = [
        f"{'[x]' if each.done_at else '[ ]'} {each.what} ({each.owner}"
        f"{f', due {rfc3339(each.due_at)}' if each.due_at else ''}) {each.action_id}"
        for each in story.actions
    ]
    rows = [(rfc3339(each.at), each.kind, each.actor, event_line(each)) for each in story.events]
    events = aligned(rows, most=_MOST_LINE)
    left_out = (f"… {story.cut} events after the first are left out.",) if story.cut else ()
    return (*head, *actions, *left_out, *events)
