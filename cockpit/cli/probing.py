"""`cockpit probe`: run the probes of one's own half-open here, attest each, and await the verdict."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cockpit.cli.answers import Answer, of_outcome, of_refusal, say, show
from cockpit.cli.wiring import (
    PayloadKey,
    open_gateway,
    open_postgres,
    open_redis,
    settings_of,
    signing_key,
)
from cockpit.config import Settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.permissions import Permission, denial
from cockpit.domain.probes import RunStatus
from cockpit.domain.refusals import EXIT_REFUSED, Code, Refusal, Refused
from cockpit.operations import resume
from cockpit.operations.outcomes import Outcome, unknown
from cockpit.operations.probes import Probed, ProbePorts, run_all, symbol_for

if TYPE_CHECKING:
    from backends.gateway import Gateway
    from backends.postgres_store import PostgresStore
    from backends.redis_store import RedisStore
    from backends.signing import SigningKey
    from cockpit.domain.desk import RunRow

_VERDICT_S = 3.0


@dataclass(frozen=True, slots=True)
class _Bench:
    settings: Settings
    redis: RedisStore
    postgres: PostgresStore
    gateway: Gateway | None
    key: SigningKey


def probe(options: argparse.Namespace) -> Answer:
    breaker_id = settings_of(options).catalogue.known_breaker(options.id)
    return asyncio.run(_probe(options, breaker_id))


@asynccontextmanager
async def _bench(options: argparse.Namespace) -> AsyncIterator[_Bench]:
    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    key = signing_key(credentials)
    async with (
        open_redis(settings, credentials) as redis,
        open_postgres(credentials) as postgres,
        open_gateway(settings) as gateway,
    ):
        yield _Bench(settings, redis, postgres, gateway, key)


async def _probe(options: argparse.Namespace, breaker_id: BreakerId) -> Answer:
    async with _bench(options) as bench:
        identity = await bench.postgres.identity()
        refusal = denial(identity, Permission.RESET_CIRCUIT, breaker_id)
        if refusal is not None:
            await _record_denial(bench, breaker_id)
            return of_refusal(True, breaker_id, refusal)
        snapshot = await bench.redis.snapshot()
        epoch = snapshot.readings[breaker_id].epoch
        row = await bench.postgres.probe_run(breaker_id, epoch) if epoch else None
        obstacle = _obstacle(row, breaker_id, identity.login)
        if obstacle is not None or row is None:
            return of_refusal(True, breaker_id, obstacle or _no_run(breaker_id))
        ports = ProbePorts(
            gateway=bench.gateway,
            redis_ping=bench.redis.ping,
            postgres_ping=bench.postgres.ping,
            symbol=symbol_for(breaker_id, bench.settings.catalogue, snapshot.effective),
            latency_bound_ms=bench.settings.limits.latency_bound_ms,
        )
        probed = await _run(bench, row, ports, as_json=options.json)
        return _answer(await _verdict(bench, row), row, probed)


async def _record_denial(bench: _Bench, breaker_id: BreakerId) -> None:
    from backends.signing import sign_command

    ports = resume.ResumePorts(
        bench.redis, bench.postgres, lambda command: sign_command(command, bench.key), bench.settings.limits
    )
    identity = await bench.postgres.identity()
    await resume.record_denied(Kind.HALF_OPEN, breaker_id, identity, ports, datetime.now(UTC))


def _no_run(breaker_id: BreakerId) -> Refusal:
    return Refusal(
        Code.PROBES,
        f"{breaker_id} has no probe run for its present epoch.",
        f"Begin with `cockpit half-open {breaker_id}`.",
    )


def _obstacle(row: RunRow | None, breaker_id: BreakerId, login: str) -> Refusal | None:
    if row is None:
        return _no_run(breaker_id)
    if row.run.status is not RunStatus.RUNNING:
        ended = f"its run of this epoch has ended: {row.run.status.value}, {row.run.verdict}"
        step = "close" if row.run.status is RunStatus.PASSED else "half-open"
        return Refusal(Code.PROBES, f"{breaker_id}: {ended}.", f"Go on with `cockpit {step} {breaker_id}`.")
    if row.run.login != login:
        return Refusal(
            Code.RUN_EXISTS,
            f"The probe run of {breaker_id} is {row.run.login}'s; only that login's results count.",
            "Wait for its verdict: `cockpit status` shows it.",
        )
    return None


async def _run(bench: _Bench, row: RunRow, ports: ProbePorts, as_json: bool) -> list[Probed]:
    left_s = (row.run.deadline - await bench.postgres.server_time()).total_seconds()
    done = frozenset(result.ordinal for result in row.results)
    probed = []
    pace_s = bench.settings.limits.probe_pace_s
    results = run_all(row.run, ports, bench.postgres, PayloadKey(bench.key), left_s, done, pace_s)
    try:
        async for result in results:
            probed.append(result)
            word = "passed" if result.passed else "FAILED"
            line = f"{result.ordinal + 1}/{len(row.run.probes)} {result.name} {word}: {result.detail}"
            if as_json:
                say(line)
            else:
                show(line)
    except Refused as error:  # the run fails at its deadline; its verdict below says so
        say(f"a result could not be delivered: {error}")
    return probed


async def _verdict(bench: _Bench, row: RunRow) -> RunRow:
    """The run once it is judged; as it stands a few seconds after its deadline otherwise."""
    latest = row
    while latest.run.status is RunStatus.RUNNING:
        left_s = (row.run.deadline - await bench.postgres.server_time()).total_seconds() + _VERDICT_S
        if left_s <= 0:
            return latest
        await bench.postgres.wait_notice(min(0.2, left_s))
        latest = await bench.postgres.probe_run(row.run.breaker_id, row.run.epoch) or latest
    return latest


def _answer(row: RunRow, asked: RunRow, probed: list[Probed]) -> Answer:
    run = row.run
    extra = {
        "probes": [
            {
                "name": each.name,
                "passed": each.passed,
                "latency_ms": round(each.latency_ms, 3),
                "detail": each.detail,
            }
            for each in probed
        ]
    }
    if run.status is RunStatus.RUNNING:
        return of_outcome(
            unknown(run.breaker_id, asked.run.run_id, "the run was not judged in time"), (), extra
        )
    if run.status is RunStatus.PASSED:
        until = f" until {run.close_until:%H:%M:%S} UTC" if run.close_until else ""
        message = f"{run.verdict}; HALF_OPEN · PROBING. `cockpit close {run.breaker_id}` may follow{until}."
        outcome = Outcome(
            run.breaker_id,
            "done",
            message,
            state="HALF_OPEN",
            epoch=run.epoch.counter,
            event_id=run.run_id,
            redis=True,
            postgres=True,
        )
        return of_outcome(outcome, (), extra)
    message = f"Probe run {run.status.value}: {run.verdict}. {run.breaker_id} is OPEN · HALTED again."
    outcome = Outcome(
        run.breaker_id, "refused", message, EXIT_REFUSED, state="OPEN", event_id=run.run_id, postgres=True
    )
    return of_outcome(outcome, (), extra)
