"""Reading and tripping breakers with a person's login."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from backends.fast_trip import FastTrip
from backends.redis_connection import Line
from backends.redis_replies import EVENTS_KEY, HISTORY_KEY, LEGACY_KEY
from backends.redis_store import RedisStore
from backends.signing import SigningKey
from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, UnknownBreaker
from cockpit.domain.commands import parse_command
from cockpit.domain.documents import Epoch
from cockpit.domain.refusals import Refused, StoreCannotWrite, StoreUnreachable
from cockpit.domain.states import State
from tests.stores.conftest import RedisDesk
from tests.stores.redis_documents import close_everything, document, put, signed_trip

BTC = BreakerId("instrument:BTC-USD")
ETH = BreakerId("instrument:ETH-USD")
PERSON = SigningKey.generate()
LARGEST_ID = "18446744073709551615-18446744073709551615"


@pytest.fixture
async def store(desk: RedisDesk) -> AsyncIterator[RedisStore]:
    store = RedisStore(desk.url("operator1"), desk.catalogue, desk.keyring)
    await store.connect()
    yield store
    await store.close()


async def test_an_empty_redis_is_all_open(store: RedisStore) -> None:  # I4, F1
    snapshot = await store.snapshot()
    assert {reading.state for reading in snapshot.readings.values()} == {State.OPEN}
    assert {state.halted_by for state in snapshot.effective.values()} == {GLOBAL}
    assert snapshot.events == ()
    assert not snapshot.legacy_ok


async def test_signed_documents_of_the_epoch_close(store: RedisStore, owner: Line, desk: RedisDesk) -> None:
    run_id = await close_everything(owner, desk.catalogue, desk.key)
    snapshot = await store.snapshot()
    assert {reading.state for reading in snapshot.readings.values()} == {State.CLOSED}
    assert {state.state for state in snapshot.effective.values()} == {State.CLOSED}
    assert snapshot.run_id == run_id
    assert snapshot.legacy_ok
    assert abs((snapshot.server_time - snapshot.observed_at).total_seconds()) < 2
    assert tuple(snapshot.readings) == desk.catalogue.everything


async def test_a_trip_opens_what_stands_below(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:  # I2, I5
    run_id = await close_everything(owner, desk.catalogue, desk.key)
    signed, event_id = signed_trip(EXECUTION, PERSON)
    receipt = await store.trip(EXECUTION, signed, event_id)
    assert receipt.epoch == Epoch(run_id, 2)
    assert receipt.event_delivered
    assert receipt.note is None
    snapshot = await store.snapshot()
    assert snapshot.effective[BTC].state is State.OPEN
    assert snapshot.effective[BTC].halted_by == EXECUTION
    assert snapshot.effective[ETH].state is State.CLOSED
    event = snapshot.events[0]
    assert (event.event_id, event.breaker_id, event.kind, event.login) == (
        event_id,
        EXECUTION,
        "TRIP",
        "operator1",
    )
    assert (event.payload, event.signature) == (signed.payload, signed.signature)
    assert parse_command(json.loads(event.payload)).request_id == event_id


async def test_a_hand_written_legacy_key_halts_all(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:  # I4
    await close_everything(owner, desk.catalogue, desk.key)
    assert (await store.snapshot()).effective[BTC].state is State.CLOSED
    mirrored = await owner.command("GET", LEGACY_KEY)
    for value in (b'{"state":"TRIPPED"}', b'{"state":"OPEN"}', b"", b"[" * 9_999, None):
        await owner.command(*(("SET", LEGACY_KEY, value) if value is not None else ("DEL", LEGACY_KEY)))
        snapshot = await store.snapshot()
        assert not snapshot.legacy_ok
        assert {state.state for state in snapshot.effective.values()} == {State.OPEN}
        assert {state.halted_by for state in snapshot.effective.values()} == {GLOBAL}
        assert "circuit_breaker:state" in str(snapshot.readings[GLOBAL].doubt)
        assert (await store.snapshot()).readings is snapshot.readings
    await owner.command("SET", LEGACY_KEY, mirrored)
    assert (await store.snapshot()).effective[BTC].state is State.CLOSED


async def test_what_did_not_change_is_the_same_object(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:
    await close_everything(owner, desk.catalogue, desk.key)
    first = await store.snapshot()
    second = await store.snapshot()
    assert second.readings is first.readings
    assert second.effective is first.effective
    await owner.command("INCR", f"trip:{BTC}")
    third = await store.snapshot()
    assert third.readings[BTC].state is State.OPEN
    same = [name for name in desk.catalogue.everything if third.readings[name] is first.readings[name]]
    assert set(same) == set(desk.catalogue.everything) - {BTC}
    assert third.effective[ETH] is first.effective[ETH]
    assert third.effective[BTC].halted_by == BTC


async def test_half_open_ends_by_the_servers_clock_alone(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:  # I11
    run_id = await close_everything(owner, desk.catalogue, desk.key)
    deadline = datetime.now(UTC) + timedelta(seconds=3)
    await put(owner, document(desk.catalogue, BTC, run_id, 1, State.HALF_OPEN, deadline), desk.key)
    snapshot = await store.snapshot()
    assert snapshot.readings[BTC].state is State.HALF_OPEN
    assert (await store.snapshot()).readings[BTC] is snapshot.readings[BTC]
    async with asyncio.timeout(30):
        while (snapshot := await store.snapshot()).readings[BTC].state is State.HALF_OPEN:
            assert snapshot.server_time < deadline
    assert snapshot.server_time >= deadline
    assert snapshot.readings[BTC].state is State.OPEN


async def test_a_new_server_halts_everything(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:  # I1, F1, F2
    await close_everything(owner, desk.catalogue, desk.key)
    assert (await store.snapshot()).effective[BTC].state is State.CLOSED
    desk.server.stop()
    with pytest.raises(StoreUnreachable):
        await store.snapshot()
    desk.server.start()
    snapshot = await store.snapshot()
    assert {reading.state for reading in snapshot.readings.values()} == {State.OPEN}
    assert "another Redis server" in str(snapshot.readings[BTC].doubt)


async def test_the_first_trip_after_a_restart_goes_through(store: RedisStore, desk: RedisDesk) -> None:  # F20
    signed, event_id = signed_trip(BTC, PERSON)
    await store.trip(BTC, signed, event_id)
    desk.server.stop()
    desk.server.start()
    signed, event_id = signed_trip(BTC, PERSON)
    assert (await store.trip(BTC, signed, event_id)).epoch.counter == 2


async def test_a_mistyped_name_is_never_done(store: RedisStore, owner: Line) -> None:
    signed, event_id = signed_trip(BTC, PERSON)
    with pytest.raises(UnknownBreaker):
        await store.trip(BreakerId("instrument:BTCUSD"), signed, event_id)
    assert await owner.command("EXISTS", "trip:instrument:BTCUSD") == 0


async def test_a_denied_trip_says_so(store: RedisStore, owner: Line, desk: RedisDesk) -> None:  # I22
    signed, event_id = signed_trip(GLOBAL, PERSON)
    with pytest.raises(Refused, match="denies") as caught:
        await store.trip(GLOBAL, signed, event_id)
    assert caught.value.refusal.exit_code == 3
    with FastTrip(desk.url("operator1")) as trips, pytest.raises(Refused, match="denies"):
        trips.trip(GLOBAL, signed, event_id, "operator1", "2025-01-01T00:00:00Z")
    assert await owner.command("EXISTS", "trip:global") == 0


async def test_a_denied_event_does_not_stop_the_trip(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:  # I6
    await owner.command("ACL", "SETUSER", "operator1", "clearselectors", "(+incr ~trip:instrument:*)")
    signed, event_id = signed_trip(BTC, PERSON)
    receipt = await store.trip(BTC, signed, event_id)
    assert receipt.epoch.counter == 1
    assert not receipt.event_delivered
    assert "not delivered" in str(receipt.note)
    with FastTrip(desk.url("operator1")) as trips:
        fast = trips.trip(BTC, signed, event_id, "operator1", "2025-01-01T00:00:00Z")
    assert (fast.epoch.counter, fast.event_delivered) == (2, False)


async def test_no_trip_is_lost_by_a_crash(store: RedisStore, desk: RedisDesk) -> None:  # I2
    """Servers with a bug lose what was written in a transaction when `default` has no rights."""
    for counter in (1, 2, 3):
        signed, event_id = signed_trip(BTC, PERSON)
        assert (await store.trip(BTC, signed, event_id)).epoch.counter == counter
        desk.server.kill()
        desk.server.start()
    assert [event.kind for event in (await store.snapshot()).events] == ["TRIP"] * 3


@pytest.mark.parametrize("trim", [(), ("MAXLEN", 0)])
async def test_a_poisoned_stream_does_not_stop_the_trip(
    store: RedisStore, owner: Line, desk: RedisDesk, trim
) -> None:  # F26
    await owner.command("XADD", EVENTS_KEY, *trim, LARGEST_ID, "kind", "\x1b[2J")
    signed, event_id = signed_trip(BTC, PERSON)
    receipt = await store.trip(BTC, signed, event_id)
    assert receipt.epoch.counter == 1
    assert not receipt.event_delivered
    with FastTrip(desk.url("operator1")) as trips:
        assert trips.trip(BTC, signed, event_id, "operator1", "x").epoch.counter == 2
    snapshot = await store.snapshot()
    assert all("\x1b" not in event.kind for event in snapshot.events)  # I26


async def test_a_stream_that_is_none_spoils_no_reading(
    store: RedisStore, owner: Line, desk: RedisDesk
) -> None:
    await close_everything(owner, desk.catalogue, desk.key)
    await owner.command("SET", EVENTS_KEY, "x")
    snapshot = await store.snapshot()
    assert snapshot.effective[BTC].state is State.CLOSED
    assert "unreadable" in str(snapshot.stream_note)


async def test_a_full_redis_is_named(store: RedisStore, owner: Line, desk: RedisDesk) -> None:  # F26
    await owner.command("CONFIG", "SET", "maxmemory", "1")
    signed, event_id = signed_trip(BTC, PERSON)
    try:
        with pytest.raises(StoreCannotWrite, match="memory is full"):
            await store.trip(BTC, signed, event_id)
        with (
            FastTrip(desk.url("operator1")) as trips,
            pytest.raises(StoreCannotWrite, match="memory is full"),
        ):
            trips.trip(BTC, signed, event_id, "operator1", "x")
        await store.snapshot()
    finally:
        await owner.command("CONFIG", "SET", "maxmemory", "0")
    assert await owner.command("EXISTS", f"trip:{BTC}") == 0


@pytest.mark.parametrize("value", ["x", "9223372036854775807"])
async def test_a_counter_that_takes_no_incr_is_named(store: RedisStore, owner: Line, value: str) -> None:
    await owner.command("SET", f"trip:{BTC}", value)
    signed, event_id = signed_trip(BTC, PERSON)
    with pytest.raises(StoreCannotWrite, match="takes no INCR"):
        await store.trip(BTC, signed, event_id)
    assert (await store.snapshot()).readings[BTC].state is State.OPEN


async def test_a_lost_login_is_named(store: RedisStore, owner: Line) -> None:  # F26
    await owner.command("ACL", "DELUSER", "operator1")
    signed, event_id = signed_trip(BTC, PERSON)
    with pytest.raises(StoreCannotWrite, match="does not accept this login"):
        await store.trip(BTC, signed, event_id)


async def test_a_replica_takes_no_trip(store: RedisStore, owner: Line) -> None:
    await owner.command("REPLICAOF", "127.0.0.1", 1)
    signed, event_id = signed_trip(BTC, PERSON)
    try:
        with pytest.raises(StoreUnreachable):
            await store.trip(BTC, signed, event_id)
    finally:
        await owner.command("REPLICAOF", "NO", "ONE")


async def test_events_wake_the_reader_also_after_a_rebuild(store: RedisStore, owner: Line) -> None:
    waiting = asyncio.create_task(store.wait_events("0-0", 5))
    signed, event_id = signed_trip(BTC, PERSON)
    await store.trip(BTC, signed, event_id)
    first = await waiting
    assert [event.event_id for event in first] == [event_id]
    assert await store.wait_events(first[-1].entry_id, 0.01) == []
    await owner.command("XADD", EVENTS_KEY, LARGEST_ID, "kind", "x")
    last = (await store.wait_events(first[-1].entry_id, 5))[-1].entry_id
    assert last == LARGEST_ID
    await owner.command("DEL", EVENTS_KEY)
    await owner.command("XADD", EVENTS_KEY, "*", "event_id", "after")
    assert [event.event_id for event in await store.wait_events(last, 5)] == ["after"]


async def test_history_is_read_newest_first(store: RedisStore, owner: Line) -> None:
    for score, member in enumerate(
        ({"breaker_id": BTC, "n": 1}, {"breaker_id": ETH, "n": 2}, {"breaker_id": BTC, "n": 3})
    ):
        await owner.command("ZADD", HISTORY_KEY, score, json.dumps(member))
    await owner.command("ZADD", HISTORY_KEY, 99, "not json")
    assert [entry["n"] for entry in await store.history(BTC, 5)] == [3, 1]
    assert [entry["n"] for entry in await store.history(None, 3)] == [3, 2]


async def test_the_fast_trip_finds_its_audit_entry(owner: Line, desk: RedisDesk) -> None:
    signed, event_id = signed_trip(BTC, PERSON)
    with FastTrip(desk.url("operator1")) as trips:
        assert trips.whoami() == "operator1"
        receipt = trips.trip(BTC, signed, event_id, "operator1", "2025-01-01T00:00:00Z")
        assert (receipt.epoch.counter, receipt.event_delivered) == (1, True)
        assert trips.audited(event_id, wait_s=0.02) is None
        await owner.command("ZADD", HISTORY_KEY, 1, json.dumps({"event_id": event_id, "audit_seq": 7}))
        assert trips.audited(event_id) == {"event_id": event_id, "audit_seq": 7}


async def test_an_unreachable_redis_is_named_and_shows_no_password(desk: RedisDesk) -> None:  # I27
    url = "redis://operator1:the-password@127.0.0.1:1/0"
    store = RedisStore(url, desk.catalogue, desk.keyring)
    signed, event_id = signed_trip(BTC, PERSON)
    with pytest.raises(StoreUnreachable) as caught:
        await store.trip(BTC, signed, event_id)
    assert not caught.value.maybe_applied
    assert "the-password" not in str(caught.value) + repr(store)
    with FastTrip(url) as trips, pytest.raises(StoreUnreachable) as fast:
        trips.trip(BTC, signed, event_id, "operator1", "x")
    assert not fast.value.maybe_applied
    for bad in ("http://u:the-password@h", "the-password", "redis://u:the-password@h:port/0"):
        with pytest.raises(ValueError, match="redis_url") as refused:
            RedisStore(bad, desk.catalogue, desk.keyring)
        assert "the-password" not in str(refused.value)
