"""Postgres through a cockpit's login."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest

from backends.audit_log import append, recorded
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Identity, Role
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from tests.trading_platform import PEOPLE, Platform

BTC = BreakerId("instrument:BTC-USD")


@dataclass(frozen=True)
class Signed:
    payload: bytes = b'{"kind":"half_open"}'
    key_id: str = "0123456789abcdef"
    signature: str = "c2ln"


@pytest.fixture
async def store(platform: Platform):
    store = platform.postgres_store("operator1")
    yield store
    await store.close()


@pytest.mark.parametrize("login", [*PEOPLE])
async def test_identity_is_the_sessions(platform: Platform, login: str) -> None:
    store = platform.postgres_store(login)
    assert await store.identity() == Identity(login, f"person:{login}", PEOPLE[login])
    await store.close()


@pytest.mark.parametrize(
    "ending",
    [
        "UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'operator1'",
        "UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'operator1'",
        "UPDATE role_grants SET granted_at = clock_timestamp() + interval '1 hour' WHERE login = 'operator1'",
        "UPDATE operators SET revoked_at = clock_timestamp() WHERE login = 'operator1'",
    ],
)
async def test_an_ended_grant_is_no_identity(platform: Platform, store, ending: str) -> None:  # I21
    await store.identity()
    async with platform.connection() as owner:
        await owner.execute(ending)
    with pytest.raises(Refused) as refused:
        await store.identity()
    assert refused.value.refusal.code is Code.REVOKED


async def test_two_logins_of_one_person(platform: Platform) -> None:  # I19
    await platform.add_login("night1", Role.MONITORING_READ, "person:operator1")
    store = platform.postgres_store("night1")
    assert await store.identity() == Identity("night1", "person:operator1", Role.MONITORING_READ)
    assert (await store.snapshot()).persons["night1"] == "person:operator1"
    await store.close()


async def test_a_request_goes_in_once_however_often_it_is_sent(store) -> None:  # I8
    request_id = str(uuid4())
    await asyncio.gather(*(store.submit(Signed(), request_id) for _ in range(5)))
    row = await store.outcome(request_id)
    assert (row.status, row.login, row.payload, row.open) == (
        "new",
        "operator1",
        Signed().payload.decode(),
        True,
    )
    assert await store.queue_length() == 1
    with pytest.raises(Refused) as refused:
        await store.submit(Signed(payload=b"{}"), request_id)
    assert refused.value.refusal.code is Code.MALFORMED


async def test_an_oversized_request_is_refused(store) -> None:  # F25
    with pytest.raises(Refused) as refused:
        await store.submit(Signed(payload=b"x" * 20_000), str(uuid4()))
    assert refused.value.refusal.code is Code.MALFORMED


async def test_closing_after_the_server_dropped_us_is_quiet(platform: Platform, store) -> None:  # F20
    await store.connect()
    async with platform.connection() as owner:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'operator1'"
        )
    await store.close()


async def test_an_unknown_request_says_so(store) -> None:
    with pytest.raises(Refused) as refused:
        await store.outcome(str(uuid4()))
    assert refused.value.refusal.code is Code.UNKNOWN


async def test_an_outcome_wakes_its_waiter(platform: Platform, store) -> None:
    request_id = str(uuid4())
    await store.submit(Signed(), request_id)
    waiting = asyncio.create_task(store.await_outcome(request_id, 10))
    async with platform.connection("authority") as authority:
        await authority.execute(
            "UPDATE requests SET status = 'done', outcome = "
            '\'{"outcome": "done"}\', decided_at = clock_timestamp()'
        )
        await authority.execute("SELECT pg_notify('cockpit_outcome', $1)", request_id)
    row = await waiting
    assert (row.status, row.outcome) == ("done", {"outcome": "done"})


async def test_an_outcome_is_found_without_any_notice(platform: Platform, store) -> None:  # F20
    request_id = str(uuid4())
    await store.submit(Signed(), request_id)
    waiting = asyncio.create_task(store.await_outcome(request_id, 10))
    async with platform.connection("authority") as authority:
        await authority.execute("UPDATE requests SET status = 'refused', code = 'checklist'")
    assert (await waiting).code == "checklist"


async def test_waiting_ends_at_its_time_with_what_is_known(store) -> None:
    request_id = str(uuid4())
    await store.submit(Signed(), request_id)
    assert (await store.await_outcome(request_id, 0.15)).status == "new"


async def test_a_notice_is_heard_and_a_killed_listener_comes_back(platform: Platform, store) -> None:  # F20
    await store.wait_notice(0)
    async with platform.connection() as owner:
        await store.wait_notice(0.01)
        await owner.execute("NOTIFY cockpit_change")
        assert await store.wait_notice(30)
        assert not await store.wait_notice(0.05)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cockpit listen'"
        )
        async with asyncio.timeout(30):
            while not await store.wait_notice(
                0.1
            ):  # listening again counts as a notice: something was missed
                pass
        await owner.execute("NOTIFY cockpit_change")
        assert await store.wait_notice(30)


async def test_the_inbox_notifies_the_authority(platform: Platform, store) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with platform.connection("authority") as authority:
        await authority.add_listener("cockpit_inbox", lambda *call: heard.put_nowait(call[3]))
        await store.submit(Signed(), str(uuid4()))
        assert await asyncio.wait_for(heard.get(), 30) == "requests"
        await store.record_probe_result(str(uuid4()), 0, "latency", True, 1.5, "fine", Signed())
        assert await asyncio.wait_for(heard.get(), 30) == "probe_results"


async def test_a_cancelled_query_drops_its_connection_and_confuses_nobody(
    platform: Platform, store
) -> None:  # F4
    for delay in (0, 0.0005, 0.001, 0.002):
        asking = asyncio.create_task(store.snapshot())
        await asyncio.sleep(delay)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert (await store.identity()).login == "operator1"


async def test_a_killed_connection_is_reported_once_and_opened_again(
    platform: Platform, store
) -> None:  # F20
    await store.connect()
    async with platform.connection() as owner:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'operator1'"
        )
    try:
        await store.identity()
    except StoreUnreachable:
        async with asyncio.timeout(30):
            while True:
                try:
                    await store.identity()
                    return
                except StoreUnreachable:
                    await asyncio.sleep(0)


async def test_no_server_is_unreachable_and_tells_no_password(platform: Platform) -> None:  # I27
    from backends.postgres_store import PostgresStore

    for dsn in (
        "postgresql://operator1:hunter2@127.0.0.1:1/x",
        "postgresql://operator1:hunter2@no.invalid/x",
    ):
        store = PostgresStore(dsn)
        with pytest.raises(StoreUnreachable) as refused:
            await store.identity()
        assert "hunter2" not in str(refused.value)
        begin = time.perf_counter()
        with pytest.raises(StoreUnreachable):
            await store.identity()
        assert time.perf_counter() - begin < 10


async def test_a_wrong_password_is_no_outage(platform: Platform) -> None:
    from backends.postgres_store import PostgresStore

    dsn = platform.login("operator1").postgres_dsn
    store = PostgresStore(dsn.replace("operator1:", "operator1:x"))
    with pytest.raises(Refused) as refused:
        await store.connect()
    assert refused.value.refusal.code is Code.REVOKED


async def test_the_snapshot_of_a_fresh_platform(platform: Platform, store) -> None:
    desk = await store.snapshot()
    assert set(desk.breakers) == set(platform.catalogue.everything)
    assert {row.state for row in desk.breakers.values()} == {"OPEN"}
    assert {row.counter for row in desk.breakers.values()} == {1}
    assert desk.lease is None
    assert (desk.head.seq, [row.action for row in desk.audit]) == (6, ["OPERATOR_ADDED"] * 6)
    assert (desk.requests, desk.runs, desk.incidents, desk.orders, desk.queue) == ((), (), (), (), 0)
    assert desk.persons["admin1"] == "person:admin1"
    assert (desk.roles["admin1"], desk.roles["monitor1"]) == (("safety-admin",), ("monitoring-read",))


async def test_the_snapshot_shows_each_table(platform: Platform, store) -> None:
    run_id, request_id = uuid4(), str(uuid4())
    await store.submit(Signed(), request_id)
    await store.record_probe_result(str(run_id), 0, "latency", True, 1.5, "fine", Signed())
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO probe_runs (run_id, breaker_id, redis_run_id, counter, request_id, login, "
            "person_id, probes,"
            " required, deadline) VALUES ($1, $2, 'r', 3, gen_random_uuid(), 'operator1', 'person:operator1',"
            " '{latency,paper-order}', 1, clock_timestamp() + interval '1 minute')",
            run_id,
            BTC,
        )
        await owner.execute(
            "INSERT INTO incidents (severity, title, source) VALUES ('P1', 'a', 'manual'), ('P0', "
            "'b', 'trip'),"
            " ('P3', 'c', 'manual')"
        )
        await owner.execute(
            "INSERT INTO authority_lease (holder, term, renewed_at, expires_at, status) VALUES ('h', 4,"
            " clock_timestamp() - interval '2 s', clock_timestamp() + interval '1 min', "
            "'{\"redis_ok\": true}')"
        )
        await owner.execute(
            "INSERT INTO recent_orders (order_id, symbol, strategy, side, quantity, price, status, "
            "latency_ms) VALUES"
            " ('1', 'BTC-USD', 'meanrev', 'buy', 0.1, 50000, 'open', 10),"
            " ('2', 'BTC-USD', 'meanrev', 'buy', 0.3, 50000, 'filled', 20),"
            " ('3', 'ETH-USD', NULL, 'sell', 1, 3000, 'rejected', 30)"
        )
        await owner.execute(
            "INSERT INTO positions (symbol, quantity, mark_price, max_quantity) VALUES ('BTC-USD', "
            "-2.5, 100, 2)"
        )
        await owner.execute(
            "INSERT INTO automations VALUES ('x', 'strategy:meanrev', 'paused_risk', 'halted')"
        )
    desk = await store.snapshot()
    (request,) = desk.requests
    assert (request.request_id, request.status, desk.queue) == (request_id, "new", 1)
    row = desk.run_of(BTC, Epoch("r", 3))
    assert row is not None and row == await store.probe_run(BTC, Epoch("r", 3))
    assert (row.run.probes, row.ratio, row.results[0].detail) == (("latency", "paper-order"), 0.5, "fine")
    assert await store.probe_run(BTC, Epoch("r", 4)) is None
    assert [row.title for row in desk.criticals(timedelta(minutes=15))] == ["a"]
    assert list(await store.open_criticals(900)) == ["a"]
    assert desk.lease is not None and desk.lease.alive and desk.lease.status == {"redis_ok": True}
    assert 2 <= desk.lease.age_s < 60
    btc, eth = desk.orders
    assert (btc.open_orders, str(btc.notional), btc.orders_30s, btc.p95_ms_30s) == (1, "5000.0", 2, 19.5)
    assert (eth.rejected_30s, eth.last_risk_at, eth.strategy) == (1, None, None)
    assert desk.positions[0].over and str(desk.positions[0].exposure) == "250.0"
    assert [str(over.quantity) for over in await store.positions_over()] == ["-2.5"]
    assert desk.automations[0].status == "paused_risk"
    figures = await store.order_figures([BTC], 30)
    assert (figures.orders, figures.rejected, figures.p95_ms) == (2, 0, 19.5)
    assert (await store.order_figures([BreakerId("component:execution")], 30)).orders == 3
    assert (await store.order_figures([BreakerId("strategy:none")], 30)).p95_ms is None


async def test_an_unchanged_part_is_the_same_object(platform: Platform, store) -> None:
    first, second = await store.snapshot(), await store.snapshot()
    assert second.breakers is first.breakers and second.audit is first.audit
    async with platform.connection() as owner:
        await owner.execute("UPDATE breakers SET state = 'CLOSED' WHERE breaker_id = 'global'")
    third = await store.snapshot()
    assert third.breakers is not first.breakers and third.audit is first.audit


async def test_the_snapshot_stays_cheap_over_a_long_history(platform: Platform, store) -> None:
    async with platform.connection() as owner, owner.transaction():
        entry = await append(
            owner,
            recorded(
                platform.keys["owner"],
                event_id="e",
                action=Action.DENIED,
                user_id="u",
                role="r",
                target="t",
                details={"text": "x" * 500},
            ),
        )
        await owner.execute("SET LOCAL session_replication_role = replica")
        await owner.execute(
            "INSERT INTO audit_log SELECT seq + n, event_id, timestamp, action, user_id, role, "
            "target, details,"
            " details_text, ip_address, key_id, payload, payload_hash, signed_hash, prev_hash, "
            "chain_hash || n,"
            " evidence_link, evidence_sha256 FROM audit_log, generate_series(1, 100000) n WHERE seq = $1",
            entry.seq,
        )
        await owner.execute(
            "INSERT INTO recent_orders (order_id, symbol, strategy, side, quantity, price, status, "
            "latency_ms,"
            " placed_at) SELECT n::text, 'BTC-USD', 'meanrev', 'buy', 1, 1, 'filled', 1,"
            " clock_timestamp() - n * interval '0.2 s' FROM generate_series(1, 100000) n"
        )
        await owner.execute("ANALYZE")
    await store.snapshot()
    busy, whole = [], []
    for _ in range(20):
        cpu, begin = time.process_time(), time.perf_counter()
        await store.snapshot()
        busy.append(time.process_time() - cpu)
        whole.append(time.perf_counter() - begin)
    print(f"snapshot: {min(busy) * 1e3:.2f} ms of this process, {min(whole) * 1e3:.2f} ms in all")
    assert min(busy) < 0.005
