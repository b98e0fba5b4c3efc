"""A platform that can be broken on purpose: people with real logins, authorities and servers that die.

Synchronous from outside, so that a hypothesis state machine can drive it; one event loop for a whole example.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from redis.asyncio import Redis

from backends.audit_log import load_entries
from backends.evidence import Evidence
from backends.gate import Gate
from backends.postgres_store import PostgresStore
from backends.redis_store import RedisStore
from backends.signing import KeyRing, SignedCommand, canonical, sign_command
from cockpit.authority.service import Authority
from cockpit.domain.audit import Entry
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.documents import Epoch
from cockpit.domain.probes import attestation
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.states import State
from cockpit.operations import audit_verify, resume
from cockpit.operations.audit_verify import VerifyPorts
from cockpit.operations.outcomes import Outcome
from cockpit.operations.resume import ResumePorts, Wish
from tests.authority.budgets import EVERY_S, Scripted
from tests.authority.desk import ALL, NOTES, Venue, venue
from tests.trading_platform import Platform, Template, copy_platform, drop_platform

T = TypeVar("T")
PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Trap:
    """Holds the authority at a point of its commit for ever, as a process that is about to be killed."""

    point: str | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, point: str) -> None:
        if point == self.point:
            self.point = None
            self.reached.set()
            await asyncio.Event().wait()


@dataclass(slots=True)
class Running:
    """One authority in this process."""

    holder: str
    authority: Authority
    work: asyncio.Task[None]
    stop: asyncio.Event
    trap: Trap


class World:
    """One platform, its people and its authorities."""

    def __init__(self, template: Template, folder: Path, limits: dict[str, object]) -> None:
        self.runner = asyncio.Runner()
        self.template, self.folder, self.limits = template, folder, limits
        self.authorities: list[Running] = []
        self.budgets = Scripted()
        self._inboxes: dict[str, PostgresStore] = {}
        self._breakers: dict[str, RedisStore] = {}

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    # Beginning and end.

    async def open(self) -> None:
        self.platform: Platform = await copy_platform(self.template, self.folder, self.limits)
        self._venue = venue()
        self.venue: Venue = await self._venue.__aenter__()
        self.settings = replace(self.platform.settings, gateway_url=self.venue.url)
        gateway = self.settings.logins["gateway"]
        self.gate_redis = Redis.from_url(gateway.redis_url)
        self.gate = Gate(self.gate_redis, self.settings.catalogue, self.settings.authority_keys, timeout_s=2)
        self.evidence = Evidence(self.settings.evidence_url, self.settings.evidence_options)

    async def close(self) -> None:
        for running in list(self.authorities):
            await self.kill(running)
        for inbox in self._inboxes.values():
            await inbox.close()
        for breakers in self._breakers.values():
            await breakers.close()
        await self.gate_redis.aclose()
        await self._venue.__aexit__(None, None, None)
        await drop_platform(self.platform)

    # Authorities.

    async def start(self, holder: str, wait: bool = True) -> Running:
        trap = Trap()
        authority = Authority(self.settings, trap, holder, self.budgets, EVERY_S)
        stop = asyncio.Event()
        work = asyncio.create_task(authority.run(stop))
        running = Running(holder, authority, work, stop, trap)
        self.authorities.append(running)
        if wait:
            await asyncio.wait_for(authority.acting.wait(), PATIENCE_S)
        return running

    async def stop(self, running: Running) -> None:
        """In order: it releases its lease."""
        running.stop.set()
        await asyncio.wait_for(running.work, PATIENCE_S)
        self.authorities.remove(running)

    async def kill(self, running: Running) -> None:
        """Where it stands: it finishes and releases nothing."""
        running.work.cancel()
        await asyncio.gather(running.work, return_exceptions=True)
        self.authorities.remove(running)

    @property
    def acting(self) -> Running | None:
        return next((each for each in self.authorities if each.authority.acting.is_set()), None)

    async def acts(self) -> Running:
        """The authority that acts; where a busy machine let a lease run out, that of the next term."""

        async def found() -> Running | None:
            return self.acting

        running: Running = await self.until(found, "an authority that acts")
        return running

    # People.

    async def inbox(self, login: str) -> PostgresStore:
        if login not in self._inboxes:
            self._inboxes[login] = self.platform.postgres_store(login)
            await self._inboxes[login].connect()
        return self._inboxes[login]

    async def breakers(self, login: str) -> RedisStore:
        if login not in self._breakers:
            self._breakers[login] = self.platform.redis_store(login)
            await self._breakers[login].whoami()
        return self._breakers[login]

    async def ports(self, login: str) -> ResumePorts:
        key = self.platform.keys[login]
        return ResumePorts(
            await self.breakers(login),
            await self.inbox(login),
            lambda command: sign_command(command, key),
            self.settings.limits,
        )

    async def ask(self, kind: Kind, name: BreakerId, login: str, **more: Any) -> Outcome:
        checked = ALL if kind is Kind.HALF_OPEN else ()
        wish = Wish(kind, name, NOTES, more.pop("checked", checked), more.pop("target", None), **more)
        return await resume.ask(wish, await self.ports(login), datetime.now(UTC))

    async def approve(self, request_id: str, login: str) -> Outcome:
        return await resume.approve(request_id, NOTES, await self.ports(login), datetime.now(UTC))

    async def submit(self, kind: Kind, name: BreakerId, login: str, **changes: Any) -> Command:
        """Put a request in and await nothing."""
        made = Command(
            kind, str(uuid4()), name, login, datetime.now(UTC), epoch=await self.epoch(name), notes=NOTES,
            checked=ALL if kind is Kind.HALF_OPEN else (),
        )  # fmt: skip
        command = replace(made, **changes)
        signed = sign_command(command, self.platform.keys[login])
        await (await self.inbox(login)).submit(signed, command.request_id)
        return command

    async def row(self, request_id: str, login: str, wait_s: float = PATIENCE_S) -> RequestRow:
        return await (await self.inbox(login)).await_outcome(request_id, wait_s)

    async def trip(self, name: BreakerId, login: str) -> Epoch:
        event_id = str(uuid4())
        command = Command(
            Kind.TRIP,
            event_id,
            name,
            login,
            datetime.now(UTC),
            reason="drill",
            notes="tripped by the machine",
        )
        store = await self.breakers(login)
        return (await store.trip(name, sign_command(command, self.platform.keys[login]), event_id)).epoch

    async def raw(self, login: str, *command: str | bytes | int) -> Any:
        async with self.platform.redis_line(login) as line:
            return await line.command(*command)

    async def report(
        self,
        run: Any,
        login: str,
        ordinal: int,
        passed: bool,
        epoch: Epoch | None = None,
        probe: str | None = None,
    ) -> None:
        """One attested result of a probe run."""
        name = probe or run.run.probes[ordinal % len(run.run.probes)]
        fields = attestation(
            run.run.run_id, ordinal, name, epoch or run.run.epoch, login, passed, 1.0, "as the machine says"
        )
        payload, key = canonical(fields), self.platform.keys[login]
        signed = SignedCommand(payload, key.key_id, key.sign(payload))
        await (await self.inbox(login)).record_probe_result(
            run.run.run_id, ordinal, name, passed, 1.0, "as the machine says", signed
        )

    async def acknowledge_all(self, login: str = "operator1") -> None:
        for incident in (await (await self.inbox(login)).snapshot()).incidents:
            if incident.critical:
                await self.ask(Kind.ACKNOWLEDGE, GLOBAL, login, target=incident.incident_id)

    # Looking.

    async def run_of(self, name: BreakerId) -> Any:
        return await (await self.inbox("operator1")).probe_run(name, await self.epoch(name))

    async def run_status(self, run_id: str) -> str:
        return str(await self.fetch("SELECT status FROM probe_runs WHERE run_id = $1", run_id))

    async def epoch(self, name: BreakerId) -> Epoch:
        raw = await self.raw("owner", "GET", f"trip:{name}")
        return Epoch(await self.run_id(), int(raw or 0))

    async def run_id(self) -> str:
        info = (await self.raw("owner", "INFO", "server")).decode()
        return str(next(row.partition(":")[2] for row in info.split("\r\n") if row.startswith("run_id:")))

    async def counters(self) -> dict[BreakerId, int]:
        names = self.settings.catalogue.everything
        values = await self.raw("owner", "MGET", *[f"trip:{name}" for name in names])
        return {name: int(value or 0) for name, value in zip(names, values, strict=True)}

    async def states(self) -> dict[BreakerId, State]:
        """Each breaker's own state, as a person's cockpit reads it."""
        store = await self.breakers("monitor1")
        return {name: reading.state for name, reading in (await store.snapshot()).readings.items()}

    async def events(self) -> list[StreamEvent]:
        return await (await self.breakers("operator2")).wait_events("0-0", 0.001)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        async with self.platform.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def audit(self) -> Sequence[Entry]:
        async with self.platform.connection() as connection:
            return await load_entries(connection, 0, 100_000)

    async def verify_audit(self) -> None:
        """The verification that `cockpit audit verify --full` makes.

        Raises:
            ChainBroken: the chain does not hold.
        """
        ports = VerifyPorts(
            await self.inbox("monitor1"),
            self.evidence,
            self.platform.keyring,
            lambda keys: KeyRing({**keys, **self.settings.authority_keys}),
            canonical,
        )
        await audit_verify.verify(ports, full=True)

    async def until(
        self, condition: Callable[[], Awaitable[Any]], what: str, limit_s: float = PATIENCE_S
    ) -> Any:
        ends = time.monotonic() + limit_s
        while not (found := await condition()):
            assert time.monotonic() < ends, f"in vain: {what}"
            await asyncio.sleep(0.01)
        return found

    async def settled(self) -> None:
        """Until every trip that Redis counts is audited."""

        async def audited() -> bool:
            counters, run_id = await self.counters(), await self.run_id()
            async with self.platform.connection() as connection:
                rows = await connection.fetch("SELECT breaker_id, redis_run_id, counter FROM breakers")
            return all(
                row["redis_run_id"] == run_id and row["counter"] == counters[row["breaker_id"]]
                for row in rows
            )

        await self.until(audited, "every trip audited")
