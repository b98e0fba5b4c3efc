"""The hand-over page: what the next on-call must know, in the order in which it matters. Pure.

What could not be read is said under its heading: an empty section means that there is nothing, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cockpit.domain.breakers import Catalogue
from cockpit.domain.desk import BreakerRow, DeskSnapshot, IncidentRow
from cockpit.domain.incident_story import IncidentList, overdue, snoozed
from cockpit.domain.incidents import Severity
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State
from cockpit.domain.text import clean

NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Happened:
    """One audit entry."""

    at: datetime
    action: str
    by: str
    target: str
    notes: str
    seq: int


@dataclass(frozen=True, slots=True)
class Debt:
    """Something that is still to be done about an incident; `owner` may be ""."""

    incident_id: str
    what: str
    owner: str
    due_at: datetime | None
    title: str


@dataclass(frozen=True, slots=True)
class Lately:
    """`changes` are newest first and may be fewer than were `found`. `now` is the database's time."""

    now: datetime
    changes: tuple[Happened, ...]
    found: int
    actions: tuple[Debt, ...]
    postmortems: tuple[Debt, ...]


@dataclass(frozen=True, slots=True)
class Sources:
    """What was read; None where it could not be, with `why` by the source's name (redis, postgres)."""

    breakers: BreakerSnapshot | None
    desk: DeskSnapshot | None
    incidents: IncidentList | None
    lately: Lately | None
    why: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Section:
    """`unknown` is why it could not be read; "" where it could."""

    name: str
    title: str
    lines: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def text(self) -> tuple[str, ...]:
        """The section as it is printed, each line safe to show (I26)."""
        said = (f"UNKNOWN: {self.unknown}",) if self.unknown else self.lines or (NOTHING,)
        return (self.title, *(f"  {clean(line, 400)}" for line in said))


def handover(sources: Sources, catalogue: Catalogue, hours: int) -> tuple[Section, ...]:
    """Every section, in order."""
    redis, postgres = sources.why.get("redis", ""), sources.why.get("postgres", "")
    desk, incidents, lately = sources.desk, sources.incidents, sources.lately
    halted = _halted(sources.breakers, desk, catalogue) if sources.breakers else None
    return (
        _from("halted", "HALTED", halted, redis),
        _from("kills", "KILL SWITCHES WITHOUT AN APPROVED REVIEW", _kills(desk) if desk else None, postgres),
        _from("unacknowledged", "UNACKNOWLEDGED", _open(incidents) if incidents else None, postgres),
        _from(
            "acknowledged",
            "ACKNOWLEDGED, NOT RESOLVED",
            _acknowledged(incidents) if incidents else None,
            postgres,
        ),
        _from("overdue", "OVERDUE", _overdue(incidents, lately) if lately and incidents else None, postgres),
        _from("owed", "STILL TO DO", _owed(lately) if lately else None, postgres),
        _from("approvals", "AWAITING A SECOND PERSON", _awaiting(desk) if desk else None, postgres),
        _from("limits", "SIZE LIMITS IN FORCE", _limits(desk) if desk else None, postgres),
        _from("pages", "PAGES THAT DID NOT ARRIVE", _pages(desk) if desk else None, postgres),
        _from("changes", f"CHANGED IN THE LAST {hours} H", _changes(lately) if lately else None, postgres),
    )


def _from(name: str, title: str, lines: Iterable[str] | None, why: str) -> Section:
    if lines is None:
        return Section(name, title, unknown=why or "not read")
    return Section(name, title, tuple(lines))


def _halted(breakers: BreakerSnapshot, desk: DeskSnapshot | None, catalogue: Catalogue) -> list[str]:
    """Breakers that are not CLOSED themselves, and switches that are set: what they halt follows from it."""
    rows = desk.breakers if desk else {}
    lines = []
    for name in catalogue.everything:
        reading = breakers.readings.get(name)
        state = reading.state if reading is not None else State.OPEN
        if state is not State.CLOSED:
            word = state.label if name in catalogue.ids else "SET"
            lines.append(f"{name} {word}{_story(rows.get(name))}")
    return lines


