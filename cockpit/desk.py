"""What a person may ask from the screen, done with the same operations as on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from cockpit.config import Settings
from cockpit.domain.audit import sha256_hex
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import Finding
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.desk import AuditRow, DeskSnapshot, RunRow
from cockpit.domain.incident_story import IncidentList, IncidentStory
from cockpit.domain.permissions import Identity
from cockpit.domain.reasons import Reason
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.snapshots import BreakerSnapshot, StreamEvent
from cockpit.operations import checklist, probes, resume
from cockpit.operations.audit_verify import Verification, VerifyPorts, verify
from cockpit.operations.kill_ports import KillGateway
from cockpit.operations.outcomes import Outcome
from cockpit.operations.ports import (
    AuditReader,
    CommandSigner,
    DeskFigures,
    EvidenceReader,
    Inbox,
    PayloadSigner,
    ProbeInbox,
    VenueGateway,
)
from cockpit.operations.spool import Spool, SpooledTrip
from cockpit.operations.trip import TripPorts, command, retry, trip


class RedisSide(Protocol):
    async def snapshot(self) -> BreakerSnapshot: ...
    async def wait_events(self, last_id: str, timeout_s: float) -> list[StreamEvent]: ...
    async def ping(self) -> float: ...
    async def history(self, breaker_id: BreakerId | None, count: int) -> list[dict[str, object]]: ...
    async def close(self) -> None: ...


class PostgresSide(Inbox, ProbeInbox, DeskFigures, AuditReader, Protocol):
    async def incidents(self, limit: int = 200, recent: int = 50, words: str = "") -> IncidentList: ...
    async def incident(self, incident_id: str, events: int = 500) -> IncidentStory: ...
    async def snapshot(self, audit_rows: int = 50) -> DeskSnapshot: ...
    async def wait_notice(self, timeout_s: float) -> bool: ...
    async def ping(self) -> float: ...
    async def server_time(self) -> datetime: ...
    async def close(self) -> None: ...


class EvidenceSide(EvidenceReader, Protocol):
    async def ping(self) -> float: ...


class GatewaySide(VenueGateway, KillGateway, Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stores:
    """One login's outside systems. `verify` needs keys that only an entry point can load."""

    login: str
    redis: RedisSide
    postgres: PostgresSide
    evidence: EvidenceSide
    gateway: GatewaySide | None
    trips: TripPorts
    sign_trip: Callable[[Command], tuple[SignedCommand, str]]
    sign: CommandSigner
    sign_payload: PayloadSigner
    verify: VerifyPorts


class _AsSeen:
    """Breakers as a dialog showed them: a request binds the epoch that its asker saw (I20)."""

    def __init__(self, snapshot: BreakerSnapshot) -> None:
        self._snapshot = snapshot

    async def snapshot(self) -> BreakerSnapshot:
        return self._snapshot


