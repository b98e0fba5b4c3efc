"""Cancel all open orders of one instrument, straight at the gateway, confirmed by reading the venue again.

It is recorded before and after, and waits for neither record (I6); who asks is looked up first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import uuid4

from cockpit.domain.breakers import BreakerId, Catalogue, UnknownInstrument
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.permissions import Identity, Permission, denial
from cockpit.domain.refusals import EXIT_REFUSED, EXIT_UNREACHABLE, Code, Refusal, Refused, StoreUnreachable
from cockpit.domain.switches import parse_ticket
from cockpit.domain.text import many
from cockpit.operations.kill_ports import Answer, KillGateway
from cockpit.operations.outcomes import Outcome, refused

ASKED: Final = "asked"
"""The result of the record that is made before; that of the one after is the outcome's word, a colon and what
it says."""
DONE: Final = "done:"
TRIES: Final = 3
_PAUSE_S: Final = 0.2
_RECORD_S: Final = 1.0


class CancelInbox(Protocol):
    async def identity(self) -> Identity: ...
    async def submit(self, signed: SignedCommand, request_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CancelPorts:
    """`gateway` is None where the settings name none."""

    gateway: KillGateway | None
    inbox: CancelInbox
    sign: Callable[[Command], SignedCommand]
    catalogue: Catalogue


async def cancel_all(symbol: str, notes: str, ticket: str, ports: CancelPorts, now: datetime) -> Outcome:
    """Cancel, and look what is left. `notes` have passed `justification`.

    Raises:
        BadTicket: the ticket is none.
        Refused: UNKNOWN symbol; or the login is not known to be one that may, so nothing was done.
    """
    ticket = parse_ticket(ticket)
    try:
        breaker_id = ports.catalogue.instrument(symbol)
    except UnknownInstrument as error:
        raise Refused(Code.UNKNOWN, str(error)) from error
    identity = await ports.inbox.identity()
    refusal = denial(identity, Permission.TRIP_CIRCUIT, breaker_id)
    if refusal is not None:
        denied = Command(
            Kind.DENIED, str(uuid4()), breaker_id, identity.login, now, target=Kind.CANCEL_ALL.value
        )
        missing = await _record(denied, ports)
        return refused(breaker_id, refusal).adding(missing)
    if ports.gateway is None:
        said = Refusal(Code.STORE, "The settings name no gateway.", "Set gateway_url.")
        return refused(breaker_id, said)
    request_id = str(uuid4())

    def record(request_id: str, result: str) -> Command:
        return Command(
            Kind.CANCEL_ALL,
            request_id,
            breaker_id,
            identity.login,
            now,
            reason=result,
            notes=notes,
            target=ticket,
        )

    asked = asyncio.create_task(_record(record(request_id, ASKED), ports))
    outcome = await _cancelled(symbol, breaker_id, request_id, ports.gateway)
    found = record(str(uuid4()), f"{outcome.word}: {outcome.message}")
    notes_left = [await asked, await _record(found, ports)]
    return outcome.adding(next((note for note in notes_left if note), ""))


async def _cancelled(symbol: str, breaker_id: BreakerId, request_id: str, gateway: KillGateway) -> Outcome:
    answer: Answer | None = None
    why = ""
    for attempt in range(TRIES):  # under one key: what was done is not done again
        try:
            answer = await gateway.cancel_all(symbol, f"cancel-all:{request_id}")
            break
        except StoreUnreachable as error:
            why = error.refusal.message
            if attempt < TRIES - 1:
                await asyncio.sleep(_PAUSE_S)
    if answer is not None and answer.why:
        said = Refusal(Code.WRONG_STATE, f"The gateway refused it: {answer.why}.", "")
        return refused(breaker_id, said, request_id)
    try:
        left = [order for order in await gateway.open_orders() if order.symbol == symbol]
    except StoreUnreachable as error:
        said_so = f"Not confirmed: {why or error.refusal.message} Look at {symbol} again before you ask anew."
        return Outcome(breaker_id, "pending", said_so, EXIT_UNREACHABLE, event_id=request_id)
    if left:
        reasons = dict(answer.refused) if answer is not None else {}
        lines = [
            f"{order.side} order {order.order_id} of {order.quantity}: "
            f"{reasons.get(order.order_id) or why or 'still open'}"
            for order in left[:5]
        ]
        still = f"{'is' if len(left) == 1 else 'are'} still open"
        message = f"{many(len(left), 'order')} of {symbol} {still}: {'; '.join(lines)}."
        return Outcome(breaker_id, "pending", message, EXIT_REFUSED, event_id=request_id)
    return Outcome(breaker_id, "done", f"The venue shows no open order of {symbol}.", event_id=request_id)


async def _record(command: Command, ports: CancelPorts) -> str:
    """Hand the record over; what a person must know where that failed."""
    try:
        async with asyncio.timeout(_RECORD_S):
            await ports.inbox.submit(ports.sign(command), command.request_id)
    except (TimeoutError, Refused) as error:
        why = str(error) if isinstance(error, Refused) else "no answer in time."
        return f"It is not in the audit log: {why}"
    return ""
