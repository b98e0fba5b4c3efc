"""The resume, step by step, by the command line alone, with an authority that runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest

from tests.authority.desk import until
from tests.cli.bastion import SLOW, Bastion, manned
from tests.cli.commands import NOTES, OUTCOME, cockpit, inside, moved, trip_arguments
from tests.trading_platform import Platform

BTC = "instrument:BTC-USD"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return {**SLOW, "reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def anchored(bastion: Bastion) -> None:
    """Wait for a signed head of the chain."""
    async with bastion.platform.connection() as connection:

        async def signed() -> bool:
            return bool(await connection.fetchval("SELECT max(seq) FROM audit_anchors"))

        await until(signed)


async def test_trip_half_open_probe_close(bastion: Bastion) -> None:  # I1 I9 I10
    tripped = await bastion.trip(BTC)
    opened = await bastion.half_open(BTC)
    assert (opened.code, opened.document["state"]) == (0, "HALF_OPEN"), opened.err
    assert set(opened.document) == OUTCOME
    assert f"run its probes now: `cockpit probe {BTC}`." in opened.document["message"]
    assert opened.document["epoch"] == tripped.document["epoch"]
    early = await bastion.close(BTC)
    assert early.code == 4
    assert early.document["message"].endswith(f"has no verdict yet. Probe first: `cockpit probe {BTC}`.")
    probed = await bastion.run("probe", BTC)
    assert probed.code == 0, probed.err
    assert [each["passed"] for each in probed.document["probes"]] == [True] * 5
    closed = await bastion.close(BTC)
    assert (closed.code, closed.document["state"]) == (0, "QUIET_PERIOD"), closed.err
    assert closed.document["audit_seq"] > opened.document["audit_seq"]
    assert closed.document["evidence_link"]
    await bastion.becomes(BTC, "CLOSED")
    await anchored(bastion)
    verified = await bastion.run("audit", "verify", "--full")
    assert (verified.code, verified.document["ok"]) == (0, True), verified.err
    assert verified.document["anchors_checked"] >= 1
    history = (await bastion.run("history", BTC)).document["history"]
    assert [each["state"] for each in history[:2]] == ["CLOSED", "QUIET_PERIOD"]


async def test_failed_probes_exit_4_and_leave_it_open(bastion: Bastion) -> None:  # I9 F11
    tripped = await bastion.trip(BTC)
    opened = await bastion.half_open(BTC)
    assert opened.code == 0, opened.err
    bastion.venue.fills = False
    probed = await bastion.run("probe", BTC)
    assert (probed.code, probed.document["state"]) == (4, "OPEN")
    assert [each["name"] for each in probed.document["probes"] if not each["passed"]] == [
        "paper-order",
        "latency",
    ]
    await bastion.becomes(BTC, "OPEN")
    now = (await bastion.run("status", BTC)).document["breakers"][0]
    assert now["epoch"] == tripped.document["epoch"] + 1
    again = await bastion.run("probe", BTC)
    assert again.code == 4


async def test_another_persons_run_is_not_ones_own(bastion: Bastion) -> None:
    await bastion.trip(BTC)
    assert (await bastion.half_open(BTC, "operator2")).code == 0
    done = await bastion.run("probe", BTC)
    assert (done.code, "operator2" in done.document["message"]) == (4, True)


async def test_global_needs_a_second_person(bastion: Bastion) -> None:  # I19
    await bastion.trip("global", "admin1")
    asked = await bastion.half_open("global", "admin1")
    assert (asked.code, asked.document["outcome"]) == (4, "pending"), asked.err
    request = asked.document["event_id"]
    assert f"cockpit approve {request}" in asked.document["message"]
    assert (await bastion.run("approve", request, "--login", "admin1")).code != 0
    approved = await bastion.run("approve", request, "--login", "admin2")
    assert approved.code == 0, approved.err
    assert "admin1 runs its probes now, by `cockpit probe global`" in approved.document["message"]
    await bastion.becomes("global", "HALF_OPEN")


@pytest.mark.parametrize("login", ["monitor1", "automation1"])
async def test_a_role_that_may_not_resume_exits_3_before_any_rule(
    bastion: Bastion, login: str
) -> None:  # I22
    opened = await bastion.half_open(BTC, login)  # it is not even tripped
    assert opened.code == 3
    assert "RESET_CIRCUIT" in opened.document["message"]
    assert opened.document["audit_seq"] is not None
    for words in (("probe", BTC), ("close", BTC, "--notes", NOTES, "--yes"), ("restore",)):
        assert (await bastion.run(*words, "--login", login)).code == 3


async def test_what_is_refused_says_what_to_do(bastion: Bastion) -> None:
    closed = await bastion.half_open(BTC)
    assert (closed.code, closed.document["outcome"]) == (4, "refused")
    await bastion.trip(BTC)
    missing = await bastion.half_open(BTC, checked="root-cause")
    assert missing.code == 4
    assert "reviewed" in missing.document["message"]
    live = await bastion.half_open(BTC, checked="latency")
    assert live.code == 2
    unknown = await bastion.run("approve", str(uuid4()))
    assert unknown.code == 2
    assert (await bastion.run("approve", "no-id")).code == 2


async def test_without_an_authority_nothing_is_asked(platform: Platform) -> None:  # F24
    steps = ("half-open", BTC, "--notes", NOTES, "--checked", "all", "--yes", "--json")
    done = await cockpit(platform.config, *steps)
    assert done.code == 4
    assert "No authority is running" in done.document["message"]
    async with platform.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM requests") == 0


async def test_an_edited_entry_is_found(bastion: Bastion) -> None:  # I24 F18
    await bastion.trip(BTC)
    async with bastion.platform.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE audit_log SET user_id = 'nobody' WHERE seq = 2")
    done = await bastion.run("audit", "verify", "--full")
    assert (done.code, done.document["ok"], done.document["broken_at"]) == (6, False, 2)


async def test_a_cut_tail_is_found_by_the_signed_heads(bastion: Bastion) -> None:  # I24 F18
    await bastion.trip(BTC)
    assert (await bastion.half_open(BTC)).code == 0  # leaves a signed head
    await anchored(bastion)
    async with bastion.platform.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        newest = await connection.fetchval("SELECT max(seq) FROM audit_anchors")
        await connection.execute("DELETE FROM audit_log WHERE seq >= $1", newest)
    for more in ((), ("--full",)):
        done = await bastion.run("audit", "verify", *more)
        assert done.code == 6, done.out
        assert "cut" in done.document["message"]


async def test_an_export_holds_every_entry(bastion: Bastion) -> None:
    await bastion.trip(BTC)
    path = bastion.config.with_name("export.jsonl")
    done = await bastion.run("audit", "export", "--output", str(path))
    assert done.code == 0
    tail = (await bastion.run("audit", "tail", "--count", "3")).document["entries"]
    assert len(path.read_text().splitlines()) == done.document["entries"] >= len(tail)
    assert (await bastion.run("audit", "export", "--output", str(path))).code == 2


async def test_the_authority_runs_as_a_process_and_ends_on_sigterm(platform: Platform) -> None:
    import asyncio
    import signal
    import sys

    command = (sys.executable, "-m", "cockpit", "authority", "--config", str(platform.config))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(120):
            while b"acts" not in (line := await process.stderr.readline()):
                assert line, "it has ended before it acted"
            done = await cockpit(platform.config, *trip_arguments(BTC))
            assert done.code == 0
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_trip_in_postgres_is_applied_by_the_authority(bastion: Bastion) -> None:  # F9
    """This bastion has no way to Redis; the authority has one, and its answer says who applied the trip."""
    before = (await bastion.run("status", BTC)).document["breakers"][0]["epoch"]
    done = await inside(moved(bastion.config, "away.toml", redis=1), *trip_arguments(BTC))
    document = done.document
    assert (done.code, document["outcome"], document["state"]) == (0, "done", "OPEN"), done.out
    assert document["delivered"] == {"redis": True, "postgres": True}
    assert document["epoch"] == before + 1
    assert "Applied by the authority" in document["message"]
    async with bastion.platform.connection() as connection:
        rows = await connection.fetch(
            "SELECT seq, action, user_id FROM audit_log WHERE event_id = $1", document["event_id"]
        )
    assert [tuple(row) for row in rows] == [(document["audit_seq"], "CIRCUIT_BREAKER_TRIP", "operator1")]
    await bastion.becomes(BTC, "OPEN")


async def test_an_incident_is_acknowledged_once(bastion: Bastion) -> None:
    async with bastion.platform.connection() as connection:
        incident = str(
            await connection.fetchval(
                "INSERT INTO incidents (severity, title) VALUES ('P1', 'feed is silent')"
                " RETURNING incident_id"
            )
        )

        async def ack(login: str) -> tuple[int, str]:
            done = await bastion.run("incident", "ack", incident, "--notes", NOTES, "--login", login)
            assert set(done.document) == OUTCOME
            return done.code, done.document["message"]

        code, message = await ack("monitor1")
        assert code == 3, message
        code, message = await ack("operator1")
        assert (code, "feed is silent" in message) == (0, True), message
        row = await connection.fetchrow("SELECT status, acknowledged_by FROM incidents")
        assert tuple(row) == ("acknowledged", "operator1")
        assert (await ack("operator1"))[0] == 4
        notes = await connection.fetchval("SELECT notes FROM incident_events")
    assert notes == NOTES


async def test_restore_after_a_loss(bastion: Bastion) -> None:  # F1 I1
    await bastion.recorded(await bastion.trip("instrument:ETH-USD"))  # else its event is lost, too
    async with bastion.platform.redis_line() as line:
        await line.command("FLUSHALL")
    async with bastion.platform.connection() as connection:

        async def noticed() -> bool:
            return bool(
                await connection.fetchval(
                    "SELECT count(*) FROM audit_log WHERE action = 'STATE_LOSS_DETECTED'"
                )
            )

        await until(noticed)
    await bastion.becomes(BTC, "OPEN")
    assert (await bastion.run("restore", "--login", "operator1")).code == 3
    done = await bastion.run("restore", "--login", "admin1", "--notes", NOTES)
    assert (done.code, done.document["outcome"]) == (0, "done"), done.out
    await bastion.becomes(BTC, "CLOSED")
    await bastion.becomes("instrument:ETH-USD", "OPEN")
