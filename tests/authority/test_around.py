"""What happens around the authority: raw clients, lost state, restarts, floods."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from backends.signing import SignedCommand, sign_command
from cockpit.authority.service import TURN_S, Authority, running_authority
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, Desk, until


async def test_a_raw_incr_is_recorded_once_as_unattributed(desk: Desk, authority: Authority) -> None:  # I2
    await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line("operator1") as line:
        await line.command("INCR", f"trip:{BTC}")
    await desk.audited_last(BTC, "CIRCUIT_BREAKER_TRIP")
    async with desk.platform.connection() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM audit_log WHERE target = $1 ORDER BY seq DESC LIMIT 1", BTC
        )
        assert row["user_id"] == "unattributed"
        incident = await connection.fetchrow("SELECT * FROM incidents WHERE breaker_id = $1", BTC)
        assert (incident["severity"], incident["source"]) == ("P1", "authority")
    event_id = await desk.trip(BTC)
    assert (await desk.actions(BTC)).count("CIRCUIT_BREAKER_TRIP") == 2
    row = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    assert row["user_id"] == "operator1"


async def test_a_replayed_or_forged_event_attributes_nothing(desk: Desk, authority: Authority) -> None:  # I22
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC, "operator1")
    async with desk.platform.redis_line("operator2") as line:
        entries = await line.command("XRANGE", "circuit_breaker:events", "-", "+")
        trip = next(fields for _, fields in reversed(entries) if b"payload" in fields)
        await line.command("XADD", "circuit_breaker:events", "*", *trip)
        await line.command("INCR", f"trip:{BTC}")

    async def twice() -> bool:
        return (await desk.actions(BTC)).count("CIRCUIT_BREAKER_TRIP") == 2

    await until(twice)
    async with desk.platform.connection() as connection:
        users = await connection.fetch(
            "SELECT user_id FROM audit_log WHERE action = 'CIRCUIT_BREAKER_TRIP' ORDER BY seq"
        )
    assert [row["user_id"] for row in users] == ["operator1", "unattributed"]


async def test_a_late_trip_is_labelled(desk: Desk, authority: Authority) -> None:  # I8
    await desk.becomes(BTC, State.CLOSED)
    command = await desk.command(
        Kind.TRIP, BTC, "operator1", reason="drill", requested_at=datetime.now(UTC) - timedelta(minutes=3)
    )
    await desk.send(command)  # by way of Postgres
    row = await desk.answer(command.request_id)
    assert row.status == "done", row.message
    entry = await desk.audited(command.request_id, "CIRCUIT_BREAKER_TRIP")
    details = json.loads(entry["details_text"])
    assert details["late"] is True
    assert await desk.state(BTC) is State.OPEN


async def test_a_hand_written_legacy_key_trips_global_within_two_seconds(
    desk: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.becomes(GLOBAL, State.CLOSED)
    before = await desk.epoch(GLOBAL)
    assert authority.means is not None
    health, looked = authority.means.health, 0
    read = authority.means.reader.read

    async def counted() -> World:
        nonlocal looked
        looked += not health.alarms
        return await read()

    monkeypatch.setattr(authority.means, "reader", SimpleNamespace(read=counted))
    async with desk.platform.redis_line("admin1") as line:
        await line.command("SET", "circuit_breaker:state", '{"state":"TRIPPED"}')
    looked = 0

    async def alarmed() -> bool:
        return [each["kind"] for each in health.alarms] == ["unaudited change"]

    await until(alarmed)
    assert looked * TURN_S < 2, "not in one of the first looks, of which there are ten a second"
    assert "UNAUDITED_CHANGE" in await desk.actions("global")

    async def mirrored() -> bool:
        async with desk.platform.redis_line() as line:
            raw = await line.command("GET", "circuit_breaker:state")
        return "event_id" in json.loads(raw)

    await until(mirrored)
    assert await desk.state(GLOBAL) is State.OPEN
    assert (await desk.epoch(GLOBAL)).counter == before.counter + 1
    assert (await desk.actions("global")).count("UNAUDITED_CHANGE") == 1


async def test_flushall_opens_everything_and_a_restore_reissues(
    desk: Desk, authority: Authority
) -> None:  # F1
    await desk.becomes(GLOBAL, State.CLOSED)
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(ETH)
    before = await desk.epoch(BTC)
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")

    async def noticed() -> bool:
        return "STATE_LOSS_DETECTED" in await desk.actions("global")

    await until(noticed)
    assert await desk.state(BTC) is State.OPEN
    assert (await desk.epoch(BTC)).counter > before.counter
    denied = await desk.ask(Kind.RESTORE, GLOBAL, "operator1")
    assert denied.status == "denied"
    row = await desk.ask(Kind.RESTORE, GLOBAL, "admin1")
    assert row.status == "done", row.message
    assert await desk.state(BTC) is State.CLOSED
    assert await desk.state(GLOBAL) is State.CLOSED
    assert await desk.state(ETH) is State.OPEN  # I1: its last trip is not restored away


async def test_a_clean_restart_is_reissued_by_itself(desk: Desk) -> None:  # F1
    async with running_authority(desk.settings):
        await desk.becomes(GLOBAL, State.CLOSED)
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(ETH)
        old = await desk.epoch(BTC)
        await asyncio.to_thread(desk.platform.valkey.stop)
        await asyncio.to_thread(desk.platform.valkey.start)
        await desk.becomes(BTC, State.CLOSED)
        await desk.becomes(GLOBAL, State.CLOSED)
        assert (await desk.epoch(BTC)).run_id != old.run_id
        await desk.audited_last(BTC, "CIRCUIT_BREAKER_RESTORE")
        assert await desk.state(ETH) is State.OPEN

        assert "STATE_LOSS_DETECTED" not in await desk.actions()
        await desk.trip(BTC)
        assert await desk.state(BTC) is State.OPEN


async def test_a_flood_delays_nobody_else(desk: Desk, authority: Authority) -> None:  # F25
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    command = await desk.command(Kind.HALF_OPEN, BTC, "operator1", checked=())
    await desk.store("operator1")
    async with desk.platform.connection("monitor1") as raw:
        rows = [(str(uuid4()), "nonsense", "0" * 16, "x") for _ in range(400)]
        await raw.executemany(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES ($1, $2, $3, $4)", rows
        )
    await desk.send(command)
    assert (await desk.answer(command.request_id)).code == "checklist"
    async with desk.platform.connection() as connection:

        async def after_it() -> int:
            return await connection.fetchval(  # type: ignore[no-any-return]
                "SELECT count(*) FROM requests WHERE login = 'monitor1' AND (decided_at IS NULL OR"
                " decided_at > (SELECT decided_at FROM requests WHERE request_id = $1))",
                command.request_id,
            )

        assert await after_it() > 100  # it was not behind them


async def test_expired_requests_are_not_served(desk: Desk) -> None:  # F24
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.trip(BTC)
    command = await desk.command(Kind.HALF_OPEN, BTC, "operator1")
    await desk.send(command)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE requests SET submitted_at = submitted_at - interval '2 minutes'")
    async with running_authority(desk.settings):
        assert (await desk.answer(command.request_id)).status == "expired"
        assert await desk.state(BTC) is State.OPEN


async def test_a_stranger_signed_document_never_counts_and_a_broken_chain_blocks(
    desk: Desk, authority: Authority
) -> None:  # F18, I24
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    await desk.break_chain(authority)
    row = await desk.ask(Kind.HALF_OPEN, BTC)
    assert (row.status, row.code) == ("refused", "audit-broken")


async def test_a_pending_trip_in_postgres_forbids_loosening(desk: Desk, authority: Authority) -> None:  # F9
    await desk.becomes(ETH, State.CLOSED)
    await desk.trip(ETH)
    command = await desk.command(Kind.TRIP, BTC, "operator1", reason="drill", checked=())
    signed: SignedCommand = sign_command(command, desk.platform.keys["operator1"])
    await desk.send(command, signed=signed)
    assert (await desk.answer(command.request_id)).status == "done"
    assert await desk.state(BTC) is State.OPEN
    for _ in range(6):  # one login's trips by way of Postgres never use up its turns
        again = await desk.command(Kind.TRIP, BTC, "operator1", reason="drill", checked=())
        await desk.send(again)
        assert (await desk.answer(again.request_id, wait_s=3)).status == "done"
