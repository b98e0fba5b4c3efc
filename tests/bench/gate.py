"""One decision of the gate against a bare MGET of the same keys."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backends.gate import Gate
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.states import State
from tests.bench.figures import Figure, in_turn, since_ms
from tests.bench.grants import close_all
from tests.bench.stand import Stand

CATALOGUE = Catalogue.build(
    components=["execution", "ingest", "risk", "automation"],
    instruments=["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"],
    strategies=["momentum", "market-making"],
)


def measure(stand: Stand) -> list[Figure]:
    return asyncio.run(_measure(stand))


async def _measure(stand: Stand) -> list[Figure]:
    url = stand.valkey.owner_url
    keys = close_all(url, CATALOGUE)
    async with (
        Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as bare,
        Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as mine,
    ):
        gate = Gate(mine, CATALOGUE, keys)
        asked = _keys(BreakerId("instrument:BTC-USD"), BreakerId("strategy:momentum"))

        async def decide() -> float:
            begin = perf_counter_ns()
            decision = await gate.decide("BTC-USD", "momentum")
            took = since_ms(begin)
            if decision.effective_state is not State.CLOSED:
                raise RuntimeError(f"the gate did not read the grants: {decision.why}")
            return took

        async def mget() -> float:
            begin = perf_counter_ns()
            await bare.mget(asked)
            return since_ms(begin)

        decided, fetched = await in_turn(stand.times(3_000), decide, mget, warm_up=50)
    raw = {"decide_ms": decided, "mget_ms": fetched}
    note = f"MGET of the same {len(asked)} keys by redis.asyncio"
    return [
        Figure("gate decision p50", decided.p50, "ms", 4, fetched.p50, note, raw),
        Figure("gate decision p99", decided.p99, "ms", None, fetched.p99, "shown, not judged"),
    ]


def _keys(*targets: BreakerId) -> list[str]:
    names = dict.fromkeys(name for target in targets for name in (target, *CATALOGUE.ancestors(target)))
    return [key for name in names for key in (f"trip:{name}", f"breaker:{name}")] + ["circuit_breaker:state"]
