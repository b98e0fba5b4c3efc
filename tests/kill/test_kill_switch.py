"""The kill switch on real stores, with an authority and a plant that trades."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.kill import Step, StepOutcome, Verdict
from cockpit.operations.kill_journal import WaitingStep
from cockpit.operations.kill_ports import Pace
from tests.authority.desk import NOTES
from tests.kill.ground import Ground, ran, until


async def steps_of(ground: Ground, kill_id: str) -> dict[str, str]:
    async with ground.platform.connection() as connection:
        rows = await connection.fetch("SELECT * FROM kill_steps WHERE kill_id = $1 ORDER BY at", kill_id)
    return {row["step"]: row["outcome"] for row in rows}


async def kill_row(ground: Ground, kill_id: str) -> Any:
    async with ground.platform.connection() as connection:
        return await connection.fetchrow("SELECT * FROM kill_switches WHERE kill_id = $1", kill_id)


async def test_it_is_flat_only_when_all_is_proved(ground: Ground) -> None:  # I14, I15
    await ground.load()
    switch = await ran(ground.begin())
    report = switch.report
    assert report.verdict is Verdict.FLAT and report.epoch is not None, report.line
    assert [state.outcome for state in report.steps] == [StepOutcome.DONE] * 4 + [StepOutcome.FLAT]
    assert not ground.plant.venue.resting
    assert not any(position.quantity for position in ground.plant.venue.positions.values())
    acked = await ground.trading.acked()
    assert acked["epochs"][GLOBAL] >= report.epoch.counter

    async def recorded() -> bool:
        row = await kill_row(ground, switch.kill_id)
        return row is not None and len(await steps_of(ground, switch.kill_id)) == 5

    await until(recorded, 60)
    row = await kill_row(ground, switch.kill_id)
    assert (row["counter"], row["login"], row["reviewed_at"]) == (report.epoch.counter, "admin1", None)
    assert (await steps_of(ground, switch.kill_id))["verify"] == "flat"
    async with ground.platform.connection() as connection:
        incident = await connection.fetchrow("SELECT * FROM incidents WHERE source = 'kill'")
        pages = await connection.fetch("SELECT * FROM outbox WHERE incident_id = $1", incident["incident_id"])
    assert (incident["severity"], incident["dedup_key"]) == ("P0", f"kill:{switch.kill_id}")
    assert [page["event"] for page in pages] == ["trigger"]

    async def named() -> bool:
        return "kill-switch" in str((await ground.trading.gateway.health()).halt_reason)

    await until(named, 60)  # the plant reads the document of the trip a moment after its epoch


async def test_none_but_a_safety_admin_touches_anything(ground: Ground) -> None:
    await ground.load()
    before = dict(ground.plant.venue.positions)
    switch = await ran(ground.begin("operator1"))
    assert switch.refusal is not None
    assert (await ground.desk.epoch(GLOBAL)).counter == 1
    assert not any(step.outcome for step in switch.report.steps[2:])
    assert set(ground.plant.venue.positions) == set(before)


async def test_global_stays_until_two_admins_have_reviewed_it(ground: Ground) -> None:  # I17, I19
    switch = await ran(ground.begin())
    desk = ground.desk
    await desk.audited(switch.kill_id, "CIRCUIT_BREAKER_TRIP")
    asked = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    assert (asked.status, asked.code) == ("refused", "kill-switch-unreviewed"), asked.message
    restored = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
    assert restored.code == "kill-switch-unreviewed"
    review = await desk.ask(Kind.KILL_REVIEW, GLOBAL, "admin1", target=switch.kill_id, checked=())
    assert review.status == "awaiting_approval", review.message
    own = await desk.ask(Kind.APPROVE, GLOBAL, "admin1", target=review.request_id)
    assert (own.status, own.code) == ("denied", "self-approval")
    yes = await desk.ask(Kind.APPROVE, GLOBAL, "admin2", target=review.request_id)
    assert yes.status == "done", yes.message
    row = await kill_row(ground, switch.kill_id)
    assert (row["reviewed_by"], row["approved_by"]) == ("admin1", "admin2")
    again = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    assert again.code != "kill-switch-unreviewed"


async def test_a_closed_market_leaves_residuals(ground: Ground) -> None:  # F12
    await ground.load()
    await ground.trading.gateway.set_faults({"closed_market": 1, "cancel_failures": 1})
    switch = await ran(ground.begin())
    report = switch.report
    assert report.verdict is Verdict.RESIDUAL
    whys = {residual.why for residual in report.residuals}
    assert {"market closed", "the venue refused the cancel"} <= whys, report.line
    assert report.state(Step.TRIP).outcome is StepOutcome.DONE
    assert (await ground.desk.epoch(GLOBAL)).counter >= 2
    await ground.trading.gateway.heal()


async def test_it_is_on_record_before_any_gateway_has_acknowledged(ground: Ground) -> None:  # I17
    """Also where the event of its trip is gone, and older steps still wait here."""
    ground.gateways = ("plant", "nobody")
    ports = ground.ports_of()
    old = str(uuid4())
    command = await ground.desk.command(Kind.KILL_STEP, GLOBAL, "admin1", target="{}", checked=())
    signed, _ = ports.sign(command)
    ports.journal.begin(old, "admin1", NOTES, command.requested_at, signed)
    for _ in range(3):
        ports.journal.step(WaitingStep(old, str(uuid4()), "admin1", signed))
    switch = ground.begin(pace=Pace(acks=120.0, pause=0.02, limit=120.0, passes=1))
    running = asyncio.create_task(ran(switch))
    try:

        async def tripped() -> bool:
            return switch.report.epoch is not None

        await until(tripped, 60)

        async def reported() -> bool:
            return "trip" in await steps_of(ground, switch.kill_id)

        await until(reported, 60)
        assert await kill_row(ground, switch.kill_id) is not None
        assert switch.report.state(Step.ACKNOWLEDGED).outcome is None
        assert switch.report.state(Step.CANCEL).outcome is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
