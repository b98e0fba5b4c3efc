"""Switches: symbol modes, latches, the halt of withdrawals; how they are set, released, lost and restored."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backends.gate import Mode, OrderKind
from cockpit.authority import faults
from cockpit.authority.commit import commit_all
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import draft
from cockpit.authority.means import Means
from cockpit.authority.service import Authority, running_authority
from cockpit.authority.size_share import Size
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.states import IllegalTransition, State, Transition
from tests.authority.budgets import gate_of
from tests.authority.desk import BTC, Desk, until
from tests.authority.test_interruptions import Trap, kill

CANCEL_ONLY = BreakerId("cancel_only:BTC-USD")
SOFT = BreakerId("soft_halt:BTC-USD")
HARD = BreakerId("hard_halt:BTC-USD")
LATCH = BreakerId("latch:BTC-USD")
TICKET = "OPS-4711"
KINDS = ("order", "position", "ledger")


async def release(desk: Desk, name: BreakerId, login: str = "operator1", **more: Any) -> RequestRow:
    target = None if name == LATCH else TICKET
    return await desk.ask(Kind.RELEASE, name, login, **{"target": target, "checked": (), **more})


async def reconciled(desk: Desk, *statuses: str, kinds: tuple[str, ...] = KINDS, ago_s: float = 0) -> None:
    """Cycles of reconciliation, one after the other, begun now or a while ago."""
    async with desk.platform.connection() as connection:
        for status in statuses:
            for kind in kinds:
                at = await connection.fetchval("SELECT clock_timestamp()") - timedelta(seconds=ago_s)
                await connection.execute(
                    "INSERT INTO reconciliation_runs (kind, symbol, status, started_at, finished_at)"
                    " VALUES ($1, 'BTC-USD', $2, $3, $3)",
                    kind,
                    status,
                    at,
                )


def running(desk: Desk, **more: Any) -> AbstractAsyncContextManager[Authority]:
    return running_authority(desk.settings, **more)


async def test_a_fresh_platform_is_born_in_normal_mode(desk: Desk, authority: Authority) -> None:  # I4
    async with gate_of(desk) as gate:
        await desk.becomes(GLOBAL, State.CLOSED)
        decision = await gate.decide("BTC-USD", "momentum")
        assert (decision.effective_state, decision.permits) == (State.CLOSED, frozenset(OrderKind))
        assert (await gate.withdrawals()).permitted


async def test_loosening_goes_to_cancel_only_first_and_then_to_normal(  # I2, I7, I22
    desk: Desk, authority: Authority
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    async with gate_of(desk) as gate:
        await desk.trip(HARD)
        decision = await gate.decide("BTC-USD")
        assert (decision.mode, decision.permits, decision.halted_by) == (Mode.HARD_HALT, frozenset(), HARD)
        row = await release(desk, HARD)
        assert (row.status, row.code) == ("refused", "wrong-state") and "CANCEL_ONLY first" in str(
            row.message
        )
        await desk.trip(CANCEL_ONLY)
        row = await release(desk, CANCEL_ONLY)
        assert row.code == "wrong-state" and "hard_halt:BTC-USD is set" in str(row.message)
        row = await release(desk, HARD)
        assert row.status == "done" and "BTC-USD is in CANCEL_ONLY" in str(row.message), row.message
        decision = await gate.decide("BTC-USD")
        assert (decision.mode, decision.permits) == (Mode.CANCEL_ONLY, frozenset({OrderKind.CANCEL}))
        row = await release(desk, CANCEL_ONLY)
        assert row.status == "done" and "BTC-USD is in NORMAL" in str(row.message)
        assert (await gate.decide("BTC-USD")).permits == frozenset(OrderKind)
    actions = await desk.actions(CANCEL_ONLY)
    assert actions[-2:] == ["SWITCH_RELEASE_INTENT", "SWITCH_RELEASED"]
    assert row.outcome is not None and row.outcome["evidence_link"]
    again = await release(desk, CANCEL_ONLY)
    assert again.code == "not-tripped"


async def test_a_release_never_closes_a_breaker(desk: Desk, authority: Authority) -> None:  # I1
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(BTC)
    row = await release(desk, BTC)
    assert (row.status, row.code) == ("refused", "wrong-state")
    assert "half-open" in str(row.message)
    assert await desk.state(BTC) is State.OPEN
    assert "SWITCH_RELEASE_INTENT" not in await desk.actions(BTC)


@pytest.mark.parametrize(
    ("name", "transition"),
    [(BTC, Transition.RELEASE), (GLOBAL, Transition.RELEASE), (SOFT, Transition.BEGIN_PROBES)],
)
async def test_no_path_can_make_or_commit_it(desk: Desk, name: BreakerId, transition: Transition) -> None:
    # I1: below every rule, in what makes and in what commits a loosening
    async def probe(point: str) -> None:
        if point == faults.BEFORE_INTENT:
            raise AssertionError("a commit that is none was begun")

    async with running(desk) as acting:
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(name, "admin1")
        means = await means_of(acting)
        world = await means.reader.read()
        facts: dict[str, Any] = {
            "commit_id": str(uuid4()),
            "author": ITSELF,
            "notes": "",
            "reason": "",
            "deadline_in": timedelta(seconds=5),
            "postgres_now": datetime.now(UTC),
            "details": {},
            "size": Size(),
        }
        with pytest.raises(IllegalTransition):
            draft(means, world, breaker_id=name, transition=transition, **facts)
        made = draft(means, world, breaker_id=LATCH, transition=Transition.TRIP, **facts)
        means.fault = probe
        with pytest.raises(IllegalTransition):
            await commit_all(means, [replace(made, breaker_id=name, transition=transition)])
        assert await desk.state(name) is State.OPEN


async def means_of(authority: Authority) -> Means:
    async def acting() -> Means | None:
        return authority.means

    found: Means = await until(acting)
    return found


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (Kind.HALF_OPEN, None),
        (Kind.CLOSE, None),
        (Kind.LIMIT, "0.5"),
        (Kind.LIFT, "5b8cc5b5-1d5d-4b7a-9f2e-0c5f4a3f1c11"),
        (Kind.EXCLUDE, "orders 2026-01-01T00:00:00Z/2026-01-01T01:00:00Z"),
        (Kind.INCLUDE, "5b8cc5b5-1d5d-4b7a-9f2e-0c5f4a3f1c11"),
    ],
)
async def test_a_switch_is_only_set_and_released(
    desk: Desk, authority: Authority, kind: Kind, target: str | None
) -> None:  # I1
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(SOFT)
    row = await desk.ask(kind, SOFT, "admin1", target=target)
    assert (row.status, row.code) == ("refused", "wrong-state")
    assert "is a switch" in str(row.message) and "cockpit mode BTC-USD" in str(row.message)
    assert await desk.state(SOFT) is State.OPEN


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"notes": "too short"}, "malformed"),
        ({"target": None}, "malformed"),
        ({"target": "no ticket at all"}, "malformed"),
        ({"epoch": None}, "stale-epoch"),
    ],
)
async def test_a_release_says_why_and_for_which_ticket_and_epoch(
    desk: Desk, authority: Authority, changes: dict[str, Any], code: str
) -> None:  # I2
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(CANCEL_ONLY)
    assert (await release(desk, CANCEL_ONLY, **changes)).code == code
    old = await desk.epoch(CANCEL_ONLY)
    await desk.trip(CANCEL_ONLY)
    assert (await release(desk, CANCEL_ONLY, epoch=old)).code == "stale-epoch"
    assert await desk.state(CANCEL_ONLY) is State.OPEN


async def test_cycles_that_were_clean_long_ago_release_no_latch(desk: Desk, authority: Authority) -> None:
    # I4, I25: reconciliation has stopped since
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(LATCH)
    async with desk.platform.connection() as connection:
        await connection.execute(
            "UPDATE breakers SET since = clock_timestamp() - interval '9 hours' WHERE breaker_id = $1", LATCH
        )
    await reconciled(desk, "clean", ago_s=8 * 3_600)
    await reconciled(desk, "clean", ago_s=8 * 3_600 - 20)
    row = await release(desk, LATCH)
    assert row.code == "recovery-conditions" and "stale since" in str(row.message), row.message
    await reconciled(desk, "clean", kinds=("order", "position"))
    row = await release(desk, LATCH)
    assert row.code == "recovery-conditions" and "ledger stale since" in str(row.message), row.message
    await reconciled(desk, "clean", kinds=("ledger",))
    assert (await release(desk, LATCH)).status == "done"


async def test_a_latch_takes_two_consecutive_clean_cycles(desk: Desk, authority: Authority) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    await reconciled(desk, "clean", "clean", "clean")  # before it was set: they say nothing
    await desk.trip(LATCH, "automation1")
    async with gate_of(desk) as gate:
        decision = await gate.decide("BTC-USD")
        assert decision.latched and decision.permits == {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}
        for statuses in ((), ("clean",), ("unknown",), ("clean", "mismatch"), ("clean", "unknown", "clean")):
            await reconciled(desk, *statuses)
            row = await release(desk, LATCH)
            assert (row.status, row.code) == ("refused", "recovery-conditions"), statuses
        await reconciled(desk, "clean", kinds=("order", "position"))
        assert (await release(desk, LATCH)).code == "recovery-conditions"  # the ledger lags behind
        await reconciled(desk, "clean", kinds=("ledger",))
        assert (await release(desk, LATCH, "automation1")).status == "denied"  # I22
        row = await release(desk, LATCH)
        assert row.status == "done", row.message
        assert (await gate.decide("BTC-USD")).permits == frozenset(OrderKind)


async def test_a_latch_stays_set_while_the_line_that_set_it_is_breached(  # I1, I25
    desk: Desk, authority: Authority
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    whole = (
        "INSERT INTO reconciliation_runs (kind, status, mismatches, finished_at) VALUES ('order', $1,"
        " $2::jsonb, clock_timestamp())"
    )
    async with desk.platform.connection("gateway") as gateway:
        for _ in range(3):
            await gateway.execute(whole, "mismatch", '[{"symbol": "BTC-USD", "venue": "1", "books": "2"}]')
        await desk.trip(LATCH, "automation1")
        await reconciled(desk, "clean", "clean")
        row = await release(desk, LATCH)
        assert row.code == "recovery-conditions" and "breached" in str(row.message), row.message
        for _ in range(2):
            await gateway.execute(whole, "clean", "[]")
    row = await release(desk, LATCH)
    assert row.status == "done", row.message


async def test_a_mismatch_that_comes_before_the_set_keeps_the_latch(desk: Desk) -> None:  # I7
    trap = Trap(faults.AFTER_EVIDENCE)
    async with running(desk, fault=trap):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(LATCH)
        await reconciled(desk, "clean", "clean")
        trap.armed = True
        command = await desk.command(Kind.RELEASE, LATCH, "operator1", checked=())
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await reconciled(desk, "mismatch")
        trap.released.set()
        row = await desk.answer(command.request_id)
        assert (row.status, row.code) == ("void", "recovery-conditions")
        assert await desk.state(LATCH) is State.OPEN


async def test_a_lock_on_reconciliation_runs_is_a_refusal(desk: Desk, authority: Authority) -> None:  # I7
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(LATCH)
    await reconciled(desk, "clean", "clean")
    async with desk.platform.connection("gateway") as locker, locker.transaction():
        await locker.execute("LOCK TABLE reconciliation_runs IN ACCESS EXCLUSIVE MODE")
        row = await release(desk, LATCH)
        assert await locker.fetchval("SELECT true")  # it holds the lock still: nobody waited for it
        assert (row.status, row.code) == ("refused", "recovery-conditions"), row.message
        assert "could not be read within a second" in str(row.message)
    row = await release(desk, LATCH)
    assert row.status == "done", row.message


async def test_a_lock_before_the_commit_voids_the_release(desk: Desk) -> None:  # I7
    trap = Trap(faults.AFTER_EVIDENCE)
    async with running(desk, fault=trap):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(LATCH)
        await reconciled(desk, "clean", "clean")
        trap.armed = True
        command = await desk.command(Kind.RELEASE, LATCH, "operator1", checked=())
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        async with desk.platform.connection("gateway") as locker, locker.transaction():
            await locker.execute("LOCK TABLE reconciliation_runs IN ACCESS EXCLUSIVE MODE")
            trap.released.set()
            row = await desk.answer(command.request_id)
            assert (row.status, row.code) == ("void", "recovery-conditions")
        assert await desk.state(LATCH) is State.OPEN


async def test_withdrawals_are_a_safety_admins_both_ways(
    desk: Desk, authority: Authority
) -> None:  # I18, I22
    await desk.becomes(GLOBAL, State.CLOSED)
    async with gate_of(desk) as gate:
        await desk.trip(WITHDRAWALS, "admin1")
        found = await gate.withdrawals()
        assert not found.permitted and "halted" in found.why
        assert (await gate.decide("BTC-USD")).permits == frozenset(OrderKind)  # trading goes on
        assert (await release(desk, WITHDRAWALS)).status == "denied"
        async with desk.platform.connection() as connection:
            await connection.execute(
                "INSERT INTO incidents (severity, classification, title, source, breaker_id, dedup_key,"
                " breakers) VALUES ('P0', 'security', 'keys may be out', 'person', 'global', 'x',"
                " '{withdrawals}')"
            )
            row = await release(desk, WITHDRAWALS, "admin1")
            assert row.code == "recovery-conditions" and "keys may be out" in str(row.message)
            await connection.execute("UPDATE incidents SET status = 'resolved' WHERE dedup_key = 'x'")
        assert (await release(desk, WITHDRAWALS, "admin1")).status == "done"
        assert (await gate.withdrawals()).permitted


async def test_a_second_person_where_the_settings_want_one(desk: Desk) -> None:  # I19, I20
    limits = replace(desk.settings.limits, approval_scopes=("withdrawals", "hard_halt"))
    async with running_authority(replace(desk.settings, limits=limits)):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(WITHDRAWALS, "admin1")
        row = await release(desk, WITHDRAWALS, "admin1")
        assert row.status == "awaiting_approval"
        epoch = await desk.epoch(WITHDRAWALS)
        mine = await desk.ask(Kind.APPROVE, WITHDRAWALS, "admin1", target=row.request_id, epoch=epoch)
        assert mine.code == "self-approval"
        assert await desk.state(WITHDRAWALS) is State.OPEN
        await desk.trip(WITHDRAWALS, "admin2")  # what was asked for has changed
        assert (await desk.answer(row.request_id, "admin1")).status == "void"
        row = await release(desk, WITHDRAWALS, "admin1")
        late = await desk.ask(Kind.APPROVE, WITHDRAWALS, "admin2", target=row.request_id, epoch=epoch)
        assert late.code == "approval-void"
        yes = await desk.ask(Kind.APPROVE, WITHDRAWALS, "admin2", target=row.request_id)
        assert yes.status == "done", yes.message
        assert await desk.state(WITHDRAWALS) is State.CLOSED


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE])
async def test_a_trip_that_races_a_release_wins(desk: Desk, point: str) -> None:  # I3
    trap = Trap(point)
    async with running(desk, fault=trap):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(CANCEL_ONLY)
        trap.armed = True
        command = await desk.command(Kind.RELEASE, CANCEL_ONLY, "operator1", target=TICKET, checked=())
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        async with gate_of(desk) as gate:  # I7: recorded, and not in force
            assert (await gate.decide("BTC-USD")).mode is Mode.CANCEL_ONLY
        await desk.trip(CANCEL_ONLY, "operator2")
        trap.released.set()
        assert (await desk.answer(command.request_id)).status == "void"
        assert await desk.state(CANCEL_ONLY) is State.OPEN


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE, faults.AFTER_SET])
async def test_a_successor_finishes_or_voids_a_release(desk: Desk, point: str) -> None:  # I7, I8, F23
    trap, stop = Trap(point), asyncio.Event()
    first = Authority(desk.settings, trap, holder="first")
    work = asyncio.create_task(first.run(stop))
    await asyncio.wait_for(first.acting.wait(), 60)
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(CANCEL_ONLY)
    trap.armed = True
    command = await desk.command(Kind.RELEASE, CANCEL_ONLY, "operator1", target=TICKET, checked=())
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    await kill(desk, work)
    async with running(desk):
        row = await desk.answer(command.request_id)
        applied = point == faults.AFTER_SET
        assert row.status == ("done" if applied else "void")
        assert await desk.state(CANCEL_ONLY) is (State.CLOSED if applied else State.OPEN)
        wanted = "SWITCH_RELEASED" if applied else "SWITCH_RELEASE_VOID"
        assert (await desk.actions(CANCEL_ONLY)).count(wanted) == 1


async def test_without_evidence_nothing_is_released_and_everything_can_be_set(
    desk: Desk, authority: Authority
) -> None:  # I6, I7, F19
    await desk.becomes(GLOBAL, State.CLOSED)
    folder = Path(desk.settings.evidence_url.removeprefix("file://"))
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    folder.touch()
    await desk.trip(HARD)
    await desk.trip(CANCEL_ONLY)
    means = await means_of(authority)

    async def known() -> bool:
        return not means.health.evidence_ok

    await until(known)
    row = await release(desk, HARD)
    assert (row.status, row.code) == ("refused", "evidence-unavailable")  # a doubt: nothing was begun
    assert "SWITCH_RELEASE_INTENT" not in await desk.actions(HARD)
    assert await desk.state(HARD) is State.OPEN
    folder.unlink()
    hidden.rename(folder)


async def test_switches_survive_a_clean_restart_as_they_were(desk: Desk) -> None:  # I18, F1
    async with running(desk), gate_of(desk) as gate:
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(WITHDRAWALS, "admin1")
        await desk.trip(HARD)
        await desk.trip(SOFT)
        await desk.trip(CANCEL_ONLY)
        assert (await release(desk, SOFT)).status == "done"
        await desk.becomes(SOFT, State.CLOSED)
        async with gate_of(desk) as fresh:
            await asyncio.to_thread(desk.platform.valkey.restart)
            # At once, before any authority has looked: nothing passes that did not before.
            for each in (fresh, gate):
                decision = await each.decide("BTC-USD")
                assert (decision.mode, decision.permits) == (Mode.HARD_HALT, frozenset())
                assert not (await each.withdrawals()).permitted
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.becomes(SOFT, State.CLOSED)
        await desk.becomes(LATCH, State.CLOSED)
        assert {await desk.state(name) for name in (WITHDRAWALS, HARD, CANCEL_ONLY)} == {State.OPEN}
        assert (await gate.decide("BTC-USD")).mode is Mode.HARD_HALT
        assert (await release(desk, HARD)).status == "done"


async def test_a_lost_release_is_not_given_again_but_by_a_safety_admin(desk: Desk) -> None:  # I1, I18, F1
    async with running(desk), gate_of(desk) as gate:
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.trip(WITHDRAWALS, "admin1")
        assert (await release(desk, WITHDRAWALS, "admin1")).status == "done"
        await desk.trip(HARD)
        assert (await gate.decide("BTC-USD")).mode is Mode.HARD_HALT
        async with desk.platform.redis_line() as line:
            await line.command("FLUSHALL")
        assert not (await gate.withdrawals()).permitted

        async def noticed() -> bool:
            return "STATE_LOSS_DETECTED" in await desk.actions("global")

        await until(noticed)
        assert await desk.state(WITHDRAWALS) is State.OPEN
        # This gate knew of the HARD_HALT; one that knows nothing traps nothing, and lets nothing new through.
        assert (await gate.decide("BTC-USD")).permits == frozenset()
        async with gate_of(desk) as fresh:
            decision = await fresh.decide("BTC-USD")
            assert (decision.effective_state, decision.mode) == (State.OPEN, Mode.NORMAL)
            assert decision.permits == {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}
            assert (await fresh.decide("ETH-USD")).permits == {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}
        row = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
        assert row.status == "done" and "switches stay set" in str(row.message), row.message
        await desk.becomes(WITHDRAWALS, State.CLOSED)
        assert (await gate.withdrawals()).permitted
        assert await desk.state(HARD) is State.OPEN  # no later word than its trip
        assert (await gate.decide("BTC-USD")).mode is Mode.HARD_HALT
