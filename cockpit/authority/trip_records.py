"""What one trip leaves in Postgres: its audit entry, the breaker's row, voided approvals, an incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from backends.audit_log import append
from backends.signing import canonical, sign_document
from cockpit.authority.decisions import record_outcome
from cockpit.authority.entries import AUTHORITY, ITSELF, Author, Proof, epoch_details, new_entry
from cockpit.authority.means import Means
from cockpit.authority.opening import OpenDocument
from cockpit.authority.world import World
from cockpit.domain.audit import Action, sha256_hex
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import State
from cockpit.domain.text import clean
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
# A hundred strangers' trips of one breaker are one incident until somebody has acknowledged it.
_INCIDENT: Final = """
INSERT INTO incidents (severity, classification, title, source, breaker_id, dedup_key)
SELECT $1, $2, $3, $4, $5, $6
 WHERE $4 = 'trip' OR NOT EXISTS (SELECT FROM incidents WHERE title = $3 AND source = $4 AND breaker_id = $5
                                     AND status = 'open')
ON CONFLICT (dedup_key) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip. Without a payload nobody signed it, and the authority records it. `repeats` is the event of
    a signed trip that was delivered once more, because its sender had no reply (at least once, I8)."""

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
    await _open_incident(connection, trip)
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


async def _open_incident(connection: Any, trip: Trip) -> None:
    """A person's own trip never holds up a resume; a change that nobody signed does, until acknowledged."""
    if trip.login == AUTHORITY or trip.repeats:
        return
    if trip.attributed:
        title = f"{trip.breaker_id} tripped by {trip.login}: {trip.reason}"
        facts = ("P2", clean(trip.reason, 100) or "other", clean(title, 200), "trip")
    else:
        facts = ("P1", "governance", f"Unattributed trip of {trip.breaker_id}", "authority")
    await connection.execute(_INCIDENT, *facts, trip.breaker_id, f"trip:{trip.event_id}")


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
