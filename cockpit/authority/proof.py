"""What the authority reads by itself before a loosening: the live checklist with its own reading of the error
budgets, at a close the probes again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from backends.desk_rows import order_filter
from backends.evidence import EvidenceUnavailable
from backends.gateway import Gateway
from backends.postgres_store import PostgresStore
from backends.triage_store import recovering, recovery_facts
from cockpit.authority.means import Means
from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.budget_policy import budget_finding
from cockpit.domain.checklist import Finding
from cockpit.domain.documents import effective
from cockpit.domain.recovery import Linked, RecoveryFacts
from cockpit.domain.refusals import Code, Refusal, StoreUnreachable
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.trading import OrderFigures, OverLimit
from cockpit.operations.checklist import NEWEST_S, ORDERS_S, ChainState, ChecklistPorts, read_findings
from cockpit.operations.probes import Probed, ProbePorts, run_probe, symbol_for

PROBE_TIMEOUT_S: Final = 5.0
BACKLOG_S: Final = 1.0
# All that the checklist reads of Postgres, in one statement: the orders of both windows, of the breaker's own
# scope and of everybody; incidents, positions and the queue. The same conditions as `PostgresStore`'s.
_FIGURES: Final = """
WITH recent AS (
     SELECT status, latency_ms, placed_at > statement_timestamp() - make_interval(secs => $2) AS newest,
            cardinality($3::text[]) + cardinality($4::text[]) = 0
                OR symbol = ANY ($3) OR coalesce(strategy = ANY ($4), false) AS own
       FROM recent_orders WHERE placed_at > statement_timestamp() - make_interval(secs => $1))
SELECT count(*) FILTER (WHERE own), count(*) FILTER (WHERE own AND status = 'rejected'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE own),
       count(*) FILTER (WHERE own AND newest), count(*) FILTER (WHERE own AND newest AND status = 'rejected'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE own AND newest),
       count(*), count(*) FILTER (WHERE status = 'rejected'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms),
       count(*) FILTER (WHERE newest), count(*) FILTER (WHERE newest AND status = 'rejected'),
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE newest),
       array(SELECT title FROM incidents
              WHERE severity IN ('P0', 'P1') AND status = 'open' AND source NOT IN ('trip', 'override')
                AND alarm_at > statement_timestamp() - make_interval(secs => $5)
              ORDER BY alarm_at DESC LIMIT 20),
       array(SELECT row(symbol, quantity, max_quantity) FROM positions
              WHERE abs(quantity) > max_quantity OR max_quantity >= 'Infinity' ORDER BY symbol),
       (SELECT count(*) FROM (SELECT submitted_at, count(*) OVER (PARTITION BY login) AS of_login
                                FROM requests
                               WHERE status = 'new' AND request_id <> ALL ($6::uuid[])) waiting
         WHERE of_login <= 4  -- more than are in hand at once: a flood, which waits for itself only (F25)
           AND submitted_at < statement_timestamp() - make_interval(secs => $7)),
       clock_timestamp()
  FROM recent
"""


@dataclass(slots=True)
class Readers:
    """The authority's own ways to read the desk and the venue. `gateway` None where none is configured."""

    desk: PostgresStore
    gateway: Gateway | None


@dataclass(frozen=True, slots=True)
class _Read:
    """One reading of `_FIGURES`. `orders` by (own scope or everybody's, newest window)."""

    orders: Mapping[tuple[bool, bool], OrderFigures]
    criticals: Sequence[str]
    over: Sequence[OverLimit]
    waiting: int
    now: datetime
    took_ms: float


class Figures:
    """The desk's figures for one checklist, read together once, at first use. The queue is what waits and is
    not in hand; a request that came in a moment ago, such as the same wish from another terminal, is none."""

    def __init__(self, means: Means, breaker_id: BreakerId) -> None:
        self._means = means
        self._own = (breaker_id, *means.catalogue.descendants(breaker_id))
        self._reading: asyncio.Task[_Read] | None = None

    async def order_figures(self, breakers: Sequence[BreakerId], window_s: float) -> OrderFigures:
        return (await self._read()).orders[tuple(breakers) == self._own, window_s == NEWEST_S]

    async def open_criticals(self, window_s: float) -> Sequence[str]:
        return (await self._read()).criticals

    async def positions_over(self) -> Sequence[OverLimit]:
        return (await self._read()).over

    async def queue_length(self) -> int:
        return (await self._read()).waiting

    async def recovering(self, names: Sequence[str]) -> Sequence[Linked]:
        async with self._means.pool.acquire() as connection:
            return await recovering(connection, names)

    async def recovery_facts(
        self, symbols: Sequence[str], moments: Sequence[datetime], fresh_s: float
    ) -> RecoveryFacts:
        async with self._means.pool.acquire() as connection:
            return await recovery_facts(connection, symbols, moments, fresh_s)

    async def now(self) -> datetime:
        return (await self._read()).now

    async def ping(self) -> float:
        """How long that reading took, in milliseconds."""
        return (await self._read()).took_ms

    async def _read(self) -> _Read:
        if self._reading is None:
            self._reading = asyncio.create_task(self._fetch())
        return await asyncio.shield(self._reading)

    async def _fetch(self) -> _Read:
        symbols, strategies = order_filter(self._own)
        limits, in_hand = self._means.limits, list(self._means.in_hand)
        async with self._means.pool.acquire() as connection:
            began = time.perf_counter()
            row = await connection.fetchrow(
                _FIGURES,
                ORDERS_S,
                NEWEST_S,
                symbols,
                strategies,
                limits.critical_window_s,
                in_hand,
                BACKLOG_S,
            )
        took_ms = (time.perf_counter() - began) * 1_000
        whose = ((True, False), (True, True), (False, False), (False, True))
        orders = {each: OrderFigures(*row[3 * n : 3 * n + 3]) for n, each in enumerate(whose)}
        return _Read(orders, row[12], [OverLimit(*each) for each in row[13]], row[14], row[15], took_ms)


@dataclass(frozen=True, slots=True)
class Checked:
    """The live checklist. `overridden`: error budgets stand in the way, and an override passes over them."""

    findings: tuple[Finding, ...]
    overridden: bool


async def live_findings(means: Means, readers: Readers, breaker_id: BreakerId, override: str = "") -> Checked:
    """The live checklist as it reads now, by Postgres's clock. `override` is a reason that counts."""
    snapshot: SloSnapshot | None = None

    async def objectives() -> SloSnapshot | None:
        nonlocal snapshot
        snapshot = await means.objectives.fresh()
        return snapshot

    figures = Figures(means, breaker_id)
    now = datetime.min.replace(tzinfo=UTC)

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
        nonlocal now
        now, health = await figures.now(), means.health.chain
        return ChainState(health.fault is None, health.seq, health.full_verified_at, health.fault or "")

    ports = ChecklistPorts(
        redis_ping=redis_ping,
        postgres_ping=figures.ping,
        evidence_ping=evidence_ping,
        chain=chain,
        figures=figures,
        gateway=readers.gateway,
        catalogue=means.catalogue,
        now=lambda: now,
        objectives=objectives,
        override=override,
    )
    findings = await read_findings(ports, breaker_id, means.limits)
    plain = budget_finding(snapshot, breaker_id, means.catalogue)
    return Checked(findings, bool(override) and plain.ok is not True)


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
