"""Settings, keys and stores for one command. Everything heavy is imported by the function that needs it."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import UsageFault, say
from cockpit.config import BadSettings, Credentials, Settings, load_settings
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.refusals import Code, Refused

if TYPE_CHECKING:
    from backends.gateway import Gateway
    from backends.postgres_store import PostgresStore
    from backends.redis_store import RedisStore
    from backends.signing import KeyRing, SigningKey
    from cockpit.domain.commands import SignedCommand


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that the flags choose; warnings go to stderr.

    Raises:
        BadSettings: they cannot be used.
    """
    config = Path(options.config) if options.config else None
    settings = load_settings(config, options.profile)
    for warning in settings.warnings:
        say(warning)
    return settings


def must_acknowledge(
    options: argparse.Namespace, breaker_id: BreakerId | None, what: str, word: str | None = None
) -> None:
    """`word` is what the screen's dialog wants typed, where it is not `global` for that breaker.

    Raises:
        UsageFault: `--yes` is missing.
    """
    if not options.yes:
        word = word or (GLOBAL if breaker_id == GLOBAL else None)
        typed = f", and for typing `{word}` out" if word else ""
        raise UsageFault(
            f"--yes: missing; it stands for the dialog's acknowledgement that {what}{typed}. Nothing was done"
        )


def whole(text: str, field: str, least: int, most: int) -> int:
    """A whole number out of an argument.

    Raises:
        UsageFault: it is none, or out of bounds.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        raise UsageFault(f"{field}: {text[:40]!r} is not a whole number from {least} to {most}")
    return int(text)


def redis_address(credentials: Credentials) -> str:
    if not credentials.redis_url:
        raise BadSettings(f"logins.{credentials.name}.redis_url: missing; set it in the config file")
    return credentials.redis_url


def postgres_address(credentials: Credentials) -> str:
    if not credentials.postgres_dsn:
        raise BadSettings(f"logins.{credentials.name}.postgres_dsn: missing; set it in the config file")
    return credentials.postgres_dsn


def signing_key(credentials: Credentials) -> SigningKey:
    """The login's own key.

    Raises:
        BadSettings: none is set, or its file cannot or must not be used.
    """
    from backends.signing import KeyFileUnusable, SigningKey

    field = f"logins.{credentials.name}.signing_key"
    if credentials.signing_key is None:
        raise BadSettings(f"{field}: missing; `cockpit keygen` makes one and the owner registers it")
    try:
        return SigningKey.load(credentials.signing_key)
    except KeyFileUnusable as error:
        raise BadSettings(f"{field}: {error}") from error


class PayloadKey:
    """Signs a payload that is no command: a probe's attestation."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def __call__(self, fields: Mapping[str, object]) -> SignedCommand:
        from backends.signing import canonical
        from cockpit.domain.commands import SignedCommand

        payload = canonical(fields)
        return SignedCommand(payload, self._key.key_id, self._key.sign(payload))


def authority_ring(settings: Settings) -> KeyRing:
    from backends.signing import KeyRing

    return KeyRing(settings.authority_keys)


@asynccontextmanager
async def open_redis(settings: Settings, credentials: Credentials) -> AsyncIterator[RedisStore]:
    from backends.redis_connection import BadRedisUrl
    from backends.redis_store import RedisStore

    try:
        store = RedisStore(redis_address(credentials), settings.catalogue, authority_ring(settings))
    except BadRedisUrl as error:
        raise BadSettings(f"logins.{credentials.name}.{error}") from error
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_postgres(credentials: Credentials, timeout_s: float = 5.0) -> AsyncIterator[PostgresStore]:
    from backends.postgres_store import PostgresStore

    store = PostgresStore(postgres_address(credentials), timeout_s)
    try:
        yield store
    finally:
        await store.close()


class EvidenceShelf:
    """The evidence store, read only, with its faults as refusals."""

    def __init__(self, settings: Settings) -> None:
        from backends.evidence import Evidence

        self._evidence = Evidence(settings.evidence_url, settings.evidence_options)

    async def get(self, key: str) -> bytes | None:
        from backends.evidence import EvidenceUnavailable

        try:
            return await self._evidence.get(key)
        except EvidenceUnavailable as error:
            raise _unavailable(error) from error

    async def list(self, prefix: str) -> Sequence[str]:
        from backends.evidence import EvidenceUnavailable

        try:
            return await self._evidence.list(prefix)
        except EvidenceUnavailable as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> Refused:
    return Refused(Code.STORE, f"{error}.", "Without it nothing outside the database proves the chain.")


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway | None]:
    if settings.gateway_url is None:
        yield None
        return
    from backends.gateway import Gateway

    gateway = Gateway(settings.gateway_url)
    try:
        yield gateway
    finally:
        await gateway.close()
