"""What each login may do with the guard's functions, by raw psql: # I21, # I22."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

import asyncpg
import pytest

from backends.postgres_admin import PostgresAdmin
from cockpit.domain.permissions import Role
from tests.trading_platform import PEOPLE, Platform

FIRING: Final = "0b0dcbe2-4a1f-4c4c-9a39-3c8d6a4f7f10"  # the same for every test process
FIRE = (
    "SELECT guard_fire('me', {term}, '{firing}', 'some-rule', 'live', 'trip', 'global', 'some-breaker',"
    " '', 1, 0.5, '[]', clock_timestamp(), 'P0', 'other', 'A title')"
)
CALLS = {
    "take": "SELECT guard_take('me')",
    "renew": "SELECT guard_renew('me', 1, '{}')",
    "release": "SELECT guard_release('me', 1)",
    "fire": FIRE.format(term=1, firing=FIRING),
    "holds": "SELECT guard_holds('me', 1)",
    "entitled": "SELECT guard_entitled()",
}
OURS = {"take", "renew", "release", "fire"}


@pytest.mark.parametrize("login", [*PEOPLE, "gateway", "authority"])
async def test_only_an_automation_login_may_be_the_guard(platform: Platform, login: str) -> None:  # I22
    may = set()
    async with platform.connection(login) as psql:
        for name, call in CALLS.items():
            try:
                await psql.execute(call)
                may.add(name)
            except asyncpg.InsufficientPrivilegeError:
                continue
    assert may == (OURS if PEOPLE.get(login) is Role.AUTOMATION_ROLE else set())


async def test_the_guards_login_changes_nothing_else(platform: Platform) -> None:  # I22
    async with platform.connection("automation1") as psql:
        assert await psql.fetchval("SELECT guard_take('me')") == 1
        for attack in (
            "UPDATE guard_lease SET expires_at = 'infinity'",
            "DELETE FROM guard_firings",
            "INSERT INTO guard_firings SELECT * FROM guard_firings",
            "INSERT INTO incidents (severity, title) VALUES ('P0', 'x')",
            "UPDATE incidents SET status = 'resolved'",
            "DELETE FROM outbox",
            "INSERT INTO size_limits SELECT * FROM size_limits",
            "UPDATE size_limits SET lifted_at = clock_timestamp()",
            "UPDATE positions SET quantity = 0",
            "DELETE FROM sli_samples",
            "SET ROLE cockpit_authority",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await psql.execute(attack)


async def test_a_term_is_its_logins_own(platform: Platform) -> None:  # I22
    await platform.add_login("automation2", Role.AUTOMATION_ROLE, "person:automation2")
    async with platform.connection("automation1") as first, platform.connection("automation2") as second:
        assert await first.fetchval("SELECT guard_take('me')") == 1
        assert await second.fetchval("SELECT guard_take('me')") is None  # the same name is no way in
        assert not await second.fetchval("SELECT guard_renew('me', 1, '{}')")
        assert not await second.fetchval("SELECT guard_release('me', 1)")
        assert not await second.fetchval(FIRE.format(term=1, firing=uuid4()))
        assert await first.fetchval(FIRE.format(term=1, firing=uuid4()))


async def test_a_grant_that_has_ended_ends_the_term(platform: Platform) -> None:  # I21
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        assert await psql.fetchval("SELECT guard_take('me')") == 1
        await owner.execute(
            "UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'automation1'"
        )
        assert not await psql.fetchval("SELECT guard_renew('me', 1, '{}')")
        assert not await psql.fetchval(FIRE.format(term=1, firing=uuid4()))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await psql.execute("SELECT guard_take('me')")


@pytest.mark.parametrize(
    "call",
    [
        "SELECT guard_take('')",
        "SELECT guard_take(repeat('x', 201))",
        "SELECT guard_renew('me', 1, to_jsonb(repeat('x', 270000)))",
        FIRE.format(term=1, firing=FIRING).replace("some-rule", "a:b"),
        FIRE.format(term=1, firing=FIRING).replace("'A title'", "repeat('x', 301)"),
        FIRE.format(term=1, firing=FIRING).replace("'P0'", "'P9'"),
        FIRE.format(term=1, firing=FIRING).replace("'live'", "'off'"),
    ],
)
async def test_nonsense_is_refused(platform: Platform, call: str) -> None:
    async with platform.connection("automation1") as psql:
        await psql.execute("SELECT guard_take('me')")
        with pytest.raises(asyncpg.CheckViolationError):
            await psql.execute(call)


async def test_shadow_opens_no_incident(platform: Platform) -> None:
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        await psql.execute("SELECT guard_take('me')")
        assert await psql.fetchval(FIRE.format(term=1, firing=uuid4()).replace("'live'", "'shadow'"))
        assert await owner.fetchval("SELECT count(*) FROM guard_firings") == 1
        assert await owner.fetchval("SELECT count(*) FROM incidents") == 0


async def test_an_upgrade_makes_known_automation_logins_guards(platform: Platform) -> None:
    admin = PostgresAdmin(platform.owner.postgres_dsn)
    async with platform.connection() as owner, platform.connection("automation1") as psql:
        await owner.execute("REVOKE cockpit_guard FROM automation1")
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await psql.execute("SELECT guard_take('me')")
            await admin.upgrade(platform.catalogue)
            assert await psql.fetchval("SELECT guard_take('me')") == 1
            for name in ("operator1", "monitor1", "admin1"):
                assert not await owner.fetchval("SELECT pg_has_role($1, 'cockpit_guard', 'member')", name)
        finally:
            await owner.execute("GRANT cockpit_guard TO automation1")
            await admin.close()


async def test_every_definer_function_pins_its_search_path(platform: Platform) -> None:
    async with platform.connection() as owner:
        rows = await owner.fetch(
            "SELECT proname, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
        )
    assert {row["proname"] for row in rows} >= {f"guard_{name}" for name in CALLS}
    for row in rows:
        assert "search_path=pg_catalog, public, pg_temp" in row["proconfig"], row["proname"]


async def test_an_order_is_noted_once_however_often_it_is_booked(platform: Platform) -> None:
    """A plant that lost a reply books the same rows again: they are no new samples."""
    insert = (
        "INSERT INTO recent_orders (order_id, symbol, side, quantity, status, updated_at) VALUES"
        " ('o1', 'BTC-USD', 'buy', 1, '{}', '2026-01-01') ON CONFLICT (order_id) DO UPDATE"
        " SET status = excluded.status, updated_at = excluded.updated_at"
    )
    noted = "SELECT noted_tx::text FROM recent_orders"
    async with platform.connection("gateway") as gateway:
        await gateway.execute(insert.format("open"))
        first = await gateway.fetchval(noted)
        await gateway.execute(insert.format("filled"))
        settled = await gateway.fetchval(noted)
        await gateway.execute(insert.format("filled"))
        await gateway.execute("UPDATE recent_orders SET noted_tx = '1'")
        assert first != settled == await gateway.fetchval(noted)


async def test_nothing_worse_hides_in_an_open_incident(platform: Platform) -> None:
    """A rule's further firings join its open incident: not a higher severity, not that a halt failed."""
    fire = FIRE.replace("'P0', 'other', 'A title'", "'{severity}', 'other', '{title}'")
    failed = "NOT HALTED by the guard: A title"
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        await psql.execute("SELECT guard_take('me')")
        for severity, title, pages in (
            ("P1", "A title", ["P1"]),
            ("P1", "A title", ["P1"]),
            ("P0", failed, ["P1", "P0"]),
            ("P0", failed, ["P1", "P0"]),
            ("P1", "A title", ["P1", "P0"]),
        ):
            assert await psql.fetchval(fire.format(term=1, firing=uuid4(), severity=severity, title=title))
            listed = await owner.fetch("SELECT severity FROM outbox ORDER BY outbox_id")
            assert [row["severity"] for row in listed] == pages
        await owner.execute("UPDATE incidents SET status = 'resolved'")
        for title, count in (("A title", 3), (failed, 4), (failed, 4), ("A title", 4)):
            assert await psql.fetchval(fire.format(term=1, firing=uuid4(), severity="P0", title=title))
            assert await owner.fetchval("SELECT count(*) FROM outbox") == count


