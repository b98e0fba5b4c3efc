"""Agreed adjustments of an error budget: one safety-admin asks, another approves, one takes it back.

An exclusion moves no breaker, so its approval binds no epoch: it binds the signed payload (the SLO and the
very stretch of time) and an expiry, and a trip of the SLO's breaker voids it like all that waits (I20).
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from backends.audit_log import append
from cockpit.authority.approval import Approval, await_approval, check_approver
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.adjustments import BadAdjustment, Stretch, exclusion_fault, parse_exclusion
from cockpit.domain.audit import Action, ChainBroken
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command
from cockpit.domain.documents import rfc3339
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refused

_OVERLAP: Final = """
SELECT exclusion_id::text FROM slo_exclusions
 WHERE slo = $1 AND reverted_at IS NULL AND from_at < $3 AND $2 < until_at LIMIT 1
"""
_INSERT: Final = """
INSERT INTO slo_exclusions (exclusion_id, slo, from_at, until_at, notes, login, person_id, approved_by,
                            audit_seq)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_REVERT: Final = """
UPDATE slo_exclusions e SET reverted_at = clock_timestamp(), reverted_by = $2
  FROM requests r
 WHERE e.exclusion_id = $1::uuid AND e.reverted_at IS NULL AND r.request_id = e.exclusion_id
   AND $3 IN (r.breaker_id, 'global')
RETURNING e.slo, e.from_at, e.until_at
"""


class Exclusions:
    """Decides EXCLUDE and INCLUDE commands. `asked` has passed the inbox's checks."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def exclude(
        self, asked: Asked, command: Command, identity: Identity, approval: Approval | None = None
    ) -> None:
        """Hold the request until a second person approves it; with `approval` take the stretch out.

        Raises:
            Refused: the notes, the stretch or the SLO do not count, or somebody's authority has ended.
        """
        stop(bad_notes(command))
        try:
            stretch = parse_exclusion(command.target or "")
        except BadAdjustment as fault:
            raise Refused(Code.MALFORMED, f"{str(fault).capitalize()}.") from fault
        await self._check(command, stretch)
        if approval is None:
            await await_approval(self._means, asked, command, identity)
            return
        await self._record(asked, command, identity, stretch, approval)
        self._means.objectives.outdate()

    async def _check(self, command: Command, stretch: Stretch) -> None:
        means = self._means
        async with means.pool.acquire() as connection:
            try:
                await means.chain.verify_increment(connection)
            except ChainBroken as broken:
                raise Refused(
                    Code.AUDIT_BROKEN,
                    f"The audit chain does not hold: {broken}.",
                    "Run cockpit audit verify.",
                ) from broken
            now = await connection.fetchval("SELECT clock_timestamp()")
        if fault := means.chain.fault(now, means.limits):
            raise Refused(
                Code.AUDIT_BROKEN, f"The audit chain does not hold: {fault}.", "Run cockpit audit verify."
            )
        snapshot = await means.objectives.fresh()
        if snapshot is None:
            raise Refused(Code.STORE, "The objectives could not be read.", "`cockpit slo` says why.")
        why = exclusion_fault(stretch, command.breaker_id, snapshot, now)
        if why is not None:
            raise Refused(
                Code.MALFORMED, f"{why[0].upper()}{why[1:]}.", "`cockpit slo NAME` shows its window."
            )

    async def _record(
        self, asked: Asked, command: Command, identity: Identity, stretch: Stretch, approval: Approval
    ) -> None:
        means = self._means
        async with means.transaction() as connection:
            await self._still_allowed(connection, command)
            await check_approver(connection, approval, command.breaker_id, Permission.ADJUST_BUDGET)
            times = (stretch.slo, stretch.from_at, stretch.until_at)
            other = await connection.fetchval(_OVERLAP, *times)
            if other is not None:
                raise Refused(Code.WRONG_STATE, f"It overlaps with exclusion {other}, which is in force.")
            entry = await append(
                connection,
                new_entry(
                    means.key,
                    asked.author(identity.role.value),
                    Action.BUDGET_EXCLUDED,
                    asked.request_id,
                    command.breaker_id,
                    {**_details(stretch), "notes": command.notes, "approval": approval.details()},
                ),
            )
            await connection.execute(
                _INSERT,
                asked.request_id,
                *times,
                command.notes,
                asked.login,
                identity.person_id,
                approval.login,
                entry.seq,
            )
            message = (
                f"What happened from {rfc3339(stretch.from_at)} to {rfc3339(stretch.until_at)} no longer "
                f"counts against {stretch.slo}."
            )
            for request_id in (asked.request_id, approval.approval_id):
                outcome = done(command.breaker_id, message, request_id, entry.seq)
                await record_outcome(connection, request_id, "done", outcome, entry.seq)
            await tell(connection, CHANGE)

    async def include(self, asked: Asked, command: Command, identity: Identity) -> None:
        """Take an exclusion back: its events count again.

        Raises:
            Refused: none of that id is in force for this breaker.
        """
        stop(bad_notes(command))
        try:
            exclusion_id = str(UUID(command.target or ""))
        except ValueError:
            raise Refused(
                Code.MALFORMED, "target is not an exclusion's id.", "cockpit slo lists them."
            ) from None
        async with self._means.transaction() as connection:
            await self._still_allowed(connection, command)
            row = await connection.fetchrow(_REVERT, exclusion_id, asked.login, command.breaker_id)
            if row is None:
                scope = "" if command.breaker_id == GLOBAL else f" of {command.breaker_id}"
                raise Refused(
                    Code.WRONG_STATE,
                    f"No exclusion {exclusion_id}{scope} is in force.",
                    "It may be taken back already.",
                )
            entry = await append(
                connection,
                new_entry(
                    self._means.key,
                    asked.author(identity.role.value),
                    Action.BUDGET_INCLUDED,
                    asked.request_id,
                    command.breaker_id,
                    {"exclusion_id": exclusion_id, **_details(Stretch(*row)), "notes": command.notes},
                ),
            )
            message = f"The exclusion from {row['slo']} is taken back: its events count again."
            outcome = done(command.breaker_id, message, asked.request_id, entry.seq)
            await record_outcome(
                connection, asked.request_id, "done", outcome, entry.seq, kind=command.kind.value
            )
            await tell(connection, CHANGE)
        self._means.objectives.outdate()

    async def _still_allowed(self, connection: Any, command: Command) -> None:
        standing = await read_standing(connection, command.login)
        stop(authorise(standing, command.login, Permission.ADJUST_BUDGET, command.breaker_id)[1])


def _details(stretch: Stretch) -> dict[str, object]:
    return {
        "slo": stretch.slo,
        "from": rfc3339(stretch.from_at),
        "until": rfc3339(stretch.until_at),
    }
