"""Releases of switches: symbol modes, safety latches, the halt of withdrawals. A loosening like any other,
committed in two phases; what a switch has instead of probes are the rules here.

Sources: exchange operations runbook 3.1 to 3.3 and 6 (modes, order of loosening); operations runbook,
reconciliation (two clean cycles).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from backends.reconciliation_store import briefly
from cockpit.authority.approval import Approval, await_approval
from cockpit.authority.at_commit import left_to_commit, still_allowed, stop
from cockpit.authority.clean_cycles import clean_cycles
from cockpit.authority.commit import commit
from cockpit.authority.decisions import Asked
from cockpit.authority.loosening import draft
from cockpit.authority.means import Means
from cockpit.authority.rules import Scene, bad_notes, doubts, needs_approval, stale_epoch
from cockpit.authority.scenes import audited_scene
from cockpit.authority.set_switches import release_command
from cockpit.authority.size_share import Size
from cockpit.domain.breakers import WITHDRAWALS, BreakerId, Scope, is_switch, scope_of, switch_of, symbol_of
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Reading
from cockpit.domain.modes import Mode, switch_for
from cockpit.domain.permissions import Identity
from cockpit.domain.reconciliation import CleanCycles
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import State, Transition
from cockpit.domain.switches import BadTicket, is_set, parse_ticket, takes_ticket

# What only a breaker knows: it has probes, a size, error budgets.
_OF_BREAKERS: Final = {
    Kind.HALF_OPEN: "is half-opened",
    Kind.CLOSE: "is closed",
    Kind.LIMIT: "has an order size",
    Kind.LIFT: "has an order size",
    Kind.EXCLUDE: "has an error budget",
    Kind.INCLUDE: "has an error budget",
}
_SINCE: Final = "SELECT since FROM breakers WHERE breaker_id = $1"
_P0: Final = """
SELECT incident_id::text, title FROM incidents
 WHERE severity = 'P0' AND status IN ('open', 'acknowledged')
   AND (breaker_id = $1 OR $1 = ANY (breakers))
 ORDER BY opened_at LIMIT 1
