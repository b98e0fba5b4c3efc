"""Reads all that the page of an incident's first five minutes shows. Every part is read by itself: one that
is away, slow or malformed says so and holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from cockpit.domain.artefacts import SLOS, RunView
from cockpit.domain.breakers import Catalogue, scope_of
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Status
from cockpit.domain.limits import RECOVERY_FRESH_S
from cockpit.domain.recovery import (
    Broker,
    Condition,
    Linked,
    RecoveryFacts,
    active_symbols,
    conditions,
    moments,
    needs,
)
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.domain.text import clean
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import NO_GATEWAY, Acknowledgement, Breach, DeskFacts, Halt, Halts, Part
from cockpit.operations.ports import Breakers
from cockpit.operations.run_reading import from_run

READ_S: Final = 3.0
NO_RUNS: Final = "no [runs] results is set"
"""The fault of run folders that nobody has configured."""
Made = TypeVar("Made")


class TriageDesk(Protocol):
    """What Postgres knows."""

    async def triage_facts(self, incident_id: str) -> DeskFacts: ...
    async def recovery_facts(
        self, symbols: Sequence[str], moments: Sequence[datetime], fresh_s: float
    ) -> RecoveryFacts: ...


class HaltHealth(Protocol):
    """`GET /health` of the gateway with what it says of trading."""

    @property
    def healthy(self) -> bool: ...
    @property
    def detail(self) -> str: ...
    @property
    def halt_reason(self) -> str | None: ...
    @property
    def trading_halted_until(self) -> str | None: ...
    @property
    def feed_age_s(self) -> float | None: ...
    @property
    def errors_5m(self) -> int | None: ...


class HaltGateway(Protocol):
    async def health(self) -> HaltHealth: ...


class Runs(Protocol):
    """The run folders. `run_id` None: the newest one.

    Raises:
        OSError: the folder cannot be read.
    """

    async def view(self, run_id: str | None = None) -> RunView: ...


@dataclass(frozen=True, slots=True)
class FirstMinutesPorts:
    """What is not configured is None, and its part says so. `now` is this machine's clock, which stands in
    where Postgres cannot say; `fresh_s` is `limits.reconciliation_fresh_s`."""

    desk: TriageDesk
    catalogue: Catalogue
    breakers: Breakers | None = None
    gateway: HaltGateway | None = None
    runs: Runs | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    fresh_s: float = RECOVERY_FRESH_S


async def first_minutes(incident_id: str, ports: FirstMinutesPorts) -> FirstMinutes:
    """Everything that the page shows, at most a few seconds later. Raises nothing that a store may cause."""
    desk, halt, halts = await asyncio.gather(
        _part(lambda: ports.desk.triage_facts(incident_id)), _halt(ports), _halts(ports)
    )
    found = desk.value
    row = found.incident if found else None
    linked = tuple(name for name in (row.breaker_id, *row.breakers) if name) if row else ()
    symbols = active_symbols(linked, ports.catalogue)
    run = await _run(ports, row.run_id if row else None)
    facts = from_run(found, run.value, symbols)
    fault = desk.fault
    page = FirstMinutes(
        incident_id=incident_id,
        at=found.at if found else ports.now(),
        incident=Part(row, row.opened_at if row else None, fault),
        symbols=symbols,
        halt=halt,
        halts=halts,
        breach=_breach(facts.breach, fault, run),
        acknowledgement=Part(*_acknowledgement(row, facts.run_says), fault),
        orders=_either(facts.of("order"), fault),
        positions=_either(facts.of("position"), fault),
        ledger=_either(facts.of("ledger"), fault),
        quality=_either(facts.quality, fault),
        changes=_either(facts.changes, fault),
        recovery=Part(),
        run=run,
    )
    return replace(page, recovery=await _recovery(page, ports))


def _breach(part: Part[Breach], fault: str, run: Part[RunView]) -> Part[Breach]:
    """Unknown where Postgres is unread, or where the run folder is and might say worse: no slow store makes
    another answer of it."""
    if fault:
        return Part(fault=fault)
    said = run.value.file(SLOS).fault if run.value is not None else run.fault
    if not said or said == NO_RUNS or (part.value is not None and not part.value.recovered):
        return part
    return Part(fault=f"run folder: {said}")


def _either(part: Part[Made], fault: str) -> Part[Made]:
    """What a run folder says stands in for a database that is away, where it says something."""
    return part if part.value is not None or not fault else Part(fault=fault)


async def _part(read: Callable[[], Awaitable[Made]]) -> Part[Made]:
    try:
        async with asyncio.timeout(READ_S):
            return Part(await read())
    except TimeoutError:
        return Part(fault=f"no answer in {READ_S:g} s")
    except Refused as error:
        return Part(fault=error.refusal.message)
    except Exception as error:  # noqa: BLE001 - whatever a port raises, its part is unreadable, which is shown
        return Part(fault=clean(f"{type(error).__name__}: {error}", 300))


async def _halt(ports: FirstMinutesPorts) -> Part[Halt]:
    gateway = ports.gateway
    if gateway is None:
        return Part(fault=NO_GATEWAY)
    read = await _part(gateway.health)
    if (health := read.value) is None:
        return Part(fault=read.fault)
    halt = Halt(
        health.halt_reason,
        health.trading_halted_until,
        health.healthy,
        health.detail,
        health.feed_age_s,
        health.errors_5m,
    )
    return Part(halt, ports.now())


async def _halts(ports: FirstMinutesPorts) -> Part[Halts]:
    breakers = ports.breakers
    if breakers is None:
        return Part(fault="Redis is not read here")
    read = await _part(breakers.snapshot)
    if (snapshot := read.value) is None:
        return Part(fault=read.fault)
    shut = [name for name, reading in snapshot.readings.items() if reading.state is not State.CLOSED]
    switches = tuple(name for name in shut if scope_of(name).switch)
    return Part(
        Halts(tuple(name for name in shut if not scope_of(name).switch), switches), snapshot.observed_at
    )


async def _run(ports: FirstMinutesPorts, run_id: str | None) -> Part[RunView]:
    runs = ports.runs
    if runs is None:
        return Part(fault=NO_RUNS)
    read = await _part(lambda: runs.view(run_id))
    return replace(read, at=read.value.at) if read.value else read


def _acknowledgement(
    row: IncidentRow | None, run_says: str
) -> tuple[Acknowledgement | None, datetime | None]:
    if row is None:
        return None, None
    found = Acknowledgement(
        row.status, row.acknowledged_by, row.acknowledged_at, row.acknowledge_by, row.owner, run_says
    )
    return found, row.acknowledged_at or row.alarm_at or row.opened_at


async def _recovery(page: FirstMinutes, ports: FirstMinutesPorts) -> Part[tuple[Condition, ...]]:
    """The conditions of this incident, by what it is classified as or else looks like."""
    row = page.incident.value
    if row is None:
        return Part(fault=page.incident.fault or "there is no such incident")
    if row.status in (Status.RESOLVED, Status.MERGED):
        return Part((), page.at)
    own = Linked(row.incident_id, row.title, page.branch.value, row.opened_at)
    if not needs(own):
        return Part((), page.at)
    read = await _part(lambda: ports.desk.recovery_facts(page.symbols, moments((own,)), ports.fresh_s))
    if (facts := read.value) is None:
        return Part(fault=read.fault)
    return Part(conditions((own,), facts, page.symbols, broker_of(page.halt)), facts.at)


def broker_of(halt: Part[Halt]) -> Broker:
    """What the gateway's answer means for a recovery."""
    if (found := halt.value) is None:
        return Broker(None, halt.fault)
    if found.feed_fresh is None:
        return Broker(None, f"{found.detail}; it does not say how old its feed is")
    return Broker(found.healthy and found.feed_fresh, f"{found.detail}, feed {found.feed_age_s:.1f} s old")
