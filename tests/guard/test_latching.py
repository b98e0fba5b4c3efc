"""The third mismatch in a row of a line sets its instrument's latch, once, whatever happens to the guard."""

from __future__ import annotations

import signal

import pytest

from cockpit.authority.service import running_authority
from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.reconciliation import breach_id
from cockpit.domain.states import State
from cockpit.guard.latching import RULE
from tests.authority.desk import until
from tests.guard.plant import becomes, counters, desk, fired, firings, report, running_guard
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
    """Until the guard has looked at reconciliation again, two times."""

    async def asked() -> str:
        async with platform.connection() as owner:
            found = await owner.fetchval(
                "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'cockpit guard latches'"
            )
        return found or ""

    for _ in range(2):
        before = await asked()

        async def again(before: str = before) -> bool:
            return await asked() != before

        await until(again, 8)


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
