"""Reading the live items of the pre-resume checklist. Used by the screen, and by the authority at commit.

What cannot be read is a Finding whose `ok` is None, which fails; "no orders" never passes by itself: then the
next wider set of orders is read, and last the gateway itself.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.budget_policy import budget_finding
from cockpit.domain.checklist import LIVE, Finding
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.limits import Limits
from cockpit.domain.recovery import (
    Broker,
    Need,
    active_symbols,
    conditions,
    linked_names,
    moments,
    needs,
)
from cockpit.domain.refusals import Refused
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.text import clean
from cockpit.domain.trading import OrderFigures
from cockpit.domain.triage_facts import NO_GATEWAY
from cockpit.operations.ports import DeskFigures, Ping, VenueGateway
from cockpit.operations.probes import FEED_BOUND_S

READ_S: Final = 3.0
BUDGETS_S: Final = 2.5  # within READ_S: an override passes over objectives that give no answer, too
ORDERS_S: Final = 30.0
NEWEST_S: Final = 5.0
_HEALTH_READS: Final = 3
Read = tuple[bool | None, str, str]
"""Whether it is well, what was read, what is wanted."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """What is known of the audit chain's verification. `full_at` is the last one from its start."""

    ok: bool
    seq: int
    full_at: datetime | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChecklistPorts:
    """`own_requests` is how many of the requests in the queue are the one that is being checked itself;
    `chain` and the pings may raise `Refused`. `now` is the database's time. `objectives` reads the error
    budgets (None: nothing that can be relied on was read, which fails; no port at all fails likewise);
    `override` is a safety-admin's reason to pass over them."""

    redis_ping: Ping
    postgres_ping: Ping
    evidence_ping: Ping
    chain: Callable[[], Awaitable[ChainState]]
    figures: DeskFigures
    gateway: VenueGateway | None
    catalogue: Catalogue
    now: Callable[[], datetime]
    own_requests: int = 0
    objectives: Callable[[], Awaitable[SloSnapshot | None]] | None = None
    override: str = ""


async def read_findings(ports: ChecklistPorts, breaker_id: BreakerId, limits: Limits) -> tuple[Finding, ...]:
    """One Finding for each live item, in the checklist's order. Raises nothing that a store may cause."""
    readers: Mapping[str, Callable[[], Awaitable[Read]]] = {
        "stores": lambda: _stores(ports),
        "audit-chain": lambda: _chain(ports, limits),
        "incidents": lambda: _incidents(ports, limits),
        "latency": lambda: _latency(ports, breaker_id, limits),
        "error-rate": lambda: _error_rate(ports, breaker_id, limits),
        "gateway": lambda: _gateway(ports),
        "positions": lambda: _positions(ports),
        "queue": lambda: _queue(ports),
        "error-budgets": lambda: _budgets(ports, breaker_id),
        "recovery": lambda: _recovery(ports, breaker_id, limits),
    }
    return tuple(await asyncio.gather(*(_finding(item.item_id, readers[item.item_id]) for item in LIVE)))


def chain_from_status(status: Mapping[str, object]) -> ChainState:
    """The chain's state out of the authority's status (`chain: {ok, seq, full_verified_at, why}`), which is
    how a cockpit knows it; anything malformed is not ok."""
    chain = status.get("chain")
    if not isinstance(chain, Mapping):
        return ChainState(False, 0, None, "the authority has not said")
    seq, full = chain.get("seq"), chain.get("full_verified_at")
    try:
        full_at = parse_rfc3339(full) if isinstance(full, str) else None
    except ValueError:
        full_at = None
    why = chain.get("why")
    return ChainState(
        chain.get("ok") is True,
        seq if isinstance(seq, int) else 0,
        full_at,
        why if isinstance(why, str) else "",
    )


