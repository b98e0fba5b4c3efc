"""Slow stores and trips that nobody took: what is due is done all the same, and done once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backends.guard_store import GuardStore, Term
from cockpit.config import Settings
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State
from cockpit.domain.trigger_watch import Firing
from cockpit.guard import actions as acting
from cockpit.guard.actions import Actions
from cockpit.guard.deeds import Deed, Phase, notes_of
from cockpit.guard.rule_file import RuleFile
from cockpit.operations.outcomes import Outcome
from cockpit.operations.spool import Spool
from tests.authority.desk import until
from tests.guard.gate import gate_to
from tests.guard.plant import (
    BTC,
    EXECUTION,
    PATIENCE_S,
    becomes,
    counters,
    desk,
    fired,
    firings,
    now,
    orders,
    rules,
    running_guard,
    sample,
    settled,
)
from tests.guard.test_acting import loss
from tests.trading_platform import Platform


def through(platform: Platform, redis_url: str, key: bool, spool: Path | None = None) -> Settings:
    """The guard's login sees Redis at `redis_url`; without a key Postgres takes no trip of it."""
    login = platform.login("automation1")
    changed = replace(login, redis_url=redis_url, signing_key=login.signing_key if key else None)
    logins = {**platform.settings.logins, "automation1": changed}
    return replace(platform.settings, logins=logins, spool_dir=spool or platform.settings.spool_dir)


