"""The owner's work: init, operators, keys; and doctor, which any login may ask."""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.wiring import postgres_address, redis_address, settings_of, signing_key
from cockpit.config import Credentials, Settings
from cockpit.domain.permissions import Role, Service
from cockpit.domain.text import clean

if TYPE_CHECKING:
    from backends.postgres_admin import PostgresAdmin
    from backends.redis_admin import RedisAdmin
    from backends.signing import SigningKey
    from cockpit.operations.administration import Login

OWNER = "owner"
_MAX_KEY_TEXT = 4_096


def init(options: argparse.Namespace) -> Answer:
    """Schema, rights, catalogue, services and the genesis grant; safe to repeat."""
    return asyncio.run(_init(settings_of(options), options))


async def _init(settings: Settings, options: argparse.Namespace) -> Answer:
    from cockpit.cli.lost_logins import how_to_mend, known_passwords
    from cockpit.operations import administration

    credentials = settings.credentials(options.login or OWNER)
    held = {name: _held(settings, name) for name in Service}
    authority = held[Service.AUTHORITY]
    path = authority.signing_key if authority else None
    authority_key = _key_at(path or settings.path.parent / "keys" / "authority.pem")
    owner_key = _key_at(credentials.signing_key or settings.path.parent / "keys" / "owner.pem")
    async with _admins(credentials) as (postgres, redis):
        done = await administration.init(
            postgres,
            redis,
            settings.catalogue,
            owner=_login(credentials),
            owner_key=owner_key,
            authority_key=authority_key,
            known=known_passwords(settings, [name for name, found in held.items() if found]),
        )
    files = [str(_write_credentials(settings, login, None)) for login in done.services]
    messages = [f"credentials written to {file}" for file in files]
    if authority_key.key_id not in settings.authority_keys:
        line = f'{authority_key.key_id} = "{authority_key.public_b64}"'
        messages.append(f"add to [authority_keys] of every config and gate: {line}")
    messages += [f"Redis had lost {name}, or its rights; mended" for name in done.mended]
    messages += [how_to_mend(name, kind) for name, kind in done.lost.items()]
    genesis = "genesis granted" if done.genesis else "nothing is closed by it"
    return Answer(
        {
            "run_id": done.run_id,
            "genesis": done.genesis,
            "seeded": list(done.seeded),
            "credentials": files,
            "mended": list(done.mended),
            "lost": sorted(done.lost),
            "authority_key": {"key_id": authority_key.key_id, "public_key": authority_key.public_b64},
        },
        (f"{len(settings.catalogue)} breakers, {len(done.seeded)} of them new; {genesis}",),
        messages=tuple(messages),
    )


def add_operator(options: argparse.Namespace) -> Answer:
    try:
        role = Role(options.role)
    except ValueError:
        known = ", ".join(each.value for each in Role)
        raise UsageFault(f"--role: {clean(options.role, 40)!r} is no role; write one of {known}") from None
    public_key = _public_key(Path(options.public_key))
    return asyncio.run(_add_operator(settings_of(options), options, role, public_key))


async def _add_operator(
    settings: Settings, options: argparse.Namespace, role: Role, public_key: bytes
) -> Answer:
    from backends.signing import key_id_of
    from cockpit.operations import administration

    credentials = settings.credentials(options.login or OWNER)
    recorder = signing_key(credentials)
    async with _admins(credentials) as (postgres, redis):
        login, entry = await administration.add_operator(
            postgres,
            redis,
            recorder,
            owner=_login(credentials),
            name=options.name,
            role=role,
            person_id=options.person,
            key_id=key_id_of(public_key),
            public_b64=base64.b64encode(public_key).decode(),
        )
    private = Path(options.public_key).with_suffix("")
    file = _write_credentials(settings, login, private.absolute() if private.is_file() else None)
    return Answer(
        {"login": login.name, "role": role.value, "credentials": str(file), "audit_seq": entry.seq},
        (f"{login.name} added as {role.value}; hand over {file}", f"audit    entry {entry.seq}"),
    )


def revoke(options: argparse.Namespace) -> Answer:
    return asyncio.run(_revoke(settings_of(options), options))


async def _revoke(settings: Settings, options: argparse.Namespace) -> Answer:
    from cockpit.operations import administration

    credentials = settings.credentials(options.login or OWNER)
    recorder = signing_key(credentials)
    async with _admins(credentials) as (postgres, redis):
        entry = await administration.revoke(postgres, redis, recorder, name=options.name)
    return Answer(
        {"login": options.name, "revoked": True, "audit_seq": entry.seq},
        (f"{options.name} revoked in both stores", f"audit    entry {entry.seq}"),
    )


