"""Clocks and limits in time: the stores' count, and every one binds (F15, F17)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backends.signing import sign_command
from cockpit.authority import faults
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.states import State
from cockpit.operations import resume
from cockpit.operations.outcomes import Outcome
from cockpit.operations.resume import ResumePorts, Wish
from tests.authority.desk import ALL, BTC, ETH, LONG_S, NOTES, UNHURRIED, Desk, until
from tests.authority.test_interruptions import Trap
from tests.cli.commands import cockpit

SOL = BreakerId("instrument:SOL-USD")


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    """Resets so far apart that a second one is too early however slow the machine is."""
    return {**UNHURRIED, "reset_interval_s": LONG_S, "quiet_period_s": 1.5}


async def _redis_time(desk: Desk) -> datetime:
    async with desk.platform.redis_line() as line:
        seconds, micros = await line.command("TIME")
    return datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)


async def _quiet_until(desk: Desk, name: BreakerId) -> datetime:
    async with desk.platform.connection() as connection:
        told = await connection.fetchval(
            "SELECT details ->> 'quiet_until' FROM audit_log"
            " WHERE target = $1 AND action = 'CIRCUIT_BREAKER_QUIET_END_INTENT'",
            name,
        )
    return parse_rfc3339(told)


@pytest.mark.parametrize("off", [timedelta(hours=1), timedelta(hours=-1)], ids=["ahead", "behind"])
async def test_a_bastion_an_hour_off_resumes_nothing_earlier(
    desk: Desk, authority: Authority, off: timedelta
) -> None:  # I13, F15
    """Its clock is a claim in the request and nothing else."""
    await desk.becomes(BTC, State.CLOSED)
    await desk.becomes(ETH, State.CLOSED)
    store = desk.platform.redis_store("operator1")
    key = desk.platform.keys["operator1"]
    ports = ResumePorts(
        store, await desk.store("operator1"), lambda command: sign_command(command, key), desk.settings.limits
    )

    async def ask(kind: Kind, name: BreakerId) -> Outcome:
        return await resume.ask(Wish(kind, name, NOTES, ALL), ports, datetime.now(UTC) + off)

    for name in (BTC, ETH):
        await desk.trip(name)
        assert (await ask(Kind.HALF_OPEN, name)).word == "done"
        await desk.run_status(await desk.probe(name), "passed")
    before = await _redis_time(desk)
    assert (await ask(Kind.CLOSE, BTC)).word == "done"
    after = await _redis_time(desk)
    refused = await ask(Kind.CLOSE, ETH)
    assert (refused.word, "reset" in refused.message) == ("refused", True)
    await desk.becomes(BTC, State.CLOSED)
    ended = await _redis_time(desk)
    quiet_until = await _quiet_until(desk, BTC)  # as its end recorded it: by then nobody could still read it
    assert before <= quiet_until - timedelta(seconds=1.5) <= after
    assert ended >= quiet_until
    await store.close()


async def test_stores_whose_clocks_differ_loosen_nothing(desk: Desk) -> None:  # I13
    limits = replace(desk.settings.limits, max_clock_skew_s=-1)  # however near they are, it is too far
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
    async with running_authority(replace(desk.settings, limits=limits)):
        row = await desk.ask(Kind.HALF_OPEN, BTC)
        assert (row.status, row.code) == ("refused", "clocks-differ"), row.message
        assert await desk.state(BTC) is State.OPEN
        await desk.trip(BTC)  # I6


async def test_three_terminals_at_once_close_one(desk: Desk, authority: Authority) -> None:  # I12, F17
    names = (BTC, ETH, SOL)
    for name in names:
        await desk.becomes(name, State.CLOSED)
        await desk.trip(name)
        assert (await desk.ask(Kind.HALF_OPEN, name)).status == "done"
        await desk.run_status(await desk.probe(name), "passed")
    people = ("operator1", "operator2", "admin1")
    done = await asyncio.gather(
        *(
            cockpit(
                desk.platform.config, "close", name, "--notes", NOTES, "--yes", "--json", "--login", login
            )
            for name, login in zip(names, people, strict=True)
        )
    )
    assert sorted(each.code for each in done) == [0, 4, 4], [each.out for each in done]
    assert [each.document["message"].startswith("One reset") for each in done].count(True) == 2
    async with desk.platform.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM reset_slots") == 1


async def test_the_limit_survives_a_new_authority_and_a_restart(desk: Desk) -> None:  # I12, F17
    async with running_authority(desk.settings):
        for name in (BTC, ETH):
            await desk.becomes(name, State.CLOSED)
            await desk.trip(name)
            assert (await desk.ask(Kind.HALF_OPEN, name)).status == "done"
            await desk.run_status(await desk.probe(name), "passed")
        assert (await desk.ask(Kind.CLOSE, BTC)).status == "done"
    async with running_authority(desk.settings):
        row = await desk.ask(Kind.CLOSE, ETH)
        assert row.code == "rate-limited", row.message


async def test_what_stood_in_line_past_its_deadline_is_not_committed(desk: Desk) -> None:  # I8, F23
    """The commit deadline counts from the request, not from when its turn came."""
    limits = replace(desk.settings.limits, commit_deadline_s=3.0)
    trap = Trap(faults.BEFORE_INTENT)
    async with running_authority(replace(desk.settings, limits=limits), trap):
        for name in (BTC, ETH):
            await desk.becomes(name, State.CLOSED)
            await desk.trip(name)
        trap.armed = True
        first = await desk.command(Kind.HALF_OPEN, BTC, "operator1")
        await desk.send(first)
        await asyncio.wait_for(trap.reached.wait(), 30)
        second = await desk.command(Kind.HALF_OPEN, ETH, "operator2")
        await desk.send(second)

        async def old() -> bool:
            async with desk.platform.connection() as connection:
                return bool(
                    await connection.fetchval(
                        "SELECT clock_timestamp() - submitted_at > interval '3.1 s' FROM requests"
                        " WHERE request_id = $1::uuid",
                        second.request_id,
                    )
                )

        await until(old)
        trap.released.set()
        assert (await desk.answer(first.request_id)).status == "void"
        assert (await desk.answer(second.request_id)).status == "refused"
        for name in (BTC, ETH):
            assert await desk.state(name) is State.OPEN
