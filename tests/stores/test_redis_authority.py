"""The compare-and-set and what else only the authority may do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backends.redis_authority import AuthorityRedis, AuthorityView, Change, CommitReply, HistoryEntry, Seen
from backends.redis_connection import Line
from backends.redis_replies import EVENTS_KEY, HISTORY_KEY, LEGACY_KEY, TERM_KEY
from backends.redis_store import RedisStore
from backends.signing import SigningKey, canonical, sign_document
from backends.trip_exchange import event_fields
from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId
from cockpit.domain.refusals import StoreCannotWrite, StoreUnreachable
from cockpit.domain.states import State
from tests.stores.conftest import RedisDesk
from tests.stores.redis_documents import close_everything, document, signed_trip
from tests.stores.test_redis_connection import mute_proxy

BTC = BreakerId("instrument:BTC-USD")
PERSON = SigningKey.generate()
TERM = 5
EVENT = event_fields("e1", BTC, "CLOSE", "operator1", "2025-01-01T00:00:00Z")


@pytest.fixture
async def authority(desk: RedisDesk, owner: Line) -> AsyncIterator[AuthorityRedis]:
    await close_everything(owner, desk.catalogue, desk.key)
    await owner.command("SCRIPT", "FLUSH")
    authority = AuthorityRedis(desk.url("authority"), desk.catalogue, ["plant"])
    assert await authority.take_term(TERM)
    yield authority
    await authority.close()


def seen(view: AuthorityView, desk: RedisDesk, breaker_id: BreakerId = BTC, term: int = TERM) -> Seen:
    return Seen.of(view, desk.catalogue, breaker_id, term)


async def commit(authority: AuthorityRedis, desk: RedisDesk, base: Seen, within_s: float = 30) -> CommitReply:
    new = document(desk.catalogue, base.breaker_id, base.run_id, int(base.counter or 1), State.QUIET_PERIOD)
    deadline = datetime.now(UTC) + timedelta(seconds=within_s)
    entry = HistoryEntry(datetime.now(UTC), canonical({"event_id": "e1", "breaker_id": base.breaker_id}))
    return await authority.commit(base, deadline, sign_document(new, desk.key), None, entry, EVENT)


async def values(owner: Line) -> list[bytes | None]:
    keys = [f"{kind}:{name}" for kind in ("trip", "breaker") for name in (BTC, EXECUTION, GLOBAL)]
    return list(await owner.command("MGET", *keys, LEGACY_KEY, TERM_KEY))


async def test_a_commit_applies_all_of_it_once(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # I8
    base = seen(await authority.read_all(), desk)
    assert await commit(authority, desk, base) == CommitReply(True)
    assert await commit(authority, desk, base) == CommitReply(False, "document")
    store = RedisStore(desk.url("monitor1"), desk.catalogue, desk.keyring)
    snapshot = await store.snapshot()
    assert snapshot.readings[BTC].state is State.QUIET_PERIOD
    assert [(event.event_id, event.kind) for event in snapshot.events] == [("e1", "CLOSE")]
    assert [entry["event_id"] for entry in await store.history(BTC, 5)] == ["e1"]
    await store.close()


@pytest.mark.parametrize(
    ("interference", "why"),
    [
        (("INCR", f"trip:{BTC}"), "counter"),
        (("DEL", f"trip:{BTC}"), "counter"),
        (("SET", f"trip:{BTC}", "01"), "counter"),
        (("SET", f"breaker:{BTC}", "x"), "document"),
        (("DEL", f"breaker:{BTC}"), "document"),
        (("SET", LEGACY_KEY, '{"state":"TRIPPED"}'), "legacy"),
        (("DEL", LEGACY_KEY), "legacy"),
        (("SET", LEGACY_KEY, ""), "legacy"),
        (("INCR", "trip:global"), "ancestor"),
        (("INCR", f"trip:{EXECUTION}"), "ancestor"),
        (("SET", f"breaker:{EXECUTION}", "x"), "ancestor"),
        (("DEL", "breaker:global"), "ancestor"),
        (("SET", TERM_KEY, "6"), "term"),
        (("DEL", TERM_KEY), "term"),
        (("FLUSHALL",), "term"),
    ],
)
async def test_a_commit_on_old_ground_is_refused(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line, interference: tuple[str, ...], why: str
) -> None:  # I2, I3, F1, F5, F6
    base = seen(await authority.read_all(), desk)
    await owner.command(*interference)
    before = await values(owner)
    assert await commit(authority, desk, base) == CommitReply(False, why)
    assert await values(owner) == before
    assert await owner.command("EXISTS", HISTORY_KEY, EVENTS_KEY) == 0


async def test_of_several_commits_each_stands_for_itself(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # I2, I8, F20
    await owner.command("SCRIPT", "FLUSH")
    view = await authority.read_all()
    names = (BTC, BTC, BreakerId("instrument:ETH-USD"))
    ends = datetime.now(UTC) + timedelta(seconds=30)
    changes = []
    for name in names:
        new = document(desk.catalogue, name, view.run_id, 1, State.QUIET_PERIOD)
        entry = HistoryEntry(datetime.now(UTC), canonical({"event_id": "e1", "breaker_id": name}))
        changes.append(Change(seen(view, desk, name), ends, sign_document(new, desk.key), None, entry, EVENT))
    said = await authority.commit_all(changes)
    assert said == [CommitReply(True), CommitReply(False, "document"), CommitReply(True)]
    assert await owner.command("XLEN", EVENTS_KEY) == 2
    again = await authority.commit_all(changes)
    assert again == [CommitReply(False, "document")] * 3


async def test_a_commit_for_another_server_is_refused(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # F2
    base = seen(await authority.read_all(), desk)
    before = await values(owner)
    assert await commit(authority, desk, replace(base, run_id="0" * 40)) == CommitReply(False, "server")
    desk.server.stop()
    desk.server.start()
    assert await commit(authority, desk, base) == CommitReply(False, "server")
    assert await values(owner) == before


async def test_a_late_commit_is_refused_by_the_servers_clock(
    authority: AuthorityRedis, desk: RedisDesk
) -> None:  # F23
    base = seen(await authority.read_all(), desk)
    assert await commit(authority, desk, base, within_s=-0.001) == CommitReply(False, "deadline")


async def test_an_older_authority_can_commit_nothing(
    authority: AuthorityRedis, desk: RedisDesk
) -> None:  # F23
    base = seen(await authority.read_all(), desk)
    assert await authority.take_term(TERM + 1)
    assert not await authority.take_term(TERM)
    assert await commit(authority, desk, base) == CommitReply(False, "term")
    assert await commit(authority, desk, replace(base, term=TERM + 1)) == CommitReply(True)


async def test_a_trip_that_races_a_commit_always_wins(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # I3, F5
    store = RedisStore(desk.url("operator1"), desk.catalogue, desk.keyring)
    for turns in range(40):
        base = seen(await authority.read_all(), desk)
        signed, event_id = signed_trip(BTC, PERSON)
        racing = asyncio.create_task(commit(authority, desk, base))
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        await store.trip(BTC, signed, event_id)
        await racing
        assert (await store.snapshot()).readings[BTC].state is State.OPEN
    await store.close()


async def test_a_lost_reply_commits_once(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # I8, F3
    base = seen(await authority.read_all(), desk)
    await commit(authority, desk, replace(base, term=1))  # loads the script
    async with mute_proxy(desk.server.port, b"EVALSHA") as port:
        cut = AuthorityRedis(f"redis://authority:authority-secret@127.0.0.1:{port}/0", desk.catalogue)
        with pytest.raises(StoreUnreachable) as caught:
            await commit(cut, desk, base)
        await cut.close()
    assert caught.value.maybe_applied
    assert await owner.command("XLEN", EVENTS_KEY) == 1
    assert await commit(authority, desk, base) == CommitReply(False, "document")


async def test_a_flushed_script_cache_costs_nothing(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # F20
    for _ in range(3):
        await owner.command("SCRIPT", "FLUSH")
        base = seen(await authority.read_all(), desk)
        assert (await commit(authority, desk, base)).ok
    assert await owner.command("XLEN", EVENTS_KEY) == 3


@pytest.mark.parametrize("poison", [EVENTS_KEY, HISTORY_KEY])
async def test_a_spoilt_record_stops_no_commit(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line, poison
) -> None:  # F26
    await owner.command("SET", poison, "x")
    assert (await commit(authority, desk, seen(await authority.read_all(), desk))).ok
    store = RedisStore(desk.url("monitor1"), desk.catalogue, desk.keyring)
    assert (await store.snapshot()).readings[BTC].state is State.QUIET_PERIOD
    await store.close()


async def test_a_full_redis_commits_nothing(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # F26
    base = seen(await authority.read_all(), desk)
    await commit(authority, desk, replace(base, term=1))
    before = await values(owner)
    await owner.command("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreCannotWrite, match="memory is full"):
            await commit(authority, desk, base)
    finally:
        await owner.command("CONFIG", "SET", "maxmemory", "0")
    assert await values(owner) == before


async def test_only_an_open_document_is_written_without_proof(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:
    base = seen(await authority.read_all(), desk)
    for state in (State.CLOSED, State.HALF_OPEN, State.QUIET_PERIOD):
        raw = sign_document(document(desk.catalogue, BTC, base.run_id, 1, state), desk.key)
        assert await authority.write_open_document(base, raw) == CommitReply(False, "not-open")
    raw = sign_document(document(desk.catalogue, BTC, base.run_id, 1, State.OPEN), desk.key)
    await owner.command("INCR", f"trip:{BTC}")
    assert await authority.write_open_document(base, raw) == CommitReply(False, "counter")
    base = seen(await authority.read_all(), desk)
    raw = sign_document(document(desk.catalogue, BTC, base.run_id, 2, State.OPEN), desk.key)
    assert await authority.write_open_document(replace(base, term=4), raw) == CommitReply(False, "term")
    assert await authority.write_open_document(base, raw) == CommitReply(True)
    assert await owner.command("GET", f"breaker:{BTC}") == raw


async def test_the_legacy_key_follows_the_document_that_was_seen(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:
    await owner.command("DEL", LEGACY_KEY)
    base = seen(await authority.read_all(), desk, GLOBAL)
    assert await authority.mirror_legacy(base, b'{"a":1}') == CommitReply(True)
    assert await authority.mirror_legacy(base, b'{"a":2}') == CommitReply(False, "legacy")
    await owner.command("INCR", "trip:global")
    base = replace(base, legacy=b'{"a":1}')
    assert await authority.mirror_legacy(base, b'{"a":2}') == CommitReply(False, "counter")
    with pytest.raises(ValueError, match="only global"):
        await authority.mirror_legacy(seen(await authority.read_all(), desk, BTC), b"{}")


async def test_counters_are_only_raised(authority: AuthorityRedis, owner: Line) -> None:  # I2, F1
    assert await authority.raise_counter(BTC, 41) == 42
    for by in (0, -1):
        with pytest.raises(ValueError, match="only ever raised"):
            await authority.raise_counter(BTC, by)
    assert (await authority.trip(BTC, EVENT)).epoch.counter == 43


async def test_everything_is_read_at_once(authority: AuthorityRedis, desk: RedisDesk, owner: Line) -> None:
    await owner.command("SET", "gate:ack:plant", "ack")
    view = await authority.read_all()
    assert view.counters == dict.fromkeys(desk.catalogue.everything, b"1")
    assert view.acks == {"plant": b"ack"}
    assert view.term == b"5"
    assert view.facts.durable
    assert not view.facts.promoted
    assert view.facts.role == "master"
    assert view.facts.faults == ()
    assert view.run_id == await authority.run_id()


@pytest.mark.parametrize("trim", [(), ("MAXLEN", 0)])
async def test_a_stuck_stream_is_found_and_rebuilt(
    authority: AuthorityRedis, owner: Line, trim
) -> None:  # F26
    assert not await authority.stream_stuck()
    await authority.add_event(EVENT)
    assert not await authority.stream_stuck()
    await owner.command("XADD", EVENTS_KEY, *trim, "18446744073709551615-18446744073709551615", "a", "b")
    assert await authority.stream_stuck()
    with pytest.raises(StoreUnreachable):
        await authority.add_event(EVENT)
    await authority.rebuild_stream([EVENT, EVENT])
    assert not await authority.stream_stuck()
    assert [event.event_id for event in await authority.read_events("0-0", 0.01)] == ["e1", "e1"]


async def test_history_keeps_one_of_equal_members(authority: AuthorityRedis, owner: Line) -> None:
    entry = HistoryEntry(datetime.now(UTC), canonical({"event_id": "e1"}))
    await authority.add_history(entry)
    await authority.add_history(entry)
    assert [json.loads(member) for member in await owner.command("ZRANGE", HISTORY_KEY, 0, -1)] == [
        {"event_id": "e1"}
    ]


async def test_no_commit_is_lost_by_a_crash(
    authority: AuthorityRedis, desk: RedisDesk, owner: Line
) -> None:  # F1
    assert (await commit(authority, desk, seen(await authority.read_all(), desk))).ok
    before = await values(owner)
    desk.server.kill()
    desk.server.start()
    assert await values(owner) == before
