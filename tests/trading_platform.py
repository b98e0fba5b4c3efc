"""A whole platform for one test: both stores initialised on real servers, the demo's logins, keys, settings.

The servers live for the run. Each test gets a copy of an initialised database and an emptied, re-seeded
Redis.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg

from backends.evidence import Evidence
from backends.postgres_admin import PostgresAdmin
from backends.postgres_store import PostgresStore
from backends.redis_admin import RedisAdmin
from backends.redis_connection import Line
from backends.redis_store import RedisStore
from backends.signing import KeyRing, SigningKey, canonical, sign_document
from cockpit.config import Credentials, Settings, load_settings
from cockpit.demo.servers import Postgres, Valkey
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.permissions import Role
from cockpit.domain.states import State
from cockpit.operations import administration
from cockpit.operations.administration import Login

T = TypeVar("T")

PEOPLE: Mapping[str, Role] = {
    "admin1": Role.SAFETY_ADMIN,
    "admin2": Role.SAFETY_ADMIN,
    "operator1": Role.OPERATOR_ACT,
    "operator2": Role.OPERATOR_ACT,
    "automation1": Role.AUTOMATION_ROLE,
    "monitor1": Role.MONITORING_READ,
}
COMPONENTS = ("execution", "ingest", "risk", "automation")
INSTRUMENTS = ("BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD")
STRATEGIES = ("meanrev", "momentum")
_COPIES = itertools.count(1)


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, from wherever we are."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def demo_catalogue() -> Catalogue:
    return Catalogue.build(COMPONENTS, INSTRUMENTS, STRATEGIES)


@dataclass(frozen=True, slots=True)
class Template:
    """An initialised pair of stores, from which each test's platform is copied. Keys lie in `folder`."""

    valkey: Valkey
    postgres: Postgres
    folder: Path
    logins: Mapping[str, Login]


@dataclass(slots=True)
class Platform:
    """One test's platform. `owner` is the servers' owner login; `settings` what its config.toml says."""

    template: Template
    database: str
    folder: Path
    settings: Settings
    keys: dict[str, SigningKey] = field(repr=False)

    @property
    def valkey(self) -> Valkey:
        return self.template.valkey

    @property
    def postgres(self) -> Postgres:
        return self.template.postgres

    @property
    def catalogue(self) -> Catalogue:
        return self.settings.catalogue

    @property
    def config(self) -> Path:
        return self.settings.path

    @property
    def authority_key(self) -> SigningKey:
        return self.keys["authority"]

    @property
    def keyring(self) -> KeyRing:
        return KeyRing(dict(self.settings.authority_keys))

    @property
    def owner(self) -> Login:
        return _login_of(self.settings.logins["owner"])

    def login(self, name: str) -> Credentials:
        return self.settings.logins[name]

    def redis_store(self, login: str) -> RedisStore:
        return RedisStore(self.login(login).redis_url, self.catalogue, self.keyring)

    def postgres_store(self, login: str) -> PostgresStore:
        return PostgresStore(self.login(login).postgres_dsn)

    def evidence(self) -> Evidence:
        return Evidence(self.settings.evidence_url, self.settings.evidence_options)

    @contextlib.asynccontextmanager
    async def connection(self, login: str = "owner") -> AsyncIterator[Any]:
        """A plain asyncpg connection of any login: the test's psql."""
        connection = await asyncpg.connect(self.login(login).postgres_dsn, timeout=60)
        try:
            yield connection
        finally:
            await connection.close()

    @contextlib.asynccontextmanager
    async def redis_line(self, login: str = "owner") -> AsyncIterator[Line]:
        """A plain Redis connection of any login: the test's redis-cli."""
        line = Line(self.login(login).redis_url)
        try:
            yield line
        finally:
            await line.close()

    async def add_login(self, name: str, role: Role, person_id: str) -> Credentials:
        """One more login, also of a person that has one already. Removed with the next platform."""
        key = SigningKey.generate()
        path = self.folder / f"{name}.key"
        key.save(path)
        postgres, redis = PostgresAdmin(self.owner.postgres_dsn), RedisAdmin(self.owner.redis_url)
        try:
            login, _ = await administration.add_operator(
                postgres,
                redis,
                self.keys["owner"],
                owner=self.owner,
                name=name,
                role=role,
                person_id=person_id,
                key_id=key.key_id,
                public_b64=key.public_b64,
            )
        finally:
            await postgres.close()
            await redis.close()
        credentials = Credentials(name, login.redis_url, login.postgres_dsn, path)
        self.keys[name] = key
        self.settings.logins[name] = credentials  # type: ignore[index]
        with self.config.open("a") as config:
            config.write(_login_table(name, login, path))
        return credentials

    async def open_for_trading(self, *names: BreakerId, state: State = State.CLOSED) -> None:
        """Write what an authority would have: documents of the current epochs, for tests that run none."""
        async with self.redis_line() as line:
            run_id = await _run_id(line)
            for name in names or self.catalogue.everything:
                counter = int(await line.command("GET", f"trip:{name}") or 0)
                document = Document(
                    breaker_id=name,
                    state=state,
                    epoch=Epoch(run_id, counter),
                    ancestors=self.catalogue.ancestors(name),
                    version=1,
                    actor="test",
                    reason="",
                    notes="",
                    event_id=str(uuid4()),
                    issued_at=datetime.now(UTC),
                    size_share=Decimal(1),
                )
                await line.command("SET", f"breaker:{name}", sign_document(document, self.authority_key))
                if name == GLOBAL:
                    await line.command(
                        "SET", "circuit_breaker:state", canonical(legacy_fields(document, None))
                    )


