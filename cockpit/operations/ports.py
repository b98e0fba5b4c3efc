"""The outside systems as operations see them. Classes of `backends` match these by structure alone.

Every method may raise `Refused` (the store said no, with the reason) and `StoreUnreachable` (no answer, or
none that can be trusted); both are of `cockpit.domain.refusals`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from cockpit.domain.audit import Entry
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.desk import AnchorRow, DeskSnapshot, RequestRow, RunRow
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Identity
from cockpit.domain.recovery import Linked, RecoveryFacts
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.trading import OrderFigures, OverLimit

CommandSigner = Callable[[Command], SignedCommand]
PayloadSigner = Callable[[Mapping[str, object]], SignedCommand]
Ping = Callable[[], Awaitable[float]]
"""One round trip to a store, in milliseconds."""


class Breakers(Protocol):
    """Every breaker of the catalogue, as Redis has it."""

    async def snapshot(self) -> BreakerSnapshot: ...


class Inbox(Protocol):
    """The authority's inbox, as a person's login may use it."""

    async def identity(self) -> Identity: ...
    async def submit(self, signed: SignedCommand, request_id: str) -> None: ...
    async def outcome(self, request_id: str) -> RequestRow: ...
    async def await_outcome(self, request_id: str, timeout_s: float) -> RequestRow: ...
    async def snapshot(self) -> DeskSnapshot: ...


class ProbeInbox(Protocol):
    """Where a prober finds its run and leaves its attested results."""

    async def probe_run(self, breaker_id: BreakerId, epoch: Epoch) -> RunRow | None: ...
    async def record_probe_result(
        self,
        run_id: str,
        ordinal: int,
        name: str,
        passed: bool,
        latency_ms: float,
        detail: str,
        signed: SignedCommand,
    ) -> None: ...


class Health(Protocol):
    """What `GET /health` of a venue gateway said, and how long it took to say so. `feed_age_s` is the age
    of its newest market data, None where it did not say."""

    @property
    def healthy(self) -> bool: ...
    @property
    def detail(self) -> str: ...
    @property
    def feed_age_s(self) -> float | None: ...
    @property
    def errors_5m(self) -> int | None: ...
    @property
    def latency_ms(self) -> float: ...


class Placed(Protocol):
    """What became of an order. `status` is the venue's word: `filled`, `open`, `rejected`…"""

    @property
    def status(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def latency_ms(self) -> float: ...


class VenueGateway(Protocol):
    """The venue gateway. An unreachable one raises `StoreUnreachable` with `gateway` as the store."""

    async def health(self) -> Health: ...
    async def place_paper(self, symbol: str, side: str, quantity: Decimal) -> Placed: ...


class DeskFigures(Protocol):
    """What the checklist reads from Postgres."""

    async def order_figures(self, breakers: Sequence[BreakerId], window_s: float) -> OrderFigures: ...
    async def open_criticals(self, window_s: float) -> Sequence[str]: ...
    async def positions_over(self) -> Sequence[OverLimit]: ...
    async def queue_length(self) -> int: ...
    async def recovering(self, names: Sequence[str]) -> Sequence[Linked]: ...
    async def recovery_facts(
        self, symbols: Sequence[str], moments: Sequence[datetime], fresh_s: float
    ) -> RecoveryFacts: ...


class AuditReader(Protocol):
    """The audit tables, read only. Keys are raw Ed25519 public keys by their id, revoked ones included."""

    async def audit_entries(self, after_seq: int, limit: int) -> Sequence[Entry]: ...
    async def audit_anchors(self) -> Sequence[AnchorRow]: ...
    async def signing_keys(self) -> Mapping[str, bytes]: ...


class EvidenceReader(Protocol):
    """The evidence store, read only. `get` returns None for an object that is not there."""

    async def get(self, key: str) -> bytes | None: ...
    async def list(self, prefix: str) -> Sequence[str]: ...
