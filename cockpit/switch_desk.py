"""The operations on switches as the screen asks for them: bound to what the asker saw (I20)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cockpit.domain.commands import Command
from cockpit.domain.modes import Mode
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.operations import modes
from cockpit.operations.cancel_all import CancelPorts
from cockpit.operations.cancel_all import cancel_all as operation
from cockpit.operations.outcomes import Outcome
from cockpit.operations.resume import ResumePorts
from cockpit.operations.trip import trip

if TYPE_CHECKING:
    from cockpit.desk import Desk


class _Seen:
    """The breakers as the dialog showed them, or nothing where nothing was read."""

    def __init__(self, snapshot: BreakerSnapshot | None) -> None:
        self._snapshot = snapshot

    async def snapshot(self) -> BreakerSnapshot:
        if self._snapshot is None:
            raise StoreUnreachable("Redis", "nothing was read of it here")
        return self._snapshot


def _ports(desk: Desk, seen: BreakerSnapshot | None) -> modes.SwitchPorts:
    stores = desk.stores

    async def tripped(command: Command) -> Outcome:
        signed, warning = stores.sign_trip(command)
        outcome = await asyncio.to_thread(trip, command, signed, stores.trips, desk.now())
        return outcome.adding(f"{warning}.") if warning else outcome

    resume = ResumePorts(_Seen(seen), stores.postgres, stores.sign, desk.settings.limits)
    return modes.SwitchPorts(stores.login, desk.settings.catalogue, tripped, resume)


async def mode(
    desk: Desk, symbol: str, wanted: Mode, notes: str, ticket: str, seen: BreakerSnapshot | None
) -> Outcome:
    """Raises Refused, as `modes.set_mode`."""
    return await modes.set_mode(symbol, wanted, notes, ticket, _ports(desk, seen), desk.now())


async def latch(desk: Desk, symbol: str, notes: str, seen: BreakerSnapshot | None) -> Outcome:
    """Raises Refused, as `modes.release_latch`."""
    return await modes.release_latch(symbol, notes, _ports(desk, seen), desk.now())


async def withdrawals(
    desk: Desk, resumes: bool, notes: str, ticket: str, seen: BreakerSnapshot | None
) -> Outcome:
    """Raises Refused where they are to be resumed, as `modes.resume_withdrawals`."""
    act = modes.resume_withdrawals if resumes else modes.halt_withdrawals
    return await act(notes, ticket, _ports(desk, seen), desk.now())


async def cancel_all(desk: Desk, symbol: str, notes: str, ticket: str) -> Outcome:
    """Raises Refused and BadTicket, as the operation."""
    stores = desk.stores
    ports = CancelPorts(stores.gateway, stores.postgres, stores.sign, desk.settings.catalogue)
    return await operation(symbol, notes, ticket, ports, desk.now())
