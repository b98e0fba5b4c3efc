"""incident bundle: everything that was recorded while an incident went on, in one archive."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.incident_ids import incident_id_of, whole_id
from cockpit.cli.reading import without_password
from cockpit.cli.wiring import (
    EvidenceShelf,
    authority_ring,
    open_postgres,
    postgres_address,
    redis_address,
    settings_of,
)
from cockpit.config import Credentials, Settings
from cockpit.domain.audit import ChainBroken
from cockpit.domain.refusals import EXIT_DONE, EXIT_UNREACHABLE, StoreUnreachable
from cockpit.operations.audit_verify import VerifyPorts, verify
from cockpit.operations.bundle import Bundle, BundlePorts, BundleUnwritable, write_bundle

if TYPE_CHECKING:
    from backends.forensic_files import Artefact


def bundle(options: argparse.Namespace) -> Answer:
    """Exit 0 whole, 5 where a part is missing: what could be read is bundled all the same."""
    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    incident_id = asyncio.run(_whole(credentials, incident_id_of(options.id)))
    target = Path(options.output or f"incident-{incident_id}.tar.gz").absolute()
    if not target.parent.is_dir() or target.exists():
        why = "exists already" if target.exists() else f"has no folder {target.parent}"
        raise UsageFault(f"--output: {target} {why}; name a new file in a folder that exists")
    try:
        made = asyncio.run(_make(settings, credentials, incident_id, target))
    except BundleUnwritable as error:
        raise UsageFault(f"--output: {error}; name a place that can be written") from error
    document: dict[str, object] = {**asdict(made), "path": str(made.path)}
    lines = (
        f"{made.path}",
        f"files    {made.files}, {made.size} bytes, readable by you alone",
        f"sha256   {made.sha256}",
    )
    missing = tuple(f"missing  {name}: {why}" for name, why in made.missing.items())
    return Answer(document, (*lines, *missing), EXIT_UNREACHABLE if missing else EXIT_DONE)


async def _whole(credentials: Credentials, given: str) -> str:
    async with open_postgres(credentials) as postgres:
        return await whole_id(given, postgres)


async def _make(settings: Settings, credentials: Credentials, incident_id: str, target: Path) -> Bundle:
    from backends.forensic_files import Artefacts
    from backends.forensics import SECTIONS, Forensics, redis_facts

    forensics = Forensics(postgres_address(credentials))
    ours = [url for each in settings.logins.values() for url in (each.redis_url, each.postgres_dsn)]
    files = Artefacts(settings.run_results, settings.audit_logs, ours)

    async def redis() -> Mapping[str, object]:
        return await redis_facts(redis_address(credentials), settings.catalogue, settings.gateways)

    async def artefacts(run_id: str | None, from_at: datetime, until: datetime) -> Sequence[Artefact]:
        return await asyncio.to_thread(files.found, run_id, from_at, until)

    try:
        ports = BundlePorts(
            window=forensics.window,
            sections=tuple(SECTIONS),
            rows=forensics.rows,
            artefacts=artefacts,
            redis=redis,
            evidence=EvidenceShelf(settings).get,
            verification=lambda: _verified(settings, credentials),
            settings=settings_facts(settings),
            login=credentials.name,
        )
        return await write_bundle(target, incident_id, ports)
    finally:
        await forensics.close()


async def _verified(settings: Settings, credentials: Credentials) -> Mapping[str, object]:
    """The chain from its start; a broken one is a finding like any other."""
    from backends.signing import KeyRing, canonical

    async with open_postgres(credentials, 30.0) as postgres:
        ports = VerifyPorts(
            audit=postgres,
            evidence=EvidenceShelf(settings),
            authorities=authority_ring(settings),
            keyring=lambda keys: KeyRing({**keys, **settings.authority_keys}),
            canonical=canonical,
        )
        try:
            found = await verify(ports, full=True)
        except ChainBroken as broken:
            return {"ok": False, "broken_at": broken.seq, "message": str(broken)}
        except StoreUnreachable as error:
            return {"ok": None, "message": error.refusal.message}
    return {
        "ok": True,
        "seq": found.head.seq,
        "chain_hash": found.head.chain_hash,
        "anchors_checked": found.anchors,
    }


def settings_facts(settings: Settings) -> dict[str, object]:
    """The configuration as it may leave this machine: no password, no key, no address of a login (I27)."""
    return {
        "profile": settings.profile,
        "catalogue": {str(name): str(parent) for name, parent in settings.catalogue.parents.items()},
        "limits": {name: str(value) for name, value in asdict(settings.limits).items()},
        "gateways": list(settings.gateways),
        "probes": {name: list(probes) for name, probes in settings.probes.items()},
        "authority_key_ids": sorted(settings.authority_keys),
        "evidence_url": without_password(settings.evidence_url).partition("?")[0],
        "gateway_url": settings.gateway_url and without_password(settings.gateway_url),
        "prometheus_url": settings.prometheus_url and without_password(settings.prometheus_url),
        "logins": sorted(settings.logins),
        "shipped_slos": settings.shipped_slos,
        "slo_folders": list(map(str, settings.slo_folders)),
        "run_results": str(settings.run_results) if settings.run_results else None,
        "audit_logs": str(settings.audit_logs) if settings.audit_logs else None,
        "triggers_file": str(settings.triggers_file or "shipped"),
        "guard_login": settings.guard_login,
    }
