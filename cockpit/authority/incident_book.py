"""The tables of incidents, as the authority writes them: a row, its story and its pages in one transaction.

Whoever changes an incident holds its row first and appends to the audit chain second; what only adds a line
to a story takes no lock that this order could cross.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from backends.audit_log import append, storable
from backends.incident_store import incident_of
from cockpit.authority.entries import AUTHORITY, ITSELF, new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.pages import page
from cockpit.domain.audit import Action
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import PARTICIPLES, Change, IllegalChange, Severity, Status, after
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean

TARGET: Final = "incidents"
"""What the audit entries name that the authority writes about an incident by itself."""
_INSERT: Final = """
INSERT INTO incidents (incident_id, severity, classification, title, source, breaker_id, dedup_key, opened_by,
                       breakers, slos, run_id, run_incident)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (dedup_key) DO NOTHING
"""
_EVENT: Final = """
INSERT INTO incident_events (incident_id, kind, actor, notes, details, audit_seq)
VALUES ($1, $2, $3, $4, $5::jsonb, $6)
"""
# No key of it changes, so that others may add to its story meanwhile.
_HOLD: Final = "SELECT *, clock_timestamp() AS now FROM incidents WHERE incident_id = $1 FOR NO KEY UPDATE"


@dataclass(frozen=True, slots=True)
class NewIncident:
    """An incident to be opened. `dedup_key`: nothing is opened while another one has it."""

    severity: Severity
    classification: str
    title: str
    source: str
    dedup_key: str
    breaker_id: str | None = None
    breakers: tuple[str, ...] = ()
    slos: tuple[str, ...] = ()
    opened_by: str = AUTHORITY
    notes: str = ""
    run_id: str | None = None
    run_incident: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    incident_id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True, slots=True)
class Held:
    """An incident whose row this transaction holds. `now` is the database's clock."""

    row: IncidentRow
    dedup_key: str | None
    now: Any

    @property
    def incident_id(self) -> UUID:
        return UUID(self.row.incident_id)

    def after(self, change: Change) -> Status:
        """
        Raises:
            Refused: the incident's status does not allow it.
        """
        try:
            return after(Status(self.row.status), change)
        except IllegalChange as fault:
            said = f"The incident is {self.row.status} and cannot be {PARTICIPLES[change]}."
            raise Refused(Code.WRONG_STATE, said, _remedy(self.row, change)) from fault


def _remedy(row: IncidentRow, change: Change) -> str:
    if row.merged_into:
        return f"It became part of {row.merged_into}."
    if change is Change.RESOLVE and row.status == Status.OPEN:
        return "Acknowledge it first."
    return "`cockpit incident show` tells its story."


async def insert(connection: Any, new: NewIncident) -> bool:
    """Insert the row alone; False where another incident has its key."""
    done = await connection.execute(
        _INSERT,
        UUID(new.incident_id),
        new.severity.value,
        clean(new.classification, 100) or "other",
        clean(new.title, 200),
        new.source,
        new.breaker_id,
        str(storable(new.dedup_key)),
        new.opened_by,
        list(new.breakers),
        list(new.slos),
        new.run_id,
        new.run_incident,
    )
    return bool(done == "INSERT 0 1")


async def began(connection: Any, new: NewIncident, audit_seq: int | None) -> None:
    """The first line of its story, and its page."""
    details = {
        "severity": new.severity.value,
        "classification": new.classification,
        "source": new.source,
        "breaker_id": new.breaker_id,
        **{name: value for name, value in (("breakers", new.breakers), ("slos", new.slos)) if value},
        **new.details,
    }
    await add_event(connection, new.incident_id, "opened", new.opened_by, new.notes, details, audit_seq)
    await page(connection, new.incident_id, "trigger", new.severity, new.title, details)


async def record_incident(connection: Any, new: NewIncident, audit_seq: int | None) -> bool:
    """Open an incident for what the entry `audit_seq` records already; False where its key is taken."""
    if not await insert(connection, new):
        return False
    await began(connection, new, audit_seq)
    return True


async def open_by_itself(connection: Any, means: Means, new: NewIncident) -> bool:
    """Open an incident in the authority's own name, with an audit entry; False where its key is taken."""
    if not await insert(connection, new):
        return False
    seq = await record_by_itself(connection, means, Action.INCIDENT_OPENED, _opened(new))
    await began(connection, new, seq)
    await tell(connection, CHANGE)
    return True


async def record_by_itself(
    connection: Any, means: Means, action: Action, details: Mapping[str, object]
) -> int:
    """An audit entry of the authority's own about an incident; its place in the chain."""
    entry = await append(connection, new_entry(means.key, ITSELF, action, str(uuid4()), TARGET, details))
    return entry.seq


def _opened(new: NewIncident) -> dict[str, object]:
    return {
        "incident_id": new.incident_id,
        "severity": new.severity.value,
        "classification": new.classification,
        "title": new.title,
        "source": new.source,
        "dedup_key": new.dedup_key,
        "breaker_id": new.breaker_id,
        "slos": list(new.slos),
        **({"run_id": new.run_id, "run_incident": new.run_incident} if new.run_id else {}),
    }


async def add_event(
    connection: Any,
    incident_id: str | UUID,
    kind: str,
    actor: str,
    notes: str = "",
    details: Mapping[str, object] | None = None,
    audit_seq: int | None = None,
) -> None:
    """One more line of an incident's story."""
    await connection.execute(
        _EVENT,
        UUID(str(incident_id)),
        kind,
        actor,
        clean(notes, 1_000),
        json.dumps(storable(dict(details or {}))),
        audit_seq,
    )


async def hold(connection: Any, incident_id: str | UUID) -> Held:
    """The incident, which nobody else changes until this transaction has ended.

    Raises:
        Refused: there is none.
    """
    row = await connection.fetchrow(_HOLD, UUID(str(incident_id)))
    if row is None:
        raise Refused(
            Code.UNKNOWN, f"There is no incident {incident_id}.", "`cockpit incident list` shows them."
        )
    return Held(incident_of(row), row["dedup_key"], row["now"])
