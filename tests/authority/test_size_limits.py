"""Limits on order size: asked for by the guard or a person, lifted by a person (I2, I3, I6, I7, I8, I22)."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from cockpit.authority import faults, size_limits
from cockpit.authority.means import Means
from cockpit.authority.service import Authority
from cockpit.authority.term import Term
from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.states import State
from tests.authority.budgets import (
    GREEN,
    ORDERS,
    RED,
    Scripted,
    age_document,
    authority_with,
    details_of,
    end_quiet_period,
    gate_of,
    recorded,
    share_becomes,
    share_of,
)
from tests.authority.desk import BTC, LONG_S, Desk, until
from tests.authority.test_interruptions import Trap, kill


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


async def limit(desk: Desk, name: BreakerId, share: str, login: str = "operator1", **more: Any) -> RequestRow:
    return await desk.ask(Kind.LIMIT, name, login, target=share, checked=(), **more)


async def lift(desk: Desk, name: BreakerId, limit_id: str, login: str = "operator1") -> RequestRow:
    return await desk.ask(Kind.LIFT, name, login, target=limit_id, checked=())


async def test_the_guard_limits_and_a_person_lifts(desk: Desk, scripted: Scripted) -> None:  # I22
    async with authority_with(desk, scripted), gate_of(desk) as gate:
        await desk.becomes(EXECUTION, State.CLOSED)
        row = await limit(desk, EXECUTION, "0.4", "automation1", reason="settlement-lag-t2")
        assert row.status == "done" and row.outcome is not None, row.message
        assert row.outcome["outcome"] == "done" and row.outcome["delivered"]["redis"] is True  # type: ignore[index]
        assert (await gate.decide("BTC-USD", "momentum")).size_share == Decimal("0.4")  # already, as it says
        async with desk.platform.connection() as connection:
            kept = await connection.fetchrow("SELECT * FROM size_limits")
        assert (kept["source"], kept["rule"], kept["login"]) == ("guard", "settlement-lag-t2", "automation1")
        assert (await details_of(desk, EXECUTION, "SIZE_LIMITED"))["share"] == "0.4"
        denied = await lift(desk, EXECUTION, row.request_id, "automation1")
        assert (denied.status, denied.code) == ("denied", "denied")
        assert await share_of(desk, EXECUTION) == Decimal("0.4")
        lifted = await lift(desk, EXECUTION, row.request_id)
        assert lifted.status == "done", lifted.message
        assert (await gate.decide("BTC-USD", "momentum")).size_share == 1
        assert (await desk.actions(EXECUTION))[-7:] == [
            "SIZE_LIMITED",
            "CIRCUIT_BREAKER_LIMIT_INTENT",
            "CIRCUIT_BREAKER_LIMIT",
            "DENIED",
            "CIRCUIT_BREAKER_LIFT_INTENT",
            "CIRCUIT_BREAKER_LIFT",
            "SIZE_LIMIT_LIFTED",
        ]
        async with desk.platform.connection() as connection:
            kept = await connection.fetchrow("SELECT lifted_by FROM size_limits")
        assert kept["lifted_by"] == "operator1"
        again = await lift(desk, EXECUTION, row.request_id)
        assert (again.status, again.code) == ("refused", "wrong-state")


async def test_who_may_and_what_counts(desk: Desk, scripted: Scripted) -> None:  # I22
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        for login, name in (
            ("monitor1", BTC),
            ("automation1", BreakerId("component:ingest")),
            ("automation1", GLOBAL),
            ("operator1", GLOBAL),
        ):
            row = await limit(desk, name, "0.5", login)
            assert (row.status, row.code) == ("denied", "denied"), (login, name)
        for share in ("0", "1", "1.5", "-0.5", "nan", "5e-1", "0.5 ", "", "0.1234567", "٠.٥", "half"):
            row = await limit(desk, BTC, share)
            assert (row.status, row.code) == ("refused", "malformed"), share
        assert (await limit(desk, BTC, "0.5", notes="short")).code == "malformed"
        assert (await limit(desk, BTC, "0.5", reason="No Token")).code == "malformed"
        assert (await lift(desk, BTC, "no-id")).code == "malformed"
        row = await limit(desk, BTC, "0.5")
        other = await lift(desk, EXECUTION, row.request_id)
        assert (other.status, other.code) == ("refused", "wrong-state")  # it is of another breaker
        assert await share_of(desk, BTC) == Decimal("0.5")


async def test_the_smallest_of_all_counts(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        small = await limit(desk, EXECUTION, "0.3")
        scripted.left[ORDERS.name] = RED
        await scripted.seen()
        large = await limit(desk, EXECUTION, "0.7", "operator2")
        assert "at most 0.3" in (large.message or "")
        row = await lift(desk, EXECUTION, small.request_id)
        assert row.status == "done", row.message
        assert await share_of(desk, EXECUTION) == Decimal("0.5")  # the budget's part stays
        row = await lift(desk, EXECUTION, large.request_id)
        assert row.status == "done" and "stays at 0.5: order-success RED" in (row.message or "")
        assert (await desk.actions(EXECUTION))[-1] == "SIZE_LIMIT_LIFTED"
        scripted.left[ORDERS.name] = GREEN
        await age_document(desk, EXECUTION)
        await share_becomes(desk, EXECUTION, "1")


async def test_a_limit_of_an_open_breaker_applies_when_it_closes(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        row = await limit(desk, BTC, "0.1", "automation1")
        assert row.status == "done" and "applies when it closes" in (row.message or "")
        closed = await desk.resume(BTC)
        assert closed.status == "done", closed.message
        assert await share_of(desk, BTC) == Decimal("0.1")  # in the quiet period, too
        await desk.becomes(BTC, State.CLOSED)
        assert await share_of(desk, BTC) == Decimal("0.1")
        assert "CIRCUIT_BREAKER_LIMIT_INTENT" not in await desk.actions(BTC)  # it was born with it


@pytest.mark.parametrize("limits", [{"quiet_period_s": LONG_S}])
async def test_a_quiet_period_is_limited_and_lifted_within_itself(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.resume(BTC)).status == "done"
        async with desk.platform.redis_line() as line:
            before = json.loads(await line.command("GET", f"breaker:{BTC}"))
            row = await limit(desk, BTC, "0.2")
            after = json.loads(await line.command("GET", f"breaker:{BTC}"))
        assert after["state"] == "QUIET_PERIOD"
        assert (after["size_share"], after["quiet_until"]) == ("0.2", before["quiet_until"])
        await end_quiet_period(desk, BTC)
        await desk.becomes(BTC, State.CLOSED)
        assert await share_of(desk, BTC) == Decimal("0.2")
        assert (await lift(desk, BTC, row.request_id)).status == "done"
        assert await share_of(desk, BTC) == 1


@pytest.mark.parametrize("point", [faults.AFTER_INTENT, faults.AFTER_EVIDENCE, faults.AFTER_SET])
@pytest.mark.parametrize("kind", [Kind.LIMIT, Kind.LIFT])
async def test_a_successor_finishes_or_voids_a_change_of_size(
    desk: Desk, scripted: Scripted, point: str, kind: Kind
) -> None:  # I7, I8, F7, F23
    trap, stop = Trap(point), asyncio.Event()
    first = Authority(desk.settings, trap, "first", scripted)
    work = asyncio.create_task(first.run(stop))
    await asyncio.wait_for(first.acting.wait(), 60)
    await desk.becomes(BTC, State.CLOSED)
    target = "0.5"
    if kind is Kind.LIFT:
        target = (await limit(desk, BTC, "0.5")).request_id
    trap.armed = True
    command = await desk.command(kind, BTC, "operator1", target=target, checked=())
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    await kill(desk, work)
    at_death = await share_of(desk, BTC)
    assert at_death == (Decimal("0.5") if (point == faults.AFTER_SET) is (kind is Kind.LIMIT) else 1)
    async with authority_with(desk, scripted):
        row = await desk.answer(command.request_id)
        applied = point == faults.AFTER_SET
        if kind is Kind.LIMIT:  # recorded before it died: a successor sees to it, once
            assert row.status == "done", row.message
            assert await share_of(desk, BTC) == Decimal("0.5")
            assert (await desk.actions(BTC)).count("SIZE_LIMITED") == 1
        else:
            assert row.status == ("done" if applied else "void")
            await share_becomes(desk, BTC, "1" if applied else "0.5")
        word = "" if applied else "_VOID"
        await desk.audited(*await _intent_of(desk, kind, word))
        await recorded(desk, BTC)
        async with desk.platform.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM commits WHERE status = 'intent'") == 0
            in_force = await connection.fetchval("SELECT count(*) FROM size_limits WHERE lifted_at IS NULL")
        assert in_force == (0 if kind is Kind.LIFT and applied else 1)


async def test_a_trip_that_races_a_change_of_size_wins(desk: Desk, scripted: Scripted) -> None:  # I2, I3
    trap = Trap(faults.AFTER_EVIDENCE)
    async with authority_with(desk, scripted, trap):
        await desk.becomes(BTC, State.CLOSED)
        limit_id = (await limit(desk, BTC, "0.5")).request_id
        trap.armed = True
        command = await desk.command(Kind.LIFT, BTC, "operator1", target=limit_id, checked=())
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await desk.trip(BTC, "operator2")
        trap.released.set()
        assert (await desk.answer(command.request_id)).status == "void"
        assert await desk.state(BTC) is State.OPEN
        trap.reached.clear()
        trap.released.clear()
        scripted.left[ORDERS.name] = RED
        trap.armed = True
        await asyncio.wait_for(trap.reached.wait(), 60)
        await desk.trip(EXECUTION, "operator2")
        trap.released.set()
        await desk.audited(*await _intent_of(desk, Kind.LIMIT, "_VOID", EXECUTION))
        assert await desk.state(EXECUTION) is State.OPEN


class Between:
    """Holds the turn of loosenings, as a close with slow probes does, while the authority goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.means: Means | None = None
        made = Term.__init__

        def begin(term: Term, means: Means, *more: Any) -> None:
            self.means = means
            made(term, means, *more)

        monkeypatch.setattr(Term, "__init__", begin)

    async def holds(self, part: str) -> Means:
        """Until something called `part` waits behind it."""
        means = self.means
        assert means is not None and means.loosening.locked()

        async def waits() -> bool:
            return any(part in task.get_name() for task in means.tasks)

        await until(waits)
        return means


