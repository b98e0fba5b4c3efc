"""`init`, operators, keys and doctor, on both real stores."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from backends.audit_log import load_entries, recorded, verify_signatures
from backends.postgres_admin import PostgresAdmin
from backends.redis_admin import RedisAdmin
from backends.redis_connection import Line
from backends.signing import KeyRing, SigningKey, canonical, verify
from cockpit.demo.servers import Postgres, Valkey
from cockpit.domain.audit import Action, verify_chain
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.facts import Fact, Severity, ok
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.states import State
from cockpit.operations import administration
from cockpit.operations.administration import Initialised, Login
from tests.trading_platform import Platform, demo_catalogue


@dataclass
class Empty:
    """Stores on which `init` has not run: an empty database and an empty Redis."""

    owner: Login
    postgres: PostgresAdmin
    redis: RedisAdmin
    owner_key: SigningKey
    authority_key: SigningKey

    async def init(self, catalogue: Catalogue | None = None, known: tuple[str, ...] = ()) -> Initialised:
        return await administration.init(
            self.postgres,
            self.redis,
            catalogue or demo_catalogue(),
            owner=self.owner,
            owner_key=self.owner_key,
            authority_key=self.authority_key,
            # A service that is not known gets a new password, and its role is the whole test server's.
            known=dict.fromkeys(known or tuple(Service)),
        )


@pytest.fixture
async def empty(platform: Platform) -> AsyncIterator[Empty]:
    """The platform's servers, its Redis emptied, and a database beside its own."""
    name = f"empty_{uuid4().hex[:8]}"
    async with platform.connection() as owner:
        await owner.execute(f"CREATE DATABASE {name}")
    async with platform.redis_line() as line:
        await line.command("FLUSHALL")
    login = Login(
        "owner", platform.owner.redis_url, platform.owner.postgres_dsn.replace(platform.database, name)
    )
    made = Empty(
        login,
        PostgresAdmin(login.postgres_dsn),
        RedisAdmin(login.redis_url),
        platform.keys["owner"],
        platform.authority_key,
    )
    yield made
    await made.postgres.close()
    await made.redis.close()
    async with platform.connection() as owner:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_breakers_are_born_open(platform: Platform) -> None:  # I4
    store = platform.redis_store("monitor1")
    snapshot = await store.snapshot()
    await store.close()
    assert set(snapshot.readings) == set(platform.catalogue.everything)
    assert {reading.state for reading in snapshot.readings.values()} == {State.OPEN}
    assert {reading.epoch.counter for reading in snapshot.readings.values() if reading.epoch} == {1}


async def test_a_first_init_leaves_one_signed_genesis_grant(empty: Empty) -> None:  # I1
    done = await empty.init()
    assert done.genesis and set(done.seeded) == set(demo_catalogue().everything)
    connection = await asyncpg.connect(empty.owner.postgres_dsn)
    row = await connection.fetchrow("SELECT * FROM genesis")
    assert await connection.fetchval("SELECT min(counter) FROM breakers") == 1
    await connection.close()
    payload = json.loads(row["payload"])
    signature = payload.pop("signature")
    assert payload["run_id"] == row["run_id"] == done.run_id
    assert payload["breakers"] == list(demo_catalogue().everything)
    assert verify(empty.owner_key.public_key, canonical(payload), signature)


async def test_a_repeat_grants_nothing_and_closes_nothing(empty: Empty) -> None:  # I1, I11
    await empty.init()
    again = await empty.init()
    assert (again.genesis, again.seeded) == (False, ())


async def test_several_inits_at_once_give_one_grant(empty: Empty) -> None:  # I1
    await empty.postgres.upgrade(demo_catalogue())  # the first schema, so that all race for the grant
    others = [PostgresAdmin(empty.owner.postgres_dsn) for _ in range(3)]
    given = await asyncio.gather(*(other.grant_genesis("r", "{}") for other in others))
    for other in others:
        await other.close()
    assert sorted(given) == [False, False, True]


@pytest.mark.parametrize(
    "left", ["SET trip:instrument:BTC-USD 7", "SET breaker:global {}", "SET circuit_breaker:state x"]
)
async def test_a_redis_that_was_used_gets_no_grant(
    platform: Platform, empty: Empty, left: str
) -> None:  # I1, F1
    async with platform.redis_line() as line:
        await line.command(*left.split())
    assert not (await empty.init()).genesis


async def test_an_audit_log_that_was_used_gets_no_grant(platform: Platform, empty: Empty) -> None:  # I1, F1
    await empty.postgres.upgrade(demo_catalogue())
    connection = await asyncpg.connect(empty.owner.postgres_dsn)
    await connection.execute("UPDATE breakers SET counter = 0")
    await connection.close()
    await empty.postgres.record(
        recorded(
            empty.owner_key,
            event_id="e",
            action=Action.TRIP,
            user_id="u",
            role="r",
            target="global",
            details={},
        )
    )
    assert not (await empty.init()).genesis