async def _run_id(line: Line) -> str:
    info = (await line.command("INFO", "server")).decode()
    return str(next(row.partition(":")[2] for row in info.splitlines() if row.startswith("run_id:")))


def build_template(valkey: Valkey, postgres: Postgres, folder: Path) -> Template:
    """`init` on empty servers, then the six people of the demo, through the operations themselves."""
    return run_apart(_build_template(valkey, postgres, folder))


async def _build_template(valkey: Valkey, postgres: Postgres, folder: Path) -> Template:
    owner = Login("owner", valkey.owner_url, postgres.owner_dsn)
    keys = {name: SigningKey.generate() for name in ("owner", "authority", *PEOPLE)}
    for name, key in keys.items():
        key.save(folder / f"{name}.key")
    stores = PostgresAdmin(owner.postgres_dsn), RedisAdmin(owner.redis_url)
    try:
        done = await administration.init(
            *stores, demo_catalogue(), owner=owner, owner_key=keys["owner"], authority_key=keys["authority"]
        )
        logins = {"owner": owner} | {login.name: login for login in done.services}
        for name, role in PEOPLE.items():
            logins[name], _ = await administration.add_operator(
                *stores,
                keys["owner"],
                owner=owner,
                name=name,
                role=role,
                person_id=f"person:{name}",
                key_id=keys[name].key_id,
                public_b64=keys[name].public_b64,
            )
    finally:
        for store in stores:
            await store.close()
    return Template(valkey, postgres, folder, logins)


async def copy_platform(template: Template, folder: Path, limits: Mapping[str, object]) -> Platform:
    """A fresh platform in `folder`: config.toml, evidence, spool, its own database, a clean Redis."""
    database = f"test_{next(_COPIES)}"
    owner = await asyncpg.connect(template.postgres.owner_dsn.replace("/cockpit", "/postgres"), timeout=60)
    try:
        await owner.execute(f"CREATE DATABASE {database} TEMPLATE cockpit")
    finally:
        await owner.close()
    keys = {path.stem: SigningKey.load(path) for path in template.folder.glob("*.key")}
    settings = _write_settings(template, folder, database, keys, limits)
    platform = Platform(template, database, folder, settings, keys)
    async with platform.connection() as connection:
        await connection.execute(files("backends").joinpath("sql/database_rights.sql").read_text())
    async with platform.redis_line() as line:
        await line.command("FLUSHALL")
        run_id = await _run_id(line)
    redis = RedisAdmin(platform.owner.redis_url)
    await redis.seed_counters(platform.catalogue.everything)
    await redis.close()
    async with platform.connection() as connection:
        await connection.execute("UPDATE breakers SET redis_run_id = $1", run_id)
        await _renew_genesis(connection, platform, run_id)
    return platform


async def _renew_genesis(connection: Any, platform: Platform, run_id: str) -> None:
    """A test may have restarted Redis since the template was made; then the grant names another server."""
    if await connection.fetchval("SELECT run_id FROM genesis") == run_id:
        return
    payload = administration.genesis_payload(platform.catalogue, run_id, platform.keys["owner"])
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE genesis SET run_id = $1, payload = $2", run_id, payload)


async def drop_platform(platform: Platform) -> None:
    """Remove the database, whoever is still connected, and logins beyond the template's."""
    extra = set(platform.settings.logins) - set(platform.template.logins)
    owner = await asyncpg.connect(
        platform.template.postgres.owner_dsn.replace("/cockpit", "/postgres"), timeout=60
    )
    try:
        await owner.execute(f"DROP DATABASE IF EXISTS {platform.database} WITH (FORCE)")
        for name in extra:
            await owner.execute(f'DROP ROLE IF EXISTS "{name}"')
    finally:
        await owner.close()
    if extra:
        async with platform.redis_line() as line:
            await line.command("ACL", "DELUSER", *extra)


def _write_settings(
    template: Template,
    folder: Path,
    database: str,
    keys: Mapping[str, SigningKey],
    limits: Mapping[str, object],
) -> Settings:
    text = [
        'profile = "test"\ndefault_login = "operator1"\n'
        f"evidence_url = {json.dumps((folder / 'evidence').as_uri())}\n"
        'spool_dir = "spool"\n'
        "[slos]\nshipped = false\n"  # tests of objectives bring their own
        f"[catalogue]\ncomponents = {json.dumps(COMPONENTS)}\ninstruments = {json.dumps(INSTRUMENTS)}\n"
        f"strategies = {json.dumps(STRATEGIES)}\n"
        f"[authority_keys]\n{keys['authority'].key_id} = "
        f"{json.dumps(keys['authority'].public_b64)}\n[limits]\n"
    ]
    text += [f"{name} = {json.dumps(value)}\n" for name, value in {"probe_pace_s": 0.01, **limits}.items()]
    for name, login in template.logins.items():
        moved = Login(name, login.redis_url, login.postgres_dsn.removesuffix("/cockpit") + f"/{database}")
        text.append(_login_table(name, moved, template.folder / f"{name}.key"))
    config = folder / "config.toml"
    config.touch(0o600)
    config.write_text("".join(text))
    return load_settings(config, env={})


def _login_table(name: str, login: Login, key: Path) -> str:
    return f"[logins.{name}]\n" + administration.credentials_toml(login, key if key.exists() else None)


def _login_of(credentials: Credentials) -> Login:
    return Login(credentials.name, credentials.redis_url, credentials.postgres_dsn)
