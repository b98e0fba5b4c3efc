"""What `cockpit doctor` looks at: each store with the login at hand, and the owner's view."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Sequence

from cockpit.cli.service_checks import exporter, guard, objectives, pager, prometheus
from cockpit.cli.wiring import (
    EvidenceShelf,
    open_gateway,
    open_postgres,
    open_redis,
    postgres_address,
    redis_address,
)
from cockpit.config import BadSettings, Credentials, Settings
from cockpit.domain.facts import Fact, Severity, bad, ok, warn
from cockpit.domain.permissions import Role, Service
from cockpit.domain.refusals import Refused
from cockpit.operations.administration import doctor
from cockpit.operations.audit_verify import HEADS
from cockpit.operations.spool import Spool

Check = Callable[[], Awaitable[Sequence[Fact]]]
_STORES = ("redis", "postgres", "evidence")
_OWNER = "owner"


async def diagnose(settings: Settings, login: str | None) -> tuple[tuple[Fact, ...], bool]:
    """Every fact, and whether a store that resumes need could not be reached."""
    credentials = settings.credentials(login)
    checks: dict[str, Check] = {
        "settings": lambda: _settings(settings, credentials),
        "redis": lambda: _redis(settings, credentials),
        "postgres": lambda: _postgres(credentials),
        "evidence": lambda: _evidence(settings),
        "gateway": lambda: _gateway(settings),
        "spool": lambda: _spool(settings),
        "objectives": lambda: objectives(settings, credentials),
        "guard": lambda: guard(settings, credentials),
        "exporter": lambda: exporter(settings),
        "pager": lambda: pager(settings, credentials),
    }
    if settings.prometheus_url is not None:
        checks["prometheus"] = lambda: prometheus(settings.prometheus_url or "")
    if credentials.name == _OWNER:
        checks |= {
            "redis rights": lambda: _redis_rights(credentials),
            "postgres rights": lambda: _postgres_rights(credentials),
        }
    facts = await doctor(checks)
    unreachable = any(fact.subject in _STORES and fact.severity is Severity.BAD for fact in facts)
    return facts, unreachable


async def _settings(settings: Settings, credentials: Credentials) -> Sequence[Fact]:
    facts = [warn("settings", line, "Mend it before somebody else reads it.") for line in settings.warnings]
    path = credentials.signing_key
    if path is None:
        facts.append(
            warn("signing key", "none is set", "`cockpit keygen` makes one; the owner registers it.")
        )
    elif not path.is_file():
        facts.append(bad("signing key", f"{path} is not there", "Without it nothing of yours is signed."))
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        facts.append(bad("signing key", f"others may read {path}", f"chmod 600 {path}"))
    if not settings.authority_keys:
        facts.append(
            bad("authority keys", "none are trusted", "Everything reads OPEN; `cockpit init` names the key.")
        )
    return facts or [ok("settings", f"{settings.path}, {len(settings.catalogue)} breakers")]


async def _redis(settings: Settings, credentials: Credentials) -> Sequence[Fact]:
    async with open_redis(settings, credentials) as store:
        name, elapsed = await store.whoami(), await store.ping()
        snapshot = await store.snapshot()
    doubts = [reading for reading in snapshot.readings.values() if reading.doubt]
    facts = [ok("redis", f"answers {name} in {elapsed:.1f} ms, run {snapshot.run_id[:8]}")]
    if doubts:
        first = f"{doubts[0].breaker_id}: {doubts[0].doubt}"
        facts.append(warn("breakers", f"{len(doubts)} read OPEN by doubt ({first})", "See `cockpit status`."))
    if not snapshot.legacy_ok:
        facts.append(
            warn("circuit_breaker:state", "does not mirror the global document", "It halts everything.")
        )
    return facts


async def _postgres(credentials: Credentials) -> Sequence[Fact]:
    async with open_postgres(credentials) as store:
        elapsed = await store.ping()
        desk = await store.snapshot()
        try:
            identity = await store.identity()
            who = f"{identity.login}, {identity.role.value}, person {identity.person_id}"
        except Refused as refused:
            who = refused.refusal.message
    facts = [ok("postgres", f"answers in {elapsed:.1f} ms: {who}")]
    lease = desk.lease
    if lease is None or not lease.alive:
        facts.append(
            bad("authority", "none is running", "Trips work, nothing resumes; start `cockpit authority`.")
        )
    else:
        facts.append(ok("authority", f"{lease.holder}, term {lease.term}, seen {lease.age_s:.1f} s ago"))
    return facts


async def _evidence(settings: Settings) -> Sequence[Fact]:
    heads = await EvidenceShelf(settings).list(HEADS)
    facts = [ok("evidence", f"answers; {len(heads)} signed heads")]
    if settings.evidence_url.startswith("file:"):
        remedy = "Use a bucket with object lock in production."
        facts.append(warn("evidence store", "a folder cannot enforce write-once", remedy))
    return facts


async def _gateway(settings: Settings) -> Sequence[Fact]:
    async with open_gateway(settings) as gateway:
        if gateway is None:
            return [warn("gateway", "no gateway_url is set", "Probes that need it fail.")]
        health = await gateway.health()
    if health.healthy:
        return [ok("gateway", f"healthy, {health.latency_ms:.0f} ms")]
    return [warn("gateway", health.detail, "Probes fail until it is healthy.")]


async def _spool(settings: Settings) -> Sequence[Fact]:
    waiting, damaged = Spool(settings.spool_dir).entries()
    if damaged:
        return [bad("spool", f"{damaged[0]} is damaged", "Read it, trip by hand if need be, then remove it.")]
    if waiting:
        remedy = "The next trip or cockpit start delivers them."
        return [warn("spool", f"{len(waiting)} trips were never delivered", remedy)]
    return [ok("spool", f"empty ({settings.spool_dir})")]


async def _redis_rights(credentials: Credentials) -> Sequence[Fact]:
    from backends.redis_admin import RedisAdmin

    admin = RedisAdmin(redis_address(credentials))
    try:
        found = await admin.doctor(await _logins(credentials))
    finally:
        await admin.close()
    if not found.faults:
        return [ok("redis rights", f"{len(found.users)} users as they should be")]
    return [bad("redis rights", fault, "`cockpit init` writes them again.") for fault in found.faults]


async def _postgres_rights(credentials: Credentials) -> Sequence[Fact]:
    from backends.postgres_admin import PostgresAdmin

    admin = PostgresAdmin(postgres_address(credentials))
    try:
        return await admin.facts()
    finally:
        await admin.close()


async def _logins(credentials: Credentials) -> dict[str, Role | Service]:
    """Who should have which rights: the services, and everybody with a grant that holds now."""
    from backends.postgres_admin import PostgresAdmin

    admin = PostgresAdmin(postgres_address(credentials))
    try:
        people: dict[str, Role | Service] = dict(await admin.people())
    except ValueError as error:
        raise BadSettings(f"role_grants: {error}; the owner mends it") from error
    finally:
        await admin.close()
    return people | {service.value: service for service in Service}
