"""What a spent budget forbids, and the ways around it that leave a trace: by the command line alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.authority.desk import until
from tests.cli.bastion import SLOW, Bastion, manned
from tests.cli.commands import NOTES, OUTCOME, Done, inside
from tests.cli.objectives import ERRORS, ORDERS, sample, write_objectives
from tests.trading_platform import Platform

BTC, ETH = "instrument:BTC-USD", "instrument:ETH-USD"
WHY = "position must be hedged before the venue closes"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {**SLOW, "reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    write_objectives(platform, orders=ORDERS, errors=ERRORS)
    await sample(platform, "order_success", 100, 100, 7_200)
    await sample(platform, "order_success", 10, 10)
    await sample(platform, "data_errors", 1, 1, value=0)
    async with manned(platform) as made:
        yield made


def moment(age_s: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()


async def spend(bastion: Bastion, age_s: float = 600) -> None:
    """Of 210 orders 60 fail, and 21 may."""
    await sample(bastion.platform, "order_success", 40, 100, age_s)
    bastion.samples_changed()
    assert (await slo(bastion))["state"] == "RED"


async def slo(bastion: Bastion) -> dict[str, Any]:
    done = await bastion.run("slo", "order-success")
    return dict(done.document["slos"][0])


async def override(bastion: Bastion, name: str, login: str, why: str = WHY) -> Done:
    return await bastion.run(
        "half-open", name, "--notes", NOTES, "--checked", "all", "--override", why, "--yes", "--login", login
    )


async def exclude(bastion: Bastion, login: str, from_s: float = 900, until_s: float = 300) -> Done:
    times = ("--from", moment(from_s), "--until", moment(until_s))
    return await bastion.run(
        "slo", "exclude", "order-success", *times, "--notes", NOTES, "--yes", "--login", login
    )


async def status(bastion: Bastion, name: str = BTC) -> dict[str, Any]:
    return dict((await bastion.run("status", name)).document)


async def share(bastion: Bastion, name: str) -> str:
    return str((await status(bastion, name))["breakers"][0]["size_share"])


async def test_a_spent_budget_refuses_a_resume(bastion: Bastion) -> None:
    await spend(bastion)
    await bastion.trip(BTC)
    done = await bastion.half_open(BTC)
    assert (done.code, done.document["outcome"]) == (4, "refused"), done.document
    assert "order-success RED" in done.document["message"]
    assert (await status(bastion))["breakers"][0]["state"] == "OPEN"


async def test_an_unknown_budget_refuses_until_it_is_known(bastion: Bastion) -> None:  # F14
    async with bastion.platform.connection() as connection:
        await connection.execute("ALTER TABLE sli_samples DISABLE TRIGGER USER")
        await connection.execute("DELETE FROM sli_samples WHERE sli = 'data_errors'")
        await connection.execute("ALTER TABLE sli_samples ENABLE TRIGGER USER")
    bastion.samples_changed()
    await bastion.trip("component:ingest")
    done = await bastion.half_open("component:ingest")
    assert done.code == 4 and "data-errors NO DATA" in done.document["message"], done.document
    await sample(bastion.platform, "data_errors", 1, 1, value=0)
    bastion.samples_changed()

    async def opened() -> bool:
        return (await bastion.half_open("component:ingest")).code == 0

    await until(opened, 60)


async def test_only_a_safety_admin_overrides_and_another_person_reviews(bastion: Bastion) -> None:  # I23
    await spend(bastion)
    await bastion.trip(BTC)
    assert (await override(bastion, BTC, "operator1")).code == 3
    short = await override(bastion, BTC, "admin1", "because")
    assert (short.code, "--override" in short.err) == (2, True)
    opened = await override(bastion, BTC, "admin1")
    assert (opened.code, opened.document["state"]) == (0, "HALF_OPEN"), opened.document
    assert set(opened.document) == OUTCOME
    [incident] = [each for each in (await status(bastion))["incidents"] if each["source"] == "override"]
    assert incident["severity"] == "P1" and incident["status"] == "open"
    assert (await bastion.run("probe", BTC, "--login", "admin1")).code == 0
    closed = await bastion.close(BTC, "admin1")
    assert (closed.code, closed.document["state"]) == (0, "QUIET_PERIOD"), closed.document
    entries = (await bastion.run("audit", "tail", "--count", "100")).document["entries"]
    assert any(WHY in each["payload"] and each["user_id"] == "admin1" for each in entries)
    await bastion.trip(ETH)
    again = await override(bastion, ETH, "admin1")
    assert again.code == 4, again.document

    async def acknowledge(login: str) -> int:
        words = ("incident", "ack", incident["incident_id"], "--notes", NOTES, "--login", login)
        return (await bastion.run(*words)).code

    assert await acknowledge("admin1") != 0
    assert (await override(bastion, ETH, "admin1")).code == 4
    assert await acknowledge("admin2") == 0
    assert (await override(bastion, ETH, "admin1")).code == 0


async def test_an_exclusion_takes_two_is_visible_and_can_be_taken_back(bastion: Bastion) -> None:  # I19
    await spend(bastion)
    asked = await exclude(bastion, "admin1")
    assert (asked.code, asked.document["outcome"]) == (4, "pending"), asked.document
    request = asked.document["event_id"]
    [waiting] = (await status(bastion))["approvals"]
    assert (waiting["request_id"], waiting["kind"]) == (request, "exclude")
    assert (await slo(bastion))["state"] == "RED"
    assert (await bastion.run("approve", request, "--login", "admin1")).code != 0
    approved = await bastion.run("approve", request, "--login", "admin2")
    assert approved.code == 0, approved.document
    found = await slo(bastion)
    assert (found["state"], found["good"], found["total"]) == ("GREEN", 110, 110)
    assert found["excluded"] == {"good": 40, "total": 100}
    document = (await bastion.run("slo")).document
    [excluded] = document["exclusions"]
    assert (excluded["login"], excluded["approved_by"], excluded["notes"]) == ("admin1", "admin2", NOTES)
    words = ("slo", "include", excluded["exclusion_id"], "--notes", NOTES, "--yes", "--login", "admin2")
    assert (await bastion.run(*words)).code == 0
    assert (await slo(bastion))["state"] == "RED"
    again = await bastion.run(*words)
    assert again.code == 4, again.document


async def test_what_cannot_be_excluded(bastion: Bastion) -> None:
    future = await exclude(bastion, "admin1", 60, -3_600)
    assert future.code == 2 and "future" in future.document["message"]
    backwards = await exclude(bastion, "admin1", 60, 120)
    assert (backwards.code, "--until" in backwards.err) == (2, True)
    times = ("--from", moment(60), "--until", moment(30), "--notes", NOTES)
    for words, wanted in (
        (("data-errors", *times, "--yes"), "no error budget"),
        (("order-sucess", *times, "--yes"), "did you mean order-success?"),
        (("order-success", *times), "--yes: missing"),
        (("order-success", "--from", "noon", *times[2:], "--yes"), "--from: 'noon'"),
        (("order-success", *times[:-1], "short", "--yes"), "at least 20"),
    ):
        done = await bastion.run("slo", "exclude", *words, "--login", "admin1")
        assert (done.code, wanted in done.document["message"]) == (2, True), done.document
        assert set(done.document) == OUTCOME


async def test_a_limit_halves_at_once_and_is_lifted_by_a_person(bastion: Bastion) -> None:
    assert await share(bastion, BTC) == "1"
    words = ("limit", BTC, "--share", "0.5", "--reason", "slippage", "--notes", NOTES, "--yes")
    done = await bastion.run(*words)
    assert (done.code, done.document["outcome"]) == (0, "done"), done.document
    assert await share(bastion, BTC) == "0.5"
    assert await share(bastion, ETH) == "1"
    [limit] = (await status(bastion))["size_limits"]
    assert (limit["breaker_id"], limit["share"], limit["source"]) == (BTC, "0.5", "person")
    assert limit["login"] == "operator1" and limit["notes"] == NOTES

    people = await inside(bastion.config, "status")
    assert f"cockpit lift {limit['limit_id']}" in people.out
    assert any(BTC in line and "SIZE 50 %" in line for line in people.out.splitlines())
    lifted = await bastion.run("lift", limit["limit_id"], "--notes", NOTES, "--yes")
    assert lifted.code == 0, lifted.document
    assert await share(bastion, BTC) == "1"
    assert (await status(bastion))["size_limits"] == []
    nothing = await bastion.run("lift", str(uuid4()), "--notes", NOTES, "--yes")
    assert nothing.code in (2, 4), nothing.document


async def test_orange_halves_what_its_breaker_contains(bastion: Bastion) -> None:
    """Of 210 orders 17 fail, and 21 may: 19 % are left."""
    await sample(bastion.platform, "order_success", 83, 100, 600)
    bastion.samples_changed()
    assert (await slo(bastion))["state"] == "ORANGE"

    async def halved() -> bool:
        return await share(bastion, BTC) == "0.5"

    await until(halved, 60)


@pytest.mark.parametrize("login", ["automation1", "monitor1"])
async def test_machines_loosen_nothing(bastion: Bastion, login: str) -> None:  # I22
    await spend(bastion)
    await bastion.trip(BTC)
    words = ("limit", ETH, "--share", "0.5", "--reason", "drill", "--notes", NOTES, "--yes")
    assert (await bastion.run(*words)).code == 0
    [limit] = (await status(bastion))["size_limits"]
    asked = await exclude(bastion, "admin1")
    attempts = [
        await override(bastion, BTC, login),
        await exclude(bastion, login),
        await bastion.run("lift", limit["limit_id"], "--notes", NOTES, "--yes", "--login", login),
        await bastion.run("approve", asked.document["event_id"], "--login", login),
        await bastion.run("slo", "include", str(uuid4()), "--notes", NOTES, "--yes", "--login", login),
    ]
    if login == "monitor1":
        attempts.append(await bastion.run(*words, "--login", login))
    assert {each.code for each in attempts[:4] + attempts[5:]} == {3}, [each.document for each in attempts]
    assert attempts[4].code != 0
    async with bastion.platform.connection() as connection:
        denied = await connection.fetchval(
            "SELECT count(*) FROM audit_log WHERE action = 'DENIED' AND user_id = $1", login
        )
    assert denied >= 4
    assert len((await status(bastion))["size_limits"]) == 1
    assert (await slo(bastion))["state"] == "RED"
