"""The owner's work: init, operators, keys, doctor. The stores come as arguments."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

from cockpit.domain.audit import Entry
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.facts import Fact, bad, ok
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Refused

OWNER: Final = "owner"


class Key(Protocol):
    """A signing key: its id, its public half in base64, and what it signs."""

    @property
    def key_id(self) -> str: ...
    @property
    def public_b64(self) -> str: ...
    def sign(self, data: bytes) -> str: ...


class NewKey(Key, Protocol):
    def save(self, path: Path) -> None: ...


class PostgresOwner(Protocol):
    async def upgrade(self, catalogue: Catalogue) -> None: ...
    async def note_counters(self, run_id: str, counters: Mapping[BreakerId, int]) -> None: ...
    async def people(self) -> Mapping[str, Role]: ...
    async def set_service_login(self, service: Service, password: str | None) -> None: ...
    async def register_key(self, login: str, key_id: str, public_b64: str) -> None: ...
    async def grant_genesis(self, run_id: str, payload: str) -> bool: ...
    async def add_operator(
        self,
        recorder: Key,
        *,
        login: str,
        person_id: str,
        role: Role,
        key_id: str,
        public_b64: str,
        password: str,
        expires_at: datetime | None = None,
        event_id: str,
    ) -> Entry: ...
    async def revoke(self, recorder: Key, *, login: str, event_id: str) -> Entry: ...


class RedisOwner(Protocol):
    async def set_user(self, name: str, kind: Role | Service, password: str) -> None: ...
    async def mend_user(
        self, name: str, kind: Role | Service, password: str | None
    ) -> Literal["kept", "mended", "missing"]: ...
    async def remove_user(self, name: str) -> bool: ...
    async def seed_counters(self, breaker_ids: Iterable[BreakerId]) -> tuple[BreakerId, ...]: ...
    async def untouched(self, breaker_ids: Iterable[BreakerId]) -> bool: ...
    async def run_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Login:
    """A login's ways in, as `[logins.NAME]` holds them; with passwords, which stay out of any repr."""

    name: str
    redis_url: str = field(repr=False)
    postgres_dsn: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` did. `services` are the logins that got new passwords; `seeded` the breakers that are new;
    `genesis` whether the one genesis grant was given now. `mended` are the Redis users that were gone or had
    other rights; `lost` those that are gone and whose password nobody here knows, with their roles."""

    run_id: str
    services: tuple[Login, ...]
    seeded: tuple[BreakerId, ...]
    genesis: bool
    mended: tuple[str, ...] = ()
    lost: Mapping[str, Role | Service] = field(default_factory=dict)


async def init(
    postgres: PostgresOwner,
    redis: RedisOwner,
    catalogue: Catalogue,
    *,
    owner: Login,
    owner_key: Key,
    authority_key: Key,
    known: Mapping[str, str | None] | None = None,
) -> Initialised:
    """Create or upgrade what the cockpit needs in both stores. Safe to repeat and to be interrupted.

    Every breaker and switch gets its first epoch and reads OPEN: halted, set. Where nothing was ever
    recorded, neither in the audit log nor in Redis, a genesis grant is left for the authority; a repeat gives
    none and closes nothing.
    `known` are the logins that the settings hold, with their Redis passwords: a service that is not among
    them gets fresh ones. Where Redis lost its users (they are neither replicated nor kept without an ACL
    file), services and people that Postgres knows are made again, as far as their passwords are in `known`.
    """
    held = known or {}
    await postgres.upgrade(catalogue)
    await postgres.register_key(OWNER, owner_key.key_id, owner_key.public_b64)
    await postgres.register_key(Service.AUTHORITY, authority_key.key_id, authority_key.public_b64)
    services = []
    for service in Service:
        if service.value in held:
            await postgres.set_service_login(service, None)
            continue
        login = fresh_login(service.value, owner)
        await postgres.set_service_login(service, _password(login))
        await redis.set_user(service.value, service, _password(login))
        services.append(login)
    mended, lost = await _mend_users(postgres, redis, held)
    run_id = await redis.run_id()
    genesis = False
    # Looked at before the first counter, so that an interrupted init can go on.
    if await redis.untouched(catalogue.everything):
        genesis = await postgres.grant_genesis(run_id, genesis_payload(catalogue, run_id, owner_key))
    seeded = await redis.seed_counters(catalogue.everything)
    await postgres.note_counters(run_id, dict.fromkeys(seeded, 1))
    return Initialised(run_id, tuple(services), seeded, genesis, mended, lost)


async def _mend_users(
    postgres: PostgresOwner, redis: RedisOwner, held: Mapping[str, str | None]
) -> tuple[tuple[str, ...], Mapping[str, Role | Service]]:
    """Redis users as Postgres knows them: those that had to be mended, and those that cannot be."""
    expected: dict[str, Role | Service] = {service.value: service for service in Service}
    mended, lost = [], {}
    for name, kind in (expected | dict(await postgres.people())).items():
        found = await redis.mend_user(name, kind, held.get(name))
        if found == "mended":
            mended.append(name)
        elif found == "missing":
            lost[name] = kind
    return tuple(mended), lost


def genesis_payload(catalogue: Catalogue, run_id: str, owner_key: Key) -> str:
    """The owner's signed list of breakers that may start CLOSED, as `{"breakers", "key_id", "run_id",
    "signature"}`, the signature over the canonical JSON of the other three (all ASCII)."""
    granted: dict[str, object] = {
        "breakers": list(catalogue.everything),
        "key_id": owner_key.key_id,
        "run_id": run_id,
    }
    signature = owner_key.sign(_compact(granted))
    return _compact(granted | {"signature": signature}).decode()


async def add_operator(
    postgres: PostgresOwner,
    redis: RedisOwner,
    recorder: Key,
    *,
    owner: Login,
    name: str,
    role: Role,
    person_id: str,
    key_id: str,
    public_b64: str,
    expires_at: datetime | None = None,
) -> tuple[Login, Entry]:
    """A login in both stores with exactly its role's rights, audited. Repeating it gives a fresh password.

    Redis comes last: a login that is only half made can do less, never more.

    Raises:
        Refused: the name is no login's or another person's, or the key is another's or revoked.
    """
    login = fresh_login(name, owner)
    entry = await postgres.add_operator(
        recorder,
        login=name,
        person_id=person_id,
        role=role,
        key_id=key_id,
        public_b64=public_b64,
        password=_password(login),
        expires_at=expires_at,
        event_id=str(uuid4()),
    )
    await redis.set_user(name, role, _password(login))
    return login, entry


async def revoke(postgres: PostgresOwner, redis: RedisOwner, recorder: Key, *, name: str) -> Entry:
    """End a login in both stores at once, audited. Where Redis is away the other half is done all the same,
    and `StoreUnreachable` says that it has to be repeated.

    Raises:
        Refused: no operator has this login.
    """
    entry = await postgres.revoke(recorder, login=name, event_id=str(uuid4()))
    await redis.remove_user(name)
    return entry


def keygen(generate: Callable[[], NewKey], path: Path) -> NewKey:
    """Write a new private key (0600, never over another) and `PATH.pub` with its public half in base64.

    Raises:
        FileExistsError: either file exists.
    """
    public = path.with_name(path.name + ".pub")
    if public.exists():
        raise FileExistsError(f"{public} exists; a key is never overwritten")
    key = generate()
    key.save(path)
    with public.open("x", encoding="ascii") as file:
        file.write(key.public_b64 + "\n")
    return key


async def doctor(checks: Mapping[str, Callable[[], Awaitable[Sequence[Fact]]]]) -> tuple[Fact, ...]:
    """Run every check at once; one that cannot be made is a bad fact itself. Order as given."""

    async def run(subject: str, check: Callable[[], Awaitable[Sequence[Fact]]]) -> Sequence[Fact]:
        try:
            return await check()
        except Refused as refused:
            return [bad(subject, refused.refusal.message, refused.refusal.remedy)]
        except (OSError, ValueError) as error:
            return [bad(subject, str(error), "Mend that, then ask again.")]

    found = await asyncio.gather(*(run(subject, check) for subject, check in checks.items()))
    return tuple(fact for facts in found for fact in facts)


def facts_of(subject: str, healthy: str, faults: Sequence[str]) -> tuple[Fact, ...]:
    """A store's list of faults, one line each, as facts; `healthy` is said where there is none."""
    if not faults:
        return (ok(subject, healthy),)
    return tuple(bad(subject, line, "Mend that on the server, then ask again.") for line in faults)


def credentials_toml(login: Login, signing_key: Path | None) -> str:
    """The text of `credentials/NAME.toml`: the fields of `[logins.NAME]`. Keep the file 0600."""
    fields = {"redis_url": login.redis_url, "postgres_dsn": login.postgres_dsn}
    if signing_key is not None:
        fields["signing_key"] = str(signing_key)
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def fresh_login(name: str, owner: Login, password: str | None = None) -> Login:
    """The owner's addresses with another login and a new password (256 random bits)."""
    password = password or secrets.token_urlsafe(32)
    return Login(name, _as(owner.redis_url, name, password), _as(owner.postgres_dsn, name, password))


def _as(url: str, name: str, password: str) -> str:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(name, safe='')}:{quote(password, safe='')}@{hosts}"))


def _password(login: Login) -> str:
    return urlsplit(login.postgres_dsn).password or ""


def _compact(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
