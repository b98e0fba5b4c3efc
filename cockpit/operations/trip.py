"""A trip: on this disk first, then in Redis, failing that in Postgres, failing that kept for a retry.

Nothing here waits for a second store or a second person (I6), and no failure before the INCR stops it: an
unusable signing key or spool is said and gone past. Delivery is at least once, under one event id (I8).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from cockpit.domain.breakers import BreakerId, is_switch
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.documents import Epoch, rfc3339
from cockpit.domain.reasons import Reason
from cockpit.domain.refusals import EXIT_UNREACHABLE, Code, Refused, StoreCannotWrite, StoreUnreachable
from cockpit.domain.states import State
from cockpit.operations.outcomes import Outcome, from_fields, refused
from cockpit.operations.spool import Held, Spool, SpooledTrip, SpoolUnusable

if TYPE_CHECKING:
    from cockpit.domain.desk import RequestRow  # a heavy module, and a halt waits for no import

_QUICK_FAILURE_S: Final = 0.5


class Tripped(Protocol):
    """What Redis answered; `audit_seq` and `evidence_link` where the authority was quick to add them."""

    @property
    def epoch(self) -> Epoch: ...
    @property
    def event_delivered(self) -> bool: ...
    @property
    def note(self) -> str | None: ...
    @property
    def audit_seq(self) -> int | None: ...
    @property
    def evidence_link(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class TripPorts:
    """`redis` applies a trip. `recorded` puts it into the authority's inbox in Postgres and returns the row
    as far as it got; it raises `Refused` with DENIED where the login's role may not trip, having recorded
    the attempt."""

    redis: Callable[[SpooledTrip], Tripped]
    recorded: Callable[[SpooledTrip], RequestRow]
    spool: Spool
    late_trip_s: float


def command(
    breaker_id: BreakerId,
    login: str,
    event_id: str,
    reason: Reason,
    notes: str,
    ttl_s: int | None,
    now: datetime,
) -> Command:
    """The command of a trip. `notes` have passed `justification`."""
    return Command(Kind.TRIP, event_id, breaker_id, login, now, reason=reason.value, notes=notes, ttl_s=ttl_s)


def trip(request: Command, signed: SignedCommand, ports: TripPorts, now: datetime) -> Outcome:
    """Trip, whatever works. Returns what is known of it; raises nothing that a store may cause."""
    entry = SpooledTrip(request.request_id, request.breaker_id, request.login, request.requested_at, signed)
    try:
        held: Held | None = ports.spool.write(entry)
        note = ""
    except SpoolUnusable as error:
        held, note = None, f"Not kept on this disk: {error}."
    outcome = _deliver(entry, held, ports, now)
    if held is not None:
        held.release()
    return outcome.adding(note) if note else outcome


def retry(ports: TripPorts, login: str, now: datetime) -> list[Outcome]:
    """Deliver what waits in the spool for `login`; its own only, since one login's rights must not carry
    another's command. Damaged files are left for a person: `waiting` names them."""
    outcomes = []
    for entry in ports.spool.entries()[0]:
        if entry.login != login:
            continue
        held = ports.spool.claim(entry)
        if held is None:
            continue
        with held:
            outcomes.append(_deliver(entry, held, ports, now))
    return outcomes


def waiting(spool: Spool, login: str) -> str:
    """One line on what is still in the spool, empty where nothing is."""
    entries, damaged = spool.entries()
    own = sum(entry.login == login for entry in entries)
    parts = [
        f"{own} of {login}" if own else "",
        f"{len(entries) - own} of other logins" if len(entries) > own else "",
        f"{len(damaged)} damaged ({damaged[0]})" if damaged else "",
    ]
    found = ", ".join(part for part in parts if part)
    return f"Trips not delivered yet in {spool.folder}: {found}." if found else ""


def _deliver(entry: SpooledTrip, held: Held | None, ports: TripPorts, now: datetime) -> Outcome:
    if entry.counted:
        return _record_late(entry, held, ports)
    try:
        tripped = _redis_twice(entry, ports)
    except Refused as error:
        return _by_postgres(entry, held, ports, error, _lateness(entry, ports, now))
    row: RequestRow | None = None
    recorded = ""
    if not tripped.event_delivered:
        row, recorded = _recorded(entry, held, ports)
    elif held is not None:
        held.delivered()
    known = row.outcome if row is not None and row.outcome is not None else {}
    outcome = from_fields(known, 0)
    seq = tripped.audit_seq if tripped.audit_seq is not None else outcome.audit_seq
    audit = "" if seq is not None else "Audit follows."
    note = f"Note: {tripped.note}." if tripped.note else ""
    what = "set" if is_switch(entry.breaker_id) else "tripped: OPEN · HALTED"
    parts = (f"{entry.breaker_id} {what}, epoch {tripped.epoch.counter}.", audit, note)
    return Outcome(
        entry.breaker_id,
        "done",
        " ".join(part for part in (*parts, recorded, _lateness(entry, ports, now)) if part),
        state=State.OPEN.value,
        epoch=tripped.epoch.counter,
        event_id=entry.event_id,
        evidence_link=tripped.evidence_link or outcome.evidence_link,
        audit_seq=seq,
        redis=True,
        postgres=seq is not None or row is not None,
    )


