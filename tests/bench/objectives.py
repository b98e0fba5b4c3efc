"""200 SLOs: what a refresh costs the event loop, and how often it asks; a million samples behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from time import perf_counter_ns
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from backends.postgres_admin import PostgresAdmin
from backends.prometheus import PrometheusSource
from backends.sli_store import SliStore
from cockpit.domain.breakers import EXECUTION, Catalogue
from cockpit.domain.slos import Budgeting, Limit, Op, Ratio, Slices, Slo, SloBook, Source, SourceKind
from cockpit.operations.slo_reading import SloReader
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.loop_blocking import watched
from tests.bench.roundtrips import counted
from tests.bench.stand import Stand
from tests.prometheus.server import PROGRAM, Prometheus, Series

SLOS: Final = 200
SLIS: Final = 20
BOUND_MS: Final = 16
DAYS: Final = 30
_DATABASE: Final = "objectives"


@dataclass(slots=True)
class Refreshes:
    """What some refreshes took, and the longest turn of the loop during each, in milliseconds."""

    took: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def add(self, reader: SloReader) -> None:
        async with watched() as blocking:
            begin = perf_counter_ns()
            snapshot = await reader.read()
            self.took.append(since_ms(begin))
        if len(snapshot.slos) != SLOS or any(not each.counts.total for each in snapshot.slos):
            raise RuntimeError(f"not everything was read: {snapshot.faults or snapshot.slos[0].why}")
        self.wall.append(blocking.wall_ms)
        self.cpu.append(blocking.cpu_ms)

    def figures(self, name: str) -> list[Figure]:
        """The median of the longest turns is held to the bound; the worst of them is shown, and not judged:
        one turn of the machine's scheduler is longer."""
        took, wall, cpu = Samples.of(self.took), Samples.of(self.wall), Samples.of(self.cpu)
        told = f"longest turn of each refresh; p50 of {len(self.wall)} (processor time {cpu.p50:.1f} ms)"
        raw = {"refresh_ms": took, "blocked_wall_ms": wall, "blocked_cpu_ms": cpu}
        note = f"{told}; whole refresh {took.p50:.0f} ms"
        worst = f"longest turn of {len(self.wall)} refreshes (processor time {max(self.cpu):.1f}); not judged"
        begin = f"{SLOS} SLOs, {name}: loop blocked"
        return [
            Figure(f"{begin}, p50", wall.p50, "ms", BOUND_MS, note=note, raw=raw),
            Figure(f"{begin}, worst", max(self.wall), "ms", None, note=worst),
        ]


class _Fixed:
    def __init__(self, slos: Sequence[Slo]) -> None:
        self._book = SloBook(tuple(slos))

    def book(self) -> SloBook:
        return self._book


def _slo(name: str, indicator: Ratio | Limit, slices: Slices | None = None) -> Slo:
    return Slo(
        name=name,
        title=name,
        description="",
        objective=Decimal("0.995"),
        window_s=DAYS * 86_400,
        indicator=indicator,
        budgeting=Budgeting.TIMESLICES if slices else Budgeting.OCCURRENCES,
        slices=slices,
        breaker=EXECUTION,
        fresh_s=1e9,
    )


def _on_postgres() -> list[Slo]:
    sources = [Source(SourceKind.POSTGRES, f"sli{number}") for number in range(SLIS)]
    found = []
    for number in range(SLOS):
        source = sources[number % SLIS]
        ratio = Ratio(source, source, None, False)
        found.append(_slo(f"slo{number}", Limit(source, Op.LTE, 95.0) if number % 20 == 0 else ratio))
    return found


def _on_prometheus() -> list[Slo]:
    found = []
    for number in range(SLOS):
        good, total = (
            Source(SourceKind.PROMETHEUS, f'requests_total{{service="s{number}",code="{code}"}}')
            for code in ("200", "all")
        )
        found.append(_slo(f"slo{number}", Ratio(total, good, None, True)))
    return found


def measure(stand: Stand) -> list[Figure]:
    figures = asyncio.run(_postgres(stand))
    return figures + (asyncio.run(_prometheus(stand)) if PROGRAM.exists() else [])