async def test_what_was_classified_anew_takes_no_further_firing(platform: Platform) -> None:
    """Its recovery conditions are no longer those of the rule."""
    fire = FIRE.replace("'other'", "'data_quality'")
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        await psql.execute("SELECT guard_take('me')")
        for _ in range(2):
            assert await psql.fetchval(fire.format(term=1, firing=uuid4()))
        await owner.execute("UPDATE incidents SET classification = 'security'")
        for _ in range(2):
            assert await psql.fetchval(fire.format(term=1, firing=uuid4()))
        found = await owner.fetch("SELECT classification FROM incidents ORDER BY opened_at")
    assert [row["classification"] for row in found] == ["security", "data_quality"]


async def test_asking_for_a_lease_that_runs_holds_nobody_up(platform: Platform) -> None:  # F25
    """An open transaction that asked for it, and got nothing, keeps no lock on the row."""
    async with platform.connection("automation1") as guard, platform.connection("automation1") as other:
        term = await guard.fetchval("SELECT guard_take('me')")
        async with other.transaction():
            assert await other.fetchval("SELECT guard_take('another')") is None
            await guard.execute("SET lock_timeout = '500ms'")
            assert await guard.fetchval("SELECT guard_renew('me', $1, '{}')", term)


async def test_invented_rules_drown_nobody(platform: Platform) -> None:
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        term = await psql.fetchval("SELECT guard_take('me')")
        for number in range(40):
            fire = FIRE.format(term=term, firing=uuid4()).replace("some-rule", f"rule-{number}")
            assert await psql.fetchval(fire)
        assert await owner.fetchval("SELECT count(*) FROM guard_firings") == 40
        assert await owner.fetchval("SELECT count(*) FROM incidents WHERE source = 'guard'") == 30
        assert await owner.fetchval("SELECT count(*) FROM outbox") == 30


async def test_many_lesser_firings_hide_no_graver_one(platform: Platform) -> None:
    """Each breaker that a rule halts has its own incident, since recovery is judged by breaker."""
    async with platform.connection("automation1") as psql, platform.connection() as owner:
        term = await psql.fetchval("SELECT guard_take('me')")
        for number in range(31):
            fire = FIRE.format(term=term, firing=uuid4()).replace("'P0'", "'P2'")
            assert await psql.fetchval(fire.replace("some-breaker", f"instrument:S{number}-USD"))
        assert await owner.fetchval("SELECT count(DISTINCT breaker_id) FROM incidents") == 30
        assert await psql.fetchval(FIRE.format(term=term, firing=uuid4()).replace("some-rule", "grave"))
        assert await owner.fetchval("SELECT count(*) FROM incidents WHERE severity = 'P0'") == 1
        assert await owner.fetchval("SELECT count(*) FROM outbox WHERE severity = 'P0'") == 1
