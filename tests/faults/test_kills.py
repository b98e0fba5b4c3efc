"""SIGKILL of a person's process between every two steps of a trip and of a resume (F7)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cockpit.authority.service import Authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, UNHURRIED, Desk, until
from tests.cli.commands import cockpit, trip_arguments
from tests.trading_platform import Platform

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    """No deadline of a run ends while a process is still starting; `_overdue` brings it about."""
    return UNHURRIED


async def dies(platform: Platform, what: str, name: BreakerId, step: int) -> bool:
    """Whether the process got as far as `step` and killed itself there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.dying_cockpit", str(platform.config), what, name, str(step),
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        _, said = await process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said.decode()
    return process.returncode != 0


async def _overdue(desk: Desk) -> None:
    """The run's deadline is over, by Postgres's clock."""
    async with desk.platform.connection() as owner:
        changed = await owner.execute("UPDATE probe_runs SET deadline = clock_timestamp()")
    assert changed == "UPDATE 1"


async def _run_begun(desk: Desk) -> None:
    async with desk.platform.connection() as owner:

        async def begun() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM probe_runs WHERE status = 'running'"))

        await until(begun)


@pytest.mark.parametrize("step", range(1, 6))
async def test_a_trip_whose_process_dies_takes_effect_at_least_once(platform: Platform, step: int) -> None:
    # I8, F7
    async def count() -> int:
        async with platform.redis_line() as line:
            return int(await line.command("GET", f"trip:{BTC}"))

    before = await count()
    assert await dies(platform, "trip", BTC, step)
    spooled = list(platform.settings.spool_dir.glob("*.trip.json"))
    assert bool(spooled) == (2 <= step <= 4)
    done = await cockpit(platform.config, *trip_arguments("instrument:ETH-USD"))
    assert done.code == 0, done.err
    assert list(platform.settings.spool_dir.glob("*.trip.json")) == []
    wanted = {1: 0, 2: 1, 3: 1, 4: 2, 5: 1}  # the reply of the fourth was lost: once more is safe
    assert await count() == before + wanted[step]


@pytest.mark.parametrize("step", range(1, 10))
async def test_a_half_open_whose_process_dies_ends_open(desk: Desk, authority: Authority, step: int) -> None:
    # I1, I9, I10, F7
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    before = await desk.epoch(BTC)
    died = await dies(desk.platform, "half_open", BTC, step)
    assert died == (step <= 10)
    if step >= 8:  # submitted: the run begins, nobody probes, and it is tripped at its deadline
        await _run_begun(desk)
        await _overdue(desk)

        async def tripped() -> bool:
            return (await desk.epoch(BTC)).counter > before.counter

        await until(tripped)
    await desk.becomes(BTC, State.OPEN)
    assert "CIRCUIT_BREAKER_RESET" not in await desk.actions(BTC)


@pytest.mark.parametrize("step", range(1, 7))  # with two of its five probes reported it can no longer pass
async def test_a_prober_that_dies_fails_the_run(desk: Desk, authority: Authority, step: int) -> None:
    # I9, I10, F7, F11
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    before = await desk.epoch(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    assert await dies(desk.platform, "probe", BTC, step)
    await _overdue(desk)

    async def tripped() -> bool:
        return (await desk.epoch(BTC)).counter > before.counter

    await until(tripped)
    assert await desk.state(BTC) is State.OPEN
    assert (await desk.ask(Kind.CLOSE, BTC)).status == "refused"


@pytest.mark.parametrize("step", [6, 7, 8, 9])
async def test_a_close_whose_process_dies_happens_once_or_not_at_all(
    desk: Desk, authority: Authority, step: int
) -> None:  # I8, I10, F3, F7
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "passed")
    assert await dies(desk.platform, "close", BTC, step)
    if step < 8:
        assert await desk.state(BTC) is State.HALF_OPEN
        assert "CIRCUIT_BREAKER_RESET_INTENT" not in await desk.actions(BTC)
        return
    await desk.becomes(BTC, State.CLOSED)
    assert (await desk.actions(BTC)).count("CIRCUIT_BREAKER_RESET") == 1
