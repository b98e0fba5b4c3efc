"""Rights that end between an approval and the commit that rests on it: nothing is committed (I21)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cockpit.authority import faults
from cockpit.authority.means import Means
from cockpit.authority.reanchor import Reanchoring
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.states import State
from cockpit.operations.signed_heads import target_of
from tests.authority.budgets import Scripted, authority_with
from tests.authority.desk import BTC, Desk, until
from tests.authority.test_exclusions import approve as approve_exclusion
from tests.authority.test_exclusions import exclude, stretch
from tests.authority.test_exclusions import rows as excluded
from tests.authority.test_incident_changes import ack, opened, story
from tests.authority.test_interruptions import Trap
from tests.authority.test_kill import approve, kill, review, rows
from tests.authority.test_reanchor import damage, head_of
from tests.authority.test_releases import means_of

# Ended by the owner's hand, or run out by itself; each is taken back for the next case.
REVOKED = "UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = $1"
EXPIRED = "UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = $1"
DEMOTED = "UPDATE role_grants SET role = 'operator-act' WHERE login = $1"
READS_ONLY = "UPDATE role_grants SET role = 'monitoring-read' WHERE login = $1"
RESTORED = (
    "UPDATE role_grants SET revoked_at = NULL, expires_at = NULL, role = 'safety-admin' WHERE login = $1"
)
ENDS = (REVOKED, EXPIRED, DEMOTED)
_BLOCKED = "SELECT true FROM pg_locks WHERE relation = 'kill_switches'::regclass AND NOT granted LIMIT 1"


@asynccontextmanager
async def held_before_its_commit(desk: Desk) -> AsyncIterator[Any]:
    """Keep the authority from reading `kill_switches`, which a review does after its approval is recorded
    and before its own transaction begins. Gives what waits until it stands there."""
    connect = desk.platform.connection
    async with connect() as owner, connect() as locker, locker.transaction():
        await locker.execute("LOCK TABLE kill_switches IN ACCESS EXCLUSIVE MODE")

        async def stands() -> None:
            await until(lambda: owner.fetchval(_BLOCKED))

        yield stands


async def trapped(desk: Desk, trap: Trap, command: Command, ends: str, login: str) -> RequestRow:
    """Send it, and end the rights of `login` where the trap stands; what became of it."""
    trap.armed = True
    trap.reached.clear()
    trap.released.clear()
    await desk.send(command)
    await asyncio.wait_for(trap.reached.wait(), 60)
    async with desk.platform.connection() as owner:
        await owner.execute(ends, login)
        trap.released.set()
        row = await desk.answer(command.request_id, command.login)
        await owner.execute(RESTORED, login)
    return row


async def ended_in_line(desk: Desk, means: Means, command: Command, ends: str) -> RequestRow:
    """Send it, and end its sender's rights once they were read and it stands in line."""

    async def in_line() -> bool:
        return command.request_id in means.in_hand

    async with desk.platform.connection() as owner:
        async with means.loosening:
            await desk.send(command)
            await until(in_line)
            await owner.execute(ends, command.login)
        row = await desk.answer(command.request_id, command.login)
        await owner.execute(RESTORED, command.login)
    return row


async def unreviewed(desk: Desk) -> bool:
    (row,) = await rows(desk, "kill_switches")
    held = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    told = "KILL_SWITCH_REVIEWED" in await desk.actions(GLOBAL)
    return held.code == "kill-switch-unreviewed" and row["reviewed_at"] is None and not told