class Desk:
    """The operations of the screen. Methods raise `Refused` where an operation does, nothing else that a
    store may cause. `objectives` says how the error budgets stand; who opens the desk sets it."""

    def __init__(self, settings: Settings, stores: Stores, now: Callable[[], datetime] | None = None) -> None:
        self.settings = settings
        self.stores = stores
        self.spool = Spool(settings.spool_dir)
        self.objectives: Callable[[], Awaitable[SloSnapshot | None]] | None = None
        self._now = now or (lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self._now()

    async def trip(self, breaker_id: BreakerId, reason: Reason, notes: str, event_id: str) -> Outcome:
        """Trip through the spool, in a thread: its fsync must not hold the screen up."""
        now = self._now()
        request = command(breaker_id, self.stores.login, event_id, reason, notes, None, now)
        signed, warning = self.stores.sign_trip(request)
        outcome = await asyncio.to_thread(trip, request, signed, self.stores.trips, now)
        return outcome.adding(f"{warning}.") if warning else outcome

    async def retry_spool(self) -> list[Outcome]:
        """Deliver what waits in the spool for this login."""
        return await asyncio.to_thread(retry, self.stores.trips, self.stores.login, self._now())

    async def spooled(self) -> list[SpooledTrip]:
        """What waits in the spool, of every login, oldest first."""
        entries, _ = await asyncio.to_thread(self.spool.entries)
        return entries

    async def ask(self, wish: resume.Wish, seen: BreakerSnapshot) -> Outcome:
        """Half-open, close, acknowledge: through the authority, bound to the epoch that was `seen`."""
        return await resume.ask(wish, self._resume_ports(seen), self._now())

    async def record(self, wish: resume.Wish) -> Outcome:
        """Incidents and the like, through the authority: it binds no epoch and needs no Redis."""
        ports = resume.ResumePorts(
            self.stores.redis, self.stores.postgres, self.stores.sign, self.settings.limits
        )
        return await resume.ask(wish, ports, self._now())

    async def approve(self, request_id: str, notes: str, seen: BreakerSnapshot) -> Outcome:
        return await resume.approve(request_id, notes, self._resume_ports(seen), self._now())

    async def record_denied(
        self, kind: Kind, breaker_id: BreakerId, identity: Identity, seen: BreakerSnapshot
    ) -> None:
        """Have an attempt that the role forbids recorded, as far as it can be."""
        await resume.record_denied(kind, breaker_id, identity, self._resume_ports(seen), self._now())

    async def findings(self, breaker_id: BreakerId, status: Mapping[str, object]) -> Sequence[Finding]:
        """The live items of the checklist. `status` is the authority's own, for the chain."""
        now = await self.stores.postgres.server_time()

        async def chain() -> checklist.ChainState:
            return checklist.chain_from_status(status)

        ports = checklist.ChecklistPorts(
            redis_ping=self.stores.redis.ping,
            postgres_ping=self.stores.postgres.ping,
            evidence_ping=self.stores.evidence.ping,
            chain=chain,
            figures=self.stores.postgres,
            gateway=self.stores.gateway,
            catalogue=self.settings.catalogue,
            now=lambda: now,
            objectives=self.objectives,
        )
        return await checklist.read_findings(ports, breaker_id, self.settings.limits)

    async def run_probes(self, row: RunRow, seen: BreakerSnapshot, left_s: float) -> None:
        """Run and attest the probes of one's own run; ends early at its deadline."""
        run = row.run
        ports = probes.ProbePorts(
            gateway=self.stores.gateway,
            redis_ping=self.stores.redis.ping,
            postgres_ping=self.stores.postgres.ping,
            symbol=probes.symbol_for(run.breaker_id, self.settings.catalogue, seen.effective),
            latency_bound_ms=self.settings.limits.latency_bound_ms,
        )
        pace_s = self.settings.limits.probe_pace_s
        inbox, sign = self.stores.postgres, self.stores.sign_payload
        results = probes.run_all(run, ports, inbox, sign, left_s, pace_s=pace_s)
        async for _ in results:
            pass  # each result reaches every screen through Postgres, ours included

    async def history(self, breaker_id: BreakerId, count: int = 50) -> list[dict[str, object]]:
        return await self.stores.redis.history(breaker_id, count)

    async def verify_audit(self, full: bool = False) -> Verification:
        """
        Raises:
            ChainBroken: the chain is not what was signed.
        """
        return await verify(self.stores.verify, full)

    async def evidence_matches(self, row: AuditRow) -> tuple[bool | None, str]:
        """Whether the object at the link has the entry's hash (None: not there yet); what was read."""
        link, wanted = row.evidence_link or "", row.evidence_sha256 or ""
        cut = link.find("transitions/")
        if cut < 0:
            return False, f"link {link[:120]} names no transition"
        raw = await self.stores.evidence.get(link[cut:])
        if raw is None:
            return None, f"no object yet at {link[cut:]}"
        found = sha256_hex(raw)
        if found != wanted:
            return False, f"{link} has SHA-256 {found[:12]}, the log says {wanted[:12]}"
        return True, f"SHA-256 {found[:12]} = log's, {len(raw)} bytes, {link[cut:]}"

    async def close(self) -> None:
        await self.stores.redis.close()
        await self.stores.postgres.close()
        if self.stores.gateway is not None:
            await self.stores.gateway.close()

    def _resume_ports(self, seen: BreakerSnapshot) -> resume.ResumePorts:
        return resume.ResumePorts(_AsSeen(seen), self.stores.postgres, self.stores.sign, self.settings.limits)


def new_event_id() -> str:
    return str(uuid4())