def keygen(options: argparse.Namespace) -> Answer:
    """A new private key, and its public half for the owner to register."""
    from backends.signing import SigningKey
    from cockpit.operations import administration

    if options.output:
        path = Path(options.output)
    else:
        found = settings_of(options).credentials(options.login).signing_key
        if found is None:
            raise UsageFault("--output: name the new key's file, or set signing_key for this login")
        path = found
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = administration.keygen(SigningKey.generate, path)
    except FileExistsError as error:
        raise UsageFault(
            f"--output: {path} exists already; a key is never overwritten, name a new file"
        ) from error
    except OSError as error:
        raise UsageFault(
            f"--output: {path} cannot be written: {error.strerror}; name a writable file"
        ) from error
    public = f"{path}.pub"
    return Answer(
        {
            "private_key": str(path),
            "public_key_file": public,
            "key_id": key.key_id,
            "public_key": key.public_b64,
        },
        (f"private  {path} (keep it 0600)", f"public   {public}", f"key id   {key.key_id}"),
    )


@asynccontextmanager
async def _admins(credentials: Credentials) -> AsyncIterator[tuple[PostgresAdmin, RedisAdmin]]:
    from backends.postgres_admin import PostgresAdmin
    from backends.redis_admin import RedisAdmin

    postgres = PostgresAdmin(postgres_address(credentials))
    redis = RedisAdmin(redis_address(credentials))
    try:
        yield postgres, redis
    finally:
        await asyncio.gather(postgres.close(), redis.close())


def _login(credentials: Credentials) -> Login:
    from cockpit.operations.administration import Login

    return Login(credentials.name, credentials.redis_url, credentials.postgres_dsn)


def _held(settings: Settings, name: str) -> Credentials | None:
    """A service's credentials, where the settings or their folder hold them already."""
    if name in settings.logins or (settings.path.parent / "credentials" / f"{name}.toml").is_file():
        return settings.credentials(name)
    return None


def _key_at(path: Path) -> SigningKey:
    """The key in `path`, made there where it does not exist yet.

    Raises:
        UsageFault: it cannot be read or made.
    """
    from backends.signing import KeyFileUnusable, SigningKey

    try:
        if path.exists():
            return SigningKey.load(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = SigningKey.generate()
        key.save(path)
    except KeyFileUnusable as error:
        raise UsageFault(f"signing_key: {error}") from error
    except OSError as error:
        raise UsageFault(
            f"signing_key: {path} cannot be written: {error.strerror}; make its folder yours"
        ) from error
    return key


def _public_key(path: Path) -> bytes:
    """What `keygen` left in `PATH.pub`.

    Raises:
        UsageFault: it is no public key.
    """
    from backends.signing import PUBLIC_KEY_BYTES

    wanted = "give the .pub file that `cockpit keygen` wrote"
    try:
        with path.open("rb") as file:
            raw = base64.b64decode(file.read(_MAX_KEY_TEXT).strip(), validate=True)
    except OSError as error:
        raise UsageFault(f"--public-key: cannot read {path}: {error.strerror}; {wanted}") from error
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise UsageFault(f"--public-key: {path} holds no Ed25519 public key; {wanted}")
    return raw


def _write_credentials(settings: Settings, login: Login, key: Path | None) -> Path:
    """`credentials/NAME.toml` beside the settings, 0600, replaced as a whole.

    Raises:
        UsageFault: it cannot be written.
    """
    from cockpit.operations.administration import credentials_toml

    path = settings.path.parent / "credentials" / f"{login.name}.toml"
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(credentials_toml(login, key))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError as error:
        raise UsageFault(
            f"credentials: {path} cannot be written: {error.strerror}; mend that and run the command again"
        ) from error
    return path


def doctor(options: argparse.Namespace) -> Answer:
    from cockpit.cli.diagnosis import diagnose
    from cockpit.domain.facts import Severity
    from cockpit.domain.refusals import EXIT_UNREACHABLE, EXIT_UNVERIFIED

    facts, unreachable = asyncio.run(diagnose(settings_of(options), options.login))
    bad = any(fact.severity is Severity.BAD for fact in facts)
    code = EXIT_UNREACHABLE if unreachable else EXIT_UNVERIFIED if bad else 0
    lines = tuple(
        f"{fact.severity.value.upper():<5} {fact.subject}: {fact.text}"
        f"{f'. {fact.remedy}' if fact.remedy else ''}"
        for fact in facts
    )
    document = {"facts": [json.loads(json.dumps(asdict(fact))) for fact in facts], "ok": not bad}
    return Answer(document, lines, code)
