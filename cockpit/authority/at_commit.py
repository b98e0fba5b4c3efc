"""What must hold at the very moment of a commit, whatever held when it was asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cockpit.authority.approval import Approval, check_approver
from cockpit.authority.decisions import Asked
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.kill_review import unreviewed_kill
from cockpit.authority.means import Means
from cockpit.authority.override import Override
from cockpit.authority.scenes import standing_and_pending
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Permission
from cockpit.domain.refusals import Code, Refusal, Refused


def stop(refusal: Refusal | None) -> None:
    """
    Raises:
        Refused: there is a refusal.
    """
    if refusal is not None:
        raise Refused(refusal.code, refusal.message, refusal.remedy)


async def still_allowed(
    means: Means,
    connection: Any,
    command: Command,
    approval: Approval | None = None,
    override: Override | None = None,
) -> datetime | None:
    """Permission as of now, of everybody whose authority this commit rests on, and no trip that waits (I21,
    F9). When the first of these grants ends, by Postgres's clock; None for never.

    Raises:
        Refused: somebody's authority has ended, or a trip waits.
    """
    names = (command.breaker_id, *means.catalogue.ancestors(command.breaker_id))
    standing, waits = await standing_and_pending(connection, command.login, names)
    stop(authorise(standing, command.login, Permission.RESET_CIRCUIT, command.breaker_id)[1])
    ends = [standing.until(Permission.RESET_CIRCUIT, command.breaker_id) if standing else None]
    if approval is not None:
        ends.append(await check_approver(connection, approval, command.breaker_id))
    if override is not None:
        giver = await read_standing(connection, override.login)
        stop(authorise(giver, override.login, Permission.OVERRIDE, command.breaker_id)[1])
        ends.append(giver.until(Permission.OVERRIDE, command.breaker_id) if giver else None)
    stop(await unreviewed_kill(connection, command.breaker_id))
    if waits:
        raise Refused(Code.PENDING_TRIP, f"A trip of {waits} came in meanwhile.", "It comes first.")
    return min((end for end in ends if end is not None), default=None)


def left_to_commit(asked: Asked, approval: Approval | None, limit_s: float, now: datetime) -> timedelta:
    """Time left to commit at `now`: a fixed while after the request, however long it stood in line, or after
    the approval that released it.

    Raises:
        Refused: none.
    """
    if approval is not None:
        return timedelta(seconds=min(limit_s, approval.left_s))
    left: timedelta = asked.submitted_at + timedelta(seconds=limit_s) - now
    if left <= timedelta(0):
        raise Refused(Code.EXPIRED, "Its turn came too late: its commit deadline has passed.", "Ask again.")
    return left
