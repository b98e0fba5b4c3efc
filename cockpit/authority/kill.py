"""Kill switches as the authority keeps them: told in steps, and reviewed by two safety-admins before `global`
may be resumed.

Sources: incident playbook, kill switch procedure (no restart without an approval from the review).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from backends.audit_log import append, storable
from cockpit.authority.approval import Approval, await_approval, check_approver
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.incident_book import add_event
from cockpit.authority.kill_review import known_kill, record_unseen_kill, unreviewed_kill
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL, BreakerId, Scope, scope_of
from cockpit.domain.commands import Command
from cockpit.domain.kill_records import BadKillRecord, parse_kill_id, parse_step
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.switches import BadTicket, parse_ticket
from cockpit.domain.text import clean
from cockpit.operations.cancel_all import ASKED, DONE

MOST_DETAILS: Final = 16_384
EVENT_S: Final = 0.5
"""How long the first step of a kill switch waits for the drain to record its trip, which knows more of it."""
_STEP: Final = """
INSERT INTO kill_steps (step_id, kill_id, step, outcome, details, login, audit_seq)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7) ON CONFLICT (step_id) DO NOTHING
"""
_REVIEWED: Final = """
UPDATE kill_switches SET reviewed_at = clock_timestamp(), reviewed_by = $2, review = $3, approved_by = $4,
       audit_seq = $5
 WHERE kill_id = $1 AND reviewed_at IS NULL RETURNING 1
