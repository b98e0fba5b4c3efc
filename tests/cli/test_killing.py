"""`cockpit kill-switch` and `cockpit cancel-all`, against real stores and a plant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cockpit.demo.orders import Side
from tests.authority.desk import BTC
from tests.cli.commands import NOTES, OUTCOME, Done, cockpit, inside, moved
from tests.demo.trading import until
from tests.kill.ground import BRIEF, QUICK, Ground, be_patient, ground_on, rest
from tests.trading_platform import Platform


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cockpit.cli.killing.PACE", QUICK)
    be_patient(monkeypatch)


@pytest.fixture
async def ground(platform: Platform) -> AsyncIterator[Ground]:
    async with ground_on(platform) as made:
        yield made


def config_of(ground: Ground) -> Path:
    config = ground.platform.config.with_name("kill.toml")
    config.touch(0o600)
    url = ground.plant._settings.gateway_url
    config.write_text(
        f'gateway_url = "{url}"\n' + ground.platform.config.read_text() + '[gateways]\nnames = ["plant"]\n'
    )
    return config


async def run(ground: Ground, *words: str, login: str = "admin1", config: Path | None = None) -> Done:
    return await inside(config or config_of(ground), *words, "--json", "--login", login)


async def test_from_the_kill_to_its_review(ground: Ground) -> None:  # I14, I15, I17, I19
    await ground.load()
    usage = await run(ground, "kill-switch", "--notes", NOTES)
    assert usage.code == 2 and "--yes" in usage.err
    assert "typing `KILL` out" in usage.err and "`global`" not in usage.err  # as the screen has it
    denied = await run(ground, "kill-switch", "--notes", NOTES, "--yes", login="operator1")
    assert denied.code == 3 and denied.document["outcome"] == "refused"
    assert not denied.document["delivered"]["redis"]
    assert denied.err.count("\n") == 1 and "KILL" not in denied.out and "steps" not in denied.document

    async def said_once() -> bool:
        return (await ground.desk.actions("global")).count("DENIED") == 1

    await until(said_once, 60)
    assert "CIRCUIT_BREAKER_TRIP" not in await ground.desk.actions("global")

    done = await run(ground, "kill-switch", "--notes", NOTES, "--yes")
    found = done.document
    assert (done.code, found["verdict"], found["outcome"]) == (0, "FLAT", "done"), done.err
    assert found.keys() >= OUTCOME and found["delivered"]["redis"] and found["event_id"] == found["kill_id"]
    assert [step["outcome"] for step in found["steps"]] == ["done", "done", "done", "done", "flat"]
    named = [line.split(": ")[1] for line in done.err.splitlines()]  # each line on the way names its step
    assert set(named) <= {step["step"] for step in found["steps"]}, done.err
    assert "cockpit: acknowledged: by plant" in done.err.splitlines()
    assert (found["residuals"], found["unproved"], found["state"]) == ([], [], "OPEN")
    assert not ground.plant.venue.resting

    async def told() -> Any:
        listed = (await run(ground, "kill-switch", "status")).document["kill_switches"]
        return listed and listed[0]["finished"] and listed

    (row,) = await until_told(told)
    assert row["kill_id"] == found["kill_id"]
    assert (await ground.desk.actions("global")).count("DENIED") == 1
    nothing = await run(ground, "kill-switch", "--resume", "--yes")
    assert nothing.code == 4 and "unfinished" in nothing.err

    held = await run(ground, "half-open", "global", "--notes", NOTES, "--checked", "all", "--yes")
    assert held.code == 4 and f"cockpit kill-switch review {found['kill_id']}" in held.err
    review = await run(ground, "kill-switch", "review", found["kill_id"], "--notes", NOTES, "--yes")
    assert review.code == 4 and review.document["outcome"] == "pending", review.err
    request = review.document["event_id"]
    own = await run(ground, "approve", request, "--yes")
    assert own.code == 4 and "the same person" in own.err
    approved = await run(ground, "approve", request, "--yes", login="admin2")
    assert approved.code == 0, approved.err
    assert (await run(ground, "kill-switch", "status")).document["kill_switches"] == []
    lines = await cockpit(config_of(ground), "kill-switch", "status", "--login", "admin1")
    assert "No kill switch awaits a review" in lines.out


async def until_told(told: Any) -> Any:
    found: list[Any] = []

    async def has() -> bool:
        found[:] = await told() or []
        return bool(found)

    await until(has, 60)
    return found


async def test_what_is_left_exits_4_and_is_gone_on_with(ground: Ground) -> None:  # F12, I17
    await ground.load()
    await ground.trading.gateway.set_faults({"closed_market": 1})
    done = await run(ground, "kill-switch", "--notes", NOTES, "--yes")
    assert (done.code, done.document["verdict"], done.document["outcome"]) == (4, "RESIDUAL", "pending")
    assert {each["why"] for each in done.document["residuals"]} == {"market closed"}
    assert "NOT FLAT" in done.err
    await ground.trading.gateway.heal()
    before = (await ground.desk.actions("global")).count("DENIED")
    denied = await run(ground, "kill-switch", "--resume", "--yes", login="operator1")
    assert denied.code == 3 and denied.document["outcome"] == "refused", denied.err
    assert denied.err.count("\n") == 1 and "lacks" in denied.err

    async def recorded() -> bool:
        return (await ground.desk.actions("global")).count("DENIED") == before + 1

    await until(recorded, 60)
    again = await run(ground, "kill-switch", "--resume", "--yes", login="admin2")
    stale = [line for line in again.err.splitlines() if "market closed" in line]  # the market is open by now
    assert all("market closed (as of the earlier attempt)" in line for line in stale), again.err
    assert again.code == 0 and again.document["kill_id"] == done.document["kill_id"], again.err


async def test_without_redis_it_exits_5_and_empties_the_venue(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:  # F9
    monkeypatch.setattr("cockpit.cli.killing.PACE", BRIEF)
    await ground.load()
    mine = rest(ground, "BTC-USD", Side.BUY)
    cut = moved(config_of(ground), "cut.toml", redis=1)
    done = await run(ground, "kill-switch", "--notes", NOTES, "--yes", config=cut)
    assert (done.code, done.document["verdict"]) == (5, "UNPROVED"), done.err
    assert not done.document["delivered"]["redis"] and "Redis has not confirmed" in done.document["message"]
    assert mine not in ground.plant.venue.resting


async def test_all_orders_of_one_instrument(ground: Ground) -> None:
    words = ("--reason", NOTES, "--ticket", "OPS-7", "--yes")
    await ground.tripped(BTC)
    await ground.trading.gateway.set_faults({"cancel_failures": 1})
    mine = rest(ground, "BTC-USD", Side.BUY)
    left = await run(ground, "cancel-all", "BTC-USD", *words, login="operator1")
    assert left.code == 4 and "the venue refused the cancel" in left.err and mine in left.err
    await ground.trading.gateway.heal()
    done = await run(ground, "cancel-all", "BTC-USD", *words, login="operator1")
    assert (done.code, done.document["outcome"]) == (0, "done"), done.err
    assert mine not in ground.plant.venue.resting

    async def recorded() -> bool:
        actions = await ground.desk.actions("instrument:BTC-USD")
        return (actions.count("ORDERS_CANCELLED"), actions.count("ORDERS_CANCEL_REFUSED")) == (3, 1)

    await until(recorded, 60)
    async with ground.platform.connection() as connection:
        details = await connection.fetchval(
            "SELECT details FROM audit_log WHERE action = 'ORDERS_CANCELLED' ORDER BY seq LIMIT 1"
        )
    assert '"ticket": "OPS-7"' in details or '"ticket":"OPS-7"' in details
    asked = await run(ground, "cancel-all", "BTC-USD", *words[:-1])
    assert asked.code == 2 and "the venue shows no open order of it" in asked.err
    denied = await run(ground, "cancel-all", "BTC-USD", *words, login="monitor1")
    assert denied.code == 3
    unknown = await run(ground, "cancel-all", "XYZ", *words)
    assert unknown.code == 2 and "symbol: there is no instrument 'XYZ'" in unknown.err
    near = await run(ground, "cancel-all", "BTC", *words)
    assert near.code == 2 and "did you mean BTC-USD?" in near.err
    bad = await run(ground, "cancel-all", "BTC-USD", "--reason", NOTES, "--ticket", "no ticket", "--yes")
    assert bad.code == 2 and "--ticket" in bad.err
