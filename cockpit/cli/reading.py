"""status, history and info: nothing here changes anything."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

from cockpit.cli.answers import Answer
from cockpit.cli.breaker_fields import (
    breaker_fields,
    breaker_line,
    history_line,
    switch_fields,
    switch_line,
)
from cockpit.cli.columns import aligned, percent
from cockpit.cli.wiring import open_postgres, open_redis, settings_of, whole
from cockpit.config import BadSettings, Credentials, Settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import BreakerRow, DeskSnapshot
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.text import clean

MAX_COUNT = 1_000


def status(options: argparse.Namespace) -> Answer:
    """Every breaker and the switches that are set, or one breaker and its own. Redis says the states;
    Postgres adds who, why and since when."""
    settings = settings_of(options)
    chosen = (settings.catalogue.known_breaker(options.id),) if options.id else settings.catalogue.ids
    return asyncio.run(_status(settings, settings.credentials(options.login), chosen))


async def _status(settings: Settings, credentials: Credentials, chosen: Sequence[BreakerId]) -> Answer:
    snapshot, desk = await asyncio.gather(_read_redis(settings, credentials), _read_postgres(credentials))
    rows = desk.breakers if isinstance(desk, DeskSnapshot) else {}
    if isinstance(snapshot, Refused):
        return _unreadable(chosen, rows, snapshot)
    found = [breaker_fields(snapshot, name, rows.get(name)) for name in chosen]
    catalogue = settings.catalogue
    whole = set(chosen) == set(catalogue.ids)
    names = catalogue.switches if whole else tuple(n for each in chosen for n in catalogue.switches_of(each))
    switches = [switch_fields(name, snapshot, rows.get(name)) for name in names]
    switches = [each for each in switches if each["set"]]
    document: dict[str, object] = {
        "breakers": found,
        "switches": switches,
        "observed_at": rfc3339(snapshot.observed_at),
    }
    lines = [breaker_line(each, snapshot, rows) for each in found] + [switch_line(each) for each in switches]
    if isinstance(desk, Refused):
        nothing = dict.fromkeys(("size_limits", "approvals", "incidents"))  # unknown, which is not none
        return Answer(document | nothing, tuple(lines), messages=(str(desk),))
    return Answer(document | _desk_fields(desk), (*lines, *_pending_lines(desk)))


async def _read_redis(settings: Settings, credentials: Credentials) -> BreakerSnapshot | Refused:
    try:
        async with open_redis(settings, credentials) as store:
            return await store.snapshot()
    except Refused as error:
        return error


async def _read_postgres(credentials: Credentials) -> DeskSnapshot | Refused:
    if not credentials.postgres_dsn:
        return StoreUnreachable("Postgres", "no postgres_dsn is set")
    try:
        async with open_postgres(credentials, 2.0) as store:
            return await store.snapshot()
    except Refused as error:
        return error


def _desk_fields(desk: DeskSnapshot) -> dict[str, object]:
    """What else binds or waits: caps on size, requests for a second person, incidents that hold up."""
    return {
        "size_limits": [
            {
                "limit_id": each.limit_id,
                "breaker_id": each.breaker_id,
                "share": str(each.share),
                "source": each.source,
                "rule": each.rule or None,
                "notes": each.notes,
                "login": each.login,
                "set_at": rfc3339(each.set_at),
            }
            for each in desk.size_limits
        ],
        "approvals": [
            {
                "request_id": each.request_id,
                "kind": each.kind,
                "breaker_id": each.breaker_id,
                "login": each.login,
                "expires_at": rfc3339(each.expires_at) if each.expires_at else None,
            }
            for each in desk.requests
            if each.status == "awaiting_approval"
        ],
        "incidents": [
            {
                "incident_id": each.incident_id,
                "severity": each.severity,
                "title": each.title,
                "status": each.status,
                "source": each.source,
                "breaker_id": each.breaker_id,
                "opened_at": rfc3339(each.opened_at),
            }
            for each in desk.incidents
        ],
    }


def _pending_lines(desk: DeskSnapshot) -> list[str]:
    lease = desk.lease
    lines = (
        [] if lease is not None and lease.alive else ["No authority is running: trips work, nothing resumes."]
    )
    for limit in desk.size_limits:
        by = f"rule {limit.rule}" if limit.source == "guard" else limit.login
        lines.append(
            f"Limited: `cockpit lift {limit.limit_id} --notes … --yes` "
            f"({limit.breaker_id} to {percent(limit.share, 0)} by {by}, {clean(limit.notes, 120)})"
        )
    for row in desk.requests:
        if row.status == "awaiting_approval":
            lines.append(
                f"Awaits approval: `cockpit approve {row.request_id}` ({row.login}, {row.breaker_id})"
            )
    for incident in desk.incidents:
        if incident.critical:
            lines.append(
                f"Unacknowledged: `cockpit incident ack {incident.incident_id} --notes …` "
                f"({incident.severity}, {clean(incident.title, 120)})"
            )
    return lines


def _unreadable(chosen: Sequence[BreakerId], rows: Mapping[BreakerId, BreakerRow], error: Refused) -> Answer:
    """Redis cannot be read from here. That must not read as halted: trading may well go on."""
    lines = []
    for name in chosen:
        row = rows.get(name)
        last = f"last {row.state} since {rfc3339(row.since)}" if row else "never read here"
        lines.append(f"{name:<24} UNREADABLE HERE · {last} · TRADING MAY CONTINUE")
    fields = "state effective_state halted_by epoch size_share since actor reason notes quiet_until".split()
    return Answer(
        {
            "breakers": [{"breaker_id": name, **dict.fromkeys(fields)} for name in chosen],
            "switches": None,
            "observed_at": None,
            "message": f"UNREADABLE HERE · TRADING MAY CONTINUE: {error}",
        },
        tuple(lines),
        error.refusal.exit_code,
        (str(error),),
    )


def history(options: argparse.Namespace) -> Answer:
    """Transitions from Redis, newest first."""
    settings = settings_of(options)
    breaker_id = settings.catalogue.known(options.id) if options.id else None
    count = whole(options.count, "count", 1, MAX_COUNT)
    entries = asyncio.run(_history(settings, settings.credentials(options.login), breaker_id, count))
    lines = [history_line(each) for each in entries]
    document = {"history": entries, "observed_at": rfc3339(datetime.now(UTC))}
    return Answer(document, tuple(lines or ["No transitions are recorded."]))


async def _history(
    settings: Settings, credentials: Credentials, breaker_id: BreakerId | None, count: int
) -> Sequence[Mapping[str, object]]:
    async with open_redis(settings, credentials) as store:
        return await store.history(breaker_id, count)


def info(options: argparse.Namespace) -> Answer:
    """Where files lie. Works without usable settings, which is when it is needed."""
    from cockpit.cli.run import log_path
    from cockpit.config import default_path

    facts: dict[str, object] = {
        "config": options.config or os.environ.get("COCKPIT_CONFIG") or str(default_path(os.environ)),
        "log": str(log_path(os.environ)),
    }
    problem: tuple[str, ...] = ()
    try:
        settings = settings_of(options)
        facts |= {
            "config": str(settings.path),
            "profile": settings.profile,
            "login": options.login or settings.default_login,
            "logins": sorted(settings.logins),
            "spool": str(settings.spool_dir),
            "evidence": settings.evidence_url.partition("?")[0],
            "gateway": settings.gateway_url and without_password(settings.gateway_url),
            "breakers": len(settings.catalogue),
            "objectives": [
                *(["shipped"] if settings.shipped_slos else []),
                *map(str, settings.slo_folders),
            ],
            "triggers": str(settings.triggers_file or "shipped"),
            "prometheus": settings.prometheus_url and without_password(settings.prometheus_url),
            "metrics_port": settings.metrics_port,
            "guard_login": settings.guard_login,
            "exporter_login": settings.exporter_login,
            "exporter_host": settings.exporter_host,
        }
    except BadSettings as error:
        problem = (str(error),)
        facts["problem"] = str(error)
    lines = aligned([(name, _plain(value)) for name, value in facts.items() if name != "problem"])
    return Answer(facts, lines, messages=problem)


def without_password(url: str) -> str:
    """An address that may be shown (I27)."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
