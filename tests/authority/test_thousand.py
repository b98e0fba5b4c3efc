"""A catalogue of 1,000 breakers and switches: genesis and total loss, without holding anybody up."""

from __future__ import annotations

import time
from dataclasses import replace

from backends.redis_admin import RedisAdmin
from cockpit.authority.service import running_authority
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.operations import administration
from tests.authority.desk import BTC, Desk, until
from tests.trading_platform import COMPONENTS, INSTRUMENTS, STRATEGIES, Platform

SIZE = 1_003
LAST = BreakerId("instrument:SYM194-USD")


async def enlarged(desk: Desk) -> Desk:
    """The same platform with a thousand of them and an unused genesis grant for all."""
    platform: Platform = desk.platform
    more = tuple(f"SYM{number:03}-USD" for number in range((SIZE - len(platform.catalogue.everything)) // 5))
    catalogue = Catalogue.build(COMPONENTS, (*INSTRUMENTS, *more), STRATEGIES)
    redis = RedisAdmin(platform.owner.redis_url)
    await redis.seed_counters(catalogue.everything)
    await redis.close()
    run_id = (await desk.epoch(BTC)).run_id
    payload = administration.genesis_payload(catalogue, run_id, platform.keys["owner"])
    async with platform.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE genesis SET run_id = $1, payload = $2", run_id, payload)
        await connection.executemany(
            "INSERT INTO breakers (breaker_id, ancestors) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(name, list(catalogue.ancestors(name))) for name in catalogue.everything],
        )
        await connection.execute("UPDATE breakers SET redis_run_id = $1, counter = 1", run_id)
    settings = replace(desk.settings, catalogue=catalogue)
    return Desk(replace(platform, settings=settings), settings, desk.venue)


async def test_genesis_and_loss_of_a_thousand(desk: Desk) -> None:  # F1, I1
    large = await enlarged(desk)
    count = len(large.settings.catalogue.everything)
    assert count == SIZE and LAST in large.settings.catalogue
    async with running_authority(large.settings):
        await large.becomes(GLOBAL, State.CLOSED)
        await large.becomes(LAST, State.CLOSED)
        assert (await large.actions()).count("CIRCUIT_BREAKER_GENESIS") == count
        began = time.process_time()  # the work it makes, whoever else works on this machine
        await large.trip(LAST)
        assert time.process_time() - began < 3
        async with large.platform.redis_line() as line:
            await line.command("FLUSHALL")

        async def noticed() -> bool:
            return "STATE_LOSS_DETECTED" in await large.actions("global")

        began = time.process_time()
        await until(noticed)
        assert time.process_time() - began < 5
        began = time.process_time()
        row = await large.ask(Kind.HALF_OPEN, BTC)
        assert row.code in ("ancestor-stricter", "checklist")
        assert time.process_time() - began < 3
        async with large.platform.redis_line() as line:
            assert int(await line.command("GET", f"trip:{LAST}")) > 2
    await large.close()