def _story(row: BreakerRow | None) -> str:
    if row is None or row.state == State.CLOSED.value:
        return ""
    review = f", review due {_stamp(row.review_due_at)}" if row.review_due_at else ""
    return f" since {_stamp(row.since)} by {row.actor}: {row.reason} {row.notes}{review}"


def _kills(desk: DeskSnapshot) -> list[str]:
    return [
        f"{row.kill_id} by {row.login} at {_stamp(row.started_at)}, last step "
        f"{f'{row.steps[-1].step} {row.steps[-1].outcome}' if row.steps else 'not reported'}: {row.notes}"
        for row in desk.kills
    ]


def _open(incidents: IncidentList) -> list[str]:
    now = incidents.server_time
    lines = []
    for row in incidents.unresolved:
        if row.status == "open":
            late = "OVERDUE since" if overdue(row, now) else "acknowledge by"
            rest = ", snoozed" if snoozed(row, now) else ""
            lines.append(f"{_incident(row)}; {late} {_stamp(row.acknowledge_by)}{rest}")
    return lines + _hidden(incidents)


def _acknowledged(incidents: IncidentList) -> list[str]:
    return [
        f"{_incident(row)}; by {row.acknowledged_by}, owner {row.owner or 'nobody'}"
        for row in incidents.unresolved
        if row.status == "acknowledged"
    ]


def _hidden(incidents: IncidentList) -> list[str]:
    return [f"… and {incidents.hidden} more unresolved"] if incidents.hidden > 0 else []


def _incident(row: IncidentRow) -> str:
    return (
        f"{row.severity} ({Severity(row.severity).sev}) {row.title} [{row.classification}] since "
        f"{_stamp(row.opened_at)}, {row.incident_id}"
    )


def _overdue(incidents: IncidentList, lately: Lately) -> list[str]:
    lines = [f"acknowledgement of {_incident(row)}" for row in incidents.overdue]
    late = [
        each for each in (*lately.postmortems, *lately.actions) if each.due_at and each.due_at < lately.now
    ]
    return lines + [_debt(each) for each in late]


def _owed(lately: Lately) -> list[str]:
    return [
        _debt(each)
        for each in (*lately.postmortems, *lately.actions)
        if each.due_at is None or each.due_at >= lately.now
    ]


def _debt(debt: Debt) -> str:
    due = f", due {_stamp(debt.due_at)}" if debt.due_at else ""
    return f"{debt.what}{due}, {debt.owner or 'nobody'}: {debt.title}, {debt.incident_id}"


def _awaiting(desk: DeskSnapshot) -> list[str]:
    return [
        f"{row.kind} of {row.breaker_id} by {row.login}, {row.request_id}"
        + (f", expires {_stamp(row.expires_at)}" if row.expires_at else "")
        for row in desk.requests
        if row.status == "awaiting_approval"
    ]


def _limits(desk: DeskSnapshot) -> list[str]:
    return [
        f"{row.breaker_id} at {row.share} of normal size since {_stamp(row.set_at)} by {row.login}: "
        f"{row.notes}"
        for row in desk.size_limits
    ]


def _pages(desk: DeskSnapshot) -> list[str]:
    paging = desk.paging
    if paging is None or not paging.receivers:
        return ["paging is off: nobody is called"]
    lines = [] if paging.alive else ["the pager does not run: nothing is delivered"]
    return lines + [
        f"{row.severity} {row.title} to {row.receiver}: {'given up' if row.given_up else 'waiting'} after "
        f"{row.attempts} tries, {row.last_error}"
        for row in paging.rows
    ]


def _changes(lately: Lately) -> list[str]:
    lines = [
        f"{_stamp(each.at)} {each.action} {each.target} by {each.by}{f': {each.notes}' if each.notes else ''}"
        for each in lately.changes
    ]
    more = lately.found - len(lately.changes)
    return [*lines, f"… and {more} before these: cockpit audit export"] if more > 0 else lines


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%m-%d %H:%M:%S")