async def test_a_grown_catalogue_adds_open_breakers(empty: Empty) -> None:  # I4
    await empty.init()
    grown = Catalogue.build(("execution",), ("BTC-USD", "NEW-USD"), ())
    done = await empty.init(grown)
    new = ("instrument:NEW-USD", *grown.switches_of(BreakerId("instrument:NEW-USD")))
    assert (done.genesis, sorted(done.seeded)) == (False, sorted(new))


async def test_an_upgrade_to_switches_bears_them_set(empty: Empty) -> None:  # I4, I18
    """A platform from before there were any: its breakers go on, its switches must be released."""
    await empty.init()
    line, catalogue = Line(empty.owner.redis_url), demo_catalogue()
    keys = [key for name in catalogue.switches for key in (f"trip:{name}", f"breaker:{name}")]
    await line.command("DEL", *keys)
    connection = await asyncpg.connect(empty.owner.postgres_dsn)
    await connection.execute("DELETE FROM breakers WHERE breaker_id = ANY ($1)", list(catalogue.switches))
    done = await empty.init()
    assert (done.genesis, set(done.seeded)) == (False, set(catalogue.switches))
    rows = await connection.fetch(
        "SELECT counter, state, document, redis_run_id FROM breakers WHERE breaker_id = ANY ($1)",
        list(catalogue.switches),
    )
    assert {tuple(row) for row in rows} == {(1, "OPEN", None, done.run_id)}
    assert {await line.command("GET", f"trip:{name}") for name in catalogue.switches} == {b"1"}
    await connection.close()
    await line.close()


async def test_an_operator_gets_both_stores_and_an_entry(platform: Platform) -> None:
    await platform.add_login("night1", Role.OPERATOR_ACT, "person:night")
    async with platform.redis_line("night1") as line:
        assert await line.command("ACL", "WHOAMI") == b"night1"
    async with platform.connection("night1") as psql:
        entries = await load_entries(psql, 0, 100)
        keys = {row["key_id"]: row["login"] for row in await psql.fetch("SELECT * FROM signing_keys")}
    verify_chain(entries)
    verify_signatures(entries, KeyRing({key.key_id: key.public_key for key in platform.keys.values()}))
    assert (entries[-1].action, entries[-1].target) == (Action.OPERATOR_ADDED, "login:night1")
    assert json.loads(entries[-1].details)["public_key"] == platform.keys["night1"].public_b64
    assert keys[platform.keys["night1"].key_id] == "night1"


async def test_a_changed_role_replaces_the_former_one(platform: Platform) -> None:  # I21, I22
    insert = (
        "INSERT INTO probe_results (run_id, ordinal, name, passed, latency_ms, detail, payload, "
        "key_id, signature)"
        " VALUES (gen_random_uuid(), 0, 'x', true, 1, '', '{}', 'k', 's')"
    )
    await platform.add_login("night1", Role.OPERATOR_ACT, "person:night")
    async with platform.connection("night1") as psql:
        await psql.execute(insert)
    (platform.folder / "night1.key").unlink()
    await platform.add_login("night1", Role.MONITORING_READ, "person:night")
    store = platform.postgres_store("night1")
    assert (await store.identity()).role is Role.MONITORING_READ
    await store.close()
    async with platform.connection("night1") as psql:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await psql.execute(insert)
        assert (
            await psql.fetchval(
                "SELECT count(*) FROM signing_keys WHERE login='night1' AND revoked_at IS NULL"
            )
            == 1
        )


async def test_a_revoked_login_is_out_at_once(platform: Platform) -> None:  # I21
    await platform.add_login("night1", Role.SAFETY_ADMIN, "person:night")
    psql = await asyncpg.connect(platform.login("night1").postgres_dsn)
    postgres, redis = PostgresAdmin(platform.owner.postgres_dsn), RedisAdmin(platform.owner.redis_url)
    async with platform.redis_line("night1") as line:
        await line.command("PING")
        entry = await administration.revoke(postgres, redis, platform.keys["owner"], name="night1")
        with pytest.raises((StoreUnreachable, Refused)):
            await line.command("INCR", "trip:global")
    assert entry.action == Action.OPERATOR_REVOKED
    # The server may end the session while the statement is on its way, which the client calls its own error.
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        await psql.execute("SELECT 1")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(platform.login("night1").postgres_dsn)
    with pytest.raises(Refused) as refused:
        await administration.revoke(postgres, redis, platform.keys["owner"], name="nobody")
    assert refused.value.refusal.code is Code.UNKNOWN
    await psql.close()
    await postgres.close()
    await redis.close()


