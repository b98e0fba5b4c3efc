"""100,000 reconciliation runs: what panel 4, the guard's look and a latch's release ask of them."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns, thread_time
from typing import Final

import asyncpg

from backends.guard_store import GuardStore, Term
from backends.postgres_admin import PostgresAdmin
from backends.reconciliation_store import ReconciliationStore
from cockpit.domain.breakers import Catalogue
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.stand import Stand

ROWS: Final = 100_000
READING_MS: Final = 100
LOOP_MS: Final = 16
_DATABASE: Final = "reconciliation"
FILL: Final = """
INSERT INTO reconciliation_runs
       (kind, symbol, status, started_at, finished_at, mismatches, engine_seq, ledger_seq)
SELECT (ARRAY['order', 'position', 'ledger'])[1 + n % 3],
       (ARRAY['BTC-USD', 'ETH-USD', 'SOL-USD', 'ADA-USD'])[1 + (n / 3) % 4],
       CASE WHEN n % 101 = 0 THEN 'mismatch' WHEN n % 103 = 0 THEN 'unknown' ELSE 'clean' END,
       clock_timestamp() - make_interval(secs => n * 0.8),
       clock_timestamp() - make_interval(secs => n * 0.8) + interval '0.1 s',
       CASE WHEN n % 101 = 0 THEN '[{"id": "o-1", "venue": "1.5", "books": "1.4"}]'::jsonb ELSE '[]' END, n, n
  FROM generate_series(0, $1::int - 1) AS n
"""


def measure(stand: Stand) -> list[Figure]:
    return asyncio.run(_measure(stand))


async def _measure(stand: Stand) -> list[Figure]:
    rows = 10_000 if stand.quick else ROWS
    dsn = await _filled(stand, rows)
    store, guard = ReconciliationStore(dsn), GuardStore(dsn)
    reading, busy, looks, cycles = [], [], [], []
    at = (await store.reconciliations()).at
    for _ in range(stand.times(30)):
        begin, spent = perf_counter_ns(), thread_time()
        snapshot = await store.reconciliations()
        reading.append(since_ms(begin))
        busy.append((thread_time() - spent) * 1_000)
        begin = perf_counter_ns()
        await guard.breaches(Term("nobody", 1))
        looks.append(since_ms(begin))
        begin = perf_counter_ns()
        await store.clean_cycles("BTC-USD", at.replace(year=at.year - 1))
        cycles.append(since_ms(begin))
    if len(snapshot.lines) != 12:
        raise RuntimeError(f"not everything was read: {snapshot.faults}")
    await store.close()
    await guard.close()
    took, loop = Samples.of(reading), Samples.of(busy)
    name = f"{rows:,} reconciliation runs"
    others = f"a guard's look {Samples.of(looks).p50:.1f}, clean cycles {Samples.of(cycles).p50:.1f} ms"
    told = f"p99 {took.p99:.0f} ms; {others}"
    return [
        Figure(f"{name}: every line, p50", took.p50, "ms", READING_MS, note=told, raw={"reading_ms": took}),
        Figure(f"{name}: the loop's share, p50", loop.p50, "ms", LOOP_MS, note="processor time"),
    ]


async def _filled(stand: Stand, rows: int) -> str:
    """A database of its own."""
    owner = await asyncpg.connect(stand.postgres.owner_dsn)
    await owner.execute(f"CREATE DATABASE {_DATABASE}")
    await owner.close()
    dsn = stand.postgres.owner_dsn.rpartition("/")[0] + f"/{_DATABASE}"
    admin = PostgresAdmin(dsn)
    await admin.upgrade(Catalogue.build(("execution",), (), ()))
    await admin.close()
    owner = await asyncpg.connect(dsn)
    await owner.execute(FILL, rows)
    await owner.execute("ANALYZE reconciliation_runs")
    await owner.close()
    return dsn