@pytest.mark.parametrize("limits", [{"quiet_period_s": LONG_S}])
@pytest.mark.parametrize("due", ["lift", "end of a quiet period"])
async def test_a_limit_waits_for_no_loosening_that_is_due(
    desk: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, due: str
) -> None:  # I6
    between = Between(monkeypatch)
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        assert between.means is not None
        if due == "lift":
            scripted.left[ORDERS.name] = RED
            await share_becomes(desk, EXECUTION, "0.5")
            async with between.means.loosening:
                scripted.left[ORDERS.name] = GREEN
                await age_document(desk, EXECUTION)
                await between.holds("lift of")
                row = await limit(desk, EXECUTION, "0.2")
                assert await share_of(desk, EXECUTION) == Decimal("0.2")
        else:
            await desk.trip(EXECUTION)
            assert (await desk.resume(EXECUTION)).status == "done"
            async with between.means.loosening:
                await end_quiet_period(desk, EXECUTION)
                await between.holds("quiet period of")
                row = await limit(desk, EXECUTION, "0.2")
                assert await share_of(desk, EXECUTION) == Decimal("0.2")
                assert await desk.state(EXECUTION) is State.QUIET_PERIOD
        assert row.outcome is not None and row.outcome["outcome"] == "done", row
        lifted = await lift(desk, EXECUTION, row.request_id)
        assert lifted.status == "done", lifted.message
        await desk.becomes(EXECUTION, State.CLOSED)
        await share_becomes(desk, EXECUTION, "1")


