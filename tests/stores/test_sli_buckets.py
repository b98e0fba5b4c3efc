"""The roll-ups of `sli_samples`: kept by the trigger, filled once at an upgrade, written by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from backends.postgres_admin import PostgresAdmin
from tests.trading_platform import PEOPLE, Platform

SUMS = """
SELECT sli, width_s, start_at, good, total, samples, readings, least, most, contradictions, newest_at
  FROM sli_buckets ORDER BY 1, 2, 3
"""
SAMPLES = """
INSERT INTO sli_samples (sli, good, total, value, observed_at)
SELECT 's' || g % 3, CASE WHEN g % 11 = 0 THEN -1 ELSE g % 5 END, 4,
       CASE WHEN g % 7 = 0 THEN NULL WHEN g % 13 = 0 THEN 'NaN' ELSE g::float8 END,
       timestamptz '2026-03-29 00:00Z' + g * interval '17 s'
  FROM generate_series(1, 600) AS g
"""


ATTACKS = (
    "INSERT INTO sli_buckets (sli, width_s, start_at, good, total, samples, readings, contradictions,"
    " newest_at) VALUES ('x', 60, 'epoch', 1, 1, 1, 0, 0, now())",
    "UPDATE sli_buckets SET good = total",
    "DELETE FROM sli_buckets",
    "TRUNCATE sli_buckets",
    "ALTER TABLE sli_samples DISABLE TRIGGER sli_samples_roll_up",
    "SELECT sli_bucket_start(now(), 60)",
    "CREATE TRIGGER mine AFTER INSERT ON sli_samples REFERENCING NEW TABLE AS fresh"
    " EXECUTE FUNCTION sli_roll_up()",
)


@pytest.mark.parametrize("login", [*PEOPLE, "authority", "gateway"])
async def test_nobody_but_the_owner_writes_them(platform: Platform, login: str) -> None:  # I22
    async with platform.connection(login) as psql:
        for attack in ATTACKS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await psql.execute(attack)


async def test_an_upgrade_fills_them_once(platform: Platform) -> None:
    async with platform.connection() as owner:
        for rest in range(3):
            await owner.execute(f"{SAMPLES} WHERE g % 4 % 3 = {rest}")
        kept = await owner.fetch(SUMS)
        await owner.execute("DROP TRIGGER sli_samples_roll_up ON sli_samples; DROP TABLE sli_buckets")
        await _upgrade(platform)
        assert await owner.fetch(SUMS) == kept
        assert sum(row["samples"] + row["contradictions"] for row in kept) == 2 * 600
        await owner.execute("UPDATE sli_buckets SET good = good + 1000")
        changed = await owner.fetch(SUMS)
        await _upgrade(platform)  # the second time it is there already
        assert await owner.fetch(SUMS) == changed


WAITING = """
SELECT count(*) FROM pg_locks
 WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_a_sample_that_was_not_committed_when_they_are_filled_is_counted(platform: Platform) -> None:
    async with platform.connection() as owner, platform.connection("gateway") as gateway:
        await owner.execute("DROP TRIGGER sli_samples_roll_up ON sli_samples; DROP TABLE sli_buckets")
        async with gateway.transaction():
            await gateway.execute("INSERT INTO sli_samples (sli, good, total) VALUES ('early', 1, 1)")
            upgrade = asyncio.create_task(_upgrade(platform))
            while not await owner.fetchval(WAITING):
                assert not upgrade.done()
        await upgrade
        assert await owner.fetchval("SELECT count(*) FROM sli_buckets WHERE sli = 'early'") == 2


async def test_a_sample_that_comes_while_they_are_filled_is_counted_once(platform: Platform) -> None:
    async with platform.connection() as owner:
        await owner.execute(SAMPLES)
        await owner.execute("DROP TRIGGER sli_samples_roll_up ON sli_samples; DROP TABLE sli_buckets")

    async def write() -> None:
        async with platform.connection("gateway") as gateway:
            for _ in range(200):
                await gateway.execute("INSERT INTO sli_samples (sli, good, total) VALUES ('live', 1, 1)")

    await asyncio.gather(write(), _upgrade(platform))
    async with platform.connection() as owner:
        for width in (60, 3_600):
            counted = await owner.fetchval(
                "SELECT sum(total) FROM sli_buckets WHERE sli = 'live' AND width_s = $1", width
            )
            assert counted == 200


async def test_writers_in_opposite_order_do_not_wait_for_each_other_for_ever(platform: Platform) -> None:
    async def write(order: str) -> None:
        async with platform.connection("gateway") as gateway:
            await gateway.execute(
                "SET lock_timeout = 0; SET statement_timeout = 0"
            )  # a slow turn is no deadlock
            for _ in range(20):
                await gateway.execute(
                    "INSERT INTO sli_samples (sli, good, total, observed_at) SELECT 'sli' || k, 1, 2, 'epoch'"
                    f" FROM generate_series(1, 400) AS k ORDER BY k {order}"
                )

    await asyncio.gather(write("ASC"), write("DESC"), write("ASC"))
    async with platform.connection() as owner:
        assert (
            await owner.fetchval("SELECT sum(total) FROM sli_buckets WHERE width_s = 60") == 3 * 20 * 400 * 2
        )


@pytest.mark.parametrize("at", ["infinity", "-infinity"])
async def test_a_sample_of_no_moment_enters_no_bucket(platform: Platform, at: str) -> None:
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total, observed_at)"
            " VALUES ('x', 1, 1, $1::text::timestamptz)",
            at,
        )
        await gateway.execute("INSERT INTO sli_samples (sli, good, total) VALUES ('x', 1, 1)")
    async with platform.connection() as owner:
        assert await owner.fetchval("SELECT count(*) FROM sli_buckets") == 2


async def test_a_schema_of_the_writers_own_changes_nothing(platform: Platform) -> None:  # I22
    async with platform.connection("gateway") as gateway:
        await gateway.execute("SET search_path = pg_temp, public, pg_catalog")
        await gateway.execute("INSERT INTO public.sli_samples (sli, good, total) VALUES ('x', 1, 1)")
    async with platform.connection() as owner:
        assert await owner.fetchval("SELECT sum(total) FROM sli_buckets WHERE width_s = 60") == 1


async def _upgrade(platform: Platform) -> Any:
    admin = PostgresAdmin(platform.owner.postgres_dsn)
    try:
        await admin.upgrade(platform.catalogue)
    finally:
        await admin.close()
