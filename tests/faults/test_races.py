"""A trip against a loosening, at every point where the authority waits for something (F5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from backends.redis_connection import Line
from cockpit.authority import faults
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, Desk, until
from tests.authority.test_interruptions import Trap

EXECUTION = BreakerId("component:execution")
COMMIT = (
    faults.BEFORE_INTENT,
    faults.AFTER_INTENT,
    faults.AFTER_EVIDENCE,
    faults.AFTER_SET,
    faults.AFTER_OUTCOME,
)


async def _incr(desk: Desk, name: str) -> None:
    async with desk.platform.redis_line("operator2") as line:
        await line.command("INCR", f"trip:{name}")


async def _ready(desk: Desk, authority: Authority, kind: Kind) -> None:
    """As far as the request that is about to be raced, with no commit under way that a trap could take for
    it: a run is seen to have passed a moment before the commit that says so is over."""
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    if kind is Kind.CLOSE:
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")

        async def settled() -> bool:
            return authority.means is not None and not authority.means.tasks

        await until(settled)


async def _halted_for_good(desk: Desk, name: BreakerId = BTC) -> None:
    """OPEN, and OPEN still after whole turns of the authority: a second trip is audited in a later one."""
    for _ in range(3):
        assert await desk.state(name) is State.OPEN
        await desk.trip(ETH)
    assert await desk.state(name) is State.OPEN


@pytest.mark.parametrize("kind", [Kind.HALF_OPEN, Kind.CLOSE])
@pytest.mark.parametrize("point", COMMIT)
async def test_a_trip_between_any_two_steps_of_a_commit_wins(desk: Desk, kind: Kind, point: str) -> None:
    # I3, F5
    trap = Trap(point)
    async with running_authority(desk.settings, trap) as authority:
        await _ready(desk, authority, kind)
        trap.armed = True
        command = await desk.command(kind, BTC, "operator1")
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 30)
        await _incr(desk, BTC)
        assert await desk.state(BTC) is State.OPEN
        trap.released.set()
        row = await desk.answer(command.request_id)
        applied = point in (faults.AFTER_SET, faults.AFTER_OUTCOME)
        assert row.status == ("done" if applied else "void"), row.message
        await _halted_for_good(desk)


@pytest.mark.parametrize("point", [faults.BEFORE_INTENT, faults.AFTER_INTENT, faults.AFTER_EVIDENCE])
async def test_a_trip_above_voids_what_is_being_committed_below(desk: Desk, point: str) -> None:  # I3, I5, F5
    trap = Trap(point)
    async with running_authority(desk.settings, trap) as authority:
        await desk.becomes(EXECUTION, State.CLOSED)
        await _ready(desk, authority, Kind.CLOSE)
        trap.armed = True
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 30)
        await _incr(desk, EXECUTION)
        trap.released.set()
        assert (await desk.answer(command.request_id)).status == "void"
        assert await desk.state(EXECUTION) is State.OPEN


class SecondTime(Trap):
    """Lets the first commit past once it is armed: however slow we are, the second is not over by then."""

    passed = False

    async def __call__(self, point: str) -> None:
        if self.armed and point == self.point and not self.passed:
            self.passed = True
        else:
            await super().__call__(point)


async def test_a_trip_as_the_quiet_period_ends_wins(desk: Desk) -> None:  # I3, I11, F5
    trap = SecondTime(faults.AFTER_EVIDENCE)
    async with running_authority(desk.settings, trap) as authority:
        await _ready(desk, authority, Kind.CLOSE)
        trap.armed = True
        assert (await desk.ask(Kind.CLOSE, BTC)).status == "done"
        await asyncio.wait_for(trap.reached.wait(), 30)
        assert await desk.state(BTC) is State.QUIET_PERIOD
        await _incr(desk, BTC)
        trap.released.set()
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
        await _halted_for_good(desk)
        assert "CIRCUIT_BREAKER_QUIET_END" not in await desk.actions(BTC)


async def test_a_trip_as_a_passed_run_is_noted_wins(desk: Desk) -> None:  # I3, I10, F5
    trap = Trap(faults.AFTER_EVIDENCE)
    async with running_authority(desk.settings, trap) as authority:
        await _ready(desk, authority, Kind.HALF_OPEN)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        trap.armed = True
        await desk.probe(BTC)
        await asyncio.wait_for(trap.reached.wait(), 30)
        await _incr(desk, BTC)
        trap.released.set()
        await _halted_for_good(desk)
        assert (await desk.ask(Kind.CLOSE, BTC)).status == "refused"
        assert await desk.state(BTC) is State.OPEN


class AtExchange:
    """Runs something just before or just after the n-th exchange with Redis once it is armed."""

    def __init__(
        self, patch: pytest.MonkeyPatch, number: int, after: bool, action: Callable[[], Any]
    ) -> None:
        self.number, self.after, self.action = number, after, action
        self.armed, self.seen, self.done, self.busy = False, 0, False, False
        self._exchange = Line.exchange
        guard = self

        async def exchange(line: Line, *commands: Any, timeout_s: float | None = None) -> Any:
            return await guard(line, *commands, timeout_s=timeout_s)

        patch.setattr(Line, "exchange", exchange)

    async def __call__(self, line: Line, *commands: Any, timeout_s: float | None = None) -> Any:
        blocking = any("XREAD" in map(str, command) for command in commands)
        if not self.armed or self.busy or self.done or blocking:
            return await self._exchange(line, *commands, timeout_s=timeout_s)
        self.seen += 1
        due = self.seen == self.number
        if due and not self.after:
            await self._act()
        replies = await self._exchange(line, *commands, timeout_s=timeout_s)
        if due and self.after:
            await self._act()
        return replies

    async def _act(self) -> None:
        self.busy = True
        await self.action()
        self.busy, self.done = False, True


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
async def test_a_trip_around_any_exchange_with_redis_wins(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, after: bool
) -> None:  # I3, F5
    race = AtExchange(monkeypatch, number, after, lambda: _incr(desk, BTC))
    async with running_authority(desk.settings) as authority:
        await _ready(desk, authority, Kind.CLOSE)
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        race.armed = True
        await desk.send(command)
        await desk.answer(command.request_id)

        async def raced() -> bool:
            return race.done

        async def audited() -> bool:
            return (await desk.actions(BTC)).count("CIRCUIT_BREAKER_TRIP") == 2

        await until(raced)
        await until(audited)
        await _halted_for_good(desk)
