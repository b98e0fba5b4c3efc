"""The five probes, as functions over their ports, and the run that attests them one by one.

The cockpit that asked for half-open runs them, and the authority runs them once more at the close. A probe
that answers badly fails; one that hangs is cut off by the run's deadline and stays absent, which fails the
run. Source: pause and resume runbook 6.B.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue, Scope, scope_of, symbol_of
from cockpit.domain.documents import Effective
from cockpit.domain.probes import ProbeName, ProbeRun, attestation
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.domain.text import clean
from cockpit.operations.ports import PayloadSigner, Ping, ProbeInbox, VenueGateway

PAPER_QUANTITY: Final = Decimal("0.001")
ROUND_TRIPS: Final = 5
FEED_BOUND_S: Final = 5.0
STORE_BOUND_MS: Final = 250.0
_DETAIL: Final = 400
_ALL_HELD: Final = "every instrument is held by its own breaker or a switch and takes no paper order"


@dataclass(frozen=True, slots=True)
class ProbePorts:
    """`symbol` is the instrument that paper orders name, None where each is held by a breaker or switch of
    its own.

    Then this resume lets no order through, each instrument has its own proof to come, and without a way on
    nothing could ever be resumed after everything was lost: the venue's health stands in for paper orders.
    """

    gateway: VenueGateway | None
    redis_ping: Ping
    postgres_ping: Ping
    symbol: str | None
    latency_bound_ms: float


@dataclass(frozen=True, slots=True)
class Probed:
    """One answer. `detail` says what was read and what is wanted."""

    ordinal: int
    name: str
    passed: bool
    latency_ms: float
    detail: str


def symbol_for(
    breaker_id: BreakerId, catalogue: Catalogue, effective: Mapping[BreakerId, Effective]
) -> str | None:
    """The instrument to probe a breaker with: an instrument's own, which nothing else proves; else the first
    of its scope, else any, of those that neither a breaker holds OPEN nor a switch."""
    if scope_of(breaker_id) is Scope.INSTRUMENT:
        return symbol_of(breaker_id)
    own = (breaker_id, *catalogue.descendants(breaker_id))
    candidates = [name for name in (*own, *catalogue.ids) if scope_of(name) is Scope.INSTRUMENT]
    for name in candidates:
        found = effective.get(name)
        if found is not None and found.state is not State.OPEN:
            return symbol_of(name)
    return None


async def run_probe(ordinal: int, name: str, ports: ProbePorts) -> Probed:
    """Run one probe. A refusal or an unreachable system is a failed probe; hanging is the caller's to end."""
    started = time.perf_counter()
    try:
        passed, detail = await _PROBES[ProbeName(name)](ports)
    except Refused as error:
        passed, detail = False, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a port raises, the probe has not passed, and says why
        passed, detail = False, f"{type(error).__name__}: {error}"
    elapsed = (time.perf_counter() - started) * 1_000
    return Probed(ordinal, name, passed, elapsed, clean(detail, _DETAIL))


async def run_all(
    run: ProbeRun,
    ports: ProbePorts,
    inbox: ProbeInbox,
    sign: PayloadSigner,
    timeout_s: float,
    reported: frozenset[int] = frozenset(),
    pace_s: float = 0.0,
) -> AsyncIterator[Probed]:
    """Run the probes of `run` in their order, attest each and hand it over as soon as it has answered.

    `pace_s` lies between two probes, so that a run looks at the platform for some seconds and not for one
    moment. Ends early after `timeout_s`, the time left until the run's deadline: what has not answered is
    absent; and once too many have failed for the run to pass. Ordinals in `reported` were delivered before,
    and are left out: a second result would fail the run.

    Raises:
        Refused: a result could not be delivered; the run then fails at its deadline.
    """
    ends = time.monotonic() + timeout_s
    left, failures = [item for item in enumerate(run.probes) if item[0] not in reported], 0
    for place, (ordinal, name) in enumerate(left):
        if failures > len(run.probes) - run.required:
            return
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                await asyncio.sleep(pace_s if place else 0)
                probed = await run_probe(ordinal, name, ports)
        except TimeoutError:
            return
        fields = attestation(
            run.run_id,
            ordinal,
            name,
            run.epoch,
            run.login,
            probed.passed,
            probed.latency_ms,
            probed.detail,
        )
        await inbox.record_probe_result(
            run.run_id, ordinal, name, probed.passed, probed.latency_ms, probed.detail, sign(fields)
        )
        failures += not probed.passed
        yield probed