async def _postgres(stand: Stand) -> list[Figure]:
    samples = 100_000 if stand.quick else 1_000_000
    dsn = await _filled(stand, samples)
    slos, refreshes = _on_postgres(), Refreshes()
    store = SliStore(dsn)
    reader = SloReader(_Fixed(slos), store, {SourceKind.POSTGRES: store})
    for _ in range(stand.times(30)):
        await refreshes.add(reader)
    one = []
    for slo in (slos[0], slos[1], _slo("sliced", slos[1].indicator, Slices(60, Decimal("0.9")))):
        begin = perf_counter_ns()
        await store.read([slo], [])
        one.append(since_ms(begin))
    await reader.close()
    note = f"a ratio {one[1]:.0f}, in slices of a minute {one[2]:.0f} ms; {samples:,} samples of {SLIS} SLIs"
    return [
        Figure(f"{SLOS} SLOs, round trips to Postgres", await _round_trips(dsn, slos), "", 2, note=_TRIPS),
        *refreshes.figures("Postgres"),
        Figure(f"{samples:,} samples: one limit over {DAYS} days", one[0], "ms", 500, note=note),
    ]


_TRIPS: Final = "exclusions, then every window of every SLO; most of 5 refreshes, on the wire"


async def _filled(stand: Stand, samples: int) -> str:
    """A database of its own with the samples of 30 days."""
    owner = await asyncpg.connect(stand.postgres.owner_dsn)
    await owner.execute(f"CREATE DATABASE {_DATABASE}")
    await owner.close()
    dsn = stand.postgres.owner_dsn.rpartition("/")[0] + f"/{_DATABASE}"
    admin = PostgresAdmin(dsn)
    await admin.upgrade(Catalogue.build(("execution",), (), ()))
    await admin.close()
    owner = await asyncpg.connect(dsn)
    await owner.execute(
        "INSERT INTO sli_samples (sli, good, total, value, observed_at)"
        " SELECT 'sli' || g % $1, 100 - (g / 7 % 3), 100, g / 11 % 100, clock_timestamp() - g * $2::interval"
        " FROM generate_series(1, $3) AS g",
        SLIS,
        _interval(samples),
        samples,
    )
    await owner.close()
    return dsn


def _interval(samples: int) -> timedelta:
    return timedelta(days=DAYS) / samples


async def _round_trips(dsn: str, slos: Sequence[Slo]) -> float:
    url, most = urlsplit(dsn), 0
    async with counted(url.hostname or "", url.port or 0) as wire:
        through = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{wire.port}").geturl()
        store = SliStore(through)
        reader = SloReader(_Fixed(slos), store, {SourceKind.POSTGRES: store})
        await reader.read()
        for _ in range(5):
            before = wire.round_trips
            await reader.read()
            most = max(most, wire.round_trips - before)
        await reader.close()
    return float(most)


async def _prometheus(stand: Stand) -> list[Figure]:
    now = time.time() + 60
    ages = sorted({*range(0, 7_200, 15), *range(0, DAYS * 86_400, 300)}, reverse=True)
    series = [
        Series(
            "requests_total",
            {"service": f"s{number}", "code": code},
            [(now - age, rate * (DAYS * 86_400 - age)) for age in ages],
        )
        for number in range(SLOS)
        for code, rate in (("200", 99.0), ("all", 100.0))
    ]
    refreshes, asked = Refreshes(), []
    with Prometheus(stand.folder / "prometheus", series) as server:
        source = PrometheusSource(server.url, timeout_s=30, whole_s=60)
        store = SliStore(stand.postgres.owner_dsn.rpartition("/")[0] + f"/{_DATABASE}")
        for _ in range(stand.times(20)):
            reader = SloReader(_Fixed(_on_prometheus()), store, {SourceKind.PROMETHEUS: source})
            before = (
                source.queries
            )  # a fresh reader each time, since one leaves a slow source alone for a while
            await refreshes.add(reader)
            asked.append(float(source.queries - before))
        await reader.close()
        await store.close()
    note = f"8 windows and the newest sample of each; the first time, with the trends, {asked[0]:.0f}"
    return [
        Figure(f"{SLOS} SLOs, queries to Prometheus", Samples.of(asked).p50, "", 30, note=note),
        *refreshes.figures("Prometheus"),
    ]
