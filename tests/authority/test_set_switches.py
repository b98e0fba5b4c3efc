"""Set switches in the way of an instrument's resume; whose incident a latch is."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from cockpit.authority import faults
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk
from tests.authority.test_incident_sources import trip
from tests.authority.test_interruptions import Trap
from tests.authority.test_releases import CANCEL_ONLY, HARD, LATCH, SOFT, reconciled, release


async def opened(desk: Desk) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.becomes(BTC, State.CLOSED)


async def test_half_open_is_refused_while_a_switch_is_set(desk: Desk, authority: Authority) -> None:
    await opened(desk)
    await desk.trip(BTC)
    for name in (CANCEL_ONLY, LATCH):
        await desk.trip(name)
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert (row.status, row.code) == ("refused", "ancestor-stricter")
    assert f"{BTC} is held by {CANCEL_ONLY} and {LATCH}, which are set" in str(row.message)
    assert "cockpit mode BTC-USD NORMAL, cockpit latch release BTC-USD" in str(row.message)
    assert "CIRCUIT_BREAKER_HALF_OPEN_INTENT" not in await desk.actions(BTC)
    await reconciled(desk, "clean", "clean")
    assert (await release(desk, LATCH)).status == "done"
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert row.code == "ancestor-stricter" and f"{CANCEL_ONLY}, which is set" in str(row.message)
    assert (await release(desk, CANCEL_ONLY)).status == "done"
    assert (await desk.resume(BTC)).status == "done"


async def test_a_close_is_refused_too_and_the_run_keeps_its_window(desk: Desk, authority: Authority) -> None:
    await opened(desk)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "passed")
    await desk.trip(CANCEL_ONLY)
    row = await desk.ask(Kind.CLOSE, BTC)
    assert (row.status, row.code) == ("refused", "ancestor-stricter"), row.message
    assert str(CANCEL_ONLY) in str(row.message) and await desk.state(BTC) is State.HALF_OPEN
    assert (await release(desk, CANCEL_ONLY)).status == "done"
    closed = await desk.ask(Kind.CLOSE, BTC)
    assert closed.status == "done", closed.message


async def test_what_is_closed_itself_is_said_to_be_held(desk: Desk, authority: Authority) -> None:
    await opened(desk)
    await desk.trip(HARD)
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert row.code == "ancestor-stricter" and f"held by {HARD}" in str(row.message)


async def test_a_component_is_probed_with_another_instrument(desk: Desk, authority: Authority) -> None:
    await opened(desk)
    await desk.trip(SOFT)
    await desk.trip(EXECUTION)
    closed = await desk.resume(EXECUTION)
    assert closed.status == "done", closed.message
    async with desk.platform.connection() as connection:
        details = await connection.fetchval(
            "SELECT details::text FROM audit_log"
            " WHERE action = 'CIRCUIT_BREAKER_RESET_INTENT' AND target = $1",
            EXECUTION,
        )
    assert "ETH-USD filled" in details and "BTC-USD filled" not in details


@pytest.mark.parametrize("point", [faults.BEFORE_INTENT, faults.AFTER_INTENT, faults.AFTER_EVIDENCE])
async def test_a_switch_that_is_set_while_it_is_committed_voids_it(desk: Desk, point: str) -> None:  # F5
    trap = Trap(point)
    async with running_authority(desk.settings, trap):
        await opened(desk)
        await desk.trip(BTC)
        trap.armed = True
        command = await desk.command(Kind.HALF_OPEN, BTC, "operator1")
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await desk.trip(HARD)
        trap.released.set()
        row = await desk.answer(command.request_id)
        assert row.status != "done" and row.code == "ancestor-stricter", row.message
        assert "switch" in str(row.message) and await desk.state(BTC) is State.OPEN
        assert "CIRCUIT_BREAKER_HALF_OPEN" not in await desk.actions(BTC)


GUARD = {
    "firing": "INSERT INTO guard_firings"
    " (firing_id, term, rule, mode, effect, aim, breaker_id, value, threshold, samples)"
    " VALUES ('{event}', 1, 'r', 'live', 'trip', 'b', 'b', 3, 3, '[]')",
    "lease": "INSERT INTO guard_lease (holder, login, term, renewed_at, expires_at)"
    " VALUES ('g', 'automation1', 1, clock_timestamp(), clock_timestamp())",
    "": "SELECT 1",
}


@pytest.mark.parametrize(
    ("guard", "login", "name", "own"),
    [
        ("firing", "automation1", LATCH, False),
        ("lease", "automation1", LATCH, False),
        ("", "automation1", LATCH, True),  # of a login that is no guard's, nobody else would tell
        ("lease", "automation1", BTC, True),
        ("lease", "operator1", LATCH, True),
    ],
)
async def test_a_latch_that_the_guard_sets_has_the_guards_incident_only(
    desk: Desk, authority: Authority, guard: str, login: str, name: BreakerId, own: bool
) -> None:
    await opened(desk)
    event_id = str(uuid4())
    async with desk.platform.connection() as owner:
        await owner.execute(GUARD[guard].format(event=event_id))
        await trip(desk, name, login, None, event_id=event_id)
        found = await owner.fetch("SELECT source FROM incidents WHERE breaker_id = $1", name)
        pages = await owner.fetchval("SELECT count(*) FROM outbox")
    assert [row["source"] for row in found] == ["trip"] * own and pages == own
    assert "CIRCUIT_BREAKER_TRIP" in await desk.actions(name)
