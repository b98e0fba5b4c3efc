"""A desk in front of a running authority and a plant that trades, where kill switches are used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backends.fast_trip import FastTrip
from backends.gate_acks import GateAcks
from backends.gateway import Gateway
from backends.signing import sign_command
from cockpit.authority.service import running_authority
from cockpit.demo.orders import Side
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.desk import RequestRow
from cockpit.domain.documents import Reading, rfc3339
from cockpit.domain.kill import Ack
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import State
from cockpit.operations.kill import KillSwitch
from cockpit.operations.kill_journal import KillJournal
from cockpit.operations.kill_ports import KillGateway, KillPorts, Pace
from cockpit.operations.spool import Spool, SpooledTrip
from cockpit.operations.trip import TripPorts
from tests.authority.desk import NOTES, Desk, venue
from tests.demo.trading import Trading, trading_on, until
from tests.demo.trading import rest as rest_at
from tests.trading_platform import Platform

QUICK = Pace(acks=60.0, pause=0.02, limit=60.0, passes=3)
"""Where whatever is waited for comes, on a busy machine later."""
BRIEF = Pace(acks=0.2, pause=0.02, limit=1.0, passes=3)
"""Where one thing never comes; the first pass may be the last."""
HOPELESS = Pace(acks=0.1, pause=0.02, limit=0.3, passes=3)
"""Where whatever is waited for can never come: each step is still tried, once at least."""


def be_patient(patch: pytest.MonkeyPatch) -> None:
    """Give the record of a kill switch the time that a busy machine needs. Not for tests in which Postgres is
    away, and the record with it."""
    patch.setattr("cockpit.operations.kill._LAST_REPORTS_S", 60.0)
    patch.setattr("cockpit.operations.kill_reports._SUBMIT_S", 30.0)


@dataclass(slots=True)
class Ground:
    """`ports_of` makes what a login's cockpit works with; `redis_down` and `postgres_down` cut its ways."""

    desk: Desk
    trading: Trading
    folder: Path
    gateways: tuple[str, ...] = ("plant",)
    redis_down: bool = False
    postgres_down: bool = False
    stores: dict[str, Any] = field(default_factory=dict)
    acks: list[Any] = field(default_factory=list)

    @property
    def platform(self) -> Platform:
        return self.desk.platform

    @property
    def plant(self) -> Any:
        return self.trading.plant

    def ports_of(
        self, login: str = "admin1", gateway: KillGateway | None = None, bastion: str = "a"
    ) -> KillPorts:
        credentials = self.platform.login(login)
        if login not in self.stores:
            self.stores[login] = self.platform.postgres_store(login)
        acks = GateAcks(credentials.redis_url, self.gateways)
        self.acks.append(acks)
        store = self.stores[login]

        def sign(command: Command) -> tuple[SignedCommand, str]:
            return sign_command(command, self.platform.keys[login]), ""

        def by_redis(entry: SpooledTrip) -> Any:
            if self.redis_down:
                raise Refused(Code.STORE, "Redis is unreachable: cut off by the test.")
            with FastTrip(credentials.redis_url) as line:
                receipt = line.trip(
                    entry.breaker_id, entry.signed, entry.event_id, entry.login, rfc3339(entry.requested_at)
                )
            return _Tripped(receipt.epoch)

        def by_postgres(entry: SpooledTrip) -> RequestRow:
            return asyncio.run(self._record(login, entry))

        async def acknowledged() -> Mapping[str, Ack]:
            if self.redis_down:
                raise Refused(Code.STORE, "Redis is unreachable: cut off by the test.")
            return await acks.of_global()

        async def standing() -> Reading:
            if self.redis_down:
                raise Refused(Code.STORE, "Redis is unreachable: cut off by the test.")
            redis = self.platform.redis_store(login)
            try:
                return (await redis.snapshot()).readings[GLOBAL]
            finally:
                await redis.close()

        folder = self.folder / bastion
        return KillPorts(
            trips=TripPorts(by_redis, by_postgres, Spool(folder / "spool"), 5.0),
            sign=sign,
            gateway=gateway or self.trading.gateway,
            acks=acknowledged,
            standing=standing,
            inbox=_Inbox(self, store),
            journal=KillJournal(folder / "kill"),
            gateways=self.gateways,
        )

    async def _record(self, login: str, entry: SpooledTrip) -> RequestRow:
        from cockpit.domain.permissions import Permission, denial

        if self.postgres_down:
            raise Refused(Code.STORE, "Postgres is unreachable: cut off by the test.")
        store = self.platform.postgres_store(login)
        try:
            refusal = denial(await store.identity(), Permission.TRIP_CIRCUIT, GLOBAL)
            if refusal is not None:
                raise Refused(refusal.code, refusal.message, refusal.remedy)
            await store.submit(entry.signed, entry.event_id)
            return await store.await_outcome(entry.event_id, 0.2)
        finally:
            await store.close()

    def begin(self, login: str = "admin1", pace: Pace = QUICK, **more: Any) -> KillSwitch:
        return KillSwitch.begin(self.ports_of(login, **more), login, NOTES, datetime.now(UTC), pace)

    async def tripped(self, breaker_id: BreakerId) -> None:
        """Trip it, and wait until the plant has acknowledged that and nothing of it rests any more."""
        await self.desk.trip(breaker_id)
        epoch, symbol = await self.desk.epoch(breaker_id), breaker_id.partition(":")[2]

        async def still() -> bool:
            acked = (await self.trading.acked()).get("epochs", {}).get(breaker_id, 0)
            resting = [order for order in self.plant.venue.resting.values() if order.symbol == symbol]
            return bool(acked >= epoch.counter and not resting)

        await until(still, 60)

    def waiting_for_the_plant(self, ports: KillPorts) -> KillPorts:
        """These ports, whose acknowledgements are read once the plant's is there: whatever is unproved then,
        it is not the plant's fault."""

        async def acks() -> Mapping[str, Ack]:
            async def covered() -> bool:
                found = (await ports.acks()).get("plant")
                return found is not None and found.covers(await self.desk.epoch(GLOBAL))

            await until(covered, 60)
            return await ports.acks()

        return replace(ports, acks=acks)

    async def load(self, resting: int = 4) -> None:
        """Positions on both sides, and orders that rest."""
        market = self.plant.venue
        for index, symbol in enumerate(market.positions):
            side = Side.BUY if index % 2 else Side.SELL
            market._execute(symbol, side, Decimal("1.5"), market.market.price(symbol))
            for _ in range(resting // 4):
                rest(self, symbol, side)

    async def close(self) -> None:
        for each in (*self.stores.values(), *self.acks):
            await each.close()


def rest(ground: Ground, symbol: str, side: Side) -> str:
    """Put an order to rest at the venue, past the gate: its id."""
    return rest_at(ground.plant.venue, symbol, side)


@dataclass(frozen=True, slots=True)
class _Tripped:
    epoch: Any
    event_delivered: bool = True
    note: str | None = None
    audit_seq: int | None = None
    evidence_link: str | None = None


@dataclass(frozen=True, slots=True)
class _Inbox:
    ground: Ground
    store: Any

    async def identity(self) -> Any:
        self._reached()
        return await self.store.identity()

    async def submit(self, signed: Any, request_id: str) -> None:
        self._reached()
        await self.store.submit(signed, request_id)

    def _reached(self) -> None:
        from cockpit.domain.refusals import StoreUnreachable

        if self.ground.postgres_down:
            raise StoreUnreachable("Postgres", "cut off by the test")


@asynccontextmanager
async def ground_on(platform: Platform) -> AsyncIterator[Ground]:
    async with venue() as made:
        desk = Desk(platform, replace(platform.settings, gateway_url=made.url), made)
        async with running_authority(desk.settings), trading_on(platform) as trading:
            await desk.becomes(GLOBAL, State.CLOSED, 60)
            ground = Ground(desk, trading, platform.folder)
            try:
                yield ground
            finally:
                await ground.close()
        await desk.close()


async def ran(switch: KillSwitch) -> KillSwitch:
    """Run one to its end."""
    async for _ in switch.run():
        pass
    return switch


__all__ = ["BRIEF", "HOPELESS", "QUICK", "Callable", "Gateway", "Ground", "ground_on", "ran", "rest", "until"]
