"""Limits on order size that a person or the guard asks for: recorded first, the document follows.

Anyone who may trip a breaker may limit it; only a person who may resume it lifts a limit.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from backends.audit_log import append
from cockpit.authority.at_commit import left_to_commit, still_allowed, stop
from cockpit.authority.commit import commit
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.recovery import record_lifted
from cockpit.authority.rules import bad_notes, doubts, stale_epoch
from cockpit.authority.scenes import read_scene
from cockpit.authority.size_changes import resized, sized_document
from cockpit.authority.world import World
from cockpit.domain.adjustments import BadAdjustment, parse_share, parse_token
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity, Role
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.states import SIZED, Transition
from cockpit.operations.outcomes import Outcome

MOST: Final = 20  # limits of one login on one breaker
CONFIRM_S: Final = 3.0
LOOK_S: Final = 0.02
_KNOWN: Final = "SELECT audit_seq FROM size_limits WHERE limit_id = $1::uuid"
_COUNT: Final = """
SELECT count(*) FROM size_limits WHERE breaker_id = $1 AND login = $2 AND lifted_at IS NULL
"""
_INSERT: Final = """
INSERT INTO size_limits (limit_id, breaker_id, share, source, rule, notes, login, audit_seq)
VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8)
"""
_IN_FORCE: Final = """
SELECT share FROM size_limits WHERE limit_id = $1::uuid AND breaker_id = $2 AND lifted_at IS NULL
"""


class SizeLimits:
    """Decides LIMIT and LIFT commands. `asked` has passed the inbox's checks."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def limit(self, asked: Asked, command: Command, identity: Identity) -> None:
        """Record the limit, and answer once the document obeys it. A successor that finds the request again
        finds it recorded, and answers in the same way.

        Raises:
            Refused: the share, the reason or the notes do not count.
        """
        stop(bad_notes(command))
        try:
            share, token = parse_share(command.target or ""), parse_token(command.reason)
        except BadAdjustment as fault:
            raise Refused(Code.MALFORMED, f"The {fault}.") from fault
        seq = await self._record(asked, command, identity, share, token)
        outcome = await self._obeyed(command, share, seq)
        async with self._means.transaction() as connection:
            await record_outcome(connection, asked.request_id, "done", outcome, seq, kind=command.kind.value)
            await tell(connection, CHANGE)

    async def _record(
        self, asked: Asked, command: Command, identity: Identity, share: Decimal, token: str
    ) -> int:
        guard = identity.role is Role.AUTOMATION_ROLE
        async with self._means.transaction() as connection:
            known: int | None = await connection.fetchval(_KNOWN, asked.request_id)
            if known is not None:
                return known
            if await connection.fetchval(_COUNT, command.breaker_id, asked.login) >= MOST:
                raise Refused(
                    Code.WRONG_STATE,
                    f"{asked.login} has {MOST} limits of {command.breaker_id} in force.",
                    "Lift those that do not hold any more; trip it if it must halt.",
                )
            details = {
                "share": share,
                "reason": token,
                "notes": command.notes,
                "source": "guard" if guard else "person",
            }
            author = asked.author(identity.role.value)
            entry = await append(
                connection,
                new_entry(
                    self._means.key,
                    author,
                    Action.SIZE_LIMITED,
                    asked.request_id,
                    command.breaker_id,
                    details,
                ),
            )
            await connection.execute(
                _INSERT,
                asked.request_id,
                command.breaker_id,
                share,
                details["source"],
                token if guard else "",
                command.notes,
                asked.login,
                entry.seq,
            )
            await tell(connection, CHANGE)
        return entry.seq

    async def _obeyed(self, command: Command, share: Decimal, seq: int) -> Outcome:
        """Wait until no document lets through more. One that is not confirmed in time is not shown as done
        (I25); the authority goes on trying."""
        name, ends = command.breaker_id, time.monotonic() + CONFIRM_S
        why = "its document could not be changed yet"
        while time.monotonic() < ends:
            try:
                world = await self._means.reader.read()
            except StoreUnreachable as error:
                why = str(error)
            else:
                reading = world.readings[name]
                if name not in self._means.in_flight and (
                    reading.state not in SIZED or reading.size_share <= share
                ):
                    return self._kept(command, share, seq, world)
            await asyncio.sleep(LOOK_S)
        message = f"The limit of {name} to {share} is recorded and not in Redis yet: {why}."
        return replace(done(name, message, command.request_id, seq), word="pending")

    def _kept(self, command: Command, share: Decimal, seq: int, world: World) -> Outcome:
        name, reading = command.breaker_id, world.readings[command.breaker_id]
        if reading.state in SIZED:
            said = f"Orders of {name} are at most {reading.size_share} of their normal size."
        else:
            said = f"{name} is {reading.state.label}; the limit to {share} applies when it closes."
        epoch = reading.epoch.counter if reading.epoch else None
        return done(
            name,
            f"{said} `cockpit lift {command.request_id}` ends the limit.",
            command.request_id,
            seq,
            redis=True,
            state=reading.state.value,
            epoch=epoch,
        )

    async def lift(self, asked: Asked, command: Command, identity: Identity) -> None:
        """End a limit; where that makes orders larger, by a commit like every loosening.

        Raises:
            Refused: it is not in force, or something stands in the way of a loosening.
        """
        means = self._means
        limit_id = _limit_id(command)
        stop(bad_notes(command))
        await self._idle(command.breaker_id)
        world = await means.reader.read()
        scene, _ = await read_scene(means, world, command.breaker_id)
        stop(stale_epoch(command.epoch, scene) or doubts(scene, means.limits))
        async with means.pool.acquire() as connection:
            await self._in_force(connection, command, limit_id)
            size = await means.sizes.of(connection, command.breaker_id, without=limit_id)
        document = sized_document(world, command.breaker_id)
        if document is None or size.share(document.state, means.limits) <= document.size_share:
            held = f" It stays at {document.size_share}: {size.words}." if document else ""
            await self._only_record(asked, command, identity, limit_id, held)
            return

        async def allowed(connection: Any) -> datetime | None:
            await self._in_force(connection, command, limit_id)
            return await still_allowed(self._means, connection, command)

        item = resized(
            means,
            world,
            document,
            Transition.LIFT,
            size,
            scene.postgres_now,
            commit_id=command.request_id,
            author=asked.author(identity.role.value),
            notes=command.notes,
            deadline_in=left_to_commit(asked, None, means.limits.commit_deadline_s, scene.postgres_now),
            details={"limit_id": limit_id},
            request_ids=(command.request_id,),
            extra={"lifts": limit_id},
        )
        await commit(means, replace(item, guard=allowed, recheck=allowed))

    async def _only_record(
        self, asked: Asked, command: Command, identity: Identity, limit_id: str, held: str
    ) -> None:
        async with self._means.transaction() as connection:
            await still_allowed(self._means, connection, command)
            author = asked.author(identity.role.value)
            seq = await record_lifted(connection, self._means.key, author, limit_id, command.breaker_id)
            if seq is None:
                raise Refused(Code.WRONG_STATE, f"The limit {limit_id} is not in force any more.")
            message = f"The limit of {command.breaker_id} is lifted.{held}"
            outcome = done(command.breaker_id, message, asked.request_id, seq)
            await record_outcome(connection, asked.request_id, "done", outcome, seq, kind=command.kind.value)
            await tell(connection, CHANGE)

    async def _in_force(self, connection: Any, command: Command, limit_id: str) -> None:
        if await connection.fetchval(_IN_FORCE, limit_id, command.breaker_id) is None:
            raise Refused(
                Code.WRONG_STATE,
                f"No limit {limit_id} of {command.breaker_id} is in force.",
                "It may be lifted already; cockpit status lists those in force.",
            )

    async def _idle(self, name: BreakerId) -> None:
        """A limit of this breaker that is just being written comes first."""
        ends = time.monotonic() + CONFIRM_S
        while name in self._means.in_flight:
            if time.monotonic() > ends:
                raise Refused(Code.VOID, f"{name} is being changed by somebody else.", "Ask again.")
            await asyncio.sleep(LOOK_S)


def _limit_id(command: Command) -> str:
    try:
        return str(UUID(command.target or ""))
    except ValueError:
        raise Refused(
            Code.MALFORMED, "target is not a limit's id.", "cockpit status lists the limits in force."
        ) from None
