"""What each login may do with raw psql: # I22, # I24, # F25."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from cockpit.domain.permissions import Role
from tests.trading_platform import PEOPLE, Platform

TABLES = (
    "operators role_grants signing_keys breakers requests approvals probe_runs probe_results "
    "audit_log audit_head "
    "audit_anchors commits reset_slots genesis authority_lease recent_orders positions automations incidents "
    "incident_events reconciliation_runs sli_samples sli_buckets slo_exclusions size_limits guard_lease "
    "guard_firings outbox incident_actions kill_switches kill_steps page_deliveries daily_bars "
    "quality_cycles run_offsets pagers pager_receivers"
).split()
PROBERS = {name for name, role in PEOPLE.items() if role in (Role.SAFETY_ADMIN, Role.OPERATOR_ACT)}

# What nobody but the authority or the owner may do, each in a transaction of its own.
ATTACKS = [
    "INSERT INTO requests (request_id, payload, key_id, signature, login) "
    "VALUES (gen_random_uuid(), '{}', 'k', 's', 'admin1')",
    "INSERT INTO requests (request_id, payload, key_id, signature, submitted_at) "
    "VALUES (gen_random_uuid(), '{}', 'k', 's', '2000-01-01')",
    "INSERT INTO requests (request_id, payload, key_id, signature, status) "
    "VALUES (gen_random_uuid(), '{}', 'k', 's', 'done')",
    "INSERT INTO requests (request_id, payload, key_id, signature) VALUES (gen_random_uuid(), '{}', "
    "'k', 's') "
    "ON CONFLICT (request_id) DO UPDATE SET status = 'done'",
    "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id, "
    "signature, login) "
    "VALUES (gen_random_uuid(), 0, 'x', true, 1, '', '{}', 'k', 's', 'admin1')",
    "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id, "
    "signature, "
    "received_at) VALUES (gen_random_uuid(), 0, 'x', true, 1, '', '{}', 'k', 's', '2000-01-01')",
    "INSERT INTO audit_log (seq, event_id, timestamp, action, user_id, role, target, details, "
    "details_text, key_id, "
    "payload, payload_hash, signed_hash, prev_hash, chain_hash) "
    "VALUES (99, 'e', now(), 'a', 'u', 'r', 't', '{}', '{}', 'k', 'p', 'h', 's', 'p', 'c')",
    "INSERT INTO commits (commit_id, breaker_id, transition, redis_run_id, counter, term, document, "
    "deadline, "
    "intent_seq) VALUES (gen_random_uuid(), 'global', 'CLOSE', 'r', 1, 1, '{}', now(), 1)",
    "INSERT INTO approvals (approval_id, request_id, payload_hash, breaker_id, redis_run_id, counter, login, "
    "person_id, expires_at) VALUES (gen_random_uuid(), gen_random_uuid(), 'h', 'global', 'r', 1, "
    "'l', 'p', now())",
    "INSERT INTO genesis (run_id, payload) VALUES ('r', '{}')",
    "INSERT INTO role_grants (login, role) VALUES (session_user, 'safety-admin')",
    "INSERT INTO signing_keys (key_id, login, public_key) VALUES ('k', session_user, 'p')",
    "INSERT INTO reset_slots (breaker_id, commit_id) VALUES ('global', gen_random_uuid())",
    "UPDATE audit_head SET seq = 0",
    "SELECT * FROM audit_head FOR UPDATE",
    "SELECT * FROM authority_lease FOR UPDATE",
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE ROLE mine",
    "SET ROLE authority",
    "SET ROLE owner",
    "SET ROLE cockpit_authority",
    "SET SESSION AUTHORIZATION authority",
    "SET session_replication_role = replica",
    "GRANT cockpit_authority TO CURRENT_USER",
    "GRANT cockpit_prober TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "ALTER TABLE audit_log ADD COLUMN x int",
    "ALTER TABLE requests OWNER TO CURRENT_USER",
    "DROP TABLE audit_log",
    "CREATE TRIGGER mine BEFORE INSERT ON requests EXECUTE FUNCTION cockpit_notify_inbox()",
    "CREATE RULE mine AS ON INSERT TO requests DO INSTEAD NOTHING",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "COPY audit_log TO PROGRAM 'cat'",
    "COPY audit_log TO '/tmp/audit_log'",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'owner'",
    "SELECT pg_reload_conf()",
    "LOCK TABLE audit_head IN EXCLUSIVE MODE",
    "LOCK TABLE requests IN SHARE MODE",
    "SELECT * FROM pg_authid",
    *(f"DELETE FROM {table}" for table in TABLES),
    *(f"TRUNCATE {table}" for table in TABLES),
]


@pytest.mark.parametrize("login", [*PEOPLE])
async def test_people_cannot_do_what_is_the_authoritys(platform: Platform, login: str) -> None:  # I22
    async with platform.connection() as owner:
        columns = {
            row["relname"]: row["attname"]
            for row in await owner.fetch(
                "SELECT relname::text, min(attname::text) AS attname FROM pg_attribute a "
                "JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped "
                "AND attidentity = '' AND relnamespace = 'public'::regnamespace GROUP BY 1"
            )
        }
        before = await _fingerprint(owner)
    assert set(columns) == set(TABLES), "a table is missing from this test"
    updates = [f"UPDATE {table} SET {column} = {column}" for table, column in columns.items()]
    done = []
    async with platform.connection(login) as psql:
        for attack in (*ATTACKS, *updates):
            try:
                async with psql.transaction():
                    await psql.execute(attack)
                done.append((attack, "done"))
            except asyncpg.InsufficientPrivilegeError:
                continue
            except (
                asyncpg.PostgresError
            ) as error:  # refused, but not for lack of a right: the attack is wrong
                done.append((attack, str(error)))
    async with platform.connection() as owner:
        after = await _fingerprint(owner)
    assert (done, after) == ([], before)


async def _fingerprint(owner: asyncpg.Connection) -> list[tuple[str, int]]:
    return [(table, await owner.fetchval(f"SELECT count(*) FROM {table}")) for table in TABLES]


@pytest.mark.parametrize("login", [*PEOPLE, "gateway", "authority"])
@pytest.mark.parametrize("attack", ["CREATE DATABASE mine", "ALTER SYSTEM SET fsync = off"])
async def test_the_server_itself_is_the_owners(platform: Platform, login: str, attack: str) -> None:  # I22
    async with platform.connection(login) as psql:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await psql.execute(attack)


@pytest.mark.parametrize("login", [*PEOPLE])
async def test_a_request_bears_the_login_of_its_session(platform: Platform, login: str) -> None:  # I22
    async with platform.connection(login) as psql:
        await psql.execute(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES ($1, '{}', 'k', 's')",
            uuid4(),
        )
        assert await psql.fetchval("SELECT login FROM requests") == login


@pytest.mark.parametrize("login", [*PEOPLE])
async def test_only_who_may_probe_reports_results(platform: Platform, login: str) -> None:  # I9, I22
    insert = (
        "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, "
        "key_id, signature)"
        " VALUES (gen_random_uuid(), 0, 'x', true, 1, '', '{}', 'k', 's') "
    )
    async with platform.connection(login) as psql:
        if login in PROBERS:
            await psql.execute(insert)
            assert await psql.fetchval("SELECT login FROM probe_results") == login
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await psql.execute(insert)


async def test_the_runbooks_audit_query_works_as_printed(platform: Platform) -> None:
    async with platform.connection("monitor1") as psql:
        rows = await psql.fetch(
            "SELECT timestamp, action, user_id, details, ip_address FROM audit_log "
            "WHERE action IN ('CIRCUIT_BREAKER_TRIP', 'CIRCUIT_BREAKER_RESET', 'OPERATOR_ADDED') "
            "ORDER BY timestamp DESC LIMIT 20"
        )
    assert [row["action"] for row in rows] == ["OPERATOR_ADDED"] * 6
    assert rows[0]["user_id"] == "owner"


async def test_the_gateway_writes_the_trading_tables_and_nothing_else(platform: Platform) -> None:  # I22
    async with platform.connection("gateway") as psql:
        await psql.execute("INSERT INTO positions (symbol, quantity) VALUES ('BTC-USD', 1)")
        await psql.execute("UPDATE positions SET quantity = 2")
        for attack in (
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES "
            "(gen_random_uuid(), '', '', '')",
            "UPDATE breakers SET state = 'CLOSED'",
            "SELECT * FROM audit_log",
            "TRUNCATE positions",
            "SET ROLE authority",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await psql.execute(attack)


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit_log SET action = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 0, chain_hash = repeat('0', 64)",
        "UPDATE audit_head SET seq = seq + 1",
        "DELETE FROM reset_slots",
        "UPDATE genesis SET payload = '{}'",
        "DELETE FROM genesis",
        "INSERT INTO genesis (run_id, payload) VALUES ('r', '{}')",
        "INSERT INTO role_grants (login, role) VALUES ('monitor1', 'safety-admin')",
        "INSERT INTO signing_keys (key_id, login, public_key) VALUES ('k', 'monitor1', 'p')",
        "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, "
        "key_id, signature) "
        "VALUES (gen_random_uuid(), 0, 'x', true, 1, '', '{}', 'k', 's')",
        "UPDATE requests SET payload = '{}'",
        "UPDATE requests SET login = 'admin1'",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
    ],
)
async def test_even_the_authority_cannot_rewrite_history(platform: Platform, attack: str) -> None:  # I24
    async with platform.connection("authority") as psql:
        with pytest.raises(asyncpg.PostgresError):
            await psql.execute(attack)


async def test_a_genesis_grant_is_used_once(platform: Platform) -> None:  # I1
    async with platform.connection("authority") as psql:
        await psql.execute("UPDATE genesis SET used_at = clock_timestamp()")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await psql.execute("UPDATE genesis SET used_at = clock_timestamp()")


async def test_locks_of_a_login_do_not_hold_up_the_authority(platform: Platform) -> None:  # F25
    async with platform.connection("operator1") as hostile, platform.connection("authority") as authority:
        await hostile.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; BEGIN")
        await hostile.execute("SELECT pg_advisory_lock(1), pg_advisory_xact_lock(0)")
        for table in TABLES:
            await hostile.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
        await hostile.execute(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES "
            "(gen_random_uuid(), '{}', 'k', 's')"
        )
        async with asyncio.timeout(30):
            async with authority.transaction():
                await authority.execute("SELECT * FROM audit_head FOR UPDATE")
                await authority.execute("UPDATE requests SET status = 'refused'")
                await authority.execute(
                    "INSERT INTO authority_lease (holder, term, renewed_at, expires_at) "
                    "VALUES ('me', 1, clock_timestamp(), clock_timestamp())"
                )
                await authority.execute("UPDATE breakers SET state = state")


async def test_a_flood_fills_only_its_own_share(platform: Platform) -> None:  # F25
    async with platform.connection("monitor1") as flooder, platform.connection("operator1") as operator:
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await flooder.execute(
                "INSERT INTO requests (request_id, payload, key_id, signature) "
                "SELECT gen_random_uuid(), '{}', 'k', 's' FROM generate_series(1, 502)"
            )
        await flooder.execute(
            "INSERT INTO requests (request_id, payload, key_id, signature) "
            "SELECT gen_random_uuid(), '{}', 'k', 's' FROM generate_series(1, 501)"
        )
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await flooder.execute(
                "INSERT INTO requests (request_id, payload, key_id, signature) VALUES "
                "(gen_random_uuid(), '', '', '')"
            )
        await operator.execute(
            "INSERT INTO requests (request_id, payload, key_id, signature) VALUES "
            "(gen_random_uuid(), '', '', '')"
        )


async def test_one_login_cannot_use_up_the_servers_connections(platform: Platform) -> None:  # F25
    held: list[asyncpg.Connection] = []
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            for _ in range(50):
                held.append(await asyncpg.connect(platform.login("monitor1").postgres_dsn, timeout=30))
        async with platform.connection("operator1") as operator:
            assert await operator.fetchval("SELECT 1") == 1
    finally:
        for connection in held:
            await connection.close()


async def test_logins_have_time_limits(platform: Platform) -> None:  # F25
    async with platform.connection("operator1") as psql:
        limits = [
            await psql.fetchval(f"SHOW {name}")
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert limits == ["10s", "2s", "10s"]
