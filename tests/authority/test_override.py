"""Break-glass: resuming in spite of the error budgets, its alarm and its review (I19, I21, I23)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cockpit.authority import faults
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.permissions import Role
from cockpit.domain.states import State
from tests.authority.budgets import (
    FILLS,
    ORDERS,
    RED,
    Scripted,
    authority_with,
    details_of,
    share_of,
    too_old,
)
from tests.authority.desk import BTC, ETH, NOTES, Desk
from tests.authority.test_interruptions import Trap

WHY = "venue confirmed that it counted its own maintenance"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(left={ORDERS.name: RED, FILLS.name: RED})


async def half_open(desk: Desk, name: BreakerId, login: str, reason: str = WHY, **more: Any) -> RequestRow:
    return await desk.ask(Kind.HALF_OPEN, name, login, reason=reason, **more)


async def overrides(desk: Desk) -> list[Any]:
    async with desk.platform.connection() as connection:
        found: list[Any] = await connection.fetch(
            "SELECT * FROM incidents WHERE source = 'override' ORDER BY opened_at"
        )
    return found


async def acknowledge(desk: Desk, incident: Any, login: str) -> RequestRow:
    return await desk.ask(
        Kind.ACKNOWLEDGE, GLOBAL, login, target=str(incident["incident_id"]), epoch=None, checked=()
    )


async def test_an_override_covers_half_open_and_close_of_one_epoch(
    desk: Desk, scripted: Scripted
) -> None:  # I23
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC, "admin1")).code == "checklist"
        row = await half_open(desk, BTC, "admin1")
        assert row.status == "done" and "somebody else must acknowledge" in (row.message or ""), row.message
        assert len(await overrides(desk)) == 1
        entry = await details_of(desk, BTC, "CIRCUIT_BREAKER_HALF_OPEN")
        assert entry["override"] == {
            "login": "admin1", "reason": WHY, "request_id": row.request_id, "used": True,
        }  # fmt: skip
        assert entry["checklist"]["error-budgets"].startswith(f"OVERRIDDEN ({WHY})")
        await desk.run_status(await desk.probe(BTC, "admin1"), "passed")
        closed = await desk.ask(Kind.CLOSE, BTC, "operator1")  # the override is the run's, whoever closes
        assert closed.status == "done", closed.message
        assert (await details_of(desk, BTC, "CIRCUIT_BREAKER_RESET"))["override"]["used"] is True
        incidents = await overrides(desk)
        assert len(incidents) == 1
        assert (incidents[0]["severity"], incidents[0]["breaker_id"]) == ("P1", BTC)
        assert WHY in incidents[0]["title"] and "admin1" in incidents[0]["title"]
        await desk.becomes(BTC, State.CLOSED)
        assert str(await share_of(desk, BTC)) == "0.5"  # it passes over the checklist, not over the size
        await desk.trip(BTC)
        assert (await desk.ask(Kind.HALF_OPEN, BTC, "admin1")).code == "checklist"  # not the next epoch


async def test_the_next_waits_for_a_review_by_somebody_else(
    desk: Desk, scripted: Scripted
) -> None:  # I19, I23
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
        await desk.trip(BTC)
        await desk.trip(ETH)
        assert (await half_open(desk, BTC, "admin1")).status == "done"
        row = await half_open(desk, ETH, "admin2")  # of any breaker, by anybody
        assert (row.status, row.code) == ("refused", "override-unreviewed")
        (incident,) = await overrides(desk)
        for login in ("admin1", "admin1b"):
            row = await acknowledge(desk, incident, login)
            assert (row.status, row.code) == ("denied", "self-approval")
        assert (await acknowledge(desk, incident, "operator1")).status == "done"
        row = await half_open(desk, ETH, "admin2")
        assert row.status == "done", row.message
        assert len(await overrides(desk)) == 2


async def test_it_holds_up_no_checklist(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await half_open(desk, BTC, "admin1")).status == "done"
        scripted.left = {}
        await scripted.seen()
        await desk.trip(ETH)
        row = await desk.ask(Kind.HALF_OPEN, ETH)
        assert row.status == "done", row.message
        store = await desk.store("operator1")
        assert list(await store.open_criticals(900)) == []
        assert [
            each.critical for each in (await store.snapshot()).incidents if each.source == "override"
        ] == [False]


@pytest.mark.parametrize("login", ["operator1", "automation1", "monitor1"])
async def test_only_a_safety_admin_may(desk: Desk, scripted: Scripted, login: str) -> None:  # I22
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        row = await half_open(desk, BTC, login, "short")  # the role speaks first
        assert (row.status, row.code) == ("denied", "denied")
        assert "admin:override" in (row.message or "") and row.audit_seq is not None
        assert (await desk.actions(BTC))[-1] == "DENIED"
        assert not await overrides(desk)


async def test_a_reason_obeys_the_rules_of_a_justification(desk: Desk, scripted: Scripted) -> None:  # I26
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        for reason in ("short", "x" * 501, WHY + "\x1b[2J", f" {WHY}", WHY.replace(" ", "  ")):
            row = await half_open(desk, BTC, "admin1", reason)
            assert (row.status, row.code) == ("refused", "malformed"), reason
        assert not await overrides(desk)


async def test_a_reason_that_nothing_needs_is_no_break_glass(desk: Desk, scripted: Scripted) -> None:
    scripted.left = {}
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        row = await half_open(desk, BTC, "admin1")
        assert row.status == "done" and "was not needed" in (row.message or "")
        assert (await details_of(desk, BTC, "CIRCUIT_BREAKER_HALF_OPEN"))["override"]["used"] is False
        assert not await overrides(desk)
        await desk.run_status(await desk.probe(BTC, "admin1"), "passed")
        scripted.left[FILLS.name] = RED  # it is needed at the close: then it is break-glass after all
        await scripted.seen()
        closed = await desk.ask(Kind.CLOSE, BTC, "admin1")
        assert closed.status == "done", closed.message
        assert len(await overrides(desk)) == 1


async def test_it_passes_over_nothing_else(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        desk.venue.healthy = False
        row = await half_open(desk, BTC, "admin1")
        assert (row.status, row.code) == ("refused", "checklist")
        assert "gateway" in (row.message or "") and "error-budgets" not in (row.message or "")
        assert not await overrides(desk)


async def test_unknown_budgets_are_overridden_too(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted) as running:
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        await too_old(running, scripted)
        row = await half_open(desk, BTC, "admin1")
        assert row.status == "done", row.message
        assert len(await overrides(desk)) == 1


async def test_authority_that_ended_covers_no_close(desk: Desk, scripted: Scripted) -> None:  # I21
    async with authority_with(desk, scripted), desk.platform.connection() as owner:
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await half_open(desk, BTC, "admin1")).status == "done"
        await desk.run_status(await desk.probe(BTC, "admin1"), "passed")
        await owner.execute("UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'admin1'")
        row = await desk.ask(Kind.CLOSE, BTC, "operator1")
        assert (row.status, row.code) == ("refused", "checklist")
        await owner.execute("UPDATE role_grants SET revoked_at = NULL WHERE login = 'admin1'")
        await owner.execute("UPDATE signing_keys SET revoked_at = clock_timestamp() WHERE login = 'admin1'")
        row = await desk.ask(Kind.CLOSE, BTC, "operator1")
        assert (row.status, row.code) == ("refused", "checklist")
        assert await desk.state(BTC) is State.HALF_OPEN


async def test_authority_that_ends_before_the_commit_voids_it(desk: Desk, scripted: Scripted) -> None:  # I21
    trap = Trap(faults.AFTER_EVIDENCE)
    async with authority_with(desk, scripted, trap), desk.platform.connection() as owner:
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await half_open(desk, BTC, "admin1")).status == "done"
        await desk.run_status(await desk.probe(BTC, "admin1"), "passed")
        trap.armed = True
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await owner.execute("UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'admin1'")
        trap.released.set()
        assert (await desk.answer(command.request_id)).status == "void"
        assert await desk.state(BTC) is State.HALF_OPEN


async def test_global_needs_the_second_person_all_the_same(
    desk: Desk, scripted: Scripted
) -> None:  # I19, I20
    async with authority_with(desk, scripted):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(GLOBAL, "admin1")
        row = await half_open(desk, GLOBAL, "admin1")
        assert row.status == "awaiting_approval", row.message
        assert not await overrides(desk)
        assert (await details_of(desk, GLOBAL, "APPROVAL_REQUESTED"))["override"] == WHY
        yes = await desk.ask(Kind.APPROVE, GLOBAL, "admin2", target=row.request_id)
        assert yes.status == "done", yes.message
        assert len(await overrides(desk)) == 1
        await desk.run_status(await desk.probe(GLOBAL, "admin1"), "passed")
        closed = await desk.ask(Kind.CLOSE, GLOBAL, "admin1", notes=NOTES)
        assert closed.status == "done", closed.message
