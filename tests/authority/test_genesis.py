"""A genesis grant that is used in parts: whatever ends the authority between two steps, each breaker is
closed by it once or never, and nothing trades before all is done."""

from __future__ import annotations

import asyncio
import json

import pytest

from cockpit.authority import faults
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.audit import sha256_hex
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.states import State
from tests.authority.desk import Desk, until
from tests.authority.test_interruptions import kill

PART = 10


class Stop:
    """Holds the authority at a point of the second part; `reached` says that it stands there."""

    def __init__(self, point: str, part: int) -> None:
        self.point, self.left = point, part
        self.reached = asyncio.Event()

    async def __call__(self, point: str) -> None:
        self.left -= point == self.point
        if not self.left:
            self.reached.set()
            await asyncio.Event().wait()


async def cut_off(desk: Desk, point: str, part: int) -> None:
    """An authority that is killed there."""
    stop = Stop(point, part)
    first = Authority(desk.settings, stop, holder="first")
    work = asyncio.create_task(first.run(asyncio.Event()))
    await asyncio.wait_for(stop.reached.wait(), 60)
    await kill(desk, work)


async def tried(desk: Desk) -> list[BreakerId]:
    async with desk.platform.connection() as owner:
        rows = await owner.fetch(
            "SELECT breaker_id FROM commits WHERE transition = 'GENESIS' ORDER BY intent_seq"
        )
    return [BreakerId(row["breaker_id"]) for row in rows]


async def used(desk: Desk) -> bool:
    async with desk.platform.connection() as owner:
        return bool(await owner.fetchval("SELECT used_at IS NOT NULL FROM genesis"))


async def trip_unseen(desk: Desk, name: BreakerId) -> None:
    async with desk.platform.redis_line() as line:
        await line.command("INCR", f"trip:{name}")


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE, faults.AFTER_SET])
async def test_a_successor_settles_the_part_and_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:  # I1, I7, I8, F7
    monkeypatch.setattr("cockpit.authority.genesis.BATCH", PART)
    everything = desk.settings.catalogue.everything
    await cut_off(desk, point, 2)
    begun = await tried(desk)
    assert len(begun) == 2 * PART and GLOBAL not in begun and not await used(desk)
    tripped = next(name for name in everything if name not in begun and name != GLOBAL)
    await trip_unseen(desk, tripped)
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        assert await used(desk)
        expected_open = {tripped} if point == faults.AFTER_SET else {tripped, *begun[PART:]}
        async with desk.platform.connection() as owner:

            async def settled() -> bool:
                rows = await owner.fetch("SELECT breaker_id FROM breakers WHERE state = 'OPEN'")
                return {row["breaker_id"] for row in rows} == expected_open

            await until(settled)
            assert not await owner.fetchval("SELECT count(*) FROM commits WHERE status = 'intent'")
            grant = await owner.fetchval("SELECT payload FROM genesis")
            rows = await owner.fetch("SELECT details_text FROM audit_log WHERE action ~ 'RESTORE_INTENT'")
        assert sorted(await tried(desk)) == sorted(
            name for name in everything if name != tripped
        )  # once each
        details = [json.loads(row["details_text"]) for row in rows]
        assert [each["genesis"] for each in details if "genesis" in each] == [grant]
        assert {each.get("genesis_sha256") for each in details[1:]} == {sha256_hex(grant.encode())}
        assert "CIRCUIT_BREAKER_TRIP" in await desk.actions(tripped)


async def test_between_two_parts_nothing_trades_and_a_trip_ends_the_grant(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:  # I1, I3
    everything = desk.settings.catalogue.everything
    monkeypatch.setattr("cockpit.authority.genesis.BATCH", len(everything) - 1)
    await cut_off(desk, faults.AFTER_OUTCOME, 1)
    assert len(await tried(desk)) == len(everything) - 1 and not await used(desk)
    assert await desk.state(GLOBAL) is State.OPEN
    await trip_unseen(desk, GLOBAL)
    async with running_authority(desk.settings):
        await until(lambda: used(desk))
        assert GLOBAL not in await tried(desk)
        assert await desk.state(GLOBAL) is State.OPEN
