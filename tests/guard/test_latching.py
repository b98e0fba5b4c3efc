"""The third mismatch in a row of a line sets its instrument's latch, once, whatever happens to the guard."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from backends.guard_store import Breaches, GuardStore
from cockpit.authority.service import running_authority
from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.reconciliation import breach_id
from cockpit.domain.states import State
from cockpit.guard.actions import FRESH_S
from cockpit.guard.latching import RULE
from cockpit.guard.service import Guard
from tests.authority.desk import until
from tests.guard.plant import (
    PATIENCE_S,
    becomes,
    counters,
    desk,
    fired,
    firings,
    lasting_leases,
    report,
    running_guard,
)
from tests.guard.test_acting import acts, guard_process
from tests.stores.test_reconciliation_store import add, raw
from tests.trading_platform import Platform

BTC = BreakerId("latch:BTC-USD")
ETH = BreakerId("latch:ETH-USD")
ALL = (BTC, ETH, EXECUTION)


async def latched(platform: Platform, *names: BreakerId) -> dict[BreakerId, int]:
    """The counters of the latches, and execution's."""
    return await counters(platform, names or ALL)


async def looked(platform: Platform) -> None:
    """Until the guard has begun on a look at reconciliation twice: the first of them has ended."""

    async def asked() -> str:
        async with platform.connection() as owner:
            found = await owner.fetchval(
                "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'cockpit guard latches' AND query LIKE '-- Lines of reconciliation%'"
            )
        return found or ""

    for _ in range(2):
        before = await asked()

        async def again(before: str = before) -> bool:
            return await asked() not in ("", before)

        await until(again, PATIENCE_S)


async def third_run(platform: Platform, kind: str = "order") -> str:
    async with platform.connection() as owner:
        run: str = await owner.fetchval(
            "SELECT run_id::text FROM reconciliation_runs WHERE kind = $1 AND status = 'mismatch'"
            " ORDER BY started_at OFFSET 2 LIMIT 1",
            kind,
        )
    return run


async def test_the_third_mismatch_latches_and_is_told(platform: Platform) -> None:  # F7
    await platform.open_for_trading(*platform.catalogue.everything)
    await add(platform, "cm", ago_s=5)
    await add(platform, "mmcm", "position", ago_s=5)  # cleared in between
    before = await latched(platform)
    async with running_guard(platform.settings):
        await add(platform, "u", ago_s=3)  # neither counts nor clears
        await add(platform, "m", ago_s=2)
        await looked(platform)
        assert await latched(platform) == before and await firings(platform) == []
        await add(platform, "m")
        row = (await fired(platform, RULE))[0]
        assert str(row["firing_id"]) == breach_id(await third_run(platform))
        assert (row["breaker_id"], row["subject"], row["effect"]) == (BTC, "BTC-USD", "trip")
        await add(platform, "mmu")  # the same breach goes on, and two of its runs were written late
        await looked(platform)
        assert await latched(platform) == {**before, BTC: before[BTC] + 1}
    async with platform.connection() as owner:
        incident = await owner.fetchrow("SELECT * FROM incidents WHERE source = 'guard'")
        page = await owner.fetchrow("SELECT * FROM outbox")
    assert (incident["severity"], incident["classification"]) == ("P1", "reconciliation")
    assert (incident["breaker_id"], incident["breakers"]) == (BTC, ["instrument:BTC-USD"])
    assert incident["title"].startswith("BTC-USD: Order reconciliation is breached: 3 mismatches in a row")
    assert page["incident_id"] == incident["incident_id"]


async def test_a_latch_opens_one_incident_though_an_authority_records_its_trip(platform: Platform) -> None:
    async with running_authority(platform.settings), running_guard(platform.settings):
        await becomes(platform, BTC, State.CLOSED)
        await add(platform, "mmm")
        await fired(platform, RULE)
        await becomes(platform, BTC, State.OPEN)
        async with platform.connection() as owner:

            async def audited() -> bool:
                query = "SELECT count(*) FROM audit_log WHERE target = $1 AND action = 'CIRCUIT_BREAKER_TRIP'"
                return bool(await owner.fetchval(query, BTC) == 1)

            await until(audited)
            found = await owner.fetch("SELECT source FROM incidents WHERE breaker_id = $1", BTC)
            assert [row["source"] for row in found] == ["guard"]
            assert await owner.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_restart_and_a_takeover_latch_nothing_twice(platform: Platform) -> None:  # F7, I8
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    async with guard_process(platform) as first:
        await acts(first)
        await add(platform, "mmm", ago_s=1)
        await fired(platform, RULE)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        await add(platform, "m")
        async with running_guard(platform.settings) as second:
            await looked(platform)
            assert await latched(platform) == {**before, BTC: before[BTC] + 1}
            await add(platform, "c")
            await add(platform, "m")
            await add(platform, "m")
            await looked(platform)
            assert len(await firings(platform)) == 1
            await add(platform, "m")  # another breach
            assert len(await fired(platform, RULE, 2)) == 2
            assert second.watchkeeping is not None
    assert (await latched(platform))[BTC] == before[BTC] + 2


