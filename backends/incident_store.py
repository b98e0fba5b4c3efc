"""Incidents as a person's login reads them: the list of panel 3, one story, and where a run's incident is.

Everything is one round trip. Whoever writes these tables is the authority or the guard's own function.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

from backends.postgres_session import Session
from cockpit.domain.desk import IncidentRow
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.incident_story import (
    ActionItem,
    Delivery,
    IncidentList,
    IncidentStory,
    Merged,
    StoryEvent,
    StoryPage,
)
from cockpit.domain.refusals import Code, Refused

_SQL: Final = files("backends").joinpath("sql")
_LIST: Final = _SQL.joinpath("incident_list.sql").read_text()
_STORY: Final = _SQL.joinpath("incident_story.sql").read_text()
LISTED: Final = 200
RECENT: Final = 50
MOST_EVENTS: Final = 500
_MOST_DIGITS: Final = 30
# A run folder is read once by the authority; its own id of the incident is text.
_OF_RUN: Final = """
SELECT incident_id::text FROM incidents WHERE run_id = $1 AND run_incident = $2
 ORDER BY opened_at DESC LIMIT 1
"""
# By the primary key; few share six digits, and no more than `limit` are sorted.
_BEGINNING: Final = """
SELECT * FROM (
    SELECT * FROM incidents WHERE incident_id BETWEEN $1 AND $2 ORDER BY incident_id LIMIT $3) found
 ORDER BY opened_at DESC
"""
Json = Mapping[str, Any]


class IncidentStore:
    """What `PostgresStore` says of incidents, over its reading session."""

    _reader: Session

    async def incidents(self, limit: int = LISTED, recent: int = RECENT, words: str = "") -> IncidentList:
        """The unresolved incidents, worst first and at most `limit`, then the `recent` ones that are over.
        `words` must occur, in any case, in the title, class, links, logins or id; the counts are of all."""
        async with self._reader.use() as connection:
            rows = await connection.fetch(_LIST, limit, recent, words)
        first = rows[0]
        return IncidentList(
            server_time=first["server_time"],
            unresolved=tuple(incident_of(row) for row in rows if row["part"] == 0),
            recent=tuple(incident_of(row) for row in rows if row["part"] == 1),
            open_count=first["open_count"],
            acknowledged_count=first["acknowledged_count"],
            over_count=first["over_count"],
            snoozed_open=first["snoozed_open"],
            snoozed_acknowledged=first["snoozed_acknowledged"],
            matching_count=first["matching_count"],
        )

    async def incident(self, incident_id: str, events: int = MOST_EVENTS) -> IncidentStory:
        """The whole story of one incident; of its events the first and the newest `events`.

        Raises:
            Refused: UNKNOWN, where there is none of that id.
        """
        async with self._reader.use() as connection:
            row = await connection.fetchrow(_STORY, UUID(incident_id), events)
        if row is None:
            raise Refused(
                Code.UNKNOWN, f"There is no incident {incident_id}.", "`cockpit incident list` shows them."
            )
        return story_of(row)

    async def incidents_beginning(self, digits: str, limit: int) -> Sequence[IncidentRow]:
        """The incidents whose id begins with these 1 to 32 hex digits, at most `limit`, newest first."""
        least, most = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        async with self._reader.use() as connection:
            rows = await connection.fetch(_BEGINNING, least, most, limit)
        return [incident_of(row) for row in rows]

    async def incident_of_run(self, run_id: str, run_incident: str) -> str:
        """The cockpit's id of an incident that a run folder reported under its own.

        Raises:
            Refused: UNKNOWN, where the authority has read none.
        """
        async with self._reader.use() as connection:
            found: str | None = await connection.fetchval(_OF_RUN, run_id, run_incident)
        if found is None:
            raise Refused(
                Code.UNKNOWN,
                f"Run {run_id} has reported no incident {run_incident}.",
                "The authority reads the run folders; `cockpit incident list` shows what it found.",
            )
        return found


def incident_of(row: Json) -> IncidentRow:
    """`row` has the columns of the table `incidents`."""
    merged_into = row["merged_into"]
    return IncidentRow(
        incident_id=str(row["incident_id"]),
        opened_at=row["opened_at"],
        severity=row["severity"],
        classification=row["classification"],
        title=row["title"],
        status=row["status"],
        source=row["source"],
        breaker_id=row["breaker_id"],
        owner=row["owner"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
        alarm_at=row["alarm_at"],
        snoozed_until=row["snoozed_until"],
        last_event_at=row["last_event_at"],
        opened_by=row["opened_by"],
        breakers=tuple(row["breakers"]),
        slos=tuple(row["slos"]),
        run_id=row["run_id"],
        run_incident=row["run_incident"],
        resolved_at=row["resolved_at"],
        resolved_by=row["resolved_by"],
        root_cause=row["root_cause"],
        merged_into=None if merged_into is None else str(merged_into),
    )


def story_of(row: Json) -> IncidentStory:
    events = tuple(_event(each) for each in _rows(row["events"]))
    return IncidentStory(
        server_time=row["server_time"],
        row=incident_of(row),
        events=events,
        actions=tuple(_action(each) for each in _rows(row["actions"])),
        pages=tuple(_page(each) for each in _rows(row["pages"])),
        merged=tuple(Merged(each["incident_id"], each["title"]) for each in _rows(row["merged"])),
        cut=row["event_count"] - len(events),
    )


def _rows(text: str | None) -> list[Json]:
    rows: list[Json] = json.loads(text, parse_int=_whole) if text else []
    return rows


def _whole(digits: str) -> int | str:
    """Whoever may fire a rule may store a number of 6,000 digits, of which Python makes no int."""
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


def _event(row: Json) -> StoryEvent:
    details = row["details"]
    return StoryEvent(
        event_id=row["event_id"],
        at=parse_rfc3339(row["at"]),
        kind=row["kind"],
        actor=row["actor"],
        notes=row["notes"],
        details=details if isinstance(details, dict) else {},
        audit_seq=row["audit_seq"],
    )


def _action(row: Json) -> ActionItem:
    return ActionItem(
        action_id=row["action_id"],
        what=row["what"],
        owner=row["owner"],
        due_at=_moment(row["due_at"]),
        added_by=row["added_by"],
        added_at=parse_rfc3339(row["added_at"]),
        done_at=_moment(row["done_at"]),
        done_by=row["done_by"],
    )


def _page(row: Json) -> StoryPage:
    deliveries = tuple(_delivery(each) for each in row["deliveries"] or ())
    return StoryPage(
        row["event"], row["severity"], row["title"], parse_rfc3339(row["created_at"]), deliveries
    )


def _delivery(row: Json) -> Delivery:
    return Delivery(
        receiver=row["receiver"],
        attempts=row["attempts"],
        next_attempt_at=parse_rfc3339(row["next_attempt_at"]),
        delivered_at=_moment(row["delivered_at"]),
        given_up_at=_moment(row["given_up_at"]),
        last_error=row["last_error"],
    )


def _moment(value: str | None) -> datetime | None:
    return None if value is None else parse_rfc3339(value)
