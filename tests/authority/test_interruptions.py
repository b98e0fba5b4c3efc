"""Crashes, pauses and lost stores between every two steps of a commit (I7, I8, I10, F7, F19, F23)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cockpit.authority import faults, lease, term
from cockpit.authority.lease import Fenced
from cockpit.authority.means import Doubt
from cockpit.authority.service import Authority, running_authority
from cockpit.authority.world import World
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, LONG_S, Desk, until


class Killed(BaseException):
    """Ends the authority where it stands, as SIGKILL would: no handler of ours runs for it."""


class Trap:
    """Stops the authority at one point, once it is armed."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.armed = False
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def __call__(self, point: str) -> None:
        if self.armed and point == self.point:
            self.armed = False
            self.reached.set()
            await self.released.wait()


async def kill(desk: Desk, work: asyncio.Task[None]) -> None:
    """End an in-process authority without letting it finish anything; its lease runs out."""
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE authority_lease SET expires_at = clock_timestamp()")


class Asleep:
    """Redis as a process reads it that does not run."""

    async def read(self) -> World:
        await asyncio.Event().wait()
        raise AssertionError("it slept for ever")


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE, faults.AFTER_SET])
async def test_a_successor_finishes_or_voids_what_a_killed_authority_left(desk: Desk, point: str) -> None:
    # I7, I8, I10, F7, F23
    trap, stop = Trap(point), asyncio.Event()
    first = Authority(desk.settings, trap, holder="first")
    work = asyncio.create_task(first.run(stop))
    await asyncio.wait_for(first.acting.wait(), 60)
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "passed")
    trap.armed = True
    command = await desk.command(Kind.CLOSE, BTC, "operator1")
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    await kill(desk, work)
    async with running_authority(desk.settings):
        row = await desk.answer(command.request_id)
        applied = point == faults.AFTER_SET
        assert row.status == ("done" if applied else "void")
        await desk.audited(
            command.request_id, "CIRCUIT_BREAKER_RESET" if applied else "CIRCUIT_BREAKER_RESET_VOID"
        )
        if applied:
            await desk.becomes(BTC, State.CLOSED)
        else:
            assert await desk.state(BTC) is State.HALF_OPEN
        async with desk.platform.connection() as connection:

            async def nothing_left() -> bool:  # the close of the quiet period may still be recording its own
                return not await connection.fetchval("SELECT count(*) FROM commits WHERE status = 'intent'")

            await until(nothing_left)
            assert await connection.fetchval("SELECT count(*) FROM reset_slots") == 1  # I12: not refunded


async def test_a_sleeping_authority_can_commit_nothing_when_it_wakes(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:  # F23
    monkeypatch.setattr(term, "RENEW_S", LONG_S)  # awake it would notice, and commit nothing for that
    trap, stop = Trap(faults.AFTER_EVIDENCE), asyncio.Event()
    first = Authority(desk.settings, trap, holder="first")
    work = asyncio.create_task(first.run(stop))
    await asyncio.wait_for(first.acting.wait(), 60)
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    trap.armed = True
    command = await desk.command(Kind.HALF_OPEN, BTC, "operator1")
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    assert first.means is not None
    sleeper, first.means.reader = first.means, Asleep()  # type: ignore[assignment]
    async with desk.platform.connection() as owner:  # its lease runs out while it sleeps
        await owner.execute("UPDATE authority_lease SET expires_at = clock_timestamp(), holder = 'asleep'")
    async with running_authority(desk.settings):
        assert (await desk.answer(command.request_id)).status == "void"
        (commit,) = sleeper.tasks
        trap.released.set()
        await asyncio.wait([commit], timeout=60)
        assert isinstance(commit.exception(), Doubt | Fenced)  # it tried
        assert await desk.state(BTC) is State.OPEN
        assert (await desk.actions(BTC)).count("CIRCUIT_BREAKER_HALF_OPEN") == 0
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert (await desk.answer(command.request_id)).status == "void"


async def test_without_evidence_a_trip_is_audited_and_a_loosening_refused(
    desk: Desk, authority: Authority
) -> None:
    # I6, F19
    await desk.becomes(BTC, State.CLOSED)
    folder = Path(desk.settings.evidence_url.removeprefix("file://"))
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    folder.touch()
    event_id = await desk.trip(BTC)
    row = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    assert row["evidence_link"] and row["evidence_sha256"]
    assert await desk.state(BTC) is State.OPEN
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status in ("refused", "void")
    assert await desk.state(BTC) is State.OPEN
    folder.unlink()
    hidden.rename(folder)

    async def written() -> bool:
        return (folder / "transitions" / f"{event_id}-OPEN.json").exists()

    await until(written)


async def test_a_trip_that_comes_between_intent_and_set_wins(desk: Desk) -> None:  # I3, F5
    trap = Trap(faults.AFTER_EVIDENCE)
    async with running_authority(desk.settings, trap):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")
        trap.armed = True
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await desk.trip(BTC, "operator2")
        trap.released.set()
        assert (await desk.answer(command.request_id)).status == "void"
        assert await desk.state(BTC) is State.OPEN


async def test_redis_down_a_trip_waits_in_postgres_and_nothing_resumes(desk: Desk) -> None:  # F9, I6
    async with running_authority(desk.settings) as authority:
        await desk.becomes(BTC, State.CLOSED)
        command = await desk.command(Kind.TRIP, BTC, "operator1", reason="drill", checked=())
        await asyncio.to_thread(desk.platform.valkey.stop)
        await desk.send(command)

        async def pending() -> bool:
            return authority.means is not None and BTC in authority.means.health.pending_trips

        await until(pending)
        await asyncio.to_thread(desk.platform.valkey.start)
        row = await desk.answer(command.request_id)
        assert row.status == "done", row.message
        assert await desk.state(BTC) is State.OPEN
        await desk.audited(command.request_id, "CIRCUIT_BREAKER_TRIP")


async def test_postgres_down_a_trip_halts_and_is_audited_later(desk: Desk) -> None:  # F8
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await asyncio.to_thread(desk.platform.postgres.stop)
        try:
            async with desk.platform.redis_line("operator1") as line:
                await line.command("INCR", f"trip:{BTC}")
            assert await desk.state(BTC) is State.OPEN
        finally:
            await asyncio.to_thread(desk.platform.postgres.start)

        async def audited() -> bool:
            return "CIRCUIT_BREAKER_TRIP" in await desk.actions(BTC)

        await until(audited)


async def test_a_standby_takes_over_at_once_when_the_lease_is_released(desk: Desk) -> None:  # F23, F24
    assert lease.LEASE_S > 60  # it does not run out meanwhile
    async with running_authority(desk.settings) as first:
        second, stop = Authority(desk.settings, holder="second"), asyncio.Event()
        work = asyncio.create_task(second.run(stop))
        await desk.becomes(BTC, State.CLOSED)
        assert not second.acting.is_set()
        assert first.means is not None
        before = first.means.lease.term
    try:
        await asyncio.wait_for(second.acting.wait(), 60)
        assert second.means is not None
        assert second.means.lease.term == before + 1
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    finally:
        stop.set()
        await work
