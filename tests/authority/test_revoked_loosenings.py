"""Rights that end while a loosening is committed: neither intent nor effect (I21). Each case is tried before
the intent is recorded, and just before the compare-and-set.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from cockpit.authority import faults
from cockpit.authority.service import running_authority
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.states import State
from tests.authority.budgets import Scripted, authority_with, share_of
from tests.authority.desk import BTC, Desk, until
from tests.authority.test_interruptions import Trap
from tests.authority.test_releases import CANCEL_ONLY, HARD, means_of, release
from tests.authority.test_revoked import REVOKED, ended_in_line, trapped
from tests.authority.test_size_limits import lift, limit

POINTS = (faults.BEFORE_INTENT, faults.AFTER_EVIDENCE)


async def test_a_release_commits_under_nobodys_ended_rights(desk: Desk) -> None:  # I18, I19, I21
    """Revoked after the approval: before the intent is recorded, and just before it takes effect."""
    limits = replace(desk.settings.limits, approval_scopes=("withdrawals", "hard_halt"))
    trap = Trap(faults.BEFORE_INTENT)
    async with running_authority(replace(desk.settings, limits=limits), trap):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(WITHDRAWALS, "admin1")
        await desk.trip(HARD)
        await desk.trip(CANCEL_ONLY)
        for name in (WITHDRAWALS, HARD):
            for point in POINTS:
                for login in ("admin1", "admin2"):
                    await _voided(desk, trap, name, point, login)
        row = await release(desk, HARD, "admin1")
        yes = await desk.ask(Kind.APPROVE, HARD, "admin2", target=row.request_id)
        assert yes.status == "done", yes.message


async def _voided(desk: Desk, trap: Trap, name: BreakerId, point: str, login: str) -> None:
    case = (name, point, login)
    asked = await release(desk, name, "admin1")
    assert asked.status == "awaiting_approval", (case, asked.message)
    intents = (await desk.actions(name)).count("SWITCH_RELEASE_INTENT")
    yes = await desk.command(Kind.APPROVE, name, "admin2", target=asked.request_id)
    trap.point = point
    approved = await trapped(desk, trap, yes, REVOKED, login)
    row = await desk.answer(asked.request_id, "admin1")
    _ended(row, point, login)
    before = point == faults.BEFORE_INTENT
    assert approved.status != "done", (case, approved.message)
    actions = await desk.actions(name)
    assert actions.count("SWITCH_RELEASE_INTENT") == intents + (not before), case  # I7
    assert "SWITCH_RELEASED" not in actions and await desk.state(name) is State.OPEN, case


@pytest.mark.parametrize("point", POINTS)
async def test_global_resumes_under_nobodys_ended_rights(desk: Desk, point: str) -> None:  # I1, I19, I21
    """Neither its half-open nor its close, which rests on the same approval."""
    trap = Trap(point)
    async with running_authority(desk.settings, trap):
        await desk.becomes(GLOBAL, State.CLOSED)
        for login in ("admin1", "admin2"):
            await desk.trip(GLOBAL, "admin1")
            asked = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
            assert asked.status == "awaiting_approval", asked.message
            yes = await desk.command(Kind.APPROVE, GLOBAL, "admin2", target=asked.request_id)
            await trapped(desk, trap, yes, REVOKED, login)
            row = await desk.answer(asked.request_id, "admin1")
            _ended(row, point, login)
            assert await desk.state(GLOBAL) is State.OPEN
        for login in ("admin2", "admin1")[: 2 if point == faults.BEFORE_INTENT else 1]:
            await desk.trip(GLOBAL, "admin1")
            asked = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
            yes = await desk.command(Kind.APPROVE, GLOBAL, "admin2", target=asked.request_id)
            await desk.send(yes)
            assert (await desk.answer(yes.request_id, "admin2")).status == "done"
            await desk.run_status(await desk.probe(GLOBAL, "admin1"), "passed")
            close = await desk.command(Kind.CLOSE, GLOBAL, "admin1")
            _ended(await trapped(desk, trap, close, REVOKED, login), point, login)
            assert await desk.state(GLOBAL) is State.HALF_OPEN
        assert "CIRCUIT_BREAKER_RESET" not in await desk.actions(GLOBAL)


def _ended(row: RequestRow, point: str, login: str) -> None:
    """What a commit says that rested on ended rights: nothing recorded before its intent, else void."""
    own = login == "admin1"
    before = "denied" if own else "refused"
    wanted = before if point == faults.BEFORE_INTENT else "void"
    found = (row.status, row.code)
    assert found == (wanted, "revoked" if own else "approval-void"), (login, row.message)


async def test_a_limit_is_lifted_under_nobodys_ended_rights(desk: Desk) -> None:  # I21
    trap = Trap(faults.BEFORE_INTENT)
    async with authority_with(desk, Scripted(), trap) as authority:
        await desk.becomes(BTC, State.CLOSED)
        small = (await limit(desk, BTC, "0.3")).request_id
        large = (await limit(desk, BTC, "0.6")).request_id
        for point in POINTS:
            trap.point = point
            command = await desk.command(Kind.LIFT, BTC, "admin1", target=small, checked=())
            _ended(await trapped(desk, trap, command, REVOKED, "admin1"), point, "admin1")
            assert await share_of(desk, BTC) == Decimal("0.3"), point
        command = await desk.command(Kind.LIFT, BTC, "admin1", target=large, checked=())
        row = await ended_in_line(desk, await means_of(authority), command, REVOKED)
        assert (row.status, row.code) == ("denied", "revoked"), row.message  # one that changes no size yet
        assert (await lift(desk, BTC, small)).status == "done"
        assert await share_of(desk, BTC) == Decimal("0.6")


async def test_what_was_lost_is_restored_under_nobodys_ended_rights(desk: Desk) -> None:  # I1, I21, F1
    trap = Trap(faults.BEFORE_INTENT)
    async with running_authority(desk.settings, trap):
        await desk.becomes(BTC, State.CLOSED)
        async with desk.platform.redis_line() as line:
            await line.command("FLUSHALL")

        async def noticed() -> bool:
            return "STATE_LOSS_DETECTED" in await desk.actions(GLOBAL)

        await until(noticed)
        for point in POINTS:
            trap.point = point
            command = await desk.command(Kind.RESTORE, GLOBAL, "admin1", checked=())
            row = await trapped(desk, trap, command, REVOKED, "admin1")
            assert row.status != "done", (point, row.message)
            assert await desk.state(GLOBAL) is State.OPEN and await desk.state(BTC) is State.OPEN
        row = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
        assert row.status == "done", row.message
        await desk.becomes(BTC, State.CLOSED)
