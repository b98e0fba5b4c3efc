"""What the authority makes of kill switches: their record, their review, what they forbid (I17, I19, I20)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from backends.signing import sign_command
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.kill import KILL_TARGET, Step, StepOutcome
from cockpit.domain.kill_records import StepRecord
from cockpit.domain.permissions import Role
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from tests.authority.desk import BTC, NOTES, Desk, until


async def kill(desk: Desk, login: str = "admin1", **changes: Any) -> str:
    """The trip that begins one; returns once it is audited."""
    command = await desk.command(
        Kind.TRIP, GLOBAL, login, epoch=None, reason=KILL_TARGET, target=KILL_TARGET, checked=(), **changes
    )
    store = desk.platform.redis_store(login)
    await store.connect()
    try:
        signed = sign_command(command, desk.platform.keys[login])
        await store.trip(GLOBAL, signed, command.request_id)
    finally:
        await store.close()
    await desk.audited(command.request_id, "CIRCUIT_BREAKER_TRIP")
    return command.request_id


async def rows(desk: Desk, table: str) -> list[Any]:
    async with desk.platform.connection() as connection:
        found: list[Any] = await connection.fetch(f"SELECT * FROM {table}")
    return found


async def review(desk: Desk, kill_id: str, login: str = "admin1", **changes: Any) -> RequestRow:
    return await desk.ask(Kind.KILL_REVIEW, GLOBAL, login, target=kill_id, checked=(), **changes)


async def approve(desk: Desk, asked: RequestRow, login: str = "admin2") -> RequestRow:
    return await desk.ask(Kind.APPROVE, GLOBAL, login, target=asked.request_id)


def a_step(kill_id: str, **details: object) -> str:
    return StepRecord(kill_id, Step.CANCEL, StepOutcome.DONE, {"round": 1, **details}).target()


async def test_only_a_signed_trip_of_global_that_says_so_begins_one(desk: Desk, authority: Authority) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(GLOBAL, "admin1")  # a plain trip
    assert not await rows(desk, "kill_switches")
    async with desk.platform.redis_line() as line:
        await line.command("INCR", "trip:global")  # nobody's

    async def audited() -> bool:
        return (await desk.actions(GLOBAL)).count("CIRCUIT_BREAKER_TRIP") == 2

    await until(audited)
    kill_id = await kill(desk)
    (row,) = await rows(desk, "kill_switches")
    assert (str(row["kill_id"]), row["login"], row["notes"]) == (kill_id, "admin1", NOTES)
    assert row["counter"] == (await desk.epoch(GLOBAL)).counter


async def test_global_is_held_until_every_one_is_reviewed(desk: Desk, authority: Authority) -> None:  # I17
    await desk.becomes(GLOBAL, State.CLOSED)
    first = await kill(desk)
    await desk.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
    asked = await review(desk, first)
    assert asked.status == "awaiting_approval" and "another safety-admin" in (asked.message or "")
    for login, code in (("admin1", "self-approval"), ("admin1b", "self-approval"), ("operator1", "denied")):
        row = await approve(desk, asked, login)
        assert (row.status, row.code) == ("denied", code), login  # I19
    second = await kill(desk, "admin2")  # a newer one voids what waits
    assert (await desk.answer(asked.request_id, "admin1")).status == "void"  # I20
    assert (await approve(desk, asked)).code == "approval-void"
    for kill_id in (first, second):
        held = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
        assert (held.status, held.code) == ("refused", "kill-switch-unreviewed"), held.message
        assert f"cockpit kill-switch review {second}" in (held.message or "") or kill_id == second
        asked = await review(desk, kill_id)
        assert (await approve(desk, asked)).status == "done"
    assert "KILL_SWITCH_REVIEWED" in await desk.actions(GLOBAL)
    assert all(row["approved_by"] == "admin2" for row in await rows(desk, "kill_switches"))
    free = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    assert free.code != "kill-switch-unreviewed", free.message
    again = await review(desk, first)
    assert again.code == "wrong-state"
    (story,) = [row for row in await rows(desk, "incident_events") if row["kind"] == "kill-switch-reviewed"][
        :1
    ]
    assert json.loads(story["details"])["approved_by"] == "admin2"


async def test_a_review_that_does_not_count(desk: Desk, authority: Authority) -> None:  # I20
    await desk.becomes(GLOBAL, State.CLOSED)
    kill_id = await kill(desk)
    assert (await review(desk, str(uuid4()))).code == "wrong-state"
    assert (await review(desk, "nonsense")).code == "malformed"
    assert (await review(desk, kill_id, notes="short")).code == "malformed"
    epoch = await desk.epoch(GLOBAL)
    old = await review(desk, kill_id, epoch=replace(epoch, counter=epoch.counter - 1))
    assert old.code == "stale-epoch"
    assert (await review(desk, kill_id, "operator1")).status == "denied"


async def test_a_restore_re_issues_nothing_over_it(desk: Desk, authority: Authority) -> None:  # I17
    await desk.becomes(GLOBAL, State.CLOSED)
    await kill(desk)
    row = await desk.ask(Kind.RESTORE, GLOBAL, "admin2")
    assert (row.status, row.code) == ("refused", "kill-switch-unreviewed")


async def test_steps_are_taken_however_late(desk: Desk) -> None:  # F8
    kill_id = str(uuid4())
    late = await desk.command(Kind.KILL_STEP, GLOBAL, "admin1", target=a_step(kill_id), checked=())
    record = await desk.command(Kind.CANCEL_ALL, BTC, "operator1", target="OPS-1", reason="asked", checked=())
    other = await desk.command(Kind.KILL_REVIEW, GLOBAL, "admin1", target=kill_id, checked=())
    for command in (late, record, other):
        await desk.send(command)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE requests SET submitted_at = submitted_at - interval '2 minutes'")
    async with running_authority(desk.settings):
        assert (await desk.answer(late.request_id, "admin1")).status == "done"
        assert (await desk.answer(record.request_id)).status == "done"
        assert (await desk.answer(other.request_id, "admin1")).status == "expired"
        (row,) = await rows(desk, "kill_steps")
        assert (str(row["kill_id"]), row["step"], row["outcome"], row["login"]) == (
            kill_id,
            "cancel",
            "done",
            "admin1",
        )
        assert {"KILL_SWITCH_STEP"} <= set(await desk.actions(GLOBAL))


async def test_records_that_do_not_count(desk: Desk, authority: Authority) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    kill_id = str(uuid4())
    bad = ("", "{}", a_step(kill_id, line="x" * 20_000)[:200], a_step("not-an-id"))
    for target in bad:
        row = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=target, checked=())
        assert (row.status, row.code) == ("refused", "malformed"), target
    for login in ("operator1", "automation1", "monitor1"):
        row = await desk.ask(Kind.KILL_STEP, GLOBAL, login, target=a_step(kill_id), checked=())
        assert row.status == "denied"
    for name, target, notes in ((BTC, "no ticket", NOTES), (BTC, "OPS-1", "short"), (GLOBAL, "OPS-1", NOTES)):
        row = await desk.ask(Kind.CANCEL_ALL, name, "admin1", target=target, notes=notes, checked=())
        assert (row.status, row.code) == ("refused", "malformed"), (name, target)
    assert (await desk.ask(Kind.CANCEL_ALL, BTC, "monitor1", target="OPS-1", checked=())).status == "denied"
    assert not await rows(desk, "kill_steps")


async def test_nobody_else_writes_the_tables(desk: Desk) -> None:  # I22
    for login in ("admin1", "operator1", "authority"):
        async with desk.platform.connection(login) as connection:
            for statement in (
                "UPDATE kill_steps SET outcome = 'flat'",
                "DELETE FROM kill_steps",
                "DELETE FROM kill_switches",
                "UPDATE kill_switches SET login = 'x'",
            ):
                with pytest.raises((Refused, Exception), match=r"permission denied|append"):
                    await connection.execute(statement)


async def begun_unseen(desk: Desk, login: str = "admin1") -> tuple[str, int]:
    """A kill switch whose trip Redis has taken, and whose event somebody has trimmed away: its id and
    counter. The authority is down."""
    command = await desk.command(
        Kind.TRIP, GLOBAL, login, epoch=None, reason=KILL_TARGET, target=KILL_TARGET, checked=()
    )
    store = desk.platform.redis_store(login)
    await store.connect()
    try:
        await store.trip(GLOBAL, sign_command(command, desk.platform.keys[login]), command.request_id)
    finally:
        await store.close()
    async with desk.platform.redis_line("automation1") as line:
        await line.command("XADD", "circuit_breaker:events", "MAXLEN", "0", "*", "event", "ALARM")
    async with desk.platform.redis_line() as line:
        assert await line.command("XLEN", "circuit_breaker:events") == 0
    return command.request_id, (await desk.epoch(GLOBAL)).counter


@pytest.mark.parametrize("step", [Step.TRIP, Step.CANCEL])
async def test_a_trip_whose_event_was_trimmed_away_holds_global_all_the_same(  # I17
    desk: Desk, step: Step
) -> None:
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
    kill_id, counter = await begun_unseen(desk)
    epoch = await desk.epoch(GLOBAL)
    told = {
        Step.TRIP: {"run_id": epoch.run_id, "counter": counter, "why": ""},
        Step.CANCEL: {"round": 1, "answered": True, "refused": {}, "why": ""},
    }[step]
    target = StepRecord(kill_id, step, StepOutcome.DONE, told).target()
    first = await desk.command(Kind.KILL_STEP, GLOBAL, "admin1", target=target, checked=())
    await desk.send(first)
    async with running_authority(desk.settings):
        assert (await desk.answer(first.request_id, "admin1")).status == "done"
        (row,) = await rows(desk, "kill_switches")
        assert (str(row["kill_id"]), row["login"], row["counter"]) == (kill_id, "admin1", counter)
        assert "event of its trip was lost" in row["notes"] and row["reviewed_at"] is None
        (incident,) = [each for each in await rows(desk, "incidents") if each["source"] == "kill"]
        assert (incident["severity"], incident["dedup_key"]) == ("P0", f"kill:{kill_id}")
        pages = [
            each for each in await rows(desk, "outbox") if each["incident_id"] == incident["incident_id"]
        ]
        assert [each["event"] for each in pages] == ["trigger"]
        entry = await desk.audited(first.request_id, "KILL_SWITCH_STEP")
        assert "begins" in json.loads(entry["details"])
        await desk.audited_last(GLOBAL, "KILL_SWITCH_STEP")
        held = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
        assert (held.status, held.code) == ("refused", "kill-switch-unreviewed"), held.message
        again = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=target, checked=())
        assert again.status == "done"
        assert len(await rows(desk, "kill_switches")) == 1
        asked = await review(desk, kill_id)
        assert (await approve(desk, asked)).status == "done"
        free = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
        assert free.code != "kill-switch-unreviewed", free.message
        last = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=target, checked=())
        assert last.status == "done"
        assert (await rows(desk, "kill_switches"))[0]["reviewed_at"] is not None


async def test_a_trip_that_comes_after_its_steps_changes_nothing(desk: Desk, authority: Authority) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    trip = await desk.command(
        Kind.TRIP, GLOBAL, "admin1", epoch=None, reason=KILL_TARGET, target=KILL_TARGET, checked=()
    )
    row = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=a_step(trip.request_id), checked=())
    assert row.status == "done"
    store = desk.platform.redis_store("admin1")
    await store.connect()
    try:
        await store.trip(GLOBAL, sign_command(trip, desk.platform.keys["admin1"]), trip.request_id)
    finally:
        await store.close()
    await desk.audited(trip.request_id, "CIRCUIT_BREAKER_TRIP")
    (known,) = await rows(desk, "kill_switches")
    assert str(known["kill_id"]) == trip.request_id
    (incident,) = [each for each in await rows(desk, "incidents") if each["source"] == "kill"]
    pages = [each for each in await rows(desk, "outbox") if each["incident_id"] == incident["incident_id"]]
    assert len(pages) == 1


async def test_a_trip_in_time_begins_it_itself(desk: Desk, authority: Authority) -> None:
    """A step that is read before the trip's event waits for it."""
    await desk.becomes(GLOBAL, State.CLOSED)
    kill_id = await kill(desk)
    row = await desk.ask(Kind.KILL_STEP, GLOBAL, "admin1", target=a_step(kill_id), checked=())
    assert row.status == "done"
    (known,) = await rows(desk, "kill_switches")
    assert known["notes"] == NOTES
