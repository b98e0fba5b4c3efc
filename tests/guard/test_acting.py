"""The service under takeover, pause, fencing, lost stores, and people who resume too early."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from backends.guard_store import FiringRecord, GuardStore, Term
from cockpit.config import BadSettings
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerState
from cockpit.domain.trigger_watch import Firing
from cockpit.guard import actions as acting
from cockpit.guard.actions import Actions
from cockpit.guard.deeds import Phase
from cockpit.guard.rule_file import RuleFile
from cockpit.guard.watchkeeping import Fenced, Watchkeeping
from cockpit.operations.spool import Spool
from tests.authority.desk import until
from tests.guard.plant import (
    BTC,
    EXECUTION,
    PATIENCE_S,
    becomes,
    counters,
    desk,
    fired,
    firings,
    lasting_leases,
    now,
    orders,
    report,
    rules,
    running_guard,
    sample,
    settled,
)
from tests.trading_platform import Platform

ROOT = Path(__file__).resolve().parents[2]
LOSS = """
[[rule]]
name = "loss"
title = "Loss of the day"
stream = "sli:daily_pnl_usd"
figure = "loss"
condition = "latest"
threshold = 500
unit = "USD"
min_samples = 1
aim = "{aim}"
reason = "daily-loss"
severity = "{severity}"
mode = "{mode}"
"""


def loss(aim: str = "component:execution", severity: str = "P2", mode: str = "live") -> str:
    return LOSS.format(aim=aim, severity=severity, mode=mode)


@asynccontextmanager
async def guard_process(platform: Platform) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.guard.standalone", str(platform.config),
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def acts(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    assert line == b"acts\n"


async def test_a_takeover_in_mid_window_loses_no_sample(platform: Platform) -> None:  # I22, F7
    """Six bad fills are seen by the first guard, which is killed; the other four by its successor alone."""
    await platform.open_for_trading()
    async with guard_process(platform) as first:
        await acts(first)
        await orders(platform, 6, at=await now(platform) - timedelta(seconds=2), every_s=0.1, slippage="0.7")

        async def seen() -> bool:
            found = await report(platform, "slippage-run")
            return found is not None and found.samples == 6 and found.state is TriggerState.NEAR_50

        await until(seen)
        first.kill()
        await first.wait()
        await orders(platform, 3, at=await now(platform) - timedelta(seconds=1), every_s=0.1, slippage="0.7")
        async with running_guard(platform.settings) as second:
            await settled(second)
            assert await firings(platform) == []
            await orders(platform, 1, at=await now(platform), slippage="0.7")
            row = (await fired(platform, "slippage-run"))[0]
    assert (row["breaker_id"], row["subject"]) == (BTC, "BTC-USD")
    assert row["term"] >= 2  # the first one was killed in its term
    assert len({each[0] for each in json.loads(row["samples"])}) == 10  # also the six that the first had read
    await becomes(platform, BTC, State.OPEN)


async def test_of_several_one_acts_and_a_stopped_one_gives_way_at_once(platform: Platform) -> None:
    """No lease runs out meanwhile: the second can act only because the first lets go of its own."""
    await lasting_leases(platform)
    async with guard_process(platform) as first:
        await acts(first)
        async with guard_process(platform) as second:
            turn = asyncio.create_task(acts(second))
            for _ in range(3):
                await asked_for_the_lease(platform)
            snapshot = (await desk(platform)).guard
            assert snapshot is not None and snapshot.term == 1
            assert not turn.done() and second.returncode is None  # it stands by
            first.send_signal(signal.SIGTERM)
            await turn
            assert await first.wait() == 0
            snapshot = (await desk(platform)).guard
            assert snapshot is not None and snapshot.alive and snapshot.term == 2


async def asked_for_the_lease(platform: Platform) -> None:
    """Until a guard that stands by has asked for the lease once more."""
    after = await now(platform)

    async def asked() -> bool:
        async with platform.connection() as owner:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'cockpit guard lease' AND query LIKE '%guard_take%'"
                " AND query_start > $1"
            )
            return bool(await owner.fetchval(query, after))

    await until(asked, PATIENCE_S)


async def test_a_guard_that_slept_through_its_lease_does_not_act_on_what_it_read(platform: Platform) -> None:
    """The breach is there while both sleep; a successor acts, a person heals; the old one wakes up. F23"""
    await platform.open_for_trading()
    async with guard_process(platform) as first:
        await acts(first)
        first.send_signal(signal.SIGSTOP)
        await sample(platform, "daily_pnl_usd", -800)
        async with running_guard(platform.settings) as second:
            await fired(platform, "daily-loss")
            await sample(platform, "daily_pnl_usd", -10)
            await settled(second)  # else it halts anew what opens while it still sees the loss
            await platform.open_for_trading(EXECUTION)
            before = await counters(platform, [EXECUTION])
            first.send_signal(signal.SIGCONT)
            for _ in range(2):  # it has found its term over, and what it began has ended
                await asked_for_the_lease(platform)
            await settled(second)
            assert await counters(platform, [EXECUTION]) == before
            assert len([row for row in await firings(platform) if row["rule"] == "daily-loss"]) == 1
            assert first.returncode is None  # it stands by


async def test_it_fires_once_and_again_when_somebody_closes_over_it(
    platform: Platform, tmp_path: Path
) -> None:
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss()))
    await platform.open_for_trading()
    async with running_guard(settings) as guard:
        await sample(platform, "daily_pnl_usd", -501)
        await fired(platform, "loss")
        await sample(platform, "daily_pnl_usd", -502)
        await settled(guard)
        assert len(await firings(platform)) == 1
        await platform.open_for_trading(EXECUTION)  # as if the procedure had been gone through
        await fired(platform, "loss", 2)
        await becomes(platform, EXECUTION, State.OPEN)
        await sample(platform, "daily_pnl_usd", -10)
        await settled(guard)
        found = await report(platform, "loss")
        assert found is not None and found.state is TriggerState.CLEAR and found.fired_on == EXECUTION
        await platform.open_for_trading(EXECUTION)
        await settled(guard)
        assert len(await firings(platform)) == 2
        await sample(platform, "daily_pnl_usd", -600)
        await fired(platform, "loss", 3)


async def test_events_are_acted_upon_once_and_new_ones_again(platform: Platform) -> None:
    """After a resume the ten fills that tripped it do not count again; ten more do."""
    await platform.open_for_trading()
    async with running_guard(platform.settings) as guard:
        await orders(platform, 10, at=await now(platform) - timedelta(seconds=2), every_s=0.1, slippage="0.7")
        (first,) = await fired(platform, "slippage-run")
        await platform.open_for_trading(BTC)
        await settled(guard)
        assert len(await firings(platform)) == 1

        async def later() -> bool:  # what is of the firing's own second has been acted upon with it
            return bool(await now(platform) >= first["fired_at"] + timedelta(seconds=1))

        await until(later)
        await orders(platform, 10, at=await now(platform), every_s=0.001, slippage="0.7")
        await fired(platform, "slippage-run", 2)
    async with running_guard(platform.settings) as guard:  # a successor sees it in the same way
        await platform.open_for_trading(BTC)
        await settled(guard)
        assert len(await firings(platform)) == 2


async def test_shadow_records_and_halts_nothing(platform: Platform, tmp_path: Path) -> None:
    shadow = rules(tmp_path, loss("global", "P0", "shadow"))
    before = await counters(platform, [EXECUTION])
    async with running_guard(replace(platform.settings, triggers_file=shadow)) as guard:
        await sample(platform, "daily_pnl_usd", -900)
        row = (await fired(platform, "loss"))[0]
        await settled(guard)
        found = await report(platform, "loss")
        assert found is not None and (found.state, found.mode) == (TriggerState.BREACHED, "shadow")
    assert (row["mode"], len(await firings(platform))) == ("shadow", 1)
    assert await counters(platform, [EXECUTION]) == before
    async with platform.connection() as owner:
        assert await owner.fetchval("SELECT count(*) FROM incidents") == 0
        assert await owner.fetchval("SELECT count(*) FROM outbox") == 0


async def test_a_rule_saved_half_way_leaves_the_last_good_ones(platform: Platform, tmp_path: Path) -> None:
    path = rules(tmp_path, loss())
    settings = replace(platform.settings, triggers_file=path)
    await platform.open_for_trading()
    async with running_guard(settings):
        path.write_text(loss()[:200])

        async def told() -> bool:
            guard = (await desk(platform)).guard
            return guard is not None and any("last good rules" in fault for fault in guard.faults)

        await until(told)
        guard = (await desk(platform)).guard
        assert guard is not None and [each.rule for each in guard.reports] == ["loss"]
        assert str(path) in guard.faults[0]
        await sample(platform, "daily_pnl_usd", -501)
        await fired(platform, "loss")
        path.write_text(loss().replace('"loss"\ntitle', '"other-loss"\ntitle'))

        async def renamed() -> bool:
            guard = (await desk(platform)).guard
            return guard is not None and [each.rule for each in guard.reports] == ["other-loss"]

        await until(renamed)
    with pytest.raises(BadSettings, match=r"guard\.triggers: .*triggers\.toml"):
        path.write_text("[[rule]\n")
        async with running_guard(settings):
            pass


async def test_with_redis_down_the_trip_goes_into_the_spool(
    platform: Platform, tmp_path: Path
) -> None:  # F9, F10
    """Redis refuses connections: pending in the inbox; without a key, which that needs, spooled."""
    login = platform.login("automation1")
    dead = urlsplit(login.redis_url)._replace(
        netloc=f"{urlsplit(login.redis_url).netloc.rpartition(':')[0]}:1"
    )
    for key, where in ((login.signing_key, "inbox"), (None, "spool")):
        logins = {
            **platform.settings.logins,
            "automation1": replace(login, redis_url=dead.geturl(), signing_key=key),
        }
        settings = replace(
            platform.settings, logins=logins, triggers_file=rules(tmp_path, loss("global", "P0"))
        )
        async with platform.connection() as owner:
            await owner.execute("SET session_replication_role = replica")
            await owner.execute(
                "TRUNCATE guard_firings, incidents, incident_events, outbox, sli_samples CASCADE"
            )
        async with running_guard(settings):
            await sample(platform, "daily_pnl_usd", -501)
            row = (await fired(platform, "loss"))[0]
            async with platform.connection() as owner:
                asked = "SELECT count(*) FROM requests WHERE request_id = $1"
                assert await owner.fetchval(asked, row["firing_id"]) == (1 if where == "inbox" else 0)
                assert await owner.fetchval("SELECT count(*) FROM outbox") == 1
            # A trip that is sent once more stands in the spool until it has arrived in the inbox.
            left = partial(_holds, Spool(settings.spool_dir), 0 if where == "inbox" else 1)
            await until(left)
    async with running_guard(replace(platform.settings, triggers_file=settings.triggers_file)):
        await until(lambda: _holds(Spool(settings.spool_dir), 0))  # delivered, as at any start


async def _holds(spool: Spool, trips: int) -> bool:
    return len(spool.entries()[0]) == trips


async def test_an_older_term_records_nothing(platform: Platform) -> None:  # F23
    await lasting_leases(platform)
    store = GuardStore(platform.login("automation1").postgres_dsn)
    try:
        first = await store.take("one")
        assert first == Term("one", 1)
        assert await store.take("two") is None
        await store.release(first)
        second = await store.take("two")
        assert second == Term("two", 2)
        record = FiringRecord(
            "6b1e7a3c-3f0b-4f6e-9b7a-0d8c0a2f4c11", "loss", "live", "trip", "global", EXECUTION, "", 501, 500,
            [["1", "2026-01-01T00:00:00Z", 501.0]], await now(platform), "P0", "daily-loss", "Loss: 501",
        )  # fmt: skip
        assert not await store.fire(first, record)
        assert not await store.renew(first, "{}")
        assert await firings(platform) == []
        assert await store.fire(second, record)
        assert await store.fire(second, record)  # asked twice, done once
        again = replace(record, firing_id="6b1e7a3c-3f0b-4f6e-9b7a-0d8c0a2f4c12")
        assert await store.fire(second, again)
        async with platform.connection() as owner:
            assert await owner.fetchval("SELECT count(*) FROM guard_firings") == 2
            assert (
                await owner.fetchval("SELECT count(*) FROM incidents") == 1
            )  # until somebody acknowledges it
            assert await owner.fetchval("SELECT count(*) FROM outbox") == 1
            assert await owner.fetchval("SELECT count(*) FROM incident_events") == 2
            await owner.execute("UPDATE guard_lease SET expires_at = clock_timestamp()")
        assert not await store.renew(second, "{}")  # a lease that has run out is not revived
    finally:
        await store.close()


async def test_a_term_that_is_over_decides_nothing_more(platform: Platform, tmp_path: Path) -> None:  # F23
    """It reads a breach and the end of its lease at one moment, and leaves the breach to its successor."""
    await lasting_leases(platform)
    login = platform.login("automation1")
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss()))
    store, redis = GuardStore(login.postgres_dsn), platform.redis_store("automation1")
    actions = Actions(settings, login, store)
    before = await counters(platform, [EXECUTION])
    try:
        term = await store.take("one")
        assert term is not None
        file = RuleFile(settings.triggers_file, settings.catalogue)
        keeping = Watchkeeping(settings, store, redis, actions, file, term)
        await keeping.turn()
        await store.release(term)
        assert await store.take("two")
        await sample(platform, "daily_pnl_usd", -900)
        for _ in range(3):
            with pytest.raises(Fenced):
                await keeping.turn()
    finally:
        await actions.close()
        await redis.close()
        await store.close()
    assert actions.deeds == {}
    assert await counters(platform, [EXECUTION]) == before


async def test_old_fills_count_for_a_run_also_at_a_start(platform: Platform) -> None:
    """Nine ten minutes ago, older than what is read order by order; the tenth comes now."""
    await platform.open_for_trading()
    await orders(platform, 9, at=await now(platform) - timedelta(seconds=600), every_s=1, slippage="0.7")
    async with running_guard(platform.settings) as guard:
        await settled(guard)
        found = await report(platform, "slippage-run")
        assert found is not None and (found.samples, found.state) == (9, TriggerState.NEAR_90)
        await orders(platform, 1, at=await now(platform), slippage="0.7")
        await fired(platform, "slippage-run")


async def test_a_reading_that_has_become_old_is_thrown_away(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F23
    """Whatever held the process up between its reading and the trip: it reads anew first."""
    moment = time.monotonic()
    monkeypatch.setattr(acting, "time", SimpleNamespace(monotonic=lambda: moment))
    login = platform.login("automation1")
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss()))
    store = GuardStore(login.postgres_dsn)
    actions = Actions(settings, login, store)
    before = await counters(platform, [EXECUTION])
    rule = RuleFile(settings.triggers_file, settings.catalogue).rules[0]
    firing = Firing(rule, "", EXECUTION, 501.0, (), await now(platform))
    try:
        for read_at, holds in ((moment - 1.01, True), (moment, False)):
            (deed,) = actions.begin([firing], read_at, lambda holds=holds: holds)  # type: ignore[misc]
            await asyncio.wait(actions.tasks)
            assert deed.phase is Phase.DROPPED
            assert actions.take_dropped() == [deed.firing_id]
        assert await counters(platform, [EXECUTION]) == before
        (done,) = actions.begin([firing], moment - 0.99, lambda: True)
        await asyncio.wait(actions.tasks)
        assert done.phase is Phase.DONE
        assert (await counters(platform, [EXECUTION]))[EXECUTION] == before[EXECUTION] + 1
    finally:
        await actions.close()
        await store.close()


async def test_names_of_any_length_cost_no_lease(platform: Platform) -> None:
    """The trading side names its symbols; what the guard publishes stays within what its lease takes."""
    await lasting_leases(platform)  # none is lost to a busy machine
    await platform.open_for_trading()
    async with running_guard(platform.settings) as guard:
        moment = await now(platform) - timedelta(seconds=2)
        async with platform.connection("gateway") as gateway:
            for number in range(40):
                symbol = f"{number}" + "x" * 10_000
                await orders(platform, 10, at=moment, symbol=symbol, slippage="0.9", connection=gateway)
        await fired(platform, "slippage-run", 40)
        await settled(guard)
        async with platform.connection() as owner:
            assert await owner.fetchval("SELECT term FROM guard_lease") == 1
