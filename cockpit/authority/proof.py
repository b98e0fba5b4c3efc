"""What the authority reads by itself before a loosening: the live checklist, at a close the probes again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backends.evidence import EvidenceUnavailable
from backends.gateway import Gateway
from backends.postgres_store import PostgresStore
from cockpit.authority.means import Means
from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import Finding
from cockpit.domain.desk import OrderFigures, OverLimit
from cockpit.domain.documents import effective
from cockpit.domain.refusals import Code, Refusal, StoreUnreachable
from cockpit.operations.checklist import ChainState, ChecklistPorts, read_findings
from cockpit.operations.probes import Probed, ProbePorts, run_probe, symbol_for

PROBE_TIMEOUT_S: Final = 5.0
BACKLOG_S: Final = 1.0
_BACKLOG: Final = """
SELECT count(*) FROM requests
 WHERE status = 'new' AND request_id <> ALL ($1::uuid[])
   AND submitted_at < clock_timestamp() - make_interval(secs => $2)
"""


@dataclass(slots=True)
class Readers:
    """The authority's own ways to read the desk and the venue. `gateway` None where none is configured."""

    desk: PostgresStore
    gateway: Gateway | None


class Figures:
    """The desk's figures; the queue is what waits and is not in hand. A request that came in a moment ago,
    such as the same wish from another terminal, is no backlog."""

    def __init__(self, means: Means, desk: PostgresStore) -> None:
        self._means = means
        self._desk = desk

    async def order_figures(self, breakers: Sequence[BreakerId], window_s: float) -> OrderFigures:
        return await self._desk.order_figures(breakers, window_s)

    async def open_criticals(self, window_s: float) -> Sequence[str]:
        return await self._desk.open_criticals(window_s)

    async def positions_over(self) -> Sequence[OverLimit]:
        return await self._desk.positions_over()

    async def queue_length(self) -> int:
        async with self._means.pool.acquire() as connection:
            count: int = await connection.fetchval(_BACKLOG, list(self._means.in_hand), BACKLOG_S)
        return count


async def live_findings(
    means: Means, readers: Readers, breaker_id: BreakerId, now: datetime
) -> tuple[Finding, ...]:
    """The live checklist as it reads now. `now` is Postgres's clock."""

    async def redis_ping() -> float:
        started = time.perf_counter()
        await means.redis.time()
        return (time.perf_counter() - started) * 1_000

    async def evidence_ping() -> float:
        try:
            return await means.evidence.check()
        except EvidenceUnavailable as error:
            means.health.evidence_ok = False
            raise StoreUnreachable("The evidence store", str(error)) from error

    async def chain() -> ChainState:
        health = means.health.chain
        return ChainState(health.fault is None, health.seq, health.full_verified_at, health.fault or "")

    ports = ChecklistPorts(
        redis_ping=redis_ping,
        postgres_ping=readers.desk.ping,
        evidence_ping=evidence_ping,
        chain=chain,
        figures=Figures(means, readers.desk),
        gateway=readers.gateway,
        catalogue=means.catalogue,
        now=lambda: now,
    )
    return await read_findings(ports, breaker_id, means.limits)


async def own_probes(
    means: Means, readers: Readers, world: World, breaker_id: BreakerId
) -> tuple[Probed, ...]:
    """The breaker's probes, run by the authority itself at the close, one after the other."""
    states = {name: effective(name, world.readings, means.catalogue) for name in means.catalogue.ids}

    async def redis_ping() -> float:
        started = time.perf_counter()
        await means.redis.time()
        return (time.perf_counter() - started) * 1_000

    ports = ProbePorts(
        gateway=readers.gateway,
        redis_ping=redis_ping,
        postgres_ping=readers.desk.ping,
        symbol=symbol_for(breaker_id, means.catalogue, states),
        latency_bound_ms=means.limits.latency_bound_ms,
    )
    answers = []
    for ordinal, name in enumerate(means.settings.probes_for(breaker_id)):
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answers.append(await run_probe(ordinal, name, ports))
        except TimeoutError:
            answers.append(
                Probed(ordinal, name, False, PROBE_TIMEOUT_S * 1_000, f"no answer in {PROBE_TIMEOUT_S:g} s")
            )
    return tuple(answers)


def probes_refusal(answers: tuple[Probed, ...], required: int) -> Refusal | None:
    """Why the authority's own probes refuse a close; the same quorum as the run's."""
    failed = [answer for answer in answers if not answer.passed]
    if answers and len(answers) - len(failed) >= required:
        return None
    lines = "; ".join(f"{answer.name}: {answer.detail}" for answer in failed) or "no probe is configured"
    return Refusal(
        Code.PROBES,
        f"The authority's own probes fail: {lines}.",
        "Mend it and close again within the window, or trip it again.",
    )
