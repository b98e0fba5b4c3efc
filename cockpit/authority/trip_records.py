"""What one trip leaves in Postgres: audit entry, the breaker's row, voided approvals, incident and page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from backends.audit_log import append
from backends.signing import canonical, sign_document
from cockpit.authority.decisions import record_outcome
from cockpit.authority.entries import AUTHORITY, ITSELF, Author, Proof, epoch_details, new_entry
from cockpit.authority.incident_book import NewIncident, add_event, record_incident
from cockpit.authority.incident_trips import join, join_guards
from cockpit.authority.kill_review import record_kill
from cockpit.authority.means import Means
from cockpit.authority.opening import OpenDocument
from cockpit.authority.world import World
from cockpit.domain.audit import Action, sha256_hex
from cockpit.domain.breakers import GLOBAL, BreakerId, Scope, scope_of
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.kill import KILL_TARGET
from cockpit.domain.permissions import Role
from cockpit.domain.reasons import Reason, classification_of
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import State
from cockpit.domain.text import clean
from cockpit.domain.trip_incidents import stricter_switches, trip_severity, trip_title
from cockpit.operations.outcomes import Outcome, refused

_BREAKER: Final = """
UPDATE breakers
   SET redis_run_id = $2, counter = $3, document = $4, state = 'OPEN', since = clock_timestamp(), actor = $5,
       reason = $6, notes = $7, event_id = $8, quiet_until = NULL,
       review_due_at = clock_timestamp() + make_interval(secs => $9), updated_at = clock_timestamp()
 WHERE breaker_id = $1
"""
_VOIDED: Final = """
SELECT request_id::text, breaker_id FROM requests
 WHERE status = 'awaiting_approval' AND breaker_id = ANY ($1::text[])
"""
_STRANGERS: Final = """
SELECT incident_id FROM incidents
 WHERE source = 'authority' AND title = $1 AND breaker_id = $2 AND status = 'open' ORDER BY opened_at LIMIT 1
"""
_GUARDS: Final = """
SELECT EXISTS (SELECT FROM guard_firings WHERE firing_id = $1::uuid)
    OR EXISTS (SELECT FROM guard_lease WHERE login = $2)
"""


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip. Without a payload nobody signed it, and the authority records it. `repeats` is the event of
    a signed trip that was delivered once more, because its sender had no reply (at least once, I8). `target`
    is a switch's ticket, or says that it begins a kill switch."""

    breaker_id: BreakerId
    epoch: Epoch
    event_id: str
    login: str
    role: str
    notes: str
    reason: str = ""
    payload: str = ""
    key_id: str = ""
    signature: str = ""
    requested_at: datetime | None = None
    ttl_s: int | None = None
    repeats: str = ""
    target: str = ""

    @property
    def author(self) -> Author:
        return Author(self.login, self.role, self.payload, self.key_id, self.signature)

    @property
    def attributed(self) -> bool:
        return bool(self.payload)


async def record_trip(connection: Any, means: Means, trip: Trip, world: World) -> OpenDocument:
    """Record one trip inside the caller's transaction; the OPEN document to put into Redis comes back."""
    late_s = _late_s(means, trip, world.now)
    details: dict[str, object] = {
        "reason": trip.reason,
        "notes": clean(trip.notes),
        "state": State.OPEN.value,
        "late": late_s is not None,
        "attributed": trip.attributed,
        **epoch_details(trip.epoch),
    }
    if trip.repeats:
        details["repeats"] = trip.repeats
    if late_s is not None:
        details["late_by_s"] = round(late_s)
    document = _open_document(means, trip, world)
    evidence = trip_evidence(trip.author, trip.event_id, trip.breaker_id, details)
    key = f"transitions/{trip.event_id}-{State.OPEN.value}.json"
    proof = Proof(key, means.evidence.link(key), sha256_hex(evidence))
    entry = await append(
        connection,
        new_entry(means.key, trip.author, Action.TRIP, trip.event_id, trip.breaker_id, details, proof),
    )
    raw = sign_document(document, means.key)
    await connection.execute(
        _BREAKER,
        trip.breaker_id,
        trip.epoch.run_id,
        trip.epoch.counter,
        raw.decode(),
        document.actor,
        document.reason,
        document.notes,
        document.event_id,
        trip.ttl_s,
    )
    await _void_approvals(connection, means, trip)
    await _open_incident(connection, means, trip, entry.seq, world)
    if _begins_kill(trip):
        await record_kill(connection, trip.event_id, trip.epoch, trip.login, trip.notes)
    await _decide_request(connection, trip, proof, entry.seq, late_s)
    return OpenDocument(document, raw, proof, evidence, entry.seq, late_s is not None)


def trip_evidence(author: Author, event_id: str, breaker_id: str, details: Any) -> bytes:
    """The evidence object of a trip, a function of its audit entry, so that it can be made again."""
    return canonical(
        {
            "event_id": event_id,
            "breaker_id": breaker_id,
            "user_id": author.user_id,
            "role": author.role,
            "payload": author.payload,
            "key_id": author.key_id,
            "signature": author.signature,
            "details": details,
        }
    )


def _late_s(means: Means, trip: Trip, now: datetime) -> float | None:
    if trip.requested_at is None:
        return None
    age = now - trip.requested_at
    return age.total_seconds() if age > timedelta(seconds=means.limits.late_trip_s) else None


def _open_document(means: Means, trip: Trip, world: World) -> Document:
    before = world.readings[trip.breaker_id].document
    return Document(
        breaker_id=trip.breaker_id,
        state=State.OPEN,
        epoch=trip.epoch,
        ancestors=means.catalogue.ancestors(trip.breaker_id),
        version=(before.version if before else 0) + 1,
        actor=clean(trip.login, 100),
        reason=clean(trip.reason, 100),
        notes=clean(trip.notes, 1_000),
        event_id=trip.event_id,
        issued_at=world.now,
    )


