"""What a kill switch works with. Classes of `backends` match these by structure alone.

Every method of a store or of the gateway may raise `Refused` and `StoreUnreachable`; an order that the
gateway does not let through is no error here: its answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.documents import Reading
from cockpit.domain.kill import Ack
from cockpit.domain.permissions import Identity
from cockpit.operations.kill_journal import KillJournal
from cockpit.operations.trip import TripPorts

Signer = Callable[[Command], tuple[SignedCommand, str]]
"""Signs if it can; else the command goes out unsigned, and the second says why."""


class SeenOrder(Protocol):
    @property
    def order_id(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def quantity(self) -> Decimal: ...


class SeenPosition(Protocol):
    @property
    def symbol(self) -> str: ...
    @property
    def quantity(self) -> Decimal: ...


class Answer(Protocol):
    """A gateway's final answer to a cancel-all (`refused` by order id) or a flatten (`refused` by symbol);
    `why` where it refused the whole of it."""

    @property
    def refused(self) -> Mapping[str, str]: ...
    @property
    def why(self) -> str: ...


class KillGateway(Protocol):
    """The venue gateway. The same `key` sent again gets the first answer again and submits nothing."""

    async def open_orders(self) -> Sequence[SeenOrder]: ...
    async def positions(self) -> Sequence[SeenPosition]: ...
    async def cancel_all(self, symbol: str | None = None, key: str | None = None) -> Answer: ...
    async def flatten(self, key: str | None = None) -> Answer: ...


class KillInbox(Protocol):
    """Where the steps are recorded, and who asks."""

    async def identity(self) -> Identity: ...
    async def submit(self, signed: SignedCommand, request_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `acks` is how long the first pass waits for the gateways before it cancels all the same,
    `pause` the first pause between two passes, `limit` when it gives up for now; `passes` is after how many
    that change nothing, with nothing unproved, it stops trying what the venue refuses."""

    acks: float = 2.0
    pause: float = 0.2
    limit: float = 15.0
    passes: int = 4


@dataclass(frozen=True, slots=True)
class KillPorts:
    """`acks` reads what the gateways have published of `global`, `standing` how Redis has it under the epoch
    rule; `gateways` are those that are registered; `gateway` is None where the settings name none."""

    trips: TripPorts
    sign: Signer
    gateway: KillGateway | None
    acks: Callable[[], Awaitable[Mapping[str, Ack]]]
    standing: Callable[[], Awaitable[Reading]]
    inbox: KillInbox
    journal: KillJournal
    gateways: tuple[str, ...]
