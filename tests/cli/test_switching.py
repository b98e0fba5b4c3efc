"""Modes, latches and withdrawals by the command line, with an authority that runs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from cockpit.cli.run import run
from tests.cli.bastion import Bastion, manned
from tests.cli.commands import OUTCOME, Done, cockpit, inside, moved
from tests.trading_platform import Platform

WHY = ("--reason", "the venue asked for it, see the ticket", "--yes")
TICKET = ("--ticket", "OPS-17")


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def mode(bastion: Bastion, name: str, *more: str, symbol: str = "BTC-USD") -> Done:
    return await bastion.run("mode", symbol, name, *WHY, *TICKET, *more)


async def modes(bastion: Bastion) -> dict[str, str]:
    document = (await bastion.run("switches")).document
    return {each["symbol"]: each["mode"] for each in document["symbols"]}


async def test_halt_and_back_step_by_step(bastion: Bastion) -> None:  # I2, I7
    halted = await mode(bastion, "HARD_HALT")
    assert (halted.code, set(halted.document)) == (0, OUTCOME), halted.err
    assert halted.document["message"].startswith("BTC-USD is in HARD_HALT. hard_halt:BTC-USD set, epoch 2.")
    assert "traps" in halted.document["message"] and "CANCEL_ONLY" in halted.document["message"]
    assert (await modes(bastion))["BTC-USD"] == "HARD_HALT"
    await bastion.written("hard_halt:BTC-USD")
    straight = await mode(bastion, "NORMAL")
    assert straight.code == 4 and "CANCEL_ONLY first" in straight.err
    looser = await mode(bastion, "cancel-only")
    assert looser.code == 0, looser.err
    assert looser.document["breaker_id"] == "hard_halt:BTC-USD" and looser.document["evidence_link"]
    assert looser.document["message"].startswith("BTC-USD is in CANCEL_ONLY. cancel_only:BTC-USD set, epoch")
    assert "tripped" not in looser.document["message"]
    await bastion.written("cancel_only:BTC-USD")
    listed = (await bastion.run("switches")).document
    assert [each["switch"] for each in listed["switches"] if each["set"]] == ["cancel_only:BTC-USD"]
    one = next(each for each in listed["switches"] if each["set"])
    assert one["actor"] == "operator1" and "venue asked" in one["notes"]
    found = next(each for each in listed["symbols"] if each["symbol"] == "BTC-USD")
    assert (found["mode"], found["permits"], found["latched"]) == ("CANCEL_ONLY", ["cancel"], False)
    document = (await bastion.run("status", "instrument:BTC-USD")).document
    status = document["breakers"][0]
    assert document["switches"] == [one]
    assert (status["effective_state"], status["halted_by"]) == ("OPEN", "cancel_only:BTC-USD")
    assert (await mode(bastion, "NORMAL")).code == 0
    assert set((await modes(bastion)).values()) == {"NORMAL"}
    assert (await mode(bastion, "NORMAL")).code == 4  # nothing to release
    async with bastion.platform.connection() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM audit_log WHERE target LIKE '%BTC-USD' AND payload LIKE '%OPS-17%'"
        )
    assert {json.loads(row["payload"])["kind"] for row in rows} == {"trip", "release"}
    assert {json.loads(row["payload"])["reason"] for row in rows} == {"operational", ""}


async def test_people_read_what_is_set(bastion: Bastion) -> None:
    quiet = await inside(bastion.config, "switches")
    assert "In NORMAL mode, not latched: BTC-USD, ETH-USD" in quiet.out and "permitted" in quiet.out
    await mode(bastion, "SOFT_HALT", symbol="ETH-USD")
    await bastion.written("soft_halt:ETH-USD")
    told = await inside(bastion.config, "switches")
    line = next(line for line in told.out.splitlines() if line.startswith("soft_halt:ETH-USD"))
    assert "set" in line and "operator1" in line
    assert "ETH-USD" not in next(line for line in told.out.splitlines() if line.startswith("In NORMAL"))
    refused = await bastion.run("status", "soft_halt:ETH-USD")
    assert refused.code == 2 and "cockpit switches" in refused.err
    tripped = await bastion.trip("hard_halt:ETH-USD")  # by its plain name too
    assert tripped.document["state"] == "OPEN"
    assert (await modes(bastion))["ETH-USD"] == "HARD_HALT"


async def test_withdrawals_are_a_safety_admins(bastion: Bastion) -> None:  # I18, I22
    for login in ("operator1", "automation1", "monitor1"):
        denied = await bastion.run("withdrawals", "halt", *WHY, *TICKET, "--login", login)
        assert denied.code == 3, denied.err
    halted = await bastion.run("withdrawals", "halt", *WHY, *TICKET, "--login", "admin1")
    assert (halted.code, halted.document["breaker_id"]) == (0, "withdrawals"), halted.err
    await bastion.written("withdrawals")
    assert (await bastion.run("switches")).document["withdrawals"] == {"permitted": False}
    assert (await bastion.run("withdrawals", "resume", *WHY, *TICKET)).code == 3
    resumed = await bastion.run("withdrawals", "resume", *WHY, *TICKET, "--login", "admin1")
    assert resumed.code == 0 and "resumed" in resumed.document["message"], resumed.err
    assert (await bastion.run("switches")).document["withdrawals"] == {"permitted": True}


async def test_a_latch_is_released_after_clean_cycles_only(bastion: Bastion) -> None:
    await bastion.trip("latch:BTC-USD", "automation1")
    early = await bastion.run("latch", "release", "BTC-USD", *WHY)
    assert early.code == 4 and "clean reconciliation" in early.err
    async with bastion.platform.connection() as connection:
        for _ in range(2):
            for kind in ("order", "position", "ledger"):
                await connection.execute(
                    "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
                    " VALUES ($1, 'BTC-USD', 'clean', clock_timestamp())",
                    kind,
                )
    assert (await bastion.run("latch", "release", "BTC-USD", *WHY, "--login", "automation1")).code == 3
    released = await bastion.run("latch", "release", "BTC-USD", *WHY)
    assert (released.code, released.document["state"]) == (0, "CLOSED"), released.err


WRONG = [
    (("mode", "DOGE-USD", "HARD_HALT", *WHY, *TICKET), "no instrument"),
    (
        ("mode", "BTC", "HARD_HALT", *WHY, *TICKET),
        "symbol: there is no instrument 'BTC'; did you mean BTC-USD?",
    ),
    (("latch", "release", "XLM", *WHY), "'XLM'; the catalogue has BTC-USD, ETH-USD"),
    (
        ("trip", "instrument:BTC", "--reason", "drill", "--notes", WHY[1], "--yes"),
        "did you mean instrument:BTC-USD",
    ),
    (("mode", "instrument:BTC-USD", "HARD_HALT", *WHY, *TICKET), "no instrument"),
    (("mode", "BTC-USD", "STOP", *WHY, *TICKET), "not one of NORMAL, CANCEL_ONLY"),
    (("mode", "BTC-USD", "HARD_HALT", *WHY), "--ticket"),
    (("mode", "BTC-USD", "HARD_HALT", *WHY, "--ticket", "two words"), "--ticket: ticket"),
    (("mode", "BTC-USD", "HARD_HALT", "--reason", "short", "--yes", *TICKET), "--reason: it has 5"),
    (("mode", "BTC-USD", "HARD_HALT", *WHY[:2], *TICKET), "trapped"),
    (("latch", "release", "DOGE-USD", *WHY), "no instrument"),
    (("latch", "BTC-USD", *WHY), "latch release"),
    (("withdrawals", "halt", *WHY[:2], *TICKET), "--yes: missing"),
    (("half-open", "latch:BTC-USD", "--notes", WHY[1], "--checked", "all", "--yes"), "is a switch"),
    (
        ("limit", "latch:BTC-USD", "--share", "0.5", "--reason", "drill", "--notes", WHY[1], "--yes"),
        "switch",
    ),
]


async def test_what_is_wrong_is_said_before_anything_is_done(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, says in WRONG:
        code = await asyncio.to_thread(run, [*arguments, "--json", "--config", str(platform.config)])
        told = capsys.readouterr().err
        assert code == 2 and says in told, (arguments, code, told)
    async with platform.redis_line() as line:
        counters = await line.command("MGET", *[f"trip:{name}" for name in platform.catalogue.everything])
    assert set(counters) == {b"1"}


async def test_a_halt_waits_for_no_store_but_redis(platform: Platform) -> None:  # I6, F8, F9
    await platform.open_for_trading()
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = held.getsockname()[1]
        for number, name in enumerate(("HARD_HALT", "CANCEL_ONLY"), 1):
            config = moved(platform.config, f"no-postgres-{number}.toml", postgres=closed)
            done = await cockpit(
                config, "mode", "BTC-USD", name, *WHY, *TICKET, "--json", "--login", "operator1"
            )
            if name == "HARD_HALT":
                assert (done.code, done.document["state"]) == (0, "OPEN"), done.err
                assert done.document["delivered"]["redis"] is True
            else:  # a loosening: set what it needs, release nothing
                assert done.code == 5, done.err
        config = moved(platform.config, "no-redis.toml", redis=closed)
        done = await cockpit(config, "mode", "ETH-USD", "SOFT_HALT", *WHY, *TICKET, "--json")
        assert (done.code, done.document["outcome"]) == (5, "pending"), done.err
        assert "nothing was released" in done.err
    async with platform.redis_line() as line:
        assert await line.command("GET", "trip:hard_halt:BTC-USD") == b"2"
        assert await line.command("GET", "trip:cancel_only:BTC-USD") == b"2"