async def test_a_review_of_a_kill_switch_commits_under_nobodys_ended_rights(  # I17, I19, I21
    desk: Desk, authority: Authority
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    kill_id = await kill(desk)
    async with desk.platform.connection() as owner:
        for login, code, status in (("admin1", "revoked", "denied"), ("admin2", "approval-void", "refused")):
            for ends in ENDS:
                asked = await review(desk, kill_id)
                assert asked.status == "awaiting_approval"
                yes = await desk.command(Kind.APPROVE, GLOBAL, "admin2", target=asked.request_id)
                async with held_before_its_commit(desk) as stands:
                    await desk.send(yes)
                    await stands()
                    await owner.execute(ends, login)
                approved = await desk.answer(yes.request_id, "admin2")
                row = await desk.answer(asked.request_id, "admin1")
                wanted = ("denied", "denied") if ends is DEMOTED and login == "admin1" else (status, code)
                assert (row.status, row.code) == wanted, (login, ends, row.message)
                assert approved.status != "done", (login, ends, approved.message)
                await owner.execute(RESTORED, login)
                assert await unreviewed(desk), (login, ends)


async def test_nobody_approves_what_somebody_asked_for_who_may_no_longer(  # I17, I21
    desk: Desk, authority: Authority
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    asked = await review(desk, await kill(desk))
    async with desk.platform.connection() as owner:
        for ends in ENDS:
            await owner.execute(ends, "admin1")
            row = await approve(desk, asked)
            assert (row.status, row.code) == ("refused", "approval-void"), (ends, row.message)
            await owner.execute(RESTORED, "admin1")
            await owner.execute(ends, "admin2")
            row = await approve(desk, asked)
            assert row.status == "denied", (ends, row.message)
            await owner.execute(RESTORED, "admin2")
            assert await unreviewed(desk), ends
    assert (await approve(desk, asked)).status == "done"


async def test_an_incident_changes_under_nobodys_ended_rights(desk: Desk) -> None:  # I21, I22
    """Its acknowledgement, which clears a resume's way, and every other change."""
    trap = Trap(faults.BEFORE_INCIDENT)
    async with running_authority(desk.settings, trap):
        incident = await opened(desk, login="admin1")
        for kind in (Kind.ACKNOWLEDGE, Kind.INCIDENT):
            for ends in (REVOKED, EXPIRED, READS_ONLY):
                await _unchanged(desk, trap, kind, incident, ends)
        assert (await ack(desk, incident, "admin1")).status == "done"


async def _unchanged(desk: Desk, trap: Trap, kind: Kind, incident: str, ends: str) -> None:
    target = incident if kind is Kind.ACKNOWLEDGE else json.dumps({"incident_id": incident})
    command = await desk.command(kind, GLOBAL, "admin1", target=target, reason="note", epoch=None, checked=())
    row = await trapped(desk, trap, command, ends, "admin1")
    wanted = "denied" if ends is READS_ONLY else "revoked"
    assert (row.status, row.code) == ("denied", wanted), (kind, ends, row.message)
    found = await story(desk, incident)
    assert found.row.status == "open" and [event.kind for event in found.events] == ["opened"], (kind, ends)


async def test_an_exclusion_is_made_and_taken_back_under_nobodys_ended_rights(  # I19, I21
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = Trap("objectives")
    async with authority_with(desk, Scripted()) as authority:
        means = await means_of(authority)
        read = means.objectives.fresh

        async def fresh() -> SloSnapshot | None:  # which comes between the approval and its commit
            await trap("objectives")
            return await read()

        monkeypatch.setattr(means.objectives, "fresh", fresh)
        await desk.becomes(EXECUTION, State.CLOSED)
        for login, code in (("admin1", "revoked"), ("admin2", "approval-void")):
            for ends in (REVOKED, DEMOTED):
                asked = await exclude(desk, stretch())
                yes = await desk.command(Kind.APPROVE, EXECUTION, "admin2", target=asked.request_id)
                approved = await trapped(desk, trap, yes, ends, login)
                assert approved.status != "done", (login, ends)
                row = await desk.answer(asked.request_id, "admin1")
                wanted = "denied" if ends is DEMOTED and login == "admin1" else code
                assert row.code == wanted and row.status in ("denied", "refused"), (login, ends, row.message)
                assert not await excluded(desk)
        asked = await exclude(desk, stretch())
        assert (await approve_exclusion(desk, asked)).status == "done"
        for ends, code in ((REVOKED, "revoked"), (DEMOTED, "denied")):
            back = await desk.command(Kind.INCLUDE, EXECUTION, "admin2", target=asked.request_id)
            row = await ended_in_line(desk, means, back, ends)
            assert (row.status, row.code) == ("denied", code), (ends, row.message)
            (found,) = await excluded(desk)
            assert found["reverted_at"] is None


async def test_damage_is_accepted_under_nobodys_ended_rights(  # I19, I21, I24
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both halves were found good; then the chain's verification took its time."""
    await damage(desk)
    trap, record = Trap("record"), Reanchoring._record

    async def held(of: Reanchoring, *halves: Any) -> None:
        await trap("record")
        await record(of, *halves)

    monkeypatch.setattr(Reanchoring, "_record", held)
    async with running_authority(desk.settings):
        blocked = await desk.ask(Kind.HALF_OPEN, BTC)
        assert blocked.code == "audit-broken", blocked.message
        target = target_of(await head_of(desk))
        first = await desk.ask(Kind.REANCHOR, GLOBAL, "admin1", target=target)
        assert first.status == "awaiting_approval", first.message
        for login in ("admin1", "admin2"):
            for ends, code in ((REVOKED, "revoked"), (EXPIRED, "revoked"), (DEMOTED, "denied")):
                second = await desk.command(Kind.REANCHOR, GLOBAL, "admin2", target=target)
                row = await trapped(desk, trap, second, ends, login)
                assert (row.status, row.code) == ("denied", code), (login, ends, row.message)
                assert login in (row.message or "")
                assert "CHAIN_REANCHORED" not in await desk.actions(GLOBAL), (login, ends)
        again = await desk.ask(Kind.REANCHOR, GLOBAL, "admin2", target=target)
        assert again.status == "done", again.message
