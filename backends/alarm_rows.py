"""Incidents, kill switches and pages, out of the desk's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from backends.desk_parts import UNUSABLE, Part, parsed
from cockpit.domain.desk import IncidentRow, KillRow, KillStepRow
from cockpit.domain.documents import Epoch, parse_rfc3339
from cockpit.domain.incidents import Severity
from cockpit.domain.paging import PageRow, Paging, TripPage
from cockpit.domain.text import clean, many

Json = Mapping[str, Any]
ALIVE: Final = timedelta(seconds=30)
"""How long a pager's sign of life counts, as `sql/pager.sql` has it."""
_TIMES: Final = ("acknowledged_at", "alarm_at", "snoozed_until", "last_event_at")


def incident_of(row: Json) -> IncidentRow:
    """
    Raises:
        ValueError: a severity that there is none of, a time that is none.
    """
    severity = Severity(row["severity"]).value
    times = {name: _moment(row[name]) for name in _TIMES}
    found = {"opened_at": parse_rfc3339(row["opened_at"]), "severity": severity, **times}
    links = {name: tuple(str(each) for each in row[name]) for name in ("breakers", "slos")}
    return IncidentRow(**{**row, **found, **links})


def kill_of(row: Json) -> KillRow:
    """A step that cannot be read takes the kill switch along no more than one row does another."""
    return KillRow(
        kill_id=str(row["kill_id"]),
        epoch=Epoch(row["redis_run_id"], row["counter"]),
        login=row["login"],
        notes=row["notes"],
        started_at=parse_rfc3339(row["started_at"]),
        steps=tuple(step for each in row["steps"] or () if (step := _step(each)) is not None),
    )


def kill_doubt(row: Json) -> str:
    unread = sum(1 for each in row["steps"] or () if _step(each) is None)
    return f"{unread} of its steps cannot be read" if unread else ""


def _step(row: Json) -> KillStepRow | None:
    try:
        details = row["details"]
        if not isinstance(details, dict):
            return None
        return KillStepRow(row["step"], row["outcome"], details, row["login"], parse_rfc3339(row["at"]))
    except UNUSABLE:
        return None


class Paged:
    """How paging stood when it was read; its age is another with each look."""

    def __init__(self, row: Json) -> None:
        self._renewed = _moment(row["renewed_at"])
        self._receivers, self._faults = _texts(row["receivers"]), _texts(row["faults"])
        self._waiting, self._failed = int(row["waiting"]), int(row["failed"])
        self._rows = tuple(page for each in row["rows"] if (page := _page(each)) is not None)
        self._unread = len(row["rows"]) - len(self._rows)
        self._delivered = {str(key): parse_rfc3339(at) for key, at in row["delivered"].items()}

    @property
    def doubts(self) -> tuple[str, ...]:
        return (f"paging: {many(self._unread, 'page')} cannot be read",) if self._unread else ()

    def at(self, now: datetime) -> Paging:
        age = None if self._renewed is None else now - self._renewed
        return Paging(
            age_s=None if age is None else age.total_seconds(),
            alive=age is not None and age <= ALIVE,
            receivers=self._receivers,
            waiting=self._waiting,
            failed=self._failed,
            rows=self._rows,
            delivered=self._delivered,
            faults=self._faults,
        )


def read_paging(text: str | None) -> Part[Paged | None]:
    found = Paged(parsed(text)) if text else None
    return found, found.doubts if found else ()


def _page(row: Json) -> PageRow | None:
    try:
        times = {name: parse_rfc3339(row[name]) for name in ("created_at", "next_attempt_at")}
        return PageRow(**{**row, **times})
    except UNUSABLE:
        return None


def trip_page_of(row: Json) -> TripPage:
    return TripPage(
        event_id=str(row["event_id"]),
        incident_id=str(row["incident_id"]),
        queued=bool(row["queued"]),
        unsent=clean(row["unsent"], 200),
        receivers=_texts(row["receivers"] or ()),
        waiting=_texts(row["waiting"] or ()),
        attempts=int(row["attempts"] or 0),
        last_error=clean(row["last_error"] or "", 300),
        delivered_at=_moment(row["delivered_at"]),
        joined=bool(row["joined"]),
        older=bool(row["older"]),
    )


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(clean(str(each), 300) for each in values)


def _moment(value: str | None) -> datetime | None:
    return None if value is None else parse_rfc3339(value)
