"""A simulated month in which nothing went wrong, for a plant that has just been made.

Budgets over thirty days are judged against what happened in them. A demo that is seconds old would lose all
of one by a single rejected order, and no fault could be shown, mended and resumed from. The demo's settings
keep where it ends, so that every screen and command says which samples were never measured.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg

_EVENTS = """
INSERT INTO sli_samples (sli, good, total, value, observed_at)
SELECT p.sli, p.events, p.events, p.value, at
  FROM (VALUES ('order_success', 48, 30, 1800, NULL::float8),
               ('execution_latency', 48, 30, 1800, NULL),
               ('data_feed', 1800, 30, 1800, NULL),
               ('operations', 2400, 1, 300, NULL),
               ('reconciliation_pass', 15, 1, 300, NULL),
               ('signal_latency_p99_ms', 1, 30, 600, 40),
               ('bar_staleness_p99_s', 1, 1, 60, 5)) AS p (sli, events, days, every_s, value),
       LATERAL generate_series(clock_timestamp() - interval '15 seconds',
                               clock_timestamp() - make_interval(days => p.days),
                               make_interval(secs => -p.every_s)) AS at
 WHERE NOT EXISTS (SELECT FROM sli_samples)
 ORDER BY at
"""


async def write(dsn: str) -> datetime:
    """Write it, unless there are samples already; the time of its last sample. `dsn` is the owner's."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(_EVENTS, timeout=60)
        ends: datetime = await connection.fetchval("SELECT max(observed_at) FROM sli_samples")
        return ends
    finally:
        await connection.close()
