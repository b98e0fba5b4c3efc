"""`cockpit trip`. Its way to Redis imports no asyncpg, httpx or textual."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from cockpit.cli.answers import Answer, of_outcome
from cockpit.cli.wiring import must_acknowledge, postgres_address, redis_address, settings_of, whole
from cockpit.config import BadSettings, Credentials, Settings
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.documents import Epoch, rfc3339
from cockpit.domain.reasons import parse_reason
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import justification
from cockpit.operations import trip as operation
from cockpit.operations.outcomes import Outcome
from cockpit.operations.spool import Spool, SpooledTrip

if TYPE_CHECKING:
    from backends.fast_trip import FastTrip
    from backends.postgres_store import PostgresStore
    from cockpit.domain.desk import RequestRow

MAX_TTL_S = 604_800
_STORE_S = 2.0
_DECISION_S = 1.0
_AUDIT_S = 0.1  # the authority needs a few milliseconds; where none runs, a person need not wait


def trip(options: argparse.Namespace) -> Answer:
    """Trip one breaker, then deliver what waits in the spool."""
    try:
        settings = settings_of(options)
        credentials = settings.credentials(options.login)
    except BadSettings as error:
        raise BadSettings(f"{error} (runbooks/emergency_trip.py trips without these settings)") from error
    breaker_id = settings.catalogue.known(options.id)
    reason = parse_reason(options.reason)
    notes = justification(options.notes)
    ttl_s = whole(options.ttl, "ttl", 1, MAX_TTL_S) if options.ttl is not None else None
    must_acknowledge(options, breaker_id, "trading there halts at once")
    now, login = datetime.now(UTC), login_of(credentials)
    request = operation.command(breaker_id, login, str(uuid4()), reason, notes, ttl_s, now)
    return of_outcome(*delivered(request, settings, credentials))


def delivered(
    request: Command, settings: Settings, credentials: Credentials
) -> tuple[Outcome, tuple[str, ...]]:
    """Sign and deliver a trip, then what waits in the spool; its outcome, and lines for people. Blocks."""
    signed, warning = sign_if_possible(request, credentials)
    ports, now = trip_ports(settings, credentials), datetime.now(UTC)
    outcome = operation.trip(request, signed, ports, now)
    messages = [warning] if warning else []
    if outcome.redis:
        messages += [f"From the spool: {late.message}" for late in operation.retry(ports, request.login, now)]
    left = operation.waiting(ports.spool, request.login)
    return outcome, (*messages, left) if left else tuple(messages)


def retry_spool(settings: Settings, credentials: Credentials) -> list[str]:
    """Deliver what waits in the spool for this login; lines for people. For the start of any other command
    and of the screen. Blocks: Redis and Postgres have two seconds each."""
    spool = Spool(settings.spool_dir)
    if not any(entry.login == login_of(credentials) for entry in spool.entries()[0]):
        return []
    ports = trip_ports(settings, credentials)
    outcomes = operation.retry(ports, login_of(credentials), datetime.now(UTC))
    return [f"From the spool: {outcome.message}" for outcome in outcomes]


def login_of(credentials: Credentials) -> str:
    """Whom Redis will know this login as: the user in its address, else the name in the settings."""
    try:
        return unquote(urlsplit(credentials.redis_url).username or "") or credentials.name
    except ValueError:
        return credentials.name


def sign_if_possible(request: Command, credentials: Credentials) -> tuple[SignedCommand, str]:
    """The signed command; unsigned, with a warning, where the key cannot be used: a halt waits for no key,
    and the authority then signs as its recorder."""
    from cockpit.cli.wiring import signing_key

    try:
        from backends.signing import sign_command

        return sign_command(request, signing_key(credentials)), ""
    except (BadSettings, ImportError, ValueError) as error:
        payload = json.dumps(request.payload(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return SignedCommand(payload.encode(), "", ""), f"the trip goes out unsigned: {error}"


def trip_ports(settings: Settings, credentials: Credentials) -> operation.TripPorts:
    return operation.TripPorts(
        redis=lambda entry: _by_redis(entry, credentials),
        recorded=lambda entry: _by_postgres(entry, credentials),
        spool=Spool(settings.spool_dir),
        late_trip_s=settings.limits.late_trip_s,
    )


class _Tripped:
    """A receipt, and what the authority added to it within a moment."""

    def __init__(self, epoch: Epoch, event_delivered: bool, note: str | None) -> None:
        self.epoch = epoch
        self.event_delivered = event_delivered
        self.note = note
        self.audit_seq: int | None = None
        self.evidence_link: str | None = None


def _by_redis(entry: SpooledTrip, credentials: Credentials) -> _Tripped:
    from backends.fast_trip import FastTrip

    try:
        connection = FastTrip(redis_address(credentials), _STORE_S)
    except (ValueError, BadSettings) as error:
        raise Refused(Code.STORE, f"{error}.") from error
    with connection:
        receipt = connection.trip(
            entry.breaker_id, entry.signed, entry.event_id, entry.login, rfc3339(entry.requested_at)
        )
        tripped = _Tripped(receipt.epoch, receipt.event_delivered, receipt.note)
        if receipt.event_delivered:
            _add_audit(tripped, connection, entry.event_id)
    return tripped


def _add_audit(tripped: _Tripped, connection: FastTrip, event_id: str) -> None:
    try:
        found = connection.audited(event_id, _AUDIT_S)
    except Refused as error:  # the trip stands; only its echo could not be read
        tripped.note = tripped.note or f"its audit could not be read: {error.refusal.message}"
        return
    seq, link = (found or {}).get("audit_seq"), (found or {}).get("evidence_link")
    tripped.audit_seq = seq if isinstance(seq, int) else None
    tripped.evidence_link = link if isinstance(link, str) else None


def _by_postgres(entry: SpooledTrip, credentials: Credentials) -> RequestRow:
    import asyncio

    return asyncio.run(_record(entry, credentials))


async def _record(entry: SpooledTrip, credentials: Credentials) -> RequestRow:
    """Hand the trip to the authority, or have the attempt recorded where the role forbids it.

    Raises:
        Refused: DENIED or REVOKED by role; no store, no address, no signature: not recorded.
    """
    from cockpit.cli.wiring import open_postgres
    from cockpit.domain.permissions import Permission, denial

    try:
        postgres_address(credentials)
    except BadSettings as error:
        raise Refused(Code.STORE, f"{error}.") from error
    async with open_postgres(credentials, _STORE_S) as store:
        identity = await store.identity()
        refusal = denial(identity, Permission.TRIP_CIRCUIT, entry.breaker_id)
        if refusal is not None:
            await _record_attempt(entry, identity.login, store, credentials)
            raise Refused(refusal.code, refusal.message, refusal.remedy)
        if not entry.signed.signature:
            raise Refused(Code.BAD_SIGNATURE, "Postgres takes signed trips only, and this one is not signed.")
        await store.submit(entry.signed, entry.event_id)
        return await store.await_outcome(entry.event_id, _DECISION_S)


async def _record_attempt(
    entry: SpooledTrip, login: str, store: PostgresStore, credentials: Credentials
) -> None:
    import asyncio

    from cockpit.cli.answers import say

    attempt = Command(
        Kind.DENIED, entry.event_id, entry.breaker_id, login, entry.requested_at, target=Kind.TRIP
    )
    signed, warning = sign_if_possible(attempt, credentials)
    try:
        async with asyncio.timeout(_DECISION_S):
            await store.submit(signed, attempt.request_id)
    except (TimeoutError, Refused) as error:
        why = error if isinstance(error, Refused) else "no answer in time"
        say(f"the denied attempt could not be recorded: {why}")
    if warning:
        say(warning)