async def _finding(item_id: str, read: Callable[[], Awaitable[Read]]) -> Finding:
    try:
        async with asyncio.timeout(READ_S):
            ok, found, wanted = await read()
    except TimeoutError:
        return Finding(item_id, None, f"no answer in {READ_S:g} s", "an answer")
    except Refused as error:
        return Finding(item_id, None, error.refusal.message, "an answer")
    except Exception as error:  # noqa: BLE001 - whatever a port raises, the item is unreadable, which fails it
        return Finding(item_id, None, clean(f"{type(error).__name__}: {error}", 300), "an answer")
    return Finding(item_id, ok, found, wanted)


async def _stores(ports: ChecklistPorts) -> Read:
    times = await asyncio.gather(ports.redis_ping(), ports.postgres_ping(), ports.evidence_ping())
    named = zip(("Redis", "Postgres", "evidence"), times, strict=True)
    return True, ", ".join(f"{name} {elapsed:.1f} ms" for name, elapsed in named), "an answer of each"


async def _chain(ports: ChecklistPorts, limits: Limits) -> Read:
    chain = await ports.chain()
    wanted = f"intact, verified from its start within {limits.full_verification_s / 3_600:g} h"
    if not chain.ok:
        return False, chain.why or "broken", wanted
    if chain.full_at is None:
        return False, f"intact up to entry {chain.seq}, never verified from its start", wanted
    age_s = (ports.now() - chain.full_at).total_seconds()
    read = f"intact up to entry {chain.seq}, from its start {max(0.0, age_s) / 60:.0f} min ago"
    return age_s < limits.full_verification_s, read, wanted


async def _incidents(ports: ChecklistPorts, limits: Limits) -> Read:
    titles = await ports.figures.open_criticals(limits.critical_window_s)
    read = f"{len(titles)} open: {titles[0][:80]}" if titles else "none"
    return not titles, read, f"none unacknowledged in {limits.critical_window_s / 60:g} min"


async def _order_windows(
    ports: ChecklistPorts, breaker_id: BreakerId
) -> tuple[str, tuple[OrderFigures, ...]] | None:
    """Orders of the breaker's own scope, else of the whole platform (under a halt the scope places none);
    None where nobody has placed any. The newest seconds are read by themselves as well, so that a fault
    that has only begun is not diluted by what came before it."""
    own = (breaker_id, *ports.catalogue.descendants(breaker_id))
    for name, scope in ((str(breaker_id), own), (str(GLOBAL), ports.catalogue.ids)):
        figures = await ports.figures.order_figures(scope, ORDERS_S)
        if figures.orders:
            return name, (figures, await ports.figures.order_figures(scope, NEWEST_S))
    return None


async def _latency(ports: ChecklistPorts, breaker_id: BreakerId, limits: Limits) -> Read:
    wanted = f"at most {limits.latency_bound_ms:g} ms"
    found = await _order_windows(ports, breaker_id)
    worst = (
        max((_or_endless(each.p95_ms) for each in found[1] if each.p95_ms is not None), default=None)
        if found
        else None
    )
    if found is not None and worst is not None:
        read = f"p95 {worst:.0f} ms of {found[1][0].orders} orders of {found[0]}"
        return worst <= limits.latency_bound_ms, read, wanted
    if ports.gateway is None:
        return None, f"no orders in {ORDERS_S:g} s and no gateway_url to ask", wanted
    slowest = max([(await ports.gateway.health()).latency_ms for _ in range(_HEALTH_READS)])
    read = f"no orders in {ORDERS_S:g} s; the gateway answered {_HEALTH_READS} times within {slowest:.0f} ms"
    return slowest <= limits.latency_bound_ms, read, wanted


def _or_endless(milliseconds: float) -> float:
    """What is no number is no latency that anybody may rely on."""
    return math.inf if math.isnan(milliseconds) else milliseconds