async def _void_approvals(connection: Any, means: Means, trip: Trip) -> None:
    """A trip changes what a pending approval was asked for: of this breaker and of all that it halts."""
    touched = [trip.breaker_id, *means.catalogue.descendants(trip.breaker_id)]
    voided = await connection.fetch(_VOIDED, touched)
    if not voided:
        return
    ids = [row["request_id"] for row in voided]
    details = {"requests": ids, "why": f"{trip.breaker_id} was tripped", "trip": trip.event_id}
    entry = await append(
        connection,
        new_entry(means.key, ITSELF, Action.APPROVAL_VOID, trip.event_id, trip.breaker_id, details),
    )
    for row in voided:
        refusal = Refusal(
            Code.APPROVAL_VOID, f"{trip.breaker_id} was tripped meanwhile.", "Look again and ask anew."
        )
        outcome = refused(BreakerId(row["breaker_id"]), refusal, row["request_id"])
        await record_outcome(connection, row["request_id"], "void", outcome, entry.seq, refusal.code)


async def _open_incident(connection: Any, means: Means, trip: Trip, seq: int, world: World) -> None:
    """A latch that the guard has set has the guard's incident, what loosens a stricter switch has none; a
    rule's trip belongs to the guard's incident, and a person's to the one under way about it. That of a
    person's own trip never holds up a resume; a change that nobody signed does, until acknowledged, and so
    does a kill switch. A hundred strangers' trips of one breaker are one incident until then."""
    if trip.login == AUTHORITY or trip.repeats:
        return
    if await _guards_own(connection, trip) or _begins_loosening(trip, world):
        return
    if trip.attributed and not _begins_kill(trip) and await _joins(connection, means, trip, seq):
        return
    new = _incident(trip)
    if not trip.attributed:
        known = await connection.fetchval(_STRANGERS, new.title, trip.breaker_id)
        if known is not None:
            await add_event(connection, known, "tripped", AUTHORITY, trip.notes, _told(trip), seq)
            return
    await record_incident(connection, new, seq)


async def _joins(connection: Any, means: Means, trip: Trip, seq: int) -> bool:
    """A kill switch never does: it has an incident of its own, under whose key its review is found."""
    name, notes = trip.breaker_id, trip.notes
    if trip.role == Role.AUTOMATION_ROLE:
        told = _told(trip)
        return await join_guards(connection, means, trip.event_id, name, trip.login, notes, told, seq)
    return await join(connection, means, name, trip.login, trip.reason, notes, trip.target, _told(trip), seq)


def _told(trip: Trip) -> dict[str, object]:
    return {"event_id": trip.event_id, **epoch_details(trip.epoch)}


def _begins_loosening(trip: Trip, world: World) -> bool:
    """Whether a person sets `cancel_only` of an instrument that a stricter switch halts: it can only be meant
    to be what is left when that one is released."""
    stricter = stricter_switches(trip.breaker_id) if trip.attributed else ()
    return any(name in world.readings and world.readings[name].state is State.OPEN for name in stricter)


async def _guards_own(connection: Any, trip: Trip) -> bool:
    """Whether this is a safety latch that the guard has set, which opens an incident of its own with it. It
    may do so only after the trip is recorded here, so that its login counts as well."""
    if not trip.attributed or scope_of(trip.breaker_id) is not Scope.LATCH:
        return False
    if trip.role != Role.AUTOMATION_ROLE:
        return False
    return bool(await connection.fetchval(_GUARDS, trip.event_id, trip.login))


def _begins_kill(trip: Trip) -> bool:
    """Only what a person has signed begins one."""
    return trip.attributed and trip.breaker_id == GLOBAL and trip.target == KILL_TARGET


def _incident(trip: Trip) -> NewIncident:
    facts: dict[str, Any] = {
        "breaker_id": trip.breaker_id,
        "notes": trip.notes,
        "dedup_key": f"trip:{trip.event_id}",
        "details": _told(trip),
    }
    if not trip.attributed:
        title = f"Unattributed trip of {trip.breaker_id}"
        kind = Reason.GOVERNANCE.classification.value
        return NewIncident(Severity.P1, kind, title, "authority", **facts)
    facts |= {"opened_by": trip.login}
    if _begins_kill(trip):
        facts |= {"dedup_key": f"kill:{trip.event_id}"}
        kind, title = Classification.OTHER.value, f"Kill switch of {trip.login}"
        return NewIncident(Severity.P0, kind, title, "kill", **facts)
    title = trip_title(trip.breaker_id, trip.login, trip.reason, trip.target)
    kind = classification_of(trip.reason).value
    return NewIncident(trip_severity(trip.breaker_id), kind, title, "trip", **facts)


async def _decide_request(connection: Any, trip: Trip, proof: Proof, seq: int, late_s: float | None) -> None:
    """Where the trip came in through Postgres, its request has its outcome now."""
    if not trip.attributed or trip.login == AUTHORITY:
        return
    late = f" It was applied {late_s:.0f} s after it was asked." if late_s is not None else ""
    outcome = Outcome(
        trip.breaker_id,
        "done",
        f"{trip.breaker_id} is OPEN · HALTED.{late}",
        state=State.OPEN.value,
        epoch=trip.epoch.counter,
        event_id=trip.event_id,
        evidence_link=proof.link,
        audit_seq=seq,
        redis=True,
        postgres=True,
    )
    await record_outcome(connection, trip.event_id, "done", outcome, seq, kind="trip")