def _gateway(ports: ProbePorts) -> VenueGateway:
    if ports.gateway is None:
        raise ValueError("no gateway_url is set")
    return ports.gateway


async def _round_trip(ports: ProbePorts) -> tuple[float, str]:
    """One paper order: how long it took in milliseconds, and why it does not count, '' where it does."""
    started = time.perf_counter()
    if ports.symbol is None:
        health = await _gateway(ports).health()
        fault = "" if health.healthy else f"cannot be sent, and the venue is unhealthy: {health.detail}"
        return (time.perf_counter() - started) * 1_000, fault
    placed = await _gateway(ports).place_paper(ports.symbol, "buy", PAPER_QUANTITY)
    elapsed = (time.perf_counter() - started) * 1_000
    fault = "" if placed.status == "filled" else f"{placed.status}: {placed.detail}"
    return max(elapsed, placed.latency_ms), fault


async def _paper_order(ports: ProbePorts) -> tuple[bool, str]:
    elapsed, fault = await _round_trip(ports)
    wanted = f"filled within {ports.latency_bound_ms:g} ms"
    if fault:
        return False, f"paper order {fault} (wanted {wanted})"
    if ports.symbol is None:
        read = f"{_ALL_HELD}; the venue answered in {elapsed:.0f} ms"
    else:
        read = f"{ports.symbol} filled in {elapsed:.0f} ms"
    return elapsed <= ports.latency_bound_ms, f"{read} (wanted {wanted})"


async def _gateway_health(ports: ProbePorts) -> tuple[bool, str]:
    health = await _gateway(ports).health()
    age = "of unknown age" if health.feed_age_s is None else f"{health.feed_age_s:.1f} s old"
    fresh = health.feed_age_s is not None and health.feed_age_s <= FEED_BOUND_S
    read = f"{health.detail or ('healthy' if health.healthy else 'unhealthy')}, feed {age}"
    return health.healthy and fresh, f"{read} (wanted healthy, feed at most {FEED_BOUND_S:g} s old)"


async def _latency(ports: ProbePorts) -> tuple[bool, str]:
    """The 95th percentile of a few real round trips; a refused one counts as failed, not as fast."""
    times: list[float] = []
    for _ in range(ROUND_TRIPS):
        elapsed, fault = await _round_trip(ports)
        if fault:
            return False, f"round trip {len(times) + 1} of {ROUND_TRIPS} {fault}"
        times.append(elapsed)
    p95 = percentile(times, 0.95)
    wanted = f"(wanted at most {ports.latency_bound_ms:g} ms)"
    what = "paper orders" if ports.symbol else "venue round trips"
    return p95 <= ports.latency_bound_ms, f"p95 of {ROUND_TRIPS} {what} {p95:.0f} ms {wanted}"


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile of a non-empty list."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


async def _redis(ports: ProbePorts) -> tuple[bool, str]:
    return _store("Redis", await ports.redis_ping())


async def _postgres(ports: ProbePorts) -> tuple[bool, str]:
    return _store("Postgres", await ports.postgres_ping())


def _store(name: str, elapsed_ms: float) -> tuple[bool, str]:
    detail = f"{name} answered in {elapsed_ms:.1f} ms (wanted at most {STORE_BOUND_MS:g} ms)"
    return elapsed_ms <= STORE_BOUND_MS, detail


_PROBES: Final[Mapping[ProbeName, Callable[[ProbePorts], Awaitable[tuple[bool, str]]]]] = {
    ProbeName.PAPER_ORDER: _paper_order,
    ProbeName.GATEWAY_HEALTH: _gateway_health,
    ProbeName.LATENCY: _latency,
    ProbeName.REDIS: _redis,
    ProbeName.POSTGRES: _postgres,
}
