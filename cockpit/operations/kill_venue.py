"""What a kill switch does at the venue, one exchange each: sends under a key, and reads; and how `global`
stands in Redis, without which a reading proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cockpit.domain.documents import Epoch
from cockpit.domain.kill import Acted, Held, OpenOrder, Read, Step, kill_key
from cockpit.domain.kill_proof import still_open
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.operations.kill_ports import KillGateway, KillPorts

_NO_GATEWAY: Final = "the settings name no gateway (gateway_url)"


async def send(gateway: KillGateway | None, kill_id: str, step: Step, number: int) -> Acted:
    """A cancel-all or a flatten under the key of this round. A reply that is lost leaves it unanswered: it
    may have been done, and is asked for again under the same key."""
    if gateway is None:
        return Acted(step, number, False, why=_NO_GATEWAY)
    key = kill_key(kill_id, step, number)
    try:
        answer = await (gateway.cancel_all(key=key) if step is Step.CANCEL else gateway.flatten(key=key))
    except Refused as error:
        return Acted(step, number, False, why=error.refusal.message)
    return Acted(step, number, True, dict(answer.refused), answer.why)


async def read_venue(gateway: KillGateway | None, after: int) -> Read:
    """Orders first, positions after them: an order that fills in between is then in one of the two. A part
    that fails is None."""
    if gateway is None:
        return Read(after, None, None, _NO_GATEWAY)
    orders: tuple[OpenOrder, ...] | None = None
    positions: tuple[Held, ...] | None = None
    why = ""
    try:
        orders = tuple(
            OpenOrder(each.order_id, each.symbol, each.side, each.quantity)
            for each in await gateway.open_orders()
        )
    except Refused as error:
        why = error.refusal.message
    try:
        positions = tuple(Held(each.symbol, each.quantity) for each in await gateway.positions())
    except Refused as error:
        why = why or error.refusal.message
    return Read(after, orders, positions, why)


async def with_standing(read: Read, ports: KillPorts) -> Read:
    """The reading with what Redis says of `global` after it (I15)."""
    try:
        found = await ports.standing()
    except Refused:
        return read
    if found.state is not State.OPEN:
        return replace(read, loosened=True)
    return replace(read, open_at=found.epoch)


async def stands(epoch: Epoch | None, ports: KillPorts) -> bool:
    """Whether the trip of `epoch` still holds in Redis, as far as it says: it may have been resumed since."""
    if epoch is None:
        return False
    return still_open((await with_standing(Read(0, None, None), ports)).open_at, epoch)