async def test_a_persons_lift_does_not_wait_for_one_behind_it(
    desk: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = Between(monkeypatch)
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        assert between.means is not None
        limit_id = (await limit(desk, EXECUTION, "0.9")).request_id
        scripted.left[ORDERS.name] = RED
        await share_becomes(desk, EXECUTION, "0.5")
        async with between.means.loosening:
            command = await desk.command(Kind.LIFT, EXECUTION, "operator1", target=limit_id, checked=())
            await desk.send(command)
            await between.holds(f"request {command.request_id}")
            scripted.left[ORDERS.name] = GREEN
            await age_document(desk, EXECUTION)
            await between.holds("lift of")
        row = await desk.answer(command.request_id)
        assert row.status == "done", row.message
        await share_becomes(desk, EXECUTION, "1")


async def test_a_limit_that_comes_while_a_loosening_commits_is_not_passed_by(
    desk: Desk, scripted: Scripted
) -> None:  # I7: it never lets through more than what was recorded before
    trap = Trap(faults.AFTER_INTENT)
    async with authority_with(desk, scripted, trap):
        await desk.becomes(BTC, State.CLOSED)
        first = (await limit(desk, BTC, "0.5")).request_id
        trap.armed = True
        command = await desk.command(Kind.LIFT, BTC, "operator1", target=first, checked=())
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        other = await desk.command(Kind.LIMIT, BTC, "operator2", target="0.7", checked=())
        await desk.send(other)

        async def recorded() -> bool:
            return (await desk.actions(BTC)).count("SIZE_LIMITED") == 2

        await until(recorded)
        trap.released.set()
        row = await desk.answer(command.request_id)
        assert row.status == "void" and "limited meanwhile" in (row.message or "")
        assert (await desk.answer(other.request_id, "operator2")).status == "done"
        assert await share_of(desk, BTC) == Decimal("0.5")
        assert (await lift(desk, BTC, first)).status == "done"
        assert await share_of(desk, BTC) == Decimal("0.7")


async def test_without_evidence_a_limit_works_and_a_lift_is_refused(
    desk: Desk, scripted: Scripted
) -> None:  # I6, F19
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        hidden = desk.hide_evidence()
        try:
            row = await limit(desk, BTC, "0.5")
            assert row.status == "done" and await share_of(desk, BTC) == Decimal("0.5")
            refused = await lift(desk, BTC, row.request_id)
            assert refused.status in ("refused", "void") and refused.code == "evidence-unavailable"
            assert await share_of(desk, BTC) == Decimal("0.5")
        finally:
            desk.show_evidence(*hidden)

        async with desk.platform.connection() as connection:
            proof = await connection.fetchrow(
                "SELECT * FROM audit_log WHERE action = 'CIRCUIT_BREAKER_LIMIT' AND target = $1", BTC
            )
        key = f"transitions/{proof['event_id']}-CLOSED.json"

        async def written() -> bool:  # by the very authority that wrote the limit
            return bool(await desk.evidence_sha256(key) == proof["evidence_sha256"])

        await until(written)

        async def lifted() -> bool:  # as soon as the authority finds its evidence store again
            return (await lift(desk, BTC, row.request_id)).status == "done"

        await until(lifted)


async def test_a_lift_is_for_the_epoch_that_was_seen(desk: Desk, scripted: Scripted) -> None:  # I2
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        limit_id = (await limit(desk, BTC, "0.5")).request_id
        old = await desk.epoch(BTC)
        await desk.trip(BTC)
        row = await desk.ask(Kind.LIFT, BTC, target=limit_id, epoch=old, checked=())
        assert (row.status, row.code) == ("refused", "stale-epoch")
        assert (await lift(desk, BTC, limit_id)).status == "done"  # its epoch of now: the row, no document
        assert await desk.state(BTC) is State.OPEN


async def test_while_redis_is_away_a_limit_is_recorded_and_not_shown_as_done(
    desk: Desk, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:  # I25, F9
    monkeypatch.setattr(size_limits, "CONFIRM_S", 1.0)
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        command = await desk.command(Kind.LIMIT, BTC, "operator1", target="0.5", checked=())
        await asyncio.to_thread(desk.platform.valkey.stop)
        try:
            await desk.send(command)
            row = await desk.answer(command.request_id)
        finally:
            await asyncio.to_thread(desk.platform.valkey.start)
        assert row.outcome is not None and row.outcome["outcome"] == "pending", row
        await share_becomes(desk, BTC, "0.5")


async def test_one_login_has_so_many(desk: Desk, scripted: Scripted) -> None:  # F25
    async with authority_with(desk, scripted):
        await desk.becomes(BTC, State.CLOSED)
        for _ in range(20):
            assert (await limit(desk, BTC, "0.9", "automation1")).status == "done"
        assert (await limit(desk, BTC, "0.9", "automation1")).code == "wrong-state"
        assert (await limit(desk, BTC, "0.2", "operator1")).status == "done"
        assert await share_of(desk, BTC) == Decimal("0.2")


async def test_people_can_only_read_limits_and_exclusions(desk: Desk) -> None:  # I22
    for login in ("admin1", "operator1", "automation1", "monitor1", "authority"):
        async with desk.platform.connection(login) as raw:
            await raw.fetch("SELECT * FROM size_limits, slo_exclusions")
            statements = [
                "DELETE FROM size_limits",
                "UPDATE size_limits SET share = 0.9",
                "UPDATE slo_exclusions SET until_at = clock_timestamp()",
                "TRUNCATE slo_exclusions",
            ]
            if login != "authority":
                statements += [
                    "INSERT INTO size_limits (limit_id, breaker_id, share, source, notes, login, audit_seq)"
                    " VALUES (gen_random_uuid(), 'global', 0.5, 'person', 'n', 'l', 1)",
                    "UPDATE size_limits SET lifted_at = clock_timestamp()",
                    "UPDATE slo_exclusions SET reverted_at = clock_timestamp()",
                ]
            for statement in statements:
                with pytest.raises(Exception, match="permission denied"):
                    await raw.execute(statement)


async def _intent_of(desk: Desk, kind: Kind, word: str, name: str = BTC) -> tuple[str, str]:
    """The first such change, and the action that ended it."""
    async with desk.platform.connection() as connection:
        event_id = await connection.fetchval(
            "SELECT event_id FROM audit_log WHERE target = $1 AND action = $2 ORDER BY seq LIMIT 1",
            name,
            f"CIRCUIT_BREAKER_{kind.value.upper()}_INTENT",
        )
    return event_id, f"CIRCUIT_BREAKER_{kind.value.upper()}{word}"


async def test_a_recorded_limit_never_expires(desk: Desk, scripted: Scripted) -> None:  # F23, F24
    trap, stop = Trap(faults.AFTER_INTENT), asyncio.Event()
    first = Authority(desk.settings, trap, "first", scripted)
    work = asyncio.create_task(first.run(stop))
    await asyncio.wait_for(first.acting.wait(), 60)
    await desk.becomes(BTC, State.CLOSED)
    trap.armed = True
    command = await desk.command(Kind.LIMIT, BTC, "operator1", target="0.5", checked=())
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    await kill(desk, work)
    async with desk.platform.connection() as owner:  # nobody is there to answer for a long time
        await owner.execute("UPDATE requests SET submitted_at = submitted_at - interval '5 minutes'")
    async with authority_with(desk, scripted):
        assert (await desk.answer(command.request_id)).status == "done"
        assert await share_of(desk, BTC) == Decimal("0.5")