"""
_KNOWN: Final = "SELECT reviewed_at FROM kill_switches WHERE kill_id = $1"
_INCIDENT: Final = "SELECT incident_id::text FROM incidents WHERE dedup_key = $1"


@dataclass(frozen=True, slots=True)
class KillSwitches:
    """Decides KILL_STEP, KILL_REVIEW and CANCEL_ALL commands. `asked` has passed the inbox's checks."""

    means: Means
    since: float = field(default_factory=time.monotonic)

    async def step(self, asked: Asked, command: Command, identity: Identity) -> None:
        """Record what one step found, however late it comes. Only a safety-admin can have signed it: where
        no trip has begun its kill switch here, the step itself does (I17).

        Raises:
            Refused: the target is not a step's.
        """
        try:
            record = parse_step(command.target)
        except BadKillRecord as fault:
            raise Refused(Code.MALFORMED, f"The step does not count: {fault}.") from fault
        details = json.dumps(storable(dict(record.details)))
        if len(details) > MOST_DETAILS:
            raise Refused(Code.MALFORMED, f"The step's details have over {MOST_DETAILS} bytes.")
        async with self.means.transaction() as connection:
            known = await known_kill(connection, record.kill_id)
            if not known and min(asked.age_s, time.monotonic() - self.since) < EVENT_S:
                return  # it is read again in a moment
            told: dict[str, object] = {
                "kill_id": record.kill_id,
                "step": record.step.value,
                "outcome": record.outcome.value,
                "details": details,
            }
            told |= {} if known else {"begins": "the trip's event was lost, or is late"}
            seq = await self._append(connection, asked, command, identity, Action.KILL_SWITCH_STEP, told)
            await connection.execute(
                _STEP,
                UUID(asked.request_id),
                UUID(record.kill_id),
                record.step.value,
                record.outcome.value,
                details,
                asked.login,
                seq,
            )
            if not known:
                await record_unseen_kill(connection, record, asked.login, seq)
            message = f"Kill switch {record.kill_id}: {record.step.value} {record.outcome.value}."
            await self._done(connection, asked, command, message, seq)

    async def review(
        self, asked: Asked, command: Command, identity: Identity, approval: Approval | None = None
    ) -> None:
        """Hold a review until a second safety-admin approves it; with `approval` record it.

        Raises:
            Refused: no such kill switch awaits a review, `global` was tripped since, the notes do not count,
                or somebody's authority has ended.
        """
        stop(bad_notes(command))
        try:
            kill_id = parse_kill_id(command.target)
        except BadKillRecord as fault:
            raise Refused(
                Code.MALFORMED, f"Target: {fault}.", "cockpit kill-switch status names it."
            ) from None
        world = await self.means.reader.read()
        if command.epoch is None or command.epoch != world.readings[GLOBAL].epoch:
            raise Refused(
                Code.STALE_EPOCH,
                f"The review is for epoch {command.epoch or 'none'} of global, which was tripped since.",
                "Look at it again and review anew.",
            )
        async with self.means.pool.acquire() as connection:
            await _unreviewed(connection, kill_id)
        if approval is None:
            await await_approval(self.means, asked, command, identity)
            return
        await self._record_review(asked, command, identity, kill_id, approval)

    async def _record_review(
        self, asked: Asked, command: Command, identity: Identity, kill_id: str, approval: Approval
    ) -> None:
        async with self.means.transaction() as connection:
            standing = await read_standing(connection, command.login)
            stop(authorise(standing, command.login, Permission.KILL_SWITCH, GLOBAL)[1])
            await check_approver(connection, approval, GLOBAL, Permission.KILL_SWITCH)
            details = {"kill_id": kill_id, "notes": command.notes, "approval": approval.details()}
            seq = await self._append(
                connection, asked, command, identity, Action.KILL_SWITCH_REVIEWED, details
            )
            done_now = await connection.fetchval(
                _REVIEWED, UUID(kill_id), asked.login, command.notes, approval.login, seq
            )
            if done_now is None:
                raise Refused(Code.WRONG_STATE, "It has been reviewed meanwhile.")
            incident = await connection.fetchval(_INCIDENT, _dedup_key(kill_id))
            if incident is not None:
                told = {"approved_by": approval.login}
                await add_event(
                    connection, incident, "kill-switch-reviewed", asked.login, command.notes, told, seq
                )
            left = await unreviewed_kill(connection, GLOBAL)
            more = f" {left.message}" if left else " global may go through half-open, probes and close."
            message = f"The review of kill switch {kill_id} is recorded and approved.{more}"
            for request_id in (asked.request_id, approval.approval_id):
                outcome = done(command.breaker_id, message, request_id, seq)
                await record_outcome(connection, request_id, "done", outcome, seq)
            await tell(connection, CHANGE)

    async def cancelled(self, asked: Asked, command: Command, identity: Identity) -> None:
        """Record a cancel-all of one instrument, which went straight to the gateway (I6): asked for or done,
        or else under an action of its own.

        Raises:
            Refused: it is about no instrument, without a ticket, or its reason does not count.
        """
        stop(bad_notes(command))
        try:
            ticket = parse_ticket(command.target or "")
        except BadTicket as fault:
            raise Refused(Code.MALFORMED, f"The {fault}.", "Name the ticket: --ticket ID.") from fault
        if scope_of(command.breaker_id) is not Scope.INSTRUMENT:
            raise Refused(Code.MALFORMED, "A cancel-all is about one instrument.")
        details = {"ticket": ticket, "notes": command.notes, "result": clean(command.reason, 200)}
        well = command.reason == ASKED or command.reason.startswith(DONE)
        action = Action.ORDERS_CANCELLED if well else Action.ORDERS_CANCEL_REFUSED
        async with self.means.transaction() as connection:
            seq = await self._append(connection, asked, command, identity, action, details)
            message = f"The cancel-all of {_symbol(command.breaker_id)} is recorded."
            await self._done(connection, asked, command, message, seq)

    async def _append(
        self,
        connection: Any,
        asked: Asked,
        command: Command,
        identity: Identity,
        action: Action,
        details: Mapping[str, object],
    ) -> int:
        author = asked.author(identity.role.value)
        entry = new_entry(self.means.key, author, action, asked.request_id, command.breaker_id, details)
        return int((await append(connection, entry)).seq)

    async def _done(self, connection: Any, asked: Asked, command: Command, message: str, seq: int) -> None:
        outcome = done(command.breaker_id, message, asked.request_id, seq)
        await record_outcome(connection, asked.request_id, "done", outcome, seq, kind=command.kind.value)
        await tell(connection, CHANGE)


async def _unreviewed(connection: Any, kill_id: str) -> None:
    row = await connection.fetchrow(_KNOWN, UUID(kill_id))
    if row is None:
        raise Refused(
            Code.WRONG_STATE, f"No kill switch {kill_id} is recorded.", "Its trip may not be audited yet."
        )
    if row["reviewed_at"] is not None:
        raise Refused(Code.WRONG_STATE, f"Kill switch {kill_id} has been reviewed already.")


def _dedup_key(kill_id: str) -> str:
    return f"kill:{kill_id}"


def _symbol(breaker_id: BreakerId) -> str:
    return breaker_id.partition(":")[2]
