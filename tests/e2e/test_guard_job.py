"""The platform goes wrong and nobody looks: it halts by itself, says why, and resumes on no spent budget.

One real demo; the tests build on each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cockpit.domain.states import State
from tests.cli.commands import NOTES
from tests.e2e.demo import ASKS_S, World, half_open_of, started, until

EXECUTION = "component:execution"
WHY = "desk must reduce its positions before the close"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("guard-job") / "data") as made:
        yield made


async def budget(world: World, name: str) -> float | None:
    [found] = (await world.inside("slo", name, login="monitor1")).document["slos"]
    return None if found["remaining"] is None else float(found["remaining"])


async def fired(world: World) -> dict[str, Any] | None:
    """The rule that tripped, once one has."""
    done = await world.inside("triggers", login="monitor1")
    return next((each for each in done.document["triggers"] if each["fired_at"]), None)


async def test_a_spent_budget_halves_every_order(world: World) -> None:
    """In the signed documents, so that a gate need not know what a budget is."""
    await world.becomes(EXECUTION, "CLOSED")
    await world.spend("order_success")
    assert (await budget(world, "order-success") or 0) < 0

    async def halved() -> bool:
        decided = [each for name, each in (await world.gate()).items() if name.startswith("instrument:")]
        return {str(each.size_share) for each in decided} == {"0.5"}

    await until(halved)


async def test_a_runaway_position_halts_by_itself_and_is_named(world: World) -> None:  # I2 I22
    """The venue executes what nobody ordered: the guard trips what it may, names the sample, escalates."""

    async def watched() -> bool:
        guard = (await world.inside("triggers")).document["guard"]
        return bool(guard and guard["alive"])

    await until(watched)
    async with world.screen("operator1") as screen, world.gateway() as http:
        await screen.shows("RED", "order-success")
        (await http.put("/faults", json={"position_runaway": 2})).raise_for_status()
        rule = await until(lambda: fired(world))
        await screen.shows("HALTED")
        await screen.press("6")
        await screen.shows(rule["rule"])
    assert (rule["rule"], rule["mode"], rule["effect"]) == ("position-limit", "live", "trip"), rule
    assert (rule["subject"], rule["aim"]) == ("BTC-USD", "global")
    now = await world.breaker(EXECUTION)
    assert (now["state"], now["actor"]) == ("OPEN", "automation1"), now
    assert rule["rule"] in str(now["notes"])
    decided = [each for name, each in (await world.gate()).items() if name.startswith("instrument:")]
    assert {(each.effective_state, each.halted_by) for each in decided} == {(State.OPEN, EXECUTION)}
    assert (await world.breaker("global"))["state"] == "CLOSED"  # as far as a machine may go
    stored = await world.query("SELECT samples FROM guard_firings WHERE rule = $1", rule["rule"])
    assert any("BTC-USD" in str(sample) for sample in json.loads(stored)), stored
    recorded = (
        "SELECT user_id || ' ' || role FROM audit_log WHERE action = 'CIRCUIT_BREAKER_TRIP'"
        " AND target = $1 ORDER BY seq DESC LIMIT 1"
    )
    who = await until(lambda: world.query(recorded, EXECUTION))
    assert who == "automation1 automation-role"
    called = "SELECT i.severity FROM outbox JOIN incidents i USING (incident_id) WHERE i.source = 'guard'"
    assert await world.query(called) == "P0"


async def test_a_spent_budget_refuses_until_a_safety_admin_says_why(world: World) -> None:  # I23
    async with world.gateway() as http:
        (await http.delete("/faults")).raise_for_status()

    async def only_the_budget() -> str | None:  # the checklist looks back thirty seconds
        await acknowledge(world)
        done = await world.inside(*half_open_of(EXECUTION))
        assert (done.code, done.document["outcome"]) == (4, "refused"), done.document
        words = str(done.document["message"])
        others = ("latency:", "error-rate:", "gateway:", "incidents:", "positions:", "queue:")
        return None if any(other in words for other in others) else words

    said = await until(only_the_budget, 120, ASKS_S)
    assert "order-success RED" in said, said
    assert (await override(world, "operator1")).code == 3

    async def overridden() -> Any:  # a slow moment of the machine is no budget, and stands in the way
        done = await override(world, "admin1")
        assert done.code == 0 or (done.code, done.document["outcome"]) == (4, "refused"), done.document
        return done if done.code == 0 else None

    opened = await until(overridden, pace_s=ASKS_S)
    assert opened.document["state"] == "HALF_OPEN", opened.document
    probed = await world.run("probe", EXECUTION, login="admin1")
    assert probed.code == 0, probed.document
    closed = await world.close(EXECUTION, "admin1")
    assert (closed.code, closed.document["state"]) == (0, "QUIET_PERIOD"), closed.document
    told = await world.query(
        "SELECT count(*) FROM audit_log WHERE user_id = 'admin1' AND position($1 IN payload) > 0", WHY
    )
    assert told
    incidents = (await world.run("status")).document["incidents"]
    assert [each["severity"] for each in incidents if each["source"] == "override"] == ["P1"]


async def acknowledge(world: World) -> None:
    """Every critical incident that nobody has taken on."""
    for incident in (await world.inside("status")).document["incidents"]:
        if incident["severity"] in ("P0", "P1") and incident["status"] == "open":
            done = await world.inside("incident", "ack", incident["incident_id"], "--notes", NOTES)
            assert done.code == 0, done.out


async def override(world: World, login: str) -> Any:
    words = ("half-open", EXECUTION, "--notes", NOTES, "--checked", "all", "--override", WHY, "--yes")
    return await world.run(*words, login=login)


async def test_slow_orders_cost_budget_and_halt_nothing(world: World) -> None:

    async def measured() -> list[float] | None:
        left = await budget(world, "execution-latency")
        return None if left is None else [left]

    [before] = await until(measured)
    async with world.gateway() as http:
        (await http.put("/faults", json={"latency_ms": 400})).raise_for_status()

        async def spent() -> bool:
            left = await budget(world, "execution-latency")
            return left is not None and left < before

        await until(spent)
        (await http.delete("/faults")).raise_for_status()
    assert (await world.breaker(EXECUTION))["state"] != "OPEN"
    verified = await world.run("audit", "verify", "--full", login="monitor1")
    assert (verified.code, verified.document["ok"]) == (0, True), verified.document
