"""What a login with valid keys puts where the authority reads, in order to stop it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from backends.signing import sign_command
from backends.trip_exchange import event_fields
from cockpit.authority import drain, trip_events
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, NOTES, Desk, until

EVENTS = "circuit_breaker:events"


def _term(authority: Authority) -> int:
    assert authority.means is not None
    return authority.means.lease.term


@pytest.mark.parametrize("reason", ["x\0y", "r" * 9_000, "\x1b]0;x\x07\u202e"])
async def test_no_signed_trip_ends_the_term(desk: Desk, authority: Authority, reason: str) -> None:  # I6
    await desk.becomes(BTC, State.CLOSED)
    term, event_id = _term(authority), str(uuid4())
    command = Command(Kind.TRIP, event_id, BTC, "operator1", datetime.now(UTC), reason=reason, notes=NOTES)
    store = desk.platform.redis_store("operator1")
    await store.connect()
    try:
        await store.trip(BTC, sign_command(command, desk.platform.keys["operator1"]), event_id)
    finally:
        await store.close()
    assert (await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP"))["user_id"] == "operator1"
    await desk.trip(ETH)
    assert _term(authority) == term
    async with desk.platform.connection() as connection:
        shown = await connection.fetchval(
            "SELECT title FROM incidents WHERE classification = 'other' AND dedup_key = $1",
            f"trip:{event_id}",
        )
    assert len(shown) <= 200 and shown.isprintable()  # I26


@pytest.mark.parametrize(
    "value", ['{"a":Infinity}', '{"a":"\\u0000"}', '"\\ud800"', "9" * 5_000, "[" * 60_000]
)
async def test_no_acknowledgement_of_a_gateway_ends_the_term(desk: Desk, value: str) -> None:  # I4
    async with running_authority(replace(desk.settings, gateways=("plant",))) as authority:
        await desk.becomes(BTC, State.CLOSED)
        term = _term(authority)
        async with desk.platform.redis_line("gateway") as line:
            await line.command("SET", "gate:ack:plant", value)
        for name in (ETH, BTC):  # the second is recorded in a turn after one that had read it to its end
            await desk.trip(name)
        assert _term(authority) == term
        assert authority.means is not None and "plant" in authority.means.health.gateways


async def test_a_flood_of_increments_is_recorded_in_bulk_and_keeps_nobody_else_out(
    desk: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:  # F25
    monkeypatch.setattr(drain, "FLOOD", 200)  # a tenth of all sizes, at a tenth of the work
    monkeypatch.setattr(drain, "MOST_AT_ONCE", 20)
    await desk.becomes(BTC, State.CLOSED)
    async with desk.platform.redis_line("automation1") as line:
        await line.exchange(*[("INCR", f"trip:{BTC}")] * 2_000)
    await desk.trip(ETH, "operator2")
    ahead = (await desk.actions(BTC)).count("CIRCUIT_BREAKER_TRIP")
    assert ahead < 200  # recorded one by one, 2,000 would have kept it waiting

    async def caught_up() -> bool:
        async with desk.platform.connection() as connection:
            counter = await connection.fetchval("SELECT counter FROM breakers WHERE breaker_id = $1", BTC)
        return bool(counter == (await desk.epoch(BTC)).counter)

    await until(caught_up)
    assert (await desk.actions(BTC)).count("CIRCUIT_BREAKER_TRIP") < 2_000
    async with desk.platform.connection() as connection:
        open_ones = await connection.fetchval("SELECT count(*) FROM incidents WHERE breaker_id = $1", BTC)
    assert open_ones == 1


async def test_a_flood_of_events_hides_no_signed_trip(
    desk: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:  # F25
    monkeypatch.setattr(trip_events, "STREAM_LENGTH", 1_000)
    await desk.becomes(BTC, State.CLOSED)
    at = rfc3339(datetime.now(UTC))
    forged = event_fields("e", BTC, "TRIP", "operator2", at) | {
        "payload": "{}",
        "key_id": "k",
        "signature": "s",
    }
    flat = [part for pair in forged.items() for part in pair]
    async with desk.platform.redis_line("automation1") as line:
        for _ in range(5):
            await line.exchange(*[("XADD", EVENTS, "*", *flat)] * 1_000)
    await desk.trip(BTC)  # audited under its own event, so attributed

    async def cut() -> bool:
        async with desk.platform.redis_line() as owner:
            return int(await owner.command("XLEN", EVENTS)) <= 2_100

    await until(cut)


async def test_a_used_commit_id_leaves_no_breaker_busy(desk: Desk, authority: Authority) -> None:  # I8
    await desk.becomes(BTC, State.CLOSED)
    await desk.trip(BTC)
    async with desk.platform.connection() as connection:
        used = await connection.fetchval(
            "SELECT commit_id::text FROM commits WHERE request_id IS NULL LIMIT 1"
        )
    row = await desk.ask(Kind.HALF_OPEN, BTC, request_id=used)
    assert row.status == "rejected", row.message
    assert authority.means is not None and not authority.means.in_flight
