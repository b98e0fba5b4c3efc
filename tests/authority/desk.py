"""A desk of people in front of a running authority: they sign, ask, probe and look."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from backends.signing import SignedCommand, canonical, sign_command
from cockpit.authority.service import Authority
from cockpit.config import Settings
from cockpit.domain.audit import sha256_hex
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import VOUCHED
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.documents import Epoch
from cockpit.domain.probes import attestation
from cockpit.domain.states import State
from tests.trading_platform import Platform

NOTES = "root cause found and fixed, dashboards are clean"
BTC = BreakerId("instrument:BTC-USD")
ETH = BreakerId("instrument:ETH-USD")
ALL = tuple(item.item_id for item in VOUCHED)
LONG_S = 600.0
"""Longer than any test takes: what must not come by itself within one."""
UNHURRIED = {
    "reset_interval_s": 2,
    "quiet_period_s": 1,
    "run_deadline_s": LONG_S,
    "close_window_s": LONG_S,
    "latency_bound_ms": 60_000,
    "max_clock_skew_s": 30,
    "reconciliation_fresh_s": 3_600,
}
"""Limits on a machine that may be busy: only what tests wait for is short."""


async def until(condition: Callable[[], Awaitable[Any]], limit_s: float = 90.0) -> Any:
    """What `condition` says once it is true."""
    ends = time.monotonic() + limit_s
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < ends, "the condition did not come true in time"
        await asyncio.sleep(0.01)


@dataclass(slots=True)
class Venue:
    """A venue that answers over HTTP. `healthy`, `fills` and `held` (it takes no order) are what a test
    changes."""

    healthy: bool = True
    fills: bool = True
    held: bool = False
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split()
                size = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    size = int(value) if name.lower() == "content-length" else size
                if size:
                    await reader.readexactly(size)
                while self.held and method == "POST":
                    await asyncio.sleep(0.01)
                body = json.dumps(self._answer(method, path)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                    % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    def _answer(self, _method: str, path: str) -> dict[str, object]:
        if path == "/health":
            status = "ok" if self.healthy else "degraded"
            return {"status": status, "problems": [], "feed_age_s": 0.1, "api_errors_5m": 0}
        status = "filled" if self.fills else "rejected"
        return {"order_id": str(uuid4()), "status": status, "price": "100", "slippage": "0"}


@asynccontextmanager
async def venue() -> AsyncIterator[Venue]:
    made = Venue()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@dataclass(slots=True)
class Desk:
    """The people of one platform, with one connection for each login that acts."""

    platform: Platform
    settings: Settings
    venue: Venue
    stores: dict[str, Any] = field(default_factory=dict)

    async def store(self, login: str) -> Any:
        if login not in self.stores:
            self.stores[login] = self.platform.postgres_store(login)
            await self.stores[login].connect()
        return self.stores[login]

    async def close(self) -> None:
        for store in self.stores.values():
            await store.close()

    async def epoch(self, name: BreakerId) -> Epoch:
        async with self.platform.redis_line() as line:
            raw = await line.command("GET", f"trip:{name}")
            info = (await line.command("INFO", "server")).decode()
        run_id = next(row.partition(":")[2] for row in info.split("\r\n") if row.startswith("run_id:"))
        return Epoch(run_id, int(raw or 0))

    async def state(self, name: BreakerId) -> State:
        store = self.platform.redis_store("monitor1")
        await store.connect()
        try:
            return (await store.snapshot()).readings[name].state
        finally:
            await store.close()

    async def becomes(self, name: BreakerId, state: State, limit_s: float = 90.0) -> None:
        async def reached() -> bool:
            return await self.state(name) is state

        await until(reached, limit_s)

    async def trip(self, name: BreakerId, login: str = "operator1") -> str:
        """Trip straight on Redis; returns once it is audited."""
        event_id = str(uuid4())
        command = Command(
            Kind.TRIP,
            event_id,
            name,
            login,
            datetime.now(UTC),
            reason="drill",
            notes="tripped by a test, to see",
        )
        store = self.platform.redis_store(login)
        await store.connect()
        try:
            await store.trip(name, sign_command(command, self.platform.keys[login]), event_id)
        finally:
            await store.close()
        await self.audited(event_id, "CIRCUIT_BREAKER_TRIP")
        return event_id

    async def audited(self, event_id: str, action: str, limit_s: float = 90.0) -> Any:
        async with self.platform.connection() as connection:

            async def found() -> Any:
                return await connection.fetchrow(
                    "SELECT * FROM audit_log WHERE event_id = $1 AND action = $2", event_id, action
                )

            return await until(found, limit_s)

    async def audited_last(self, name: BreakerId, action: str) -> None:
        async def reached() -> bool:
            return (await self.actions(name))[-1:] == [action]

        await until(reached)

    async def command(self, kind: Kind, name: BreakerId, login: str, **changes: Any) -> Command:
        made = Command(
            kind,
            str(uuid4()),
            name,
            login,
            datetime.now(UTC),
            epoch=await self.epoch(name),
            notes=NOTES,
            checked=ALL,
        )
        return replace(made, **changes)

    async def send(
        self, command: Command, login: str | None = None, signed: SignedCommand | None = None
    ) -> None:
        store = await self.store(login or command.login)
        await store.submit(
            signed or sign_command(command, self.platform.keys[login or command.login]), command.request_id
        )

    async def ask(
        self, kind: Kind, name: BreakerId, login: str = "operator1", wait_s: float = 90.0, **changes: Any
    ) -> RequestRow:
        command = await self.command(kind, name, login, **changes)
        await self.send(command)
        return await self.answer(command.request_id, login, wait_s)

    async def answer(self, request_id: str, login: str = "operator1", wait_s: float = 90.0) -> RequestRow:
        row: RequestRow = await (await self.store(login)).await_outcome(request_id, wait_s)
        return row

    async def probe(
        self,
        name: BreakerId,
        login: str = "operator1",
        passes: tuple[bool, ...] = (True,) * 5,
        **changes: Any,
    ) -> str:
        """Report one result after the other for the breaker's current run; its id."""
        store, epoch = await self.store(login), changes.pop("epoch", None) or await self.epoch(name)
        row = await until(lambda: store.probe_run(name, epoch))
        for ordinal, passed in enumerate(passes):
            probe = row.run.probes[ordinal % len(row.run.probes)]
            fields = attestation(row.run.run_id, ordinal, probe, epoch, login, passed, 1.0, "as a test says")
            payload = canonical(fields)
            key = self.platform.keys[login]
            signed = SignedCommand(payload, key.key_id, key.sign(payload))
            await store.record_probe_result(
                row.run.run_id, ordinal, probe, passed, 1.0, "as a test says", signed
            )
        return str(row.run.run_id)

    async def run_status(self, run_id: str, wanted: str, limit_s: float = 90.0) -> None:
        async with self.platform.connection() as connection:

            async def reached() -> bool:
                return bool(
                    await connection.fetchval(
                        "SELECT status = $2 FROM probe_runs WHERE run_id = $1", run_id, wanted
                    )
                )

            await until(reached, limit_s)

    async def resume(self, name: BreakerId, login: str = "operator1") -> RequestRow:
        """Half-open, probe and close; the close's outcome."""
        begun = await self.ask(Kind.HALF_OPEN, name, login)
        assert begun.status == "done", begun.message
        await self.run_status(await self.probe(name, login), "passed")
        return await self.ask(Kind.CLOSE, name, login)

    async def break_chain(self, authority: Authority) -> None:
        """Edit an entry that `authority` has not verified yet: one below what it has is found at the next
        full verification only."""

        async def found_or_to_be_found() -> bool:
            await self.trip(ETH)
            async with self.platform.connection() as owner, owner.transaction():
                await owner.execute("SET LOCAL session_replication_role = replica")
                seq = await owner.fetchval(
                    "UPDATE audit_log SET user_id = 'nobody' WHERE seq = (SELECT max(seq) FROM audit_log)"
                    " RETURNING seq"
                )
            assert authority.means is not None
            chain = authority.means.health.chain
            return chain.seq < seq or chain.fault is not None

        await until(found_or_to_be_found)

    def hide_evidence(self) -> tuple[Path, Path]:
        """Take the evidence store away: what takes its place is no folder."""
        folder = Path(self.settings.evidence_url.removeprefix("file://"))
        folder.mkdir(exist_ok=True)
        hidden = folder.with_name("hidden")
        folder.rename(hidden)
        folder.touch()
        return folder, hidden

    def show_evidence(self, folder: Path, hidden: Path) -> None:
        if hidden.exists():
            folder.unlink()
            hidden.rename(folder)

    async def evidence_sha256(self, key: str) -> str:
        return sha256_hex(await self.platform.evidence().get(key) or b"")

    async def actions(self, name: str | None = None) -> list[str]:
        async with self.platform.connection() as connection:
            rows = await connection.fetch(
                "SELECT action FROM audit_log WHERE $1::text IS NULL OR target = $1 ORDER BY seq", name
            )
        return [row["action"] for row in rows]