def no_folder(tmp_path: Path) -> Path:
    """Where no spool can be."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "spool"


async def ten_bad_fills(platform: Platform) -> None:
    at = await now(platform) - timedelta(seconds=2)
    await orders(platform, 10, at=at, every_s=0.1, slippage="0.7")


@pytest.mark.parametrize("kept", ["inbox", "spool", "nowhere"])
async def test_a_trip_that_redis_did_not_take_is_not_done_until_it_did(
    platform: Platform, tmp_path: Path, kept: str
) -> None:  # F9, F10
    """The breaker still reads CLOSED when Redis is back: nobody has resumed it, it was never halted."""
    await platform.open_for_trading()
    before = await counters(platform, [BTC])
    spool = no_folder(tmp_path) if kept == "nowhere" else None
    async with gate_to(platform.login("automation1").redis_url) as gate:
        settings = through(platform, gate.url, kept == "inbox", spool)
        async with running_guard(settings) as guard:
            await ten_bad_fills(platform)
            await fired(platform, "slippage-run")
            await settled(guard)
            told = (await desk(platform)).guard
            assert told is not None
            assert any(
                "rule slippage-run did not halt instrument:BTC-USD yet" in each for each in told.faults
            )
            async with platform.connection() as owner:
                incident = await owner.fetchrow("SELECT severity, title FROM incidents")
                assert await owner.fetchval("SELECT count(*) FROM outbox") == 1
            assert incident["severity"] == "P0"
            assert incident["title"].startswith("NOT HALTED YET by the guard: ")
            await gate.open()
            await becomes(platform, BTC, State.OPEN)
            await until(lambda: _halted(platform))
            await settled(guard)
            assert len(await firings(platform)) == 1
            assert (await counters(platform, [BTC]))[BTC] == before[BTC] + 1
            await platform.open_for_trading(BTC)  # now somebody has: its ten fills were acted upon
            await settled(guard)
            assert len(await firings(platform)) == 1


async def _halted(platform: Platform) -> bool:
    told = (await desk(platform)).guard
    return told is not None and not [each for each in told.faults if "did not halt" in each]


async def test_a_successor_halts_what_its_predecessor_could_not(platform: Platform, tmp_path: Path) -> None:
    await platform.open_for_trading()
    redis = platform.login("automation1").redis_url  # and nobody listens at the gate's port
    async with (
        gate_to(redis) as gate,
        running_guard(through(platform, gate.url, False, no_folder(tmp_path))) as guard,
    ):
        await ten_bad_fills(platform)
        await fired(platform, "slippage-run")
        await settled(guard)
    async with running_guard(platform.settings):
        await fired(platform, "slippage-run", 2)
        await becomes(platform, BTC, State.OPEN)


async def test_what_was_decided_is_delivered_while_postgres_is_away(
    platform: Platform, tmp_path: Path
) -> None:
    """No lease can be had or lost; Redis, which comes back first, gets the trip."""
    await platform.open_for_trading()
    login = platform.login("automation1")
    async with gate_to(login.redis_url) as redis, gate_to(login.postgres_dsn) as postgres:
        settings = through(platform, redis.url, False, no_folder(tmp_path))
        logins = {
            **settings.logins,
            "automation1": replace(settings.logins["automation1"], postgres_dsn=postgres.url),
        }
        await postgres.open()
        async with running_guard(replace(settings, logins=logins)):
            await ten_bad_fills(platform)
            await fired(platform, "slippage-run")
            await postgres.close()
            await redis.open()
            await becomes(platform, BTC, State.OPEN)
            await postgres.open()


async def test_readings_that_always_take_long_count_in_the_end(platform: Platform, tmp_path: Path) -> None:
    """Somebody locks the table again and again: no reading comes within a second."""
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss()))
    await platform.open_for_trading()
    locked = asyncio.Event()

    async def lock_for_ever() -> None:
        async with platform.connection() as owner:
            while True:
                async with owner.transaction():
                    await owner.execute("LOCK TABLE sli_samples IN ACCESS EXCLUSIVE MODE")
                    locked.set()
                    await owner.execute("SELECT pg_sleep(1.5)")

    async with running_guard(settings):
        async with platform.connection("gateway") as gateway, gateway.transaction():
            locking = asyncio.create_task(lock_for_ever())
            await gateway.execute(
                "INSERT INTO sli_samples (sli, good, total, value) VALUES ('daily_pnl_usd', 1, 1, -900)"
            )
            await until(lambda: _waits_for(platform, "sli_samples"))  # so no reading sees it any sooner
        try:
            await locked.wait()

            async def told() -> bool:
                guard = (await desk(platform)).guard
                return guard is not None and any("readings take " in each for each in guard.faults)

            await until(told)
            await becomes(platform, EXECUTION, State.OPEN)
        finally:
            locking.cancel()
            await asyncio.gather(locking, return_exceptions=True)
        assert len(await fired(platform, "loss")) == 1

        async def quick() -> bool:
            guard = (await desk(platform)).guard
            return guard is not None and not guard.faults

        await until(quick)


async def test_a_first_reading_longer_than_a_lease_keeps_the_lease(platform: Platform) -> None:
    async with contextlib.AsyncExitStack() as stack:
        locks = [await stack.enter_async_context(_lock(platform, table)) for table in LOCKED]
        opened = asyncio.create_task(_first_term(platform))
        for table, lock in zip(LOCKED, locks, strict=True):
            await until(lambda table=table: _waits_for(platform, table))  # type: ignore[misc]
            await asyncio.sleep(1.5)
            await lock.rollback()
    assert await opened == 1


LOCKED = ("guard_firings", "recent_orders", "positions", "sli_samples")  # in the order of the reading


@asynccontextmanager
async def _lock(platform: Platform, table: str) -> AsyncIterator[Any]:
    """The transaction that holds the table."""
    async with platform.connection() as owner:
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield transaction


async def _waits_for(platform: Platform, table: str) -> bool:
    """Whether somebody waits for this table."""
    async with platform.connection() as owner:
        query = "SELECT count(*) FROM pg_locks WHERE relation = $1::text::regclass AND NOT granted"
        return bool(await owner.fetchval(query, table))


async def _first_term(platform: Platform) -> int:
    async with running_guard(platform.settings) as guard:
        await settled(guard)
        told = (await desk(platform)).guard
        assert told is not None and told.alive
        return told.term


SHADOWS = 3


@asynccontextmanager
async def stopped(pid: int | None) -> AsyncIterator[None]:
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_redis_that_hangs_holds_up_no_reading(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something waits in the spool; one try at it does not end, and the rules go on meanwhile."""
    begun, free, at_once = threading.Event(), threading.Event(), Actions._deliver_again

    def hangs(self: Actions, pending: Sequence[Deed]) -> list[Outcome]:
        if Spool(settings.spool_dir).entries()[0]:
            begun.set()
            assert free.wait(4 * PATIENCE_S)
        return at_once(self, pending)

    monkeypatch.setattr(Actions, "_deliver_again", hangs)
    texts = [loss()] + [
        loss(mode="shadow")
        .replace('"loss"\ntitle', f'"loss-{each}"\ntitle')
        .replace("daily_pnl", f"pnl-{each}")
        for each in range(SHADOWS)
    ]
    settings = replace(
        through(platform, platform.login("automation1").redis_url, False),
        triggers_file=rules(tmp_path, *texts),
    )
    async with running_guard(settings), stopped(platform.valkey.pid):
        try:
            await sample(platform, "daily_pnl_usd", -900)
            await fired(platform, "loss")
            assert len(Spool(settings.spool_dir).entries()[0]) == 1
            assert await asyncio.to_thread(begun.wait, PATIENCE_S)
            for each in range(SHADOWS):
                await sample(platform, f"pnl-{each}_usd", -900)
                await fired(platform, f"loss-{each}")
        finally:
            free.set()


