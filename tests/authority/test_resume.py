"""The procedure, step by step, on real servers."""

from __future__ import annotations

import asyncio

import pytest

from backends.signing import sign_command
from cockpit.authority.service import Authority
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.permissions import Role
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, LONG_S, Desk


async def test_genesis_closes_once_then_trip_and_resume(desk: Desk, authority: Authority) -> None:  # I1, I7
    await desk.becomes(BTC, State.CLOSED)
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(BTC)
    assert await desk.state(BTC) is State.OPEN
    closed = await desk.resume(BTC)
    assert closed.status == "done", closed.message
    assert closed.outcome is not None and closed.outcome["state"] == "QUIET_PERIOD"
    await desk.becomes(BTC, State.CLOSED)
    await desk.audited_last(BTC, "CIRCUIT_BREAKER_QUIET_END")
    assert (await desk.actions(BTC))[-10:] == [
        "CIRCUIT_BREAKER_TRIP",
        "CIRCUIT_BREAKER_HALF_OPEN_INTENT",
        "CIRCUIT_BREAKER_HALF_OPEN",
        "PROBES_PASSED",
        "CIRCUIT_BREAKER_EXTEND_INTENT",
        "CIRCUIT_BREAKER_EXTEND",
        "CIRCUIT_BREAKER_RESET_INTENT",
        "CIRCUIT_BREAKER_RESET",
        "CIRCUIT_BREAKER_QUIET_END_INTENT",
        "CIRCUIT_BREAKER_QUIET_END",
    ]


async def test_not_tripped_has_nothing_to_resume(desk: Desk, authority: Authority) -> None:
    await desk.becomes(BTC, State.CLOSED)
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert (row.status, row.code) == ("refused", "not-tripped")
    assert f"{BTC} is CLOSED · TRADING; nothing to resume." in (row.message or "")


async def test_a_failed_run_trips_again_and_its_epoch_has_no_second_run(
    desk: Desk, authority: Authority
) -> None:  # I9, F11
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    begun = await desk.ask(Kind.HALF_OPEN, BTC)
    assert begun.status == "done", begun.message
    before = await desk.epoch(BTC)
    run = await desk.probe(BTC, passes=(True, False, False))
    await desk.run_status(run, "failed")
    await desk.becomes(BTC, State.OPEN)
    assert (await desk.epoch(BTC)).counter == before.counter + 1
    row = await desk.ask(Kind.CLOSE, BTC)
    assert (row.status, row.code) == ("refused", "wrong-state")


async def test_a_duplicate_result_fails_the_run(desk: Desk, authority: Authority) -> None:  # I9, F11
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    epoch = await desk.epoch(BTC)
    await desk.probe(BTC, passes=(True,))
    run = await desk.probe(BTC, passes=(True,), epoch=epoch)
    await desk.run_status(run, "failed")
    await desk.becomes(BTC, State.OPEN)


async def test_half_open_needs_vouchers_a_current_epoch_and_a_closed_ancestor(
    desk: Desk, authority: Authority
) -> None:  # I2, I5, F6
    await desk.becomes(BTC, State.CLOSED)
    old = await desk.epoch(BTC)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC, checked=("root-cause",))).code == "checklist"
    assert (await desk.ask(Kind.HALF_OPEN, BTC, epoch=old)).code == "stale-epoch"
    assert (await desk.ask(Kind.HALF_OPEN, BTC, notes="short")).code == "malformed"
    await desk.trip(BreakerId("component:execution"))
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert row.code == "ancestor-stricter"
    assert "component:execution" in (row.message or "")


async def test_the_live_checklist_and_the_own_probes_refuse(desk: Desk, authority: Authority) -> None:
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    desk.venue.healthy = False
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert (row.code, row.status) == ("checklist", "refused")
    desk.venue.healthy = True
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "passed")
    desk.venue.fills = False
    assert (await desk.ask(Kind.CLOSE, BTC)).code == "probes"
    assert await desk.state(BTC) is State.HALF_OPEN
    desk.venue.fills = True
    assert (await desk.ask(Kind.CLOSE, BTC)).status == "done"


