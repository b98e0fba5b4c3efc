"""What spent error budgets do to documents and to a resume (I2, I3, I6, I7, I25)."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest

from cockpit.authority import faults
from cockpit.authority import objectives as objectives_module
from cockpit.authority.objectives import Objectives
from cockpit.authority.service import Authority
from cockpit.authority.size_share import Sizes
from cockpit.authority.status import Health
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.budgets import (
    FILLS,
    GREEN,
    ORANGE,
    ORDERS,
    RED,
    YELLOW,
    Scripted,
    age_document,
    authority_with,
    details_of,
    end_quiet_period,
    gate_of,
    reading_often,
    share_becomes,
    share_of,
    slo,
    too_old,
)
from tests.authority.desk import BTC, ETH, LONG_S, Desk, until
from tests.authority.test_interruptions import Trap


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


async def test_a_spent_budget_halves_the_size_of_its_scope_and_gives_it_back(
    desk: Desk, scripted: Scripted
) -> None:  # I7
    async with authority_with(desk, scripted), gate_of(desk) as gate:
        await desk.becomes(BTC, State.CLOSED)
        assert (await gate.decide("BTC-USD")).size_share == 1
        scripted.left[ORDERS.name] = ORANGE
        await share_becomes(desk, EXECUTION, "0.5")
        decision = await gate.decide("BTC-USD", "momentum")  # a child of the limited component
        assert (decision.effective_state, decision.size_share) == (State.CLOSED, Decimal("0.5"))
        assert await share_of(desk, BTC) == 1 and await share_of(desk, GLOBAL) == 1
        entry = await details_of(desk, EXECUTION, "CIRCUIT_BREAKER_LIMIT")
        assert (entry["share_before"], entry["share"]) == ("1", "0.5")
        assert entry["size"]["why"] == "order-success ORANGE, 20.0% of its budget left"
        scripted.left[ORDERS.name] = YELLOW
        await scripted.seen()
        assert await share_of(desk, EXECUTION) == Decimal("0.5")  # not so soon after the last change
        await age_document(desk, EXECUTION)
        await share_becomes(desk, EXECUTION, "1")
        assert (await gate.decide("BTC-USD", "momentum")).size_share == 1
        actions = await desk.actions(EXECUTION)
        assert actions[-2:] == ["CIRCUIT_BREAKER_LIFT_INTENT", "CIRCUIT_BREAKER_LIFT"]


async def test_an_unknown_budget_keeps_the_size_across_terms(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        scripted.left[ORDERS.name] = ORANGE
        await share_becomes(desk, EXECUTION, "0.5")
        scripted.left[ORDERS.name] = None
        await scripted.seen()
        await age_document(desk, EXECUTION)
        await _turns(desk)
        assert await share_of(desk, EXECUTION) == Decimal("0.5")
    async with authority_with(desk, scripted):  # a successor that never knew it takes it from the record
        await _turns(desk)
        assert await share_of(desk, EXECUTION) == Decimal("0.5")
        scripted.left[ORDERS.name] = GREEN
        scripted.faults = ("mine.yaml:3: spec: unknown field",)
        await scripted.seen()
        await _turns(desk)
        assert await share_of(desk, EXECUTION) == Decimal("0.5")  # nor while a file could not be read
        scripted.faults = ()
        await share_becomes(desk, EXECUTION, "1")


async def test_an_old_reading_lifts_nothing_and_stops_no_turn(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted) as running:
        await desk.becomes(EXECUTION, State.CLOSED)
        scripted.left[ORDERS.name] = ORANGE
        await share_becomes(desk, EXECUTION, "0.5")
        scripted.left[ORDERS.name] = GREEN
        await too_old(running, scripted)
        await age_document(desk, EXECUTION)
        await desk.trip(ETH)  # turns go on
        await _turns(desk)
        assert await share_of(desk, EXECUTION) == Decimal("0.5")

        async def published() -> bool:
            async with desk.platform.connection() as connection:
                said = await connection.fetchrow(
                    "SELECT b ->> 'ok' AS ok, b ->> 'why' AS why"
                    "  FROM (SELECT status -> 'budgets' AS b FROM authority_lease) each"
                )
            return said["ok"] == "false" and "a reader that fails" in (said["why"] or "")

        scripted.held, scripted.broken = False, True
        await until(published)
        scripted.broken = False
        await share_becomes(desk, EXECUTION, "1")
    assert scripted.closed


async def test_a_limit_waits_for_no_evidence_store_and_its_evidence_follows(
    desk: Desk, scripted: Scripted
) -> None:  # I6, F19
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        away = desk.hide_evidence()
        scripted.left[ORDERS.name] = RED
        await share_becomes(desk, EXECUTION, "0.5")
        await desk.audited_last(EXECUTION, "CIRCUIT_BREAKER_LIMIT")
        row = await _entry(desk, "CIRCUIT_BREAKER_LIMIT")
        scripted.left[ORDERS.name] = GREEN
        await scripted.seen()
        await age_document(desk, EXECUTION)
        await _turns(desk)
        assert await share_of(desk, EXECUTION) == Decimal("0.5")  # I7: a lift is a loosening
    desk.show_evidence(*away)
    async with authority_with(desk, scripted):  # a successor makes the evidence again

        async def written() -> bool:
            return await desk.platform.evidence().get(_key(row)) is not None

        await until(written)
        assert await desk.evidence_sha256(_key(row)) == row["evidence_sha256"]
        await share_becomes(desk, EXECUTION, "1")


@pytest.mark.parametrize("limits", [{"quiet_period_s": LONG_S}])
async def test_half_open_and_close_heed_the_budgets(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted) as running:
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        for left, word in ((RED, "RED"), (None, "NO DATA")):
            scripted.left[FILLS.name] = left
            await scripted.seen()
            row = await desk.ask(Kind.HALF_OPEN, BTC)
            assert (row.status, row.code) == ("refused", "checklist")
            assert f"btc-fills {word}" in (row.message or "")
        scripted.left = {FILLS.name: GREEN, ORDERS.name: RED}  # what stands above it trades through it
        await scripted.seen()
        assert "order-success RED" in ((await desk.ask(Kind.HALF_OPEN, BTC)).message or "")
        scripted.left = {FILLS.name: ORANGE}
        await scripted.seen()
        assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
        await desk.run_status(await desk.probe(BTC), "passed")
        scripted.left[FILLS.name] = RED
        await scripted.seen()
        row = await desk.ask(Kind.CLOSE, BTC)
        assert (row.status, row.code) == ("refused", "checklist")
        await too_old(running, scripted)  # no fresh reading is as bad as a bad one
        row = await desk.ask(Kind.CLOSE, BTC)
        assert "the objectives could not be read" in (row.message or "")
        scripted.held = False
        scripted.left[FILLS.name] = ORANGE
        await scripted.seen()
        row = await desk.ask(Kind.CLOSE, BTC)
        assert row.status == "done", row.message
        assert await share_of(desk, BTC) == Decimal("0.25")
        await end_quiet_period(desk, BTC)
        await desk.becomes(BTC, State.CLOSED)
        assert await share_of(desk, BTC) == Decimal("0.5")  # ended into what the budget leaves


async def test_no_objective_loaded_holds_up_nothing(desk: Desk) -> None:
    async with authority_with(desk, Scripted(())):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        row = await desk.ask(Kind.HALF_OPEN, BTC)
        assert row.status == "done", row.message
        entry = await details_of(desk, BTC, "CIRCUIT_BREAKER_HALF_OPEN")
        assert entry["checklist"]["error-budgets"].startswith("no objective is loaded")


async def test_only_documents_that_let_orders_through_are_touched(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        await desk.trip(EXECUTION)
        scripted.left[ORDERS.name] = RED
        await scripted.seen()
        await _turns(desk)
        assert await desk.state(EXECUTION) is State.OPEN
        assert "CIRCUIT_BREAKER_LIMIT_INTENT" not in await desk.actions(EXECUTION)


async def test_a_restart_of_redis_reissues_the_size(desk: Desk, scripted: Scripted) -> None:  # F1
    scripted.left[ORDERS.name] = ORANGE
    async with authority_with(desk, scripted):
        await desk.becomes(EXECUTION, State.CLOSED)
        await share_becomes(desk, EXECUTION, "0.5")
        old = await desk.epoch(EXECUTION)
        scripted.left[ORDERS.name] = None
        await asyncio.to_thread(desk.platform.valkey.stop)
        await asyncio.to_thread(desk.platform.valkey.start)
        await desk.becomes(EXECUTION, State.CLOSED)
        assert (await desk.epoch(EXECUTION)).run_id != old.run_id
        await desk.audited_last(EXECUTION, "CIRCUIT_BREAKER_RESTORE")
        assert await share_of(desk, EXECUTION) == Decimal("0.5")


async def test_the_global_document_takes_its_mirror_along(desk: Desk, scripted: Scripted) -> None:
    scripted.slos = (*scripted.slos, slo("everything", GLOBAL))
    async with authority_with(desk, scripted), gate_of(desk) as gate:
        await desk.becomes(GLOBAL, State.CLOSED)
        scripted.left["everything"] = RED
        await share_becomes(desk, GLOBAL, "0.5")
        decision = await gate.decide("BTC-USD")
        assert (decision.effective_state, decision.size_share) == (State.CLOSED, Decimal("0.5"))
        assert "UNAUDITED_CHANGE" not in await desk.actions()
        async with desk.platform.redis_line("admin1") as line:
            await line.command("SET", "circuit_breaker:state", b'{"state":"OPEN"}')

        async def answered() -> bool:
            return "UNAUDITED_CHANGE" in await desk.actions()

        await until(answered)
        await desk.becomes(GLOBAL, State.OPEN)


async def test_since_is_when_the_state_began_not_when_its_size_changed(
    desk: Desk, scripted: Scripted
) -> None:
    async with authority_with(desk, scripted), desk.platform.connection() as connection:
        await desk.becomes(EXECUTION, State.CLOSED)
        since = await connection.fetchval("SELECT since FROM breakers WHERE breaker_id = $1", EXECUTION)
        scripted.left[ORDERS.name] = ORANGE
        await share_becomes(desk, EXECUTION, "0.5")
        await desk.audited_last(EXECUTION, "CIRCUIT_BREAKER_LIMIT")
        assert since == await connection.fetchval(
            "SELECT since FROM breakers WHERE breaker_id = $1", EXECUTION
        )


async def test_ages_of_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(objectives_module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(objectives_module, "WAIT_S", 0.1)
    scripted, health = Scripted(), Health()
    objectives = Objectives(scripted, health, every_s=0.2)
    assert objectives.recent() is None and objectives.young() is None
    first = await objectives.fresh()
    assert first is not None and objectives.recent() is first
    assert await objectives.fresh() is first and scripted.reads == 1  # young enough: not read again
    now += 0.01
    objectives.outdate()
    assert objectives.young() is None and objectives.recent() is first  # tightens still, loosens no more
    second = await objectives.fresh()
    assert second is not first and scripted.reads == 2
    scripted.held = True
    now += 0.25
    assert objectives.young() is None and objectives.recent() is second
    assert await objectives.fresh() is None
    now += 0.36
    assert objectives.recent() is None  # three times the interval has passed by now
    scripted.held = False
    assert await objectives.fresh() is not None


async def _turns(desk: Desk) -> None:
    """Some turns of the loop: an event that it must audit goes through it."""
    for name in (ETH, ETH):
        await desk.trip(name)


async def _entry(desk: Desk, action: str) -> dict[str, str]:
    async with desk.platform.connection() as connection:
        return dict(
            await connection.fetchrow(
                "SELECT * FROM audit_log WHERE action = $1 ORDER BY seq DESC LIMIT 1", action
            )
        )


def _key(row: dict[str, str]) -> str:
    return f"transitions/{row['event_id']}-CLOSED.json"


async def test_a_part_is_raised_by_a_young_reading_only(desk: Desk, scripted: Scripted) -> None:
    objectives = Objectives(scripted, Health(), every_s=LONG_S)
    sizes = Sizes(objectives)
    async with desk.platform.connection() as connection:
        scripted.left[ORDERS.name] = ORANGE
        await objectives.fresh()
        assert (await sizes.of(connection, EXECUTION)).budgets == Decimal("0.5")
        scripted.left[ORDERS.name] = GREEN
        objectives.outdate()
        await objectives.fresh()
        objectives.outdate()  # what it says is true no more, for all that is known
        assert (await sizes.of(connection, EXECUTION)).budgets == Decimal("0.5")
        await objectives.fresh()
        size = await sizes.of(connection, EXECUTION)
        assert (size.budgets, size.words) == (Decimal(1), "")
        scripted.left[ORDERS.name] = RED
        objectives.outdate()
        await objectives.fresh()
        objectives.outdate()
        assert (await sizes.of(connection, EXECUTION)).budgets == Decimal("0.5")  # tightening needs less


@pytest.mark.parametrize("point", [faults.BEFORE_INTENT, faults.AFTER_INTENT])
async def test_a_budget_read_during_the_genesis_costs_no_grant(
    desk: Desk, scripted: Scripted, point: str
) -> None:
    trap, stop = Trap(point), asyncio.Event()
    trap.armed = scripted.held = True
    authority = Authority(desk.settings, trap, "first", scripted)
    work = asyncio.create_task(authority.run(stop))
    try:
        async with reading_often(authority):
            await asyncio.wait_for(trap.reached.wait(), 60)  # it closes everything, and knows no budget yet
            scripted.left[ORDERS.name] = RED
            scripted.held = False
            await scripted.seen()
            trap.released.set()
            await desk.becomes(EXECUTION, State.CLOSED)
            await share_becomes(desk, EXECUTION, "0.5")
    finally:
        trap.released.set()
        stop.set()
        await work
