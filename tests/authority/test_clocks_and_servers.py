"""Clocks that differ, runs whose time is up, other servers, documents and streams written by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from backends.redis_authority import Change, CommitReply
from backends.signing import SigningKey, read_document, sign_document
from cockpit.authority.service import Authority, running_authority
from cockpit.authority.world import World, WorldReader
from cockpit.config import Settings
from cockpit.demo.servers import Valkey
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Document
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, LONG_S, Desk, until


@pytest.fixture
def limits() -> Mapping[str, object]:
    return {"reset_interval_s": 1, "quiet_period_s": LONG_S}


@dataclass(slots=True)
class Shifted:
    """Redis as read through a clock that is off."""

    reader: WorldReader
    by: timedelta

    async def read(self) -> World:
        world = await self.reader.read()
        return replace(world, view=replace(world.view, server_time=world.view.server_time + self.by))


@pytest.mark.parametrize("by_s", [-90.0, 90.0])
async def test_clocks_that_differ_refuse_every_loosening(
    desk: Desk, authority: Authority, by_s: float
) -> None:  # I13, F15
    await desk.becomes(BTC, State.CLOSED)
    assert authority.means is not None
    straight = authority.means.reader
    authority.means.reader = Shifted(straight, timedelta(seconds=by_s))  # type: ignore[assignment]
    await desk.trip(BTC)  # a trip does not ask for the time
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert (row.status, row.code) == ("refused", "clocks-differ")
    assert "differ by" in (row.message or "")
    authority.means.reader = straight
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"


@pytest.mark.parametrize("limits", [{"run_deadline_s": 2}])
async def test_an_abandoned_run_trips_again_at_its_deadline(desk: Desk, authority: Authority) -> None:
    # I10, I11, F11
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    before = await desk.epoch(BTC)  # which the run keeps until its deadline
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"

    async def tripped() -> bool:
        return (await desk.epoch(BTC)).counter == before.counter + 1

    await until(tripped)
    await desk.becomes(BTC, State.OPEN)

    async def recorded() -> bool:
        return "PROBES_FAILED" in await desk.actions(BTC)

    await until(recorded)
    async with desk.platform.connection() as connection:
        run = await connection.fetchrow("SELECT status, verdict FROM probe_runs")
    assert run["status"] == "abandoned"
    assert "no probe reported before the deadline" in run["verdict"]
    assert (await desk.ask(Kind.CLOSE, BTC)).code == "wrong-state"


@pytest.mark.parametrize("limits", [{"close_window_s": 2}])
async def test_a_passed_run_that_nobody_closes_trips_at_the_windows_end(
    desk: Desk, authority: Authority
) -> None:  # I10, I11
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    before = await desk.epoch(BTC)
    assert (await desk.ask(Kind.HALF_OPEN, BTC)).status == "done"
    await desk.run_status(await desk.probe(BTC), "abandoned")
    assert "PROBES_PASSED" in await desk.actions(BTC)

    async def tripped() -> bool:
        return (await desk.epoch(BTC)).counter == before.counter + 1

    await until(tripped)
    assert await desk.state(BTC) is State.OPEN
    assert (await desk.ask(Kind.CLOSE, BTC)).status == "refused"


@pytest.mark.parametrize("what", ["nonsense", "another key", "never committed"])
async def test_a_document_written_by_hand_halts_and_is_alarmed(
    desk: Desk, authority: Authority, what: str
) -> None:  # I4, I22
    await desk.becomes(BTC, State.CLOSED)
    before = await desk.epoch(BTC)
    async with desk.platform.redis_line() as line:
        raw = await line.command("GET", f"breaker:{BTC}")
        document = read_document(raw, desk.platform.keyring)
        assert isinstance(document, Document)
        forged = replace(document, version=document.version + 1, actor="owner")
        key = SigningKey.generate() if what == "another key" else desk.platform.authority_key
        written = b"CLOSED" if what == "nonsense" else sign_document(forged, key)
        await line.command("SET", f"breaker:{BTC}", written)

    async def recorded() -> bool:
        return "UNAUDITED_CHANGE" in await desk.actions(BTC)

    async def alarmed() -> bool:
        return [each["breaker_id"] for each in _alarms(authority)] == [BTC]

    await until(recorded)
    await desk.becomes(BTC, State.OPEN)
    assert (await desk.epoch(BTC)).counter == before.counter + 1
    await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
    assert (await desk.actions(BTC)).count("UNAUDITED_CHANGE") == 1
    await until(alarmed)
    assert await desk.state(ETH) is State.CLOSED


async def test_a_restored_quiet_period_keeps_its_end(desk: Desk) -> None:  # I13, F1
    async def quiet() -> datetime | None:
        async with desk.platform.redis_line() as line:
            document = read_document(await line.command("GET", f"breaker:{BTC}"), desk.platform.keyring)
        assert isinstance(document, Document)
        assert document.state is State.QUIET_PERIOD
        return document.quiet_until

    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        assert (await desk.resume(BTC)).status == "done"
        ends, old = await quiet(), await desk.epoch(BTC)
        await asyncio.to_thread(desk.platform.valkey.stop)
        await asyncio.to_thread(desk.platform.valkey.start)
        await desk.becomes(BTC, State.QUIET_PERIOD)
        assert (await desk.epoch(BTC)).run_id != old.run_id
        assert await quiet() == ends


@pytest.mark.parametrize("audited", [True, False])
async def test_a_failover_that_lacks_the_last_trip_grants_nothing(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, audited: bool
) -> None:  # I1, F2
    primary = desk.platform.valkey
    with Valkey(tmp_path_factory.mktemp("replica")) as replica:
        async with running_authority(desk.settings):
            await desk.becomes(BTC, State.CLOSED)
            await desk.trip(ETH)
            assert (await desk.ask(Kind.HALF_OPEN, ETH)).status == "done"
            await follow(replica, primary)
            await promote(replica)  # from here on it hears of nothing
            if audited:
                await desk.trip(BTC)
        if not audited:
            async with desk.platform.redis_line("operator1") as line:
                await line.command("INCR", f"trip:{BTC}")
        known = await desk.epoch(BTC)
        await copy_users(primary, replica)
        moved = pointed_at(desk.settings, primary, replica)
        other = Desk(replace_settings(desk.platform, moved), moved, desk.venue)
        async with running_authority(moved):

            async def noticed() -> bool:
                return "STATE_LOSS_DETECTED" in await desk.actions("global")

            await until(noticed)
            async with other.platform.redis_line() as line:
                assert not audited or int(await line.command("GET", f"trip:{BTC}")) > known.counter
            for name in (BTC, ETH, GLOBAL):
                assert await other.state(name) is State.OPEN
            row = await other.ask(Kind.CLOSE, ETH)  # the old server's run
            assert row.status == "refused"
            row = await other.ask(Kind.RESTORE, GLOBAL, "admin1")
            assert row.status == "done", row.message
            # Nobody watched while the servers changed: a trip that is in no audit log may be lost.
            assert {await other.state(name) for name in (GLOBAL, BTC)} == {State.OPEN}
        await other.close()


async def test_a_stream_that_takes_no_entry_is_rebuilt(desk: Desk, authority: Authority) -> None:  # F26
    await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line("operator1") as line:  # who may trip may write any id
        largest = f"{2**64 - 1}-{2**64 - 1}"
        await line.command("XADD", "circuit_breaker:events", largest, "kind", "TRIP")

    async def audited() -> bool:
        return "UNAUDITED_CHANGE" in await desk.actions("events")

    async def alarmed() -> bool:
        return any("took no entry" in each["message"] for each in _alarms(authority))

    await until(audited)
    await until(alarmed)
    event_id = await desk.trip(BTC)  # attributed: its event is in the stream again
    row = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    assert row["user_id"] == "operator1"
    assert (await desk.actions("events")).count("UNAUDITED_CHANGE") == 1


async def test_a_flood_of_expired_requests_is_one_entry_for_each_login(desk: Desk) -> None:  # F24, F25
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
    asked = [await desk.command(Kind.HALF_OPEN, BTC, "operator1") for _ in range(12)]
    asked.append(await desk.command(Kind.HALF_OPEN, BTC, "operator2"))
    for command in asked:
        await desk.send(command)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE requests SET submitted_at = submitted_at - interval '2 minutes'")
    async with running_authority(desk.settings):
        for command in asked:
            row = await desk.answer(command.request_id, command.login)
            assert (row.status, row.audit_seq is None) == ("expired", False)
    async with desk.platform.connection() as owner:
        rows = await owner.fetch("SELECT details_text FROM audit_log WHERE action = 'EXPIRED' ORDER BY seq")
    counts = {each["login"]: each["count"] for each in map(json.loads, (row[0] for row in rows))}
    assert counts == {"operator1": 12, "operator2": 1}
    assert len(rows) == 2


async def test_an_approval_that_a_trip_voids_is_recorded(desk: Desk, authority: Authority) -> None:  # I20
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(GLOBAL, "admin1")
    row = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    assert row.status == "awaiting_approval", row.message
    event_id = await desk.trip(GLOBAL, "admin2")
    voided = await desk.answer(row.request_id, "admin1")
    assert voided.status == "void"
    entry = await desk.audited(event_id, "APPROVAL_VOID")
    assert json.loads(entry["details_text"])["requests"] == [row.request_id]
    assert voided.audit_seq == entry["seq"]


async def test_an_approval_that_nobody_gives_expires_on_record(desk: Desk, authority: Authority) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.trip(GLOBAL, "admin1")
    row = await desk.ask(Kind.HALF_OPEN, GLOBAL, "admin1")
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE requests SET expires_at = clock_timestamp()")
    await desk.audited(row.request_id, "EXPIRED")
    assert (await desk.answer(row.request_id, "admin1")).status == "expired"


async def test_a_grant_that_ends_ends_the_deadline_of_the_commit(desk: Desk) -> None:  # I21
    reached: list[datetime] = []
    limits = replace(desk.settings.limits, commit_deadline_s=6 * LONG_S)  # the grant's end comes first

    async with running_authority(replace(desk.settings, limits=limits)) as authority:
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
        async with desk.platform.connection() as owner:
            ends = await owner.fetchval(
                "UPDATE role_grants SET expires_at = clock_timestamp() + interval '10 minutes'"
                " WHERE login = 'operator1' RETURNING expires_at"
            )
        assert authority.means is not None
        redis = authority.means.redis
        plain = redis.commit_all

        async def noted(changes: Sequence[Change]) -> list[CommitReply | Refused]:
            (deadline,) = (change.deadline for change in changes)
            reached.append(deadline)
            now = await redis.time()  # as if it had slept until the grant has ended
            return await plain([replace(change, deadline=now) for change in changes])

        redis.commit_all = noted  # type: ignore[method-assign]
        row = await desk.ask(Kind.HALF_OPEN, BTC)
        assert row.status == "void"
        assert abs(reached[0] - ends) < timedelta(seconds=LONG_S / 2)
        assert await desk.state(BTC) is State.OPEN


async def test_a_trip_takes_effect_before_its_audit_row_and_that_before_its_history(
    desk: Desk, authority: Authority
) -> None:  # I6, I24
    await desk.becomes(BTC, State.CLOSED)
    order: list[str] = []

    async def fault(point: str) -> None:
        if point == "after-trip-audit":
            order.append((await desk.state(BTC)).value)
            async with desk.platform.connection() as owner:
                count = "SELECT count(*) FROM audit_log WHERE action = 'CIRCUIT_BREAKER_TRIP'"
                order.append(f"rows {await owner.fetchval(count)}")
            async with desk.platform.redis_line() as line:
                members = await line.command("ZREVRANGE", "circuit_breaker:history", "0", "0")
            order.append(json.loads(members[0])["state"])

    assert authority.means is not None
    authority.means.fault = fault
    await desk.trip(BTC)
    await until(lambda: _long(order, 3))
    assert order == ["OPEN", "rows 1", "CLOSED"]


def _alarms(authority: Authority) -> list[dict[str, str]]:
    assert authority.means is not None
    return authority.means.health.alarms


async def _long(found: list[str], size: int) -> bool:
    return len(found) >= size


async def _raw(server: Valkey, *words: str) -> Any:
    from backends.redis_connection import Line

    line = Line(server.owner_url)
    try:
        return await line.command(*words)
    finally:
        await line.close()


async def follow(replica: Valkey, primary: Valkey) -> None:
    """Make `replica` follow until it is in step."""
    await _raw(replica, "CONFIG", "SET", "masteruser", "owner")
    await _raw(replica, "CONFIG", "SET", "masterauth", primary.owner_password)
    await _raw(replica, "REPLICAOF", "127.0.0.1", str(primary.port))

    async def in_step() -> bool:
        return b"master_link_status:up" in await _raw(replica, "INFO", "replication")

    await until(in_step)


async def promote(replica: Valkey) -> None:
    await _raw(replica, "REPLICAOF", "NO", "ONE")


async def copy_users(primary: Valkey, replica: Valkey) -> None:
    for rule in await _raw(primary, "ACL", "LIST"):
        words = rule.decode().split()
        if words[1] not in ("default", "owner"):
            await _raw(replica, "ACL", "SETUSER", words[1], "reset", *_rules(rule.decode()))


def _rules(text: str) -> list[str]:
    """The rules of one line of ACL LIST; a selector in parentheses is one of them."""
    rules: list[str] = []
    for word in text.split()[2:]:
        if rules and rules[-1].startswith("(") and not rules[-1].endswith(")"):
            rules[-1] += f" {word}"
        else:
            rules.append(word)
    return rules


def pointed_at(settings: Settings, primary: Valkey, replica: Valkey) -> Settings:
    """The same settings with the other server's address."""
    logins = {}
    for name, login in settings.logins.items():
        url = replica.owner_url if name == "owner" else login.redis_url
        moved = (url or "").replace(f":{primary.port}/", f":{replica.port}/")
        logins[name] = replace(login, redis_url=moved.replace(f":{primary.port}", f":{replica.port}"))
    return replace(settings, logins=logins)


def replace_settings(platform: Any, settings: Settings) -> Any:
    return replace(platform, settings=settings)