async def test_what_happened_while_no_guard_ran_is_latched_by_the_next(platform: Platform) -> None:
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    await add(platform, "c" + "m" * 40 + "u" * 20, ago_s=600)
    async with running_guard(platform.settings):
        await fired(platform, RULE)
    assert (await latched(platform))[BTC] == before[BTC] + 1


async def test_each_instrument_has_its_own_latch_and_incident(platform: Platform) -> None:
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    async with running_guard(platform.settings):
        await add(platform, "mmm", "ledger")
        await fired(platform, RULE)
        await add(platform, "mmm", "position", "ETH-USD")
        await fired(platform, RULE, 2)
        assert await latched(platform) == {**before, BTC: before[BTC] + 1, ETH: before[ETH] + 1}
    async with platform.connection() as owner:
        assert await owner.fetchval("SELECT count(*) FROM incidents WHERE source = 'guard'") == 2


@pytest.mark.parametrize(
    ("symbol", "listed", "wanted"),
    [
        (
            None,
            '[{"symbol": "ETH-USD", "venue": "2", "books": "1"}, {"symbol": "X"}]',
            ETH,
        ),
        (None, "[]", EXECUTION),
        ("X\\x1b[31m-USD", "[]", EXECUTION),
    ],
)
async def test_of_no_known_instrument_as_much_is_halted_as_may_be_concerned(
    platform: Platform, symbol: str | None, listed: str, wanted: BreakerId
) -> None:  # I26
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    await add(platform, "mmm", "position", symbol, mismatches=listed)
    async with running_guard(platform.settings):
        rows = await fired(platform, RULE)
    assert await latched(platform) == {**before, wanted: before[wanted] + 1}
    assert rows[0]["subject"].isprintable()


async def test_rows_that_nobody_can_use_latch_nothing(platform: Platform) -> None:
    await platform.open_for_trading(*platform.catalogue.everything)
    await add(platform, "mm", ago_s=3)
    before = await latched(platform)
    async with running_guard(platform.settings):
        await raw(
            platform,
            "'order', 'BTC-USD', 'mismatch', 'infinity', NULL, '[]'",
            "'order', 'BTC-USD', 'mismatch', '-infinity', NULL, '[]'",
            "'order', 'BTC-USD', 'mismatch', clock_timestamp(), NULL, '{}'",
            "'balance', 'BTC-USD', 'mismatch', clock_timestamp(), NULL, '[]'",
        )
        await looked(platform)
        assert await latched(platform) == before
        await add(platform, "m")
        await fired(platform, RULE)


async def test_what_cannot_be_read_is_told_and_stops_no_other_rule(platform: Platform) -> None:  # I4
    async with platform.connection() as owner:
        await owner.execute("ALTER VIEW reconciliation_judged RENAME TO gone")
        await add(platform, "mmm")
        async with running_guard(platform.settings):

            async def told() -> bool:
                guard = (await desk(platform)).guard
                return guard is not None and any("reconciliation is UNKNOWN" in each for each in guard.faults)

            await until(told)
            assert await report(platform, "slippage-run") is not None
            await owner.execute("ALTER VIEW gone RENAME TO reconciliation_judged")
            await fired(platform, RULE)


async def test_a_guard_whose_term_is_over_latches_nothing(platform: Platform) -> None:  # I22
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    async with running_guard(platform.settings) as guard:
        keeping = guard.watchkeeping
        assert keeping is not None
        async with platform.connection() as owner:
            await owner.execute("UPDATE guard_lease SET holder = 'other', term = term + 1, login = 'owner',"
                                " expires_at = clock_timestamp() + interval '1 hour'")  # fmt: skip
        await add(platform, "mmm")
        await keeping._latching.look()
        assert keeping._actions.deeds == {}
    assert await latched(platform) == before