def _recorded(entry: SpooledTrip, held: Held | None, ports: TripPorts) -> tuple[RequestRow | None, str]:
    """Redis has counted the trip and lost its event, so nobody could tell whose it is, nor that it begins a
    kill switch: it is handed to Postgres too. The authority takes it as what explains the increment, or trips
    once more. Where no store takes it, it stays in the spool to be recorded, and is not tripped again."""
    try:
        row = ports.recorded(entry)
    except Refused as error:
        kept = ""
        if held is not None and error.refusal.code is Code.STORE:
            kept = f" It waits in the spool to be recorded.{_keep_counted(held)}"
        elif held is not None:  # by its role or its missing signature; asking again would change nothing
            held.delivered()
        return None, f"It is not recorded as yours: {error.refusal.message}{kept}"
    if held is not None:
        held.delivered()
    return row, "Recorded in Postgres."


def _keep_counted(held: Held) -> str:
    try:
        held.counted()
    except SpoolUnusable as error:
        return f" ({error}: a retry trips it once more.)"
    return ""


def _record_late(entry: SpooledTrip, held: Held | None, ports: TripPorts) -> Outcome:
    row, said = _recorded(entry, held, ports)
    return Outcome(
        entry.breaker_id,
        "done",
        f"{entry.breaker_id} was tripped at {rfc3339(entry.requested_at)}. {said}",
        event_id=entry.event_id,
        redis=True,
        postgres=row is not None,
    )


def _redis_twice(entry: SpooledTrip, ports: TripPorts) -> Tripped:
    """A connection that breaks at once (a server restarting, say) gets one more INCR under the same event
    id; one that hangs has taken its time already."""
    started = time.monotonic()
    try:
        return ports.redis(entry)
    except StoreCannotWrite:
        raise
    except StoreUnreachable:
        if time.monotonic() - started > _QUICK_FAILURE_S:
            raise
        return ports.redis(entry)


def _by_postgres(entry: SpooledTrip, held: Held | None, ports: TripPorts, why: Refused, late: str) -> Outcome:
    """Redis did not take it. Postgres also tells a login that may not trip from one that Redis has lost."""
    redis_denied = why.refusal.code is Code.DENIED
    try:
        row = ports.recorded(entry)
    except Refused as error:
        if error.refusal.code in (Code.DENIED, Code.REVOKED) or redis_denied:
            if held is not None:
                held.delivered()
            told = error if error.refusal.code in (Code.DENIED, Code.REVOKED) else why
            unrecorded = (
                "" if told is error else " The attempt could not be recorded: Postgres did not answer."
            )
            return refused(entry.breaker_id, told.refusal, entry.event_id).adding(unrecorded)
        return _undelivered(entry, held, why, error)
    if held is not None:
        held.delivered()
    if row.status == "done" and row.outcome is not None:
        return from_fields(row.outcome, 0).adding(f"Applied by the authority. {late}")
    return Outcome(
        entry.breaker_id,
        "pending",
        f"PENDING · NOT HALTED YET: {why.refusal.message} Recorded in Postgres; the authority applies it as "
        f"soon as it reaches Redis. {_perhaps(why)} {late}".strip(),
        EXIT_UNREACHABLE,
        event_id=entry.event_id,
        postgres=True,
    )


def _undelivered(entry: SpooledTrip, held: Held | None, redis: Refused, postgres: Refused) -> Outcome:
    kept = (
        "It waits in the spool and is retried by the next trip or cockpit start here"
        if held is not None
        else "It is NOT kept anywhere; run it again"
    )
    return Outcome(
        entry.breaker_id,
        "pending",
        f"PENDING · NOT HALTED YET, not delivered: {redis.refusal.message} {postgres.refusal.message} "
        f"{kept}; halt by another bastion or at the venue meanwhile. {_perhaps(redis)}".strip(),
        EXIT_UNREACHABLE,
        event_id=entry.event_id,
    )


def _lateness(entry: SpooledTrip, ports: TripPorts, now: datetime) -> str:
    if (now - entry.requested_at).total_seconds() <= ports.late_trip_s:
        return ""
    return f"Delivered late: requested at {rfc3339(entry.requested_at)}."


def _perhaps(error: Refused) -> str:
    """A lost reply leaves open whether the INCR was applied; tripping again does no harm."""
    lost = isinstance(error, StoreUnreachable) and error.maybe_applied
    return "The reply was lost, so it may be halted already: check `cockpit status`." if lost else ""