async def test_two_rules_over_at_once_trip_their_breaker_once(platform: Platform, tmp_path: Path) -> None:
    day = loss(severity="P1")
    hard = loss("global", "P0").replace('"loss"\ntitle', '"hard-loss"\ntitle').replace("500", "900")
    settings = replace(platform.settings, triggers_file=rules(tmp_path, day, hard))
    await platform.open_for_trading()
    before = await counters(platform, [EXECUTION])
    async with running_guard(settings) as guard:
        await sample(platform, "daily_pnl_usd", -1000)
        await fired(platform, "loss")
        await fired(platform, "hard-loss")
        await settled(guard)
    assert (await counters(platform, [EXECUTION]))[EXECUTION] == before[EXECUTION] + 1
    async with platform.connection() as owner:
        found = await owner.fetch("SELECT severity, breaker_id FROM incidents ORDER BY severity")
        assert await owner.fetchval("SELECT count(*) FROM outbox") == 2
    assert [(row["severity"], row["breaker_id"]) for row in found] == [("P0", EXECUTION), ("P1", EXECUTION)]
    first, second = reversed(RuleFile(settings.triggers_file, settings.catalogue).rules)
    moment = await now(platform)
    deeds = [Deed("x", Firing(each, "", EXECUTION, 1000.0, (), moment)) for each in (first, second)]
    assert "Rule hard-loss" in (text := notes_of(deeds[0].firing, (deeds[1],)))
    assert "Also over: loss. Samples" in text


async def test_a_record_waits_for_postgres_as_long_as_it_takes(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour without Postgres, by the process's clock; and one record that Postgres never takes."""
    login, passed = platform.login("automation1"), [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(acting, "time", clock)
    settings = replace(platform.settings, triggers_file=rules(tmp_path, loss(mode="shadow")))
    rule = RuleFile(settings.triggers_file, settings.catalogue).rules[0]
    bad = replace(rule, name="No Name Of A Rule")
    async with gate_to(login.postgres_dsn) as gate:
        store = GuardStore(gate.url)
        actions = Actions(settings, login, store)
        try:
            await gate.open()
            term = await store.take("one")
            assert term is not None
            await gate.close()
            moment = await now(platform)
            for each in (bad, rule):
                actions.begin(
                    [Firing(each, "", EXECUTION, 501.0, (), moment)], clock.monotonic(), lambda: True
                )
            await asyncio.wait(actions.tasks)
            with pytest.raises(StoreUnreachable):
                await actions.keep_up(term)
            assert actions.waiting[0] == "2 firings not recorded yet"
            passed[0] = 3600.0
            async with platform.connection() as owner:
                await owner.execute(
                    "UPDATE guard_lease SET expires_at = clock_timestamp() + interval '1 hour'"
                )
            await gate.open()

            async def recorded() -> bool:
                try:
                    await actions.keep_up(term)
                except StoreUnreachable:
                    return False
                return True

            await until(recorded)
        finally:
            await actions.close()
            await store.close()
    assert [row["rule"] for row in await firings(platform)] == ["loss"]
    assert any("No Name" in each for each in actions.waiting)


async def test_what_is_pending_is_judged_anew_after_another_guards_term(
    platform: Platform, tmp_path: Path
) -> None:  # F23
    login = platform.login("automation1")
    async with gate_to(login.redis_url) as gate:
        settings = replace(
            through(platform, gate.url, False, no_folder(tmp_path)),
            triggers_file=rules(tmp_path, loss()),
        )
        rule = RuleFile(settings.triggers_file, settings.catalogue).rules[0]
        store = GuardStore(login.postgres_dsn)
        actions = Actions(settings, settings.logins["automation1"], store)
        before = await counters(platform, [EXECUTION])
        try:
            actions.enter(await _next_term(store))
            firing = Firing(rule, "", EXECUTION, 501.0, (), await now(platform))
            (deed,) = actions.begin([firing], math.inf, lambda: True)
            await asyncio.wait(actions.tasks)
            assert (deed.phase, actions.unapplied) == (Phase.PENDING, [deed.firing_id])
            actions.enter(await _next_term(store))  # ours again: nobody else has acted
            assert deed.phase is Phase.PENDING
            await _next_term(store)
            actions.enter(term := await _next_term(store))
            assert (deed.phase, actions.unapplied) == (Phase.FAILED, [])
            await gate.open()
            await actions.keep_up(term)
            if actions.tasks:  # a look into the spool, where nothing is
                await asyncio.wait(actions.tasks)
            assert await counters(platform, [EXECUTION]) == before
        finally:
            await actions.close()
            await store.close()


async def _next_term(store: GuardStore) -> Term:
    term = await store.take("one")
    assert term is not None
    return term