async def test_rows_that_nobody_watches_crowd_out_no_line(platform: Platform) -> None:  # I25
    await platform.open_for_trading(*platform.catalogue.everything)
    ada = BreakerId("latch:ADA-USD")
    before = await latched(platform, ada)
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
            " SELECT kind, 'A' || n, 'clean', clock_timestamp() FROM generate_series(1, 320) n,"
            " (VALUES ('a'), ('position')) AS k (kind)"
        )
    await add(platform, "mmm", "position", "ADA-USD")
    async with running_guard(platform.settings) as guard:
        await fired(platform, RULE)
        assert await latched(platform, ada) == {ada: before[ada] + 1}
        keeping = guard.watchkeeping
        assert keeping is not None
        fault = await tells(guard, "position runs")
        assert "not all of them are watched" in fault


async def told(guard: Guard) -> str:
    """What keeps the watch from seeing, "" for nothing."""
    return guard.watchkeeping._latching.fault if guard.watchkeeping is not None else ""


async def tells(guard: Guard, words: str) -> str:
    """The fault with these words, once it is told: a busy Postgres may be one before it."""

    async def found() -> str:
        fault = await told(guard)
        return fault if words in fault else ""

    return str(await until(found, PATIENCE_S))


async def test_a_breach_that_unknown_runs_may_hide_is_told(platform: Platform) -> None:  # I25
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO reconciliation_runs (kind, symbol, status, started_at)"
            " SELECT 'order', 'BTC-USD', 'unknown', clock_timestamp() - n * interval '1 s'"
            " FROM generate_series(1, 5000) n"
        )
    async with running_guard(platform.settings) as guard:
        await tells(guard, "order BTC-USD")


async def test_a_breach_does_not_go_stale(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    # I25: a Postgres that takes longer than a reading may be old
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    at_once = GuardStore.breaches

    async def late(self: GuardStore, *asked: Any) -> Breaches:
        found = await at_once(self, *asked)
        await asyncio.sleep(FRESH_S + 0.1)
        return found

    monkeypatch.setattr(GuardStore, "breaches", late)
    await add(platform, "mmm")
    async with running_guard(platform.settings):
        await fired(platform, RULE)
    assert await latched(platform) == {**before, BTC: before[BTC] + 1}


async def test_a_latch_that_is_dropped_again_and_again_is_told(platform: Platform) -> None:
    await lasting_leases(platform)
    await platform.open_for_trading(*platform.catalogue.everything)
    async with running_guard(platform.settings) as guard:
        keeping = guard.watchkeeping
        assert keeping is not None
        keeping._latching._holds = lambda: False
        await add(platform, "mmm")
        await tells(guard, "could not be set")
        keeping._latching._holds = lambda: True
        await fired(platform, RULE)

        async def well() -> bool:
            return not await told(guard)

        await until(well)


async def test_an_instrument_that_joins_a_breach_later_is_latched_too(platform: Platform) -> None:
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    named = '[{"symbol": "%s", "venue": "2", "books": "1"}]'
    await add(platform, "m" * 70, "position", None, ago_s=3, mismatches=named % "ETH-USD")
    async with running_guard(platform.settings):
        await fired(platform, RULE)
        await add(platform, "m", "position", None, ago_s=2, mismatches=named % "BTC-USD")
        await fired(platform, RULE, 2)
        await add(platform, "m", "position", None, ago_s=1, mismatches=named % "BTC-USD")
        await looked(platform)
    async with running_guard(platform.settings):
        await looked(platform)
    assert await latched(platform) == {**before, BTC: before[BTC] + 1, ETH: before[ETH] + 1}


async def test_a_lock_on_what_the_rules_read_delays_no_latch(platform: Platform) -> None:  # F25
    await platform.open_for_trading(*platform.catalogue.everything)
    before = await latched(platform)
    guard, stop = Guard(platform.settings, "automation1"), asyncio.Event()
    async with platform.connection("gateway") as locker, locker.transaction():
        await locker.execute("LOCK TABLE recent_orders, positions IN ACCESS EXCLUSIVE MODE")
        await add(platform, "mmm")
        work = asyncio.create_task(guard.run(stop))
        try:
            await fired(platform, RULE)
        finally:
            stop.set()
    assert await latched(platform) == {**before, BTC: before[BTC] + 1}
    await asyncio.wait_for(work, PATIENCE_S)
