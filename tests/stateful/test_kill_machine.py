"""Kill switches of two admins on two bastions that die, before a gateway that loses replies and a venue that
refuses; against what the venue and Redis themselves say.

# I14, I15, I16, I17; F3, F7, F8, F9, F12, F13
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cockpit.demo.faults import Faults
from cockpit.demo.orders import Side
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.kill import KillProgress, StepOutcome
from cockpit.domain.states import State
from cockpit.operations.kill import KillSwitch
from cockpit.operations.kill_ports import Pace
from tests.authority.desk import NOTES
from tests.kill.ground import Ground, ground_on, rest
from tests.kill.mortal import Death, Life, Lossy, mortal_ports
from tests.trading_platform import Template, copy_platform, drop_platform

BRISK: Final = Pace(acks=0.5, pause=0.01, limit=0.6, passes=2)
PATIENT: Final = Pace(acks=60.0, pause=0.01, limit=120.0, passes=5)
STEADY: Final = Pace(acks=60.0, pause=0.01, limit=120.0, passes=2)
"""As brisk where nothing is slow, and no slow machine makes less of it."""
DONE: Counter[str] = Counter()
admins = st.sampled_from(("admin1", "admin2"))
bastions = st.sampled_from(("a", "b"))
deaths = st.one_of(st.none(), st.integers(1, 40))


class Scene:
    """One ground for all examples, on a loop of its own."""

    def __init__(self, template: Template, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._over: asyncio.Event | None = None
        self.ground: Ground = self.do(self._open(template, folder))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(300)

    def close(self) -> None:
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self.do(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self, template: Template, folder: Path) -> Ground:
        self._over, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def held(over: asyncio.Event) -> None:
            platform = await copy_platform(template, folder, {})
            try:
                async with ground_on(platform) as ground:
                    ready.set_result(ground)
                    await over.wait()
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(error)
                raise
            finally:
                await drop_platform(platform)

        self._holder = asyncio.create_task(held(self._over))
        made: Ground = await ready
        return made

    async def _ended(self) -> None:
        await self._holder


class KillMachine(RuleBasedStateMachine):
    scene: ClassVar[Scene]
    pace = BRISK

    def __init__(self) -> None:
        super().__init__()
        self.ground = self.scene.ground
        self.do = self.scene.do
        self.lossy = Lossy(self.ground.trading.gateway)
        self.newest = ""
        self.counter = 0
        self.wrong: list[str] = []

    @initialize(login=admins, ends=deaths, market=st.booleans(), redis=st.booleans(), lose=st.integers(0, 3))
    def begun(self, login: str, ends: int | None, market: bool, redis: bool, lose: int) -> None:
        self.do(self._heal())
        self._watch()
        self.do(self.ground.load())
        self.counter = self.do(self.ground.desk.epoch(GLOBAL)).counter
        self.venue_refuses(market, market)
        self.ground.redis_down, self.lossy.lose = redis, lose
        self.begin(login, "a", ends, True)

    @rule(login=admins, bastion=bastions, ends=deaths, after=st.booleans())
    def begin(self, login: str, bastion: str, ends: int | None, after: bool) -> None:
        self.do(self._begin(login, bastion, Life(ends, after), self.pace))

    @rule(login=admins, bastion=bastions, ends=deaths, after=st.booleans())
    def go_on(self, login: str, bastion: str, ends: int | None, after: bool) -> None:
        if self.newest:
            self.do(self._go_on(login, bastion, Life(ends, after), BRISK))

    @rule()
    def two_at_once(self) -> None:
        if self.newest:
            self.do(self._both())

    @rule(count=st.integers(1, 3))
    def lose_replies(self, count: int) -> None:
        self.lossy.lose += count

    @rule(market=st.booleans(), cancels=st.booleans())
    def venue_refuses(self, market: bool, cancels: bool) -> None:
        faults = Faults(closed_market=float(market), cancel_failures=float(cancels))
        self.ground.plant.venue.set_faults(faults)

    @rule(gateway=st.booleans(), unreadable=st.booleans())
    def cut_gateway(self, gateway: bool, unreadable: bool) -> None:
        self.lossy.down, self.lossy.unreadable = gateway, unreadable

    @rule(redis=st.booleans(), postgres=st.booleans())
    def cut_stores(self, redis: bool, postgres: bool) -> None:
        self.ground.redis_down, self.ground.postgres_down = redis, postgres

    @rule(strays=st.booleans())
    def stray_gateway(self, strays: bool) -> None:
        self.ground.gateways = ("plant", "stray") if strays else ("plant",)

    @rule(symbol=st.sampled_from(("BTC-USD", "ETH-USD")), buys=st.booleans())
    def something_rests(self, symbol: str, buys: bool) -> None:
        self.do(self._rests(symbol, Side.BUY if buys else Side.SELL))

    @invariant()
    def nothing_comes_back(self) -> None:  # I17
        now = self.do(self.ground.desk.epoch(GLOBAL)).counter
        assert now >= self.counter
        if now > 1:
            assert self.do(self.ground.desk.state(GLOBAL)) is not State.CLOSED
        self.counter = now

    @invariant()
    def nothing_grows(self) -> None:  # I16, F13
        assert not self.wrong, self.wrong

    def teardown(self) -> None:
        self.do(self._heal())
        if self.newest:  # F7: whoever comes next ends it
            last = self.do(self._go_on("admin2", "c", Life(), PATIENT))
            assert last is not None and last.report.flat, last.report.line
            DONE["ended"] += 1
        self.ground.plant.venue._filled = self.filled

    async def _heal(self) -> None:
        ground = self.ground
        ground.plant.venue.set_faults(Faults())
        ground.redis_down = ground.postgres_down = False
        ground.gateways = ("plant",)
        self.lossy.down = self.lossy.unreadable = False
        self.lossy.lose = 0

    async def _begin(self, login: str, bastion: str, life: Life, pace: Pace) -> None:
        ports = mortal_ports(self.ground.ports_of(login, gateway=self.lossy, bastion=bastion), life)
        try:
            switch = KillSwitch.begin(ports, login, NOTES, datetime.now(UTC), pace)
            self.newest = switch.kill_id
            await self._run(switch)
        except Death:
            DONE["died"] += 1

    async def _go_on(self, login: str, bastion: str, life: Life, pace: Pace) -> KillSwitch | None:
        plain = self.ground.ports_of(login, gateway=self.lossy, bastion=bastion)
        kept = plain.journal.get(self.newest)
        facts = kept.facts if kept is not None else await self._reported()
        ports = mortal_ports(plain, life)
        try:
            switch = KillSwitch.resume(ports, login, self.newest, facts, datetime.now(UTC), pace)
            await self._run(switch)
            return switch
        except Death:
            DONE["died going on"] += 1
            return None

    async def _both(self) -> None:
        await asyncio.gather(
            self._go_on("admin1", "a", Life(), BRISK), self._go_on("admin2", "b", Life(), BRISK)
        )

    async def _run(self, switch: KillSwitch) -> None:
        async for progress in switch.run():
            self._judge(progress)

    def _judge(self, progress: KillProgress) -> None:
        """I14, I15: a claim of FLAT against the venue and the plant themselves, at that moment."""
        report = progress.report
        DONE[report.verdict.value] += 1
        if not report.flat:
            assert all(step.outcome is not StepOutcome.FLAT for step in report.steps)
            return
        venue, acked = self.ground.plant.venue, self.ground.plant._ack.published
        assert not venue.resting
        assert not any(position.quantity for position in venue.positions.values())
        assert self.ground.gateways == ("plant",)
        assert report.epoch is not None and acked.run_id == report.epoch.run_id
        assert acked.counters[GLOBAL] >= report.epoch.counter

    async def _reported(self) -> Any:
        from cockpit.domain.kill_records import facts_of

        async with self.ground.platform.connection() as connection:
            rows = await connection.fetch(
                "SELECT step, details::text AS details FROM kill_steps WHERE kill_id = $1 ORDER BY at",
                self.newest,
            )
        return facts_of((row["step"], json.loads(row["details"])) for row in rows)

    async def _rests(self, symbol: str, side: Side) -> None:
        """A late order, and a fill, that reached the venue before it was halted; none once it is."""
        venue = self.ground.plant.venue
        acked = self.ground.plant._ack.published
        if acked is None or acked.counters.get(GLOBAL, 0) <= 1:
            rest(self.ground, symbol, side)
        held = venue.positions[symbol].quantity
        if abs(held) > Decimal("0.3"):  # a fill of the other side overlaps: nearer to nothing
            away = Side.SELL if held > 0 else Side.BUY
            venue._execute(symbol, away, Decimal("0.3"), venue.market.price(symbol))

    def _watch(self) -> None:
        venue = self.ground.plant.venue
        self.filled = filled = type(venue)._filled.__get__(venue)

        def watched(order: Any, expected: Any) -> Any:
            before = venue.positions[order.symbol].quantity
            made = filled(order, expected)
            now = venue.positions[order.symbol].quantity
            if order.reduce_only and (abs(now) > abs(before) or now * before < 0):
                self.wrong.append(f"{order.symbol}: {before} -> {now}")
            return made

        venue._filled = watched


def toured() -> None:
    """Everything once, whatever chance leaves out."""
    tours: tuple[tuple[int | None, bool, bool, int, Pace], ...] = (
        (None, False, False, 0, STEADY),
        (None, True, False, 1, STEADY),  # a market that is closed
        (None, False, True, 0, BRISK),  # Redis away
        (5, False, False, 0, STEADY),  # dies
    )
    for ends, market, redis, lose, pace in tours:
        machine = KillMachine()
        machine.pace = pace
        try:
            machine.begun("admin1", ends, market, redis, lose)
            machine.nothing_comes_back()
            machine.nothing_grows()
        finally:
            machine.teardown()
    assert DONE["ended"] == len(tours) and DONE["died"], DONE
    assert DONE["FLAT"] and DONE["RESIDUAL"] and DONE["UNPROVED"], DONE


@pytest.fixture
def scene(template: Template, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(template, tmp_path)
    yield made
    made.close()


def test_kill_switches(scene: Scene) -> None:
    KillMachine.scene = scene
    DONE.clear()
    toured()
    run_state_machine_as_test(
        KillMachine,
        settings=settings(
            max_examples=8,
            stateful_step_count=6,
            deadline=None,
            phases=(Phase.generate,),
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(dict(DONE))
