"""Agreed adjustments of an error budget (I19, I20, I21, I22)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cockpit.domain.adjustments import exclusion_target
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.permissions import Role
from cockpit.domain.slos import Exclusion
from cockpit.domain.states import State
from tests.authority.budgets import ORDERS, Scripted, authority_with, details_of, too_old
from tests.authority.desk import BTC, Desk

HOUR = timedelta(hours=1)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def stretch(begins: timedelta = -3 * HOUR, ends: timedelta = -2 * HOUR, slo: str = ORDERS.name) -> str:
    now = datetime.now(UTC)
    return exclusion_target(slo, now + begins, now + ends)


async def exclude(desk: Desk, target: str, login: str = "admin1", **more: Any) -> RequestRow:
    name = more.pop("name", EXECUTION)
    return await desk.ask(Kind.EXCLUDE, name, login, target=target, epoch=None, checked=(), **more)


async def approve(desk: Desk, row: RequestRow, login: str = "admin2") -> RequestRow:
    return await desk.ask(Kind.APPROVE, EXECUTION, login, target=row.request_id)


async def include(desk: Desk, target: str, login: str = "admin2", **more: Any) -> RequestRow:
    name = more.pop("name", EXECUTION)
    return await desk.ask(Kind.INCLUDE, name, login, target=target, epoch=None, checked=(), **more)


async def rows(desk: Desk) -> list[Any]:
    async with desk.platform.connection() as connection:
        found: list[Any] = await connection.fetch("SELECT * FROM slo_exclusions ORDER BY created_at")
    return found


async def test_two_admins_take_a_stretch_out_and_one_takes_it_back(
    desk: Desk, scripted: Scripted
) -> None:  # I19
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        asked = await exclude(desk, stretch())
        assert asked.status == "awaiting_approval" and "another safety-admin" in (asked.message or "")
        assert not await rows(desk)
        reads = scripted.reads
        yes = await approve(desk, asked)
        assert yes.status == "done", yes.message
        assert (await desk.answer(asked.request_id, "admin1")).status == "done"
        (row,) = await rows(desk)
        assert (str(row["exclusion_id"]), row["slo"]) == (asked.request_id, ORDERS.name)
        assert (row["login"], row["person_id"], row["approved_by"]) == ("admin1", "person:admin1", "admin2")
        entry = await details_of(desk, EXECUTION, "BUDGET_EXCLUDED")
        assert entry["slo"] == ORDERS.name and entry["approval"]["login"] == "admin2"
        assert scripted.reads >= reads
        again = await approve(desk, asked)
        assert again.code == "approval-void"
        back = await include(desk, asked.request_id)
        assert back.status == "done", back.message
        assert (await rows(desk))[0]["reverted_by"] == "admin2"
        assert (await details_of(desk, EXECUTION, "BUDGET_INCLUDED"))["exclusion_id"] == asked.request_id
        assert (await include(desk, asked.request_id)).code == "wrong-state"


async def test_who_may(desk: Desk, scripted: Scripted) -> None:  # I19, I22
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        for login in ("operator1", "automation1", "monitor1"):
            assert (await exclude(desk, stretch(), login)).status == "denied"
            assert (await include(desk, stretch(), login)).status == "denied"
        asked = await exclude(desk, stretch())
        await desk.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
        for login, code in (
            ("admin1", "self-approval"),
            ("admin1b", "self-approval"),
            ("operator1", "denied"),
        ):
            row = await approve(desk, asked, login)
            assert (row.status, row.code) == ("denied", code), login
        assert not await rows(desk)
        assert (await approve(desk, asked)).status == "done"


async def test_what_can_be_excluded(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        day = 24 * HOUR
        bad = (
            stretch(-HOUR, HOUR),  # not over yet
            stretch(HOUR, 2 * HOUR),
            stretch(-2 * HOUR, -3 * HOUR),  # ends before it begins
            stretch(-2 * HOUR, -2 * HOUR),
            stretch(-8 * day, -day + HOUR),  # longer than a week
            stretch(-31 * day, -30 * day),  # before the window
            stretch(slo="no-such"),
            "order-success",
            "order-success yesterday/today",
            "order-success 2026-01-01T00:00:00/2026-01-01T01:00:00",  # no zone
            "",
        )
        for target in bad:
            row = await exclude(desk, target)
            assert (row.status, row.code) == ("refused", "malformed"), (target, row.message)
        assert (await exclude(desk, stretch(), name=BTC)).code == "malformed"  # not its breaker
        assert (await exclude(desk, stretch(), notes="short")).code == "malformed"
        assert (await include(desk, "no-id")).code == "malformed"
        for target in (stretch(-7 * day, -HOUR), stretch(-29 * day, -28 * day)):
            assert (await exclude(desk, target)).status == "awaiting_approval"


async def test_no_event_is_taken_out_twice(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        first, second = (
            await exclude(desk, stretch()),
            await exclude(desk, stretch(-2.5 * HOUR, -HOUR), "admin2"),
        )
        assert (await approve(desk, first)).status == "done"
        late = await approve(desk, second, "admin1")  # agreed meanwhile: it overlaps now
        assert late.status == "refused", late
        assert (await desk.answer(second.request_id, "admin2")).code == "wrong-state"
        now = datetime.now(UTC)
        scripted.exclusions = (
            Exclusion(
                first.request_id, ORDERS.name, now - 3 * HOUR, now - 2 * HOUR, "n", "admin1", "admin2", 1
            ),
        )
        await scripted.seen()
        assert "overlaps" in ((await exclude(desk, stretch())).message or "")
        beside = await exclude(desk, stretch(-2 * HOUR + timedelta(seconds=30), -HOUR))
        assert (await approve(desk, beside)).status == "done"
        assert len(await rows(desk)) == 2


async def test_an_approval_covers_what_was_asked_while_both_may(desk: Desk, scripted: Scripted) -> None:
    # I20, I21
    async with authority_with(desk, scripted), desk.platform.connection() as owner:
        await desk.becomes(EXECUTION, State.CLOSED)
        asked = await exclude(desk, stretch())
        await desk.trip(EXECUTION)
        assert (await desk.answer(asked.request_id, "admin1")).status == "void"  # things have changed
        asked = await exclude(desk, stretch())
        wrong = await desk.ask(Kind.APPROVE, BTC, "admin2", target=asked.request_id)
        assert wrong.code == "approval-void"
        await owner.execute("UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'admin1'")
        assert (await approve(desk, asked)).code == "approval-void"
        await owner.execute("UPDATE role_grants SET revoked_at = NULL WHERE login = 'admin1'")
        await owner.execute("UPDATE requests SET expires_at = clock_timestamp() WHERE request_id = $1",
                            asked.request_id)  # fmt: skip
        assert (await approve(desk, asked)).code == "approval-void"
        assert not await rows(desk)


async def test_including_names_the_breaker_or_global(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        asked = await exclude(desk, stretch())
        assert (await approve(desk, asked)).status == "done"
        assert (await include(desk, asked.request_id, name=BTC)).code == "wrong-state"
        assert (await include(desk, asked.request_id, name=GLOBAL)).status == "done"


async def test_nothing_is_adjusted_on_a_broken_chain_or_unread_objectives(
    desk: Desk, scripted: Scripted
) -> None:  # I24
    async with authority_with(desk, scripted) as running:
        await desk.becomes(EXECUTION, State.CLOSED)
        await too_old(running, scripted)
        row = await exclude(desk, stretch())
        assert row.code == "store-unreachable", row
        scripted.held = False
        await desk.break_chain(running)
        assert (await exclude(desk, stretch())).code == "audit-broken"