"""


def unfit(command: Command) -> Refusal | None:
    """Why a request cannot be about what it names: a switch is released and nothing else, a breaker
    everything else."""
    name = command.breaker_id
    if is_switch(name) and command.kind in _OF_BREAKERS:
        return Refusal(
            Code.WRONG_STATE,
            f"{name} is a switch: no switch {_OF_BREAKERS[command.kind]}; it is set and released.",
            f"To release it: {release_command(name)}.",
        )
    if command.kind is Kind.RELEASE and not is_switch(name):
        return Refusal(
            Code.WRONG_STATE,
            f"{name} is a breaker and is not released: it goes through half-open, probes and close.",
            f"cockpit half-open {name}",
        )
    return None


def release_refusal(command: Command, scene: Scene, readings: Mapping[BreakerId, Reading]) -> Refusal | None:
    """Why a switch may not be released as things stand in Redis, or None. Doubts come on top."""
    return (
        bad_notes(command)
        or _bad_ticket(command)
        or _not_set(scene)
        or stale_epoch(command.epoch, scene)
        or _out_of_order(command.breaker_id, readings)
    )


def _bad_ticket(command: Command) -> Refusal | None:
    if not takes_ticket(command.breaker_id):
        return None
    try:
        parse_ticket(command.target or "")
    except BadTicket as fault:
        return Refusal(Code.MALFORMED, f"The {fault}.", "Name the ticket: --ticket ID.")
    return None


def _not_set(scene: Scene) -> Refusal | None:
    if scene.reading.state is State.OPEN:
        return None
    return Refusal(Code.NOT_TRIPPED, f"{scene.breaker_id} is not set; nothing to release.", "")


def _out_of_order(name: BreakerId, readings: Mapping[BreakerId, Reading]) -> Refusal | None:
    """CANCEL_ONLY first, then NORMAL: orders are looked at before anything new may be sent."""
    symbol = symbol_of(name)
    cancel_only = switch_of(Scope.CANCEL_ONLY, symbol)
    if scope_of(name) in (Scope.HARD_HALT, Scope.SOFT_HALT) and not is_set(readings.get(cancel_only)):
        return Refusal(
            Code.WRONG_STATE,
            f"{symbol} would go from {scope_of(name).value.upper()} to NORMAL in one step.",
            f"It goes to CANCEL_ONLY first: cockpit mode {symbol} CANCEL_ONLY.",
        )
    if scope_of(name) is not Scope.CANCEL_ONLY:
        return None
    for mode in (Mode.HARD_HALT, Mode.SOFT_HALT):
        stricter = switch_for(mode, symbol)
        if stricter is not None and is_set(readings.get(stricter)):
            return Refusal(
                Code.WRONG_STATE,
                f"{stricter} is set: {symbol} goes to CANCEL_ONLY first, then to NORMAL.",
                f"cockpit mode {symbol} CANCEL_ONLY",
            )
    return None


@dataclass(frozen=True, slots=True)
class Releases:
    """Decides RELEASE commands. `asked` has passed the inbox's checks."""

    means: Means

    async def release(
        self, asked: Asked, command: Command, identity: Identity, approval: Approval | None = None
    ) -> None:
        """Release a switch, or ask for the second person that it takes.

        Raises:
            Refused: something stands in the way.
        """
        means, limits, name = self.means, self.means.limits, command.breaker_id
        stop(unfit(command))
        world, scene, reason = await audited_scene(means, name)
        stop(release_refusal(command, scene, world.readings) or doubts(scene, limits))
        async with means.pool.acquire() as connection:
            stop(await _unmet(connection, name, limits.reconciliation_fresh_s))
        if needs_approval(name, limits) and approval is None:
            await await_approval(means, asked, command, identity)
            return
        item = draft(
            means,
            world,
            commit_id=command.request_id,
            breaker_id=name,
            transition=Transition.RELEASE,
            author=asked.author(identity.role.value),
            notes=command.notes,
            reason=reason,
            deadline_in=left_to_commit(asked, approval, limits.commit_deadline_s, scene.postgres_now),
            postgres_now=scene.postgres_now,
            details={"ticket": command.target, "approval": approval.details() if approval else None},
            message=_released(name, world.readings),
            size=Size(),
            request_ids=(command.request_id, *((approval.approval_id,) if approval else ())),
        )

        async def met(connection: Any) -> datetime | None:
            stop(await _unmet(connection, name, limits.reconciliation_fresh_s))
            return await still_allowed(means, connection, command, approval)

        await commit(means, replace(item, guard=met, recheck=met))


async def _unmet(connection: Any, name: BreakerId, fresh_s: float) -> Refusal | None:
    """What Postgres must show before this switch is released: asked at once, with the intent, and once more
    just before the compare-and-set."""
    if scope_of(name) is Scope.LATCH:
        since = await connection.fetchval(_SINCE, name)
        found = await _counted(connection, symbol_of(name), since, fresh_s)
        if found.count >= found.wanted:
            return None
        return Refusal(
            Code.RECOVERY,
            f"{name} needs {found.wanted} consecutive clean reconciliation cycles since it was set and has"
            f" {found.count}: {found.why}.",
            f"Mend what differs, let reconciliation run, and look at cockpit recon {symbol_of(name)}.",
        )
    if name == WITHDRAWALS:
        row = await connection.fetchrow(_P0, name)
        if row is not None:
            return Refusal(
                Code.RECOVERY,
                f"Incident {row['incident_id']} (P0, {row['title']}) is linked to withdrawals and not over.",
                "Resolve it first: cockpit incident resolve.",
            )
    return None


async def _counted(connection: Any, symbol: str, since: datetime, fresh_s: float) -> CleanCycles:
    """
    Raises:
        Refused: it could not be counted in a second.
    """
    async with briefly(connection, f"Whether reconciliation of {symbol} is clean"):
        return await clean_cycles(connection, symbol, since, fresh_s)


def _released(name: BreakerId, readings: Mapping[BreakerId, Reading]) -> str:
    """The outcome in words, with what stays in force."""
    if name == WITHDRAWALS:
        return "Withdrawals are resumed."
    symbol = symbol_of(name)
    if scope_of(name) is Scope.LATCH:
        return f"The safety latch of {symbol} is released."
    left = [
        mode
        for mode in reversed(Mode)
        if (other := switch_for(mode, symbol)) not in (None, name) and is_set(readings.get(other or name))
    ]
    return f"{name} is released: {symbol} is in {(left or [Mode.NORMAL])[0].value}."