@pytest.mark.parametrize("limits", [{"reset_interval_s": LONG_S}])
async def test_one_reset_a_minute_over_all_breakers(desk: Desk, authority: Authority) -> None:  # I12, F17
    await desk.becomes(BTC, State.CLOSED)
    for name in (BTC, ETH):
        await desk.trip(name)
        assert (await desk.ask(Kind.HALF_OPEN, name)).status == "done"
        await desk.run_status(await desk.probe(name), "passed")
    rows = await asyncio.gather(
        desk.ask(Kind.CLOSE, BTC, "operator1"), desk.ask(Kind.CLOSE, ETH, "operator2")
    )
    assert sorted(row.status for row in rows) == ["done", "refused"]
    refused = next(row for row in rows if row.status == "refused")
    assert refused.code == "rate-limited"
    assert "Wait " in (refused.message or "")


async def test_denied_before_any_safety_rule(desk: Desk, authority: Authority) -> None:  # I22
    await desk.becomes(BTC, State.CLOSED)
    for login in ("monitor1", "automation1"):
        row = await desk.ask(Kind.HALF_OPEN, BTC, login, notes="short")
        assert (row.status, row.code) == ("denied", "denied")
        assert "RESET_CIRCUIT" in (row.message or "")
        assert row.audit_seq is not None
    row = await desk.ask(Kind.HALF_OPEN, GLOBAL, "operator1")
    assert row.status == "denied"
    row = await desk.ask(Kind.DENIED, BTC, "monitor1", target="trip")
    assert row.status == "denied"
    assert (await desk.actions(BTC))[-3:] == ["DENIED", "DENIED", "DENIED"]


async def test_bad_signatures_are_rejected_and_block_nothing(desk: Desk, authority: Authority) -> None:  # F25
    await desk.becomes(BTC, State.CLOSED)
    command = await desk.command(Kind.HALF_OPEN, BTC, "operator1")
    forged = sign_command(command, desk.platform.keys["operator2"])
    await desk.send(command, "operator1", forged)
    assert (await desk.answer(command.request_id)).status == "rejected"
    other = await desk.command(Kind.HALF_OPEN, BTC, "operator2")
    await desk.send(other, "operator1", sign_command(other, desk.platform.keys["operator2"]))
    assert (await desk.answer(other.request_id)).status == "rejected"
    assert "REJECTED" in await desk.actions("inbox")


async def test_global_needs_a_second_person(desk: Desk, authority: Authority) -> None:  # I19, I20, F16
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(GLOBAL, "admin1")
    row = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    assert row.status == "awaiting_approval"
    await desk.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
    own = await desk.ask(Kind.APPROVE, GLOBAL, "admin1b", target=row.request_id)
    assert (own.status, own.code) == ("denied", "self-approval")
    await desk.trip(GLOBAL, "admin2")
    assert (await desk.answer(row.request_id, "admin1")).status == "void"  # F6
    row = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    yes = await desk.ask(Kind.APPROVE, GLOBAL, "admin2", target=row.request_id)
    assert yes.status == "done", yes.message
    await desk.run_status(await desk.probe(GLOBAL, "admin1"), "passed")
    closed = await desk.ask(Kind.CLOSE, GLOBAL, "admin1")
    assert closed.status == "done", closed.message
    await desk.becomes(GLOBAL, State.CLOSED)


async def test_an_expired_or_revoked_grant_cannot_commit(
    desk: Desk, authority: Authority
) -> None:  # I21, F16
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'operator1'")
    row = await desk.ask(Kind.HALF_OPEN, BTC, "operator1")
    assert (row.status, row.code) == ("denied", "revoked")
    assert await desk.state(BTC) is State.OPEN
