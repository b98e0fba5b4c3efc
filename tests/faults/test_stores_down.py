"""Postgres killed, Redis killed, both killed (F8, F9, F10), and the audit when they are back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from cockpit.authority.service import running_authority
from cockpit.domain.states import State
from tests.authority.desk import BTC, ETH, NOTES, Desk, until
from tests.cli.commands import cockpit, trip_arguments


@pytest.fixture(autouse=True)
async def both_back(desk: Desk) -> AsyncIterator[None]:
    yield
    for server in (desk.platform.valkey, desk.platform.postgres):
        await asyncio.to_thread(server.start)


def resume_arguments(what: str) -> tuple[str, ...]:
    checked = ("--checked", "all") if what == "half-open" else ()
    return (what, BTC, "--notes", NOTES, *checked, "--yes", "--json")


async def test_postgres_killed_the_trip_works_and_is_audited_later(desk: Desk) -> None:  # I6, F8
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await asyncio.to_thread(desk.platform.postgres.kill)
        done = await cockpit(desk.platform.config, *trip_arguments(BTC))
        assert done.code == 0, done.err
        assert done.document["delivered"] == {"redis": True, "postgres": False}
        assert await desk.state(BTC) is State.OPEN
        for what in ("half-open", "close"):
            refused = await cockpit(desk.platform.config, *resume_arguments(what))
            assert refused.code == 5, refused.out
        await asyncio.to_thread(desk.platform.postgres.start)
        row = await desk.audited(done.document["event_id"], "CIRCUIT_BREAKER_TRIP")
        assert row["user_id"] == "operator1"
        assert await desk.state(BTC) is State.OPEN


async def test_redis_killed_the_trip_is_pending_and_applied_when_it_is_back(desk: Desk) -> None:  # I8, F9
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        await desk.becomes(ETH, State.CLOSED)
        await asyncio.to_thread(desk.platform.valkey.kill)
        done = await cockpit(desk.platform.config, *trip_arguments(BTC))
        assert done.code == 5
        assert done.document["outcome"] == "pending"
        assert "PENDING · NOT HALTED YET" in done.document["message"]
        await asyncio.to_thread(desk.platform.valkey.start)
        await desk.audited(done.document["event_id"], "CIRCUIT_BREAKER_TRIP")
        assert await desk.state(BTC) is State.OPEN
        await desk.becomes(ETH, State.CLOSED)  # nothing was lost
        assert await desk.state(BTC) is State.OPEN


async def test_both_killed_the_trip_waits_on_the_disk(desk: Desk) -> None:  # I8, F10
    async with running_authority(desk.settings):
        await desk.becomes(BTC, State.CLOSED)
        for server in (desk.platform.valkey, desk.platform.postgres):
            await asyncio.to_thread(server.kill)
        done = await cockpit(desk.platform.config, *trip_arguments(BTC))
        assert done.code == 5
        assert done.document["delivered"] == {"redis": False, "postgres": False}
        for server in (desk.platform.valkey, desk.platform.postgres):
            await asyncio.to_thread(server.start)
        again = await cockpit(desk.platform.config, *trip_arguments("instrument:SOL-USD"))
        assert again.code == 0, again.err
        row = await desk.audited(done.document["event_id"], "CIRCUIT_BREAKER_TRIP")
        assert row["user_id"] == "operator1"
        assert json.loads(row["details_text"])["attributed"] is True
        assert await desk.state(BTC) is State.OPEN

        async def untouched() -> bool:
            return await desk.state(ETH) is State.CLOSED

        await until(untouched)
