"""Everything that goes through the authority: half-open, close, approve, restore, acknowledge, limits on
order size, exclusions from an error budget.

One way for all: know who asks, refuse what the role forbids before anything else is looked at, sign, put it
into the inbox, await the outcome. What is decided is decided by the authority; what is checked here only
saves a person a wait. An outcome that does not come is never shown as done (I25).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import uuid4

from cockpit.domain.adjustments import exclusion_target, share_text
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import DeskSnapshot, RequestRow
from cockpit.domain.documents import Epoch
from cockpit.domain.limits import Limits
from cockpit.domain.permissions import Identity, Permission, denial
from cockpit.domain.refusals import Code, Refusal, Refused, StoreUnreachable
from cockpit.operations.answers import outcome_of
from cockpit.operations.outcomes import Outcome, refused, unknown
from cockpit.operations.ports import Breakers, CommandSigner, Inbox

RECORD_S: Final = 1.0
_REPLY_MARGIN_S: Final = 1.0
_NO_EPOCH: Final = frozenset(
    {Kind.ACKNOWLEDGE, Kind.LIMIT, Kind.EXCLUDE, Kind.INCLUDE, Kind.INCIDENT, Kind.KILL_STEP, Kind.SILENCE}
    | {Kind.RETRY_PAGES}
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for. `target` is the request that is approved, the incident acknowledged, a limit's
    share or id, an exclusion's stretch or id. `reason` is a limit's token, or why a half-open shall pass over
    spent error budgets."""

    kind: Kind
    breaker_id: BreakerId
    notes: str = ""
    checked: tuple[str, ...] = ()
    target: str | None = None
    reason: str = ""

    @property
    def permission(self) -> Permission | None:
        """What the asker must be allowed to do; an override asks for more than a plain half-open."""
        overrides = self.kind is Kind.HALF_OPEN and bool(self.reason)
        return Permission.OVERRIDE if overrides else self.kind.permission


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
    permission = wish.permission
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


async def lift(limit_id: str, notes: str, ports: ResumePorts, now: datetime) -> Outcome:
    """End a size limit, whatever breaker it is about.

    Raises:
        Refused: no such limit, or as `ask`.
    """
    return await ask(lift_wish(await _breaker_of(limit_id, "limit", ports), limit_id, notes), ports, now)


async def include(exclusion_id: str, notes: str, ports: ResumePorts, now: datetime) -> Outcome:
    """Take an exclusion back, whatever objective it is about.

    Raises:
        Refused: no such exclusion, or as `ask`.
    """
    breaker_id = await _breaker_of(exclusion_id, "exclusion", ports)
    return await ask(include_wish(breaker_id, exclusion_id, notes), ports, now)


async def _breaker_of(request_id: str, what: str, ports: ResumePorts) -> BreakerId:
    """Limits and exclusions bear the id of the request that asked for them."""
    row = await ports.inbox.outcome(request_id)
    if row.breaker_id is None:
        raise Refused(Code.UNKNOWN, f"There is no {what} {request_id}.", "`cockpit status` lists them.")
    return BreakerId(row.breaker_id)


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
    """Which epoch the asker means. What moves no breaker is about no epoch, and needs no Redis."""
    if wish.kind in _NO_EPOCH:
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
        reason=wish.reason,
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


def restore_wish(notes: str) -> Wish:
    """A restore is about the whole platform."""
    return Wish(Kind.RESTORE, GLOBAL, notes)


def half_open_wish(breaker_id: BreakerId, notes: str, checked: tuple[str, ...], override: str = "") -> Wish:
    """Begin a probe run; `override` says why in spite of spent or unknown error budgets (break-glass)."""
    return Wish(Kind.HALF_OPEN, breaker_id, notes, checked, reason=override)


def limit_wish(breaker_id: BreakerId, share: Decimal, notes: str, reason: str = "") -> Wish:
    """Cap order size in the breaker's scope at `share` of normal, 0 < share < 1. `reason` is a trip's token,
    or the name of the rule where the guard asks.

    Raises:
        BadAdjustment: `share` is none.
    """
    return Wish(Kind.LIMIT, breaker_id, notes, target=share_text(share), reason=reason)


def lift_wish(breaker_id: BreakerId, limit_id: str, notes: str) -> Wish:
    """End a size limit of this breaker."""
    return Wish(Kind.LIFT, breaker_id, notes, target=limit_id)


def exclude_wish(breaker_id: BreakerId, slo: str, from_at: datetime, until_at: datetime, notes: str) -> Wish:
    """Leave the events of `slo` in (from_at, until_at] out of its budget. `breaker_id` is the SLO's own."""
    return Wish(Kind.EXCLUDE, breaker_id, notes, target=exclusion_target(slo, from_at, until_at))


def include_wish(breaker_id: BreakerId, exclusion_id: str, notes: str) -> Wish:
    """Take such an exclusion back. `breaker_id` is the SLO's own, or `global`."""
    return Wish(Kind.INCLUDE, breaker_id, notes, target=exclusion_id)
