"""A run looks for some seconds, and ends where it cannot pass any more."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.documents import Epoch
from cockpit.domain.probes import ProbeName, ProbeRun
from cockpit.operations.probes import ProbePorts, run_all

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = ProbeRun(
    "r", GLOBAL, Epoch("a" * 40, 2), "admin1", tuple(ProbeName), 4, NOW, NOW + timedelta(minutes=1)
)


class Inbox:
    """Takes results and when they came."""

    def __init__(self) -> None:
        self.results: list[tuple[int, bool, float]] = []

    async def record_probe_result(
        self,
        run_id: str,
        ordinal: int,
        name: str,
        passed: bool,
        latency_ms: float,
        detail: str,
        signed: object,
    ) -> None:
        self.results.append((ordinal, passed, time.monotonic()))


async def ping() -> float:
    return 1.0


async def results(
    pace_s: float, timeout_s: float, names: tuple[ProbeName, ...]
) -> list[tuple[int, bool, float]]:
    inbox = Inbox()
    run = ProbeRun(
        RUN.run_id, GLOBAL, RUN.epoch, RUN.login, names, min(4, len(names)), RUN.started_at, RUN.deadline
    )
    ports = ProbePorts(gateway=None, redis_ping=ping, postgres_ping=ping, symbol="X", latency_bound_ms=300)
    async for _ in run_all(run, ports, inbox, lambda fields: fields, timeout_s, pace_s=pace_s):  # type: ignore[arg-type,return-value]
        pass
    return inbox.results


async def test_probes_of_a_run_are_a_pace_apart() -> None:
    found = await results(0.05, 60, (ProbeName.REDIS, ProbeName.POSTGRES, ProbeName.REDIS))
    assert [passed for _, passed, _ in found] == [True] * 3
    assert all(later[2] - earlier[2] >= 0.045 for earlier, later in pairwise(found))


async def test_the_pace_never_goes_past_the_deadline() -> None:  # I9
    async with asyncio.timeout(60):
        found = await results(3_600, 1.0, (ProbeName.REDIS, ProbeName.POSTGRES))
    assert [ordinal for ordinal, _, _ in found] == [0]


async def test_a_run_that_cannot_pass_any_more_ends() -> None:
    """Without a gateway the first three fail; of five probes four must pass, so the second one decides."""
    found = await results(0, 60, tuple(ProbeName))
    assert [(ordinal, passed) for ordinal, passed, _ in found] == [(0, False), (1, False)]