@pytest.mark.parametrize(
    ("name", "person", "code"),
    [
        ("owner", "person:x", Code.MALFORMED),
        ("authority", "person:x", Code.MALFORMED),
        ("pg_monitor", "person:x", Code.MALFORMED),
        ("cockpit_authority", "person:x", Code.MALFORMED),
        ('x"; DROP TABLE audit_log', "person:x", Code.MALFORMED),
        ("Night", "person:x", Code.MALFORMED),
        ("night1", "", Code.MALFORMED),
        ("operator1", "person:x", Code.DENIED),
    ],
)
async def test_a_login_that_cannot_be_had(
    platform: Platform, name: str, person: str, code: Code
) -> None:  # I19
    with pytest.raises(Refused) as refused:
        (platform.folder / "keys").mkdir(exist_ok=True)
        await _add(platform, name, person, SigningKey.generate())
    assert refused.value.refusal.code is code


async def test_a_key_is_one_logins(platform: Platform) -> None:  # I19
    with pytest.raises(Refused, match="registered for operator1"):
        await _add(platform, "night1", "person:night", platform.keys["operator1"])


async def _add(platform: Platform, name: str, person: str, key: SigningKey) -> None:
    postgres, redis = PostgresAdmin(platform.owner.postgres_dsn), RedisAdmin(platform.owner.redis_url)
    try:
        await administration.add_operator(
            postgres,
            redis,
            platform.keys["owner"],
            owner=platform.owner,
            name=name,
            role=Role.OPERATOR_ACT,
            person_id=person,
            key_id=key.key_id,
            public_b64=key.public_b64,
        )
    finally:
        await postgres.close()
        await redis.close()


async def test_no_password_reaches_the_servers_log_or_the_audit(platform: Platform) -> None:  # I27
    credentials = await platform.add_login("night1", Role.MONITORING_READ, "person:night")
    password = credentials.postgres_dsn.split(":")[2].split("@")[0]
    async with platform.connection() as owner:
        entries = await load_entries(owner, 0, 100)
        stored = await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'night1'")
    assert stored.startswith("SCRAM-SHA-256$")
    assert password not in repr(entries) + platform.postgres.log_path.read_text() + repr(credentials) + repr(
        platform
    )


def test_keygen_writes_a_private_and_a_public_file_once(tmp_path: Path) -> None:
    path = tmp_path / "night.key"
    key = administration.keygen(SigningKey.generate, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).key_id == key.key_id
    assert (tmp_path / "night.key.pub").read_text().strip() == key.public_b64
    with pytest.raises(FileExistsError):
        administration.keygen(SigningKey.generate, path)


def test_credentials_are_toml(tmp_path: Path) -> None:
    login = Login("x", "redis://x:p%22@h/0", "postgresql://x:p@h/d")
    text = administration.credentials_toml(login, tmp_path / 'odd "name".key')
    assert tomllib.loads(text)["signing_key"] == str(tmp_path / 'odd "name".key')
    assert "p@h" not in repr(login)


async def test_doctor_names_what_is_wrong_and_what_to_do(platform: Platform) -> None:
    postgres = PostgresAdmin(platform.owner.postgres_dsn)
    found = {fact.subject: fact for fact in await postgres.facts()}
    assert found["authority"].severity is Severity.BAD and "nothing resumes" in found["authority"].text
    assert found["audit log"].severity is Severity.OK
    assert found["operators"].severity is Severity.OK
    async with platform.connection() as owner:
        await owner.execute("ALTER TABLE audit_log DISABLE TRIGGER ALL; DELETE FROM audit_log WHERE seq = 6")
        await owner.execute("GRANT UPDATE ON audit_log TO monitor1; GRANT CREATE ON SCHEMA public TO PUBLIC")
        await owner.execute("UPDATE role_grants SET revoked_at = now() WHERE login = 'admin2'")
    found = {fact.subject: fact for fact in await postgres.facts()}
    assert {subject for subject, fact in found.items() if fact.severity is Severity.BAD} == {
        "authority",
        "audit log",
        "postgres triggers",
        "postgres rights",
        "postgres PUBLIC",
    }
    assert "monitor1" in found["postgres rights"].text
    assert found["operators"].severity is Severity.WARN
    assert all(fact.remedy for fact in found.values() if fact.severity is not Severity.OK)
    await postgres.upgrade(platform.catalogue)
    found = {fact.subject: fact for fact in await postgres.facts()}
    assert "postgres PUBLIC" not in found
    await postgres.close()


async def test_doctor_goes_on_past_what_it_cannot_reach() -> None:  # F20
    async def away() -> list[Fact]:
        raise StoreUnreachable("Redis", "refused")

    async def fine() -> list[Fact]:
        return [ok("postgres", "answers")]

    facts = await administration.doctor({"redis": away, "postgres": fine})
    assert [fact.severity for fact in facts] == [Severity.BAD, Severity.OK]
    assert facts[0].remedy


async def test_an_init_without_a_schema_is_reported(valkey: Valkey, postgres: Postgres, empty: Empty) -> None:
    found = {fact.subject: fact for fact in await empty.postgres.facts()}
    assert found["postgres schema"].severity is Severity.BAD