async def _error_rate(ports: ChecklistPorts, breaker_id: BreakerId, limits: Limits) -> Read:
    wanted = f"at most {limits.error_rate_bound:.1%} rejected"
    found = await _order_windows(ports, breaker_id)
    if found is not None:
        rate = max(each.rejected / each.orders for each in found[1] if each.orders)
        read = f"{rate:.1%} of {found[1][0].orders} orders of {found[0]}"
        return rate <= limits.error_rate_bound, read, wanted
    if ports.gateway is None:
        return None, f"no orders in {ORDERS_S:g} s and no gateway_url to ask", wanted
    reads = [await ports.gateway.health() for _ in range(_HEALTH_READS)]
    well = sum(each.healthy for each in reads)
    return (
        well == _HEALTH_READS,
        f"no orders in {ORDERS_S:g} s; the gateway answered {well} of {_HEALTH_READS} times healthy",
        f"{wanted}, or every answer healthy",
    )


async def _gateway(ports: ChecklistPorts) -> Read:
    wanted = f"healthy, no API error in 5 min, feed at most {FEED_BOUND_S:g} s old"
    if ports.gateway is None:
        return None, NO_GATEWAY, wanted
    health = await ports.gateway.health()
    errors, age = health.errors_5m, health.feed_age_s
    word = health.detail or ("healthy" if health.healthy else "unhealthy")
    read = (
        f"{word}, {'unknown' if errors is None else errors} API errors, "
        f"feed {'of unknown age' if age is None else f'{age:.1f} s old'}"
    )
    if errors is None or age is None:
        return (None if health.healthy else False), read, wanted
    return health.healthy and errors == 0 and age <= FEED_BOUND_S, read, wanted


async def _positions(ports: ChecklistPorts) -> Read:
    over = await ports.figures.positions_over()
    if not over:
        return True, "all within", "none over its limit"
    first = over[0]
    read = f"{len(over)} over: {first.symbol} {first.quantity} of {first.max_quantity}"
    return False, read, "none over its limit"


async def _queue(ports: ChecklistPorts) -> Read:
    others = max(0, await ports.figures.queue_length() - ports.own_requests)
    return others == 0, f"{others} waiting", "none"


async def _budgets(ports: ChecklistPorts, breaker_id: BreakerId) -> Read:
    snapshot = None
    if ports.objectives is not None:
        try:
            async with asyncio.timeout(BUDGETS_S):
                snapshot = await ports.objectives()
        except (TimeoutError, Refused):
            snapshot = None
    found = budget_finding(snapshot, breaker_id, ports.catalogue, ports.override)
    return found.ok, found.read, found.wanted


async def _recovery(ports: ChecklistPorts, breaker_id: BreakerId, limits: Limits) -> Read:
    """The conditions of unresolved incidents that are linked to this breaker, above it or below it."""
    wanted = "every condition met, or no such incident"
    incidents = [
        each
        for each in await ports.figures.recovering(linked_names(breaker_id, ports.catalogue))
        if needs(each)
    ]
    if not incidents:
        return True, "no linked incident has any", wanted
    symbols = active_symbols((breaker_id,), ports.catalogue)
    facts = await ports.figures.recovery_facts(symbols, moments(incidents), limits.reconciliation_fresh_s)
    asked = any(Need.GATEWAY in needs(each) for each in incidents)
    found = conditions(
        incidents, facts, symbols, await broker_health(ports.gateway) if asked else Broker(None, "not asked")
    )
    missing = [each for each in found if each.met is not True]
    if not missing:
        return True, f"all {len(found)} hold", wanted
    lines = "; ".join(f"{each.incident.title[:60]}: {each.line}" for each in missing)
    unread = all(each.met is None for each in missing)
    return None if unread else False, f"{len(missing)} of {len(found)} missing: {lines}", wanted


async def broker_health(gateway: VenueGateway | None) -> Broker:
    """What the gateway's own word means for a recovery."""
    if gateway is None:
        return Broker(None, NO_GATEWAY)
    try:
        health = await gateway.health()
    except Refused as error:
        return Broker(None, error.refusal.message)
    age = health.feed_age_s
    if age is None:
        return Broker(None, f"{health.detail}; it does not say how old its feed is")
    return Broker(health.healthy and age <= FEED_BOUND_S, f"{health.detail}, feed {age:.1f} s old")
