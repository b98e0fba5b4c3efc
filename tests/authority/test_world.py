"""The authority's reading of Redis: what is kept from one reading to the next, and what never is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from backends.redis_authority import AuthorityRedis, AuthorityView
from backends.signing import sign_document
from cockpit.authority.world import WorldReader
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State
from tests.authority.desk import BTC
from tests.trading_platform import Platform

SOFT = BreakerId("soft_halt:BTC-USD")


async def test_only_what_changed_is_read_again_and_a_new_server_changes_all(platform: Platform) -> None:
    # I4, F1
    await platform.open_for_trading()
    redis = AuthorityRedis(platform.login("authority").redis_url, platform.catalogue)
    reader = WorldReader(redis, platform.catalogue, platform.keyring)
    try:
        first, second = await reader.read(), await reader.read()
        assert {each.state for each in first.readings.values()} == {State.CLOSED}
        assert set(first.readings) == set(platform.catalogue.everything)
        assert second.stamp == first.stamp and second.readings[SOFT] is first.readings[SOFT]
        async with platform.redis_line() as line:
            await line.command("INCR", f"trip:{SOFT}")
        third = await reader.read()
        assert third.stamp != second.stamp and third.readings[SOFT].state is State.OPEN
        assert third.readings[BTC] is first.readings[BTC]
        await asyncio.to_thread(platform.valkey.restart)  # the same bytes, under another run_id
        fourth = await reader.read()
        assert fourth.stamp != third.stamp
        assert {each.state for each in fourth.readings.values()} == {State.OPEN}
    finally:
        await redis.close()


async def test_a_probe_run_ends_by_the_servers_clock_though_no_byte_changes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:  # I11
    await platform.open_for_trading()
    redis = AuthorityRedis(platform.login("authority").redis_url, platform.catalogue)
    reader = WorldReader(redis, platform.catalogue, platform.keyring)
    try:
        document = (await reader.read()).document(BTC)
        assert document is not None
        probing = replace(
            document, state=State.HALF_OPEN, run_deadline=await redis.time() + timedelta(minutes=1)
        )
        async with platform.redis_line() as line:
            await line.command("SET", f"breaker:{BTC}", sign_document(probing, platform.authority_key))
        begun = await reader.read()
        assert begun.readings[BTC].state is State.HALF_OPEN

        read = redis.read_all

        async def later() -> AuthorityView:
            view = await read()
            return replace(view, server_time=view.server_time + timedelta(minutes=1))

        monkeypatch.setattr(redis, "read_all", later)
        over = await reader.read()
        assert over.readings[BTC].state is State.OPEN and over.stamp == begun.stamp
    finally:
        await redis.close()
