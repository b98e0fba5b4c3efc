"""Everything that goes through the authority: half-open, close, approve, restore, acknowledge.

One way for all: know who asks, refuse what the role forbids before anything else is looked at, sign, put it
into the inbox, await the outcome. What is decided is decided by the authority; what is checked here only
saves a person a wait. An outcome that does not come is never shown as done (I25).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import DeskSnapshot, RequestRow
from cockpit.domain.documents import Epoch
from cockpit.domain.limits import Limits
from cockpit.domain.permissions import Identity, denial
from cockpit.domain.refusals import EXIT_DONE, EXIT_REFUSED, Code, Refusal, Refused, StoreUnreachable
from cockpit.operations.outcomes import Outcome, from_fields, refused, unknown
from cockpit.operations.ports import Breakers, CommandSigner, Inbox

RECORD_S: Final = 1.0
_REPLY_MARGIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for. `target` is the request that is approved or the incident acknowledged."""

    kind: Kind
    breaker_id: BreakerId
    notes: str = ""
    checked: tuple[str, ...] = ()
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ResumePorts:
    breakers: Breakers
    inbox: Inbox
    sign: CommandSigner
    limits: Limits


async def ask(wish: Wish, ports: ResumePorts, now: datetime) -> Outcome:
    """Ask the authority and await what becomes of it.

    The epoch that the request binds is the one that Redis shows at this moment; a trip after it voids the
    request (I2).

    Raises:
        Refused: a store is unreachable, or the login is unknown to it, before anything was asked.
    """
    identity = await ports.inbox.identity()
    permission = wish.kind.permission
    refusal = denial(identity, permission, wish.breaker_id) if permission else None
    if refusal is not None:
        return await _denied(wish, identity, refusal, ports, now)
    desk = await ports.inbox.snapshot()
    no_authority = _absent(desk)
    if no_authority is not None:
        return refused(wish.breaker_id, no_authority)
    epoch = await _epoch(wish, ports)
    return await _submit(_command(wish, identity.login, epoch, now), ports)


async def approve(request_id: str, notes: str, ports: ResumePorts, now: datetime) -> Outcome:
    """Approve another person's half-open request, whatever breaker it is about.

    Raises:
        Refused: no such request, or as `ask`.
    """
    row = await ports.inbox.outcome(request_id)
    if row.breaker_id is None:
        raise Refused(
            Code.APPROVAL_VOID,
            f"Request {request_id} has not been read by the authority yet.",
            "Ask again in a moment; `cockpit status` shows what awaits approval.",
        )
    return await ask(Wish(Kind.APPROVE, BreakerId(row.breaker_id), notes, target=request_id), ports, now)


async def record_denied(
    kind: Kind, breaker_id: BreakerId, identity: Identity, ports: ResumePorts, now: datetime
) -> RequestRow | None:
    """Have the authority record an attempt that was refused on this side: best effort, within a second.
    None where no store took it or the authority was slower."""
    command = Command(Kind.DENIED, str(uuid4()), breaker_id, identity.login, now, target=kind.value)
    try:
        async with asyncio.timeout(RECORD_S):
            await ports.inbox.submit(ports.sign(command), command.request_id)
            return await ports.inbox.await_outcome(command.request_id, RECORD_S)
    except (TimeoutError, Refused):
        return None


async def _denied(
    wish: Wish, identity: Identity, refusal: Refusal, ports: ResumePorts, now: datetime
) -> Outcome:
    row = await record_denied(wish.kind, wish.breaker_id, identity, ports, now)
    outcome = refused(wish.breaker_id, refusal, row.request_id if row else None)
    if row is None or row.audit_seq is None:
        return outcome
    return Outcome(
        outcome.breaker_id,
        outcome.word,
        outcome.message,
        outcome.exit_code,
        event_id=row.request_id,
        audit_seq=row.audit_seq,
        postgres=True,
    )


def _absent(desk: DeskSnapshot) -> Refusal | None:
    """Without an authority nothing resumes; a request left behind would only run out (F24)."""
    lease = desk.lease
    if lease is not None and lease.alive:
        return None
    since = f"its last sign was {lease.age_s:.0f} s ago" if lease is not None else "none has ever run here"
    return Refusal(
        Code.NO_AUTHORITY,
        f"No authority is running ({since}), so nothing can resume; trips work.",
        "Start `cockpit authority` on its host, then ask again.",
    )


async def _epoch(wish: Wish, ports: ResumePorts) -> Epoch | None:
    """Which epoch the asker means. An acknowledgement is about no epoch."""
    if wish.kind is Kind.ACKNOWLEDGE:
        return None
    reading = (await ports.breakers.snapshot()).readings.get(wish.breaker_id)
    return reading.epoch if reading is not None else None


def _command(wish: Wish, login: str, epoch: Epoch | None, now: datetime) -> Command:
    return Command(
        wish.kind,
        str(uuid4()),
        wish.breaker_id,
        login,
        now,
        epoch=epoch,
        notes=wish.notes,
        checked=wish.checked,
        target=wish.target,
    )


async def _submit(command: Command, ports: ResumePorts) -> Outcome:
    try:
        await ports.inbox.submit(ports.sign(command), command.request_id)
    except StoreUnreachable as error:
        if not error.maybe_applied:
            raise
        return await _late_answer(command, ports, "Postgres' reply was lost")
    limit = ports.limits.commit_deadline_s + _REPLY_MARGIN_S
    try:
        row = await ports.inbox.await_outcome(command.request_id, limit)
    except StoreUnreachable:
        return await _late_answer(command, ports, "Postgres went away while the authority decided")
    return outcome_of(row)


async def _late_answer(command: Command, ports: ResumePorts, why: str) -> Outcome:
    """The reply is lost, the request may not be: read it again by its id (F3)."""
    try:
        row = await ports.inbox.await_outcome(command.request_id, _REPLY_MARGIN_S)
    except Refused:
        return unknown(command.breaker_id, command.request_id, why)
    return outcome_of(row)


def outcome_of(row: RequestRow) -> Outcome:
    """What to tell a person about a request as its row stands."""
    if row.status in ("new", "committing"):
        return unknown(row.breaker_id, row.request_id, "the authority has not decided in time")
    if row.status == "awaiting_approval":
        return Outcome(
            row.breaker_id,
            "pending",
            f"Awaits a second person: `cockpit approve {row.request_id}` by someone else who may resume "
            f"{row.breaker_id}.",
            EXIT_REFUSED,
            event_id=row.request_id,
            audit_seq=row.audit_seq,
            postgres=True,
        )
    refusal = Refusal(_code(row), row.message or f"The request is {row.status}.", "")
    exit_code = EXIT_DONE if row.status == "done" else refusal.exit_code
    if row.outcome is not None:
        return from_fields(row.outcome, exit_code)
    if row.status == "done":
        return Outcome(row.breaker_id, "done", row.message or "Done.", event_id=row.request_id, postgres=True)
    return Outcome(
        row.breaker_id,
        "refused",
        str(refusal),
        exit_code,
        event_id=row.request_id,
        audit_seq=row.audit_seq,
        postgres=True,
    )


def _code(row: RequestRow) -> Code:
    plain = {
        "expired": Code.EXPIRED,
        "void": Code.VOID,
        "denied": Code.DENIED,
        "rejected": Code.BAD_SIGNATURE,
    }
    try:
        return Code(row.code or "")
    except ValueError:
        return plain.get(row.status, Code.UNKNOWN)


def restore_wish(notes: str) -> Wish:
    """A restore is about the whole platform."""
    return Wish(Kind.RESTORE, GLOBAL, notes)
