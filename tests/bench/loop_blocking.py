"""How long an event loop is kept from everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter, thread_time

TICK_S = 0.001


@dataclass(slots=True)
class Blocking:
    """The longest that one turn of the loop took, in milliseconds.

    `wall_ms` is how late a 1 ms ticker came, other programs on the machine included; `cpu_ms` is the
    processor time of this thread between two ticks, which they do not change.
    """

    wall_ms: float = 0.0
    cpu_ms: float = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Blocking]:
    """Watch the running loop while inside."""
    found = Blocking()
    stop = False

    async def tick() -> None:
        while not stop:
            wall, cpu = perf_counter(), thread_time()
            await asyncio.sleep(TICK_S)
            found.wall_ms = max(found.wall_ms, (perf_counter() - wall - TICK_S) * 1e3)
            found.cpu_ms = max(found.cpu_ms, (thread_time() - cpu) * 1e3)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(3 * TICK_S)
    found.wall_ms = found.cpu_ms = 0.0
    try:
        yield found
    finally:
        await asyncio.sleep(2 * TICK_S)
        stop = True
        await ticker
