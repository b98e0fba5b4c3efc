"""Replies that are lost, sessions and scripts that vanish (F3, F16, F20)."""

from __future__ import annotations

from typing import Any

import pytest

from backends.redis_connection import Line
from cockpit.authority import faults
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.commands import Kind
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State
from tests.authority.desk import BTC, Desk, until
from tests.authority.test_interruptions import Trap


class LosesReply:
    """Drops the answer to the next EVALSHA that the server has executed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.armed = False
        exchange = Line.exchange
        guard = self

        async def losing(line: Line, *commands: Any, timeout_s: float | None = None) -> Any:
            replies = await exchange(line, *commands, timeout_s=timeout_s)
            if guard.armed and commands[0][0] == "EVALSHA" and len(commands[0]) > 15:
                guard.armed = False
                await line.close()
                raise StoreUnreachable("Redis", "the reply was lost", maybe_applied=True)
            return replies

        patch.setattr(Line, "exchange", losing)


async def _passed(desk: Desk) -> None:
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "passed")


async def test_a_lost_reply_of_the_commit_is_one_transition(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:  # I8, F3
    lost = LosesReply(monkeypatch)
    async with running_authority(desk.settings):
        await _passed(desk)
        lost.armed = True
        row = await desk.ask(Kind.CLOSE, BTC, wait_s=60)
        assert not lost.armed
        assert row.status == "done", row.message
        await desk.becomes(BTC, State.CLOSED)
        actions = await desk.actions(BTC)
        assert actions.count("CIRCUIT_BREAKER_RESET") == 1
        assert actions.count("CIRCUIT_BREAKER_RESET_VOID") == 0


async def test_the_same_request_twice_is_one_transition(desk: Desk, authority: Authority) -> None:  # I8, F3
    await _passed(desk)
    command = await desk.command(Kind.CLOSE, BTC, "operator1")
    await desk.send(command)
    await desk.send(command)
    assert (await desk.answer(command.request_id)).status == "done"
    await desk.send(command)
    await desk.becomes(BTC, State.CLOSED)
    assert (await desk.actions(BTC)).count("CIRCUIT_BREAKER_RESET") == 1
    again = await desk.ask(Kind.CLOSE, BTC)
    assert (again.status, again.code) == ("refused", "not-tripped")


async def test_forgotten_scripts_and_killed_sessions_are_survived(
    desk: Desk, authority: Authority
) -> None:  # F20
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    async with desk.platform.redis_line() as line:
        await line.command("SCRIPT", "FLUSH")
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    async with desk.platform.connection() as owner:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cockpit authority' AND datname = current_database()"
        )
    await desk.run_status(await desk.probe(BTC), "passed")
    row = await desk.ask(Kind.CLOSE, BTC)
    assert row.status == "done", row.message


async def test_a_right_that_redis_has_lost_is_an_error_and_no_success(desk: Desk) -> None:  # I7, F20
    trap = Trap(faults.AFTER_EVIDENCE)
    async with running_authority(desk.settings, trap):
        await _passed(desk)
        trap.armed = True
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)
        await until_reached(trap)
        async with desk.platform.redis_line() as line:
            await line.command("ACL", "SETUSER", "authority", "clearselectors", "-@all", "+ping", "+auth")
            try:
                trap.released.set()
                row = await desk.answer(command.request_id, wait_s=3)
                assert row.status != "done"
                assert await desk.state(BTC) in (State.HALF_OPEN, State.OPEN)
            finally:
                await line.command("ACL", "LOAD")
        row = await desk.answer(command.request_id)
        assert row.status == "void", row.message
        assert "CIRCUIT_BREAKER_RESET" not in await desk.actions(BTC)


async def until_reached(trap: Trap) -> None:
    async def reached() -> bool:
        return trap.reached.is_set()

    await until(reached)


@pytest.mark.parametrize("how", ["revoked", "expired"])
@pytest.mark.parametrize("point", [faults.BEFORE_INTENT, faults.AFTER_INTENT, faults.AFTER_EVIDENCE])
async def test_authority_that_ends_in_mid_commit_commits_nothing(desk: Desk, how: str, point: str) -> None:
    # I21, F16
    trap = Trap(point)
    async with running_authority(desk.settings, trap):
        await _passed(desk)
        trap.armed = True
        command = await desk.command(Kind.CLOSE, BTC, "operator1")
        await desk.send(command)
        await until_reached(trap)
        async with desk.platform.connection() as owner:
            await owner.execute(
                "UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'operator1'"
                if how == "revoked"
                else "UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'operator1'"
            )
        trap.released.set()
        assert (await desk.answer(command.request_id)).status in ("void", "denied", "refused")
        assert "CIRCUIT_BREAKER_RESET" not in await desk.actions(BTC)
        assert await desk.state(BTC) in (State.HALF_OPEN, State.OPEN)
