"""1,000 breakers: what a refresh costs on the wire and on the event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Final
from urllib.parse import urlsplit

from redis.asyncio import Redis

from backends.redis_store import RedisStore
from cockpit.domain.breakers import Catalogue
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.grants import close_all, keyring
from tests.bench.loop_blocking import watched
from tests.bench.roundtrips import counted
from tests.bench.stand import Stand

SIZE: Final = 1_000
BOUND_MS: Final = 16
_ROUND: Final = 10


@dataclass(slots=True)
class Refreshes:
    """What some refreshes took, and the longest turn of the loop during each: by the clock and in processor
    time; all in milliseconds."""

    took: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def add(self, store: RedisStore) -> None:
        async with watched() as blocking:
            begin = perf_counter_ns()
            await store.snapshot()
            self.took.append(since_ms(begin))
        self.wall.append(blocking.wall_ms)
        self.cpu.append(blocking.cpu_ms)

    def figure(self, name: str, bound: float | None, note: str) -> Figure:
        took, wall, cpu = Samples.of(self.took), Samples.of(self.wall), Samples.of(self.cpu)
        told = f"longest turn, p50 (p99 {wall.p99:.1f}; processor time {cpu.p50:.1f}, p99 {cpu.p99:.1f} ms)"
        raw = {"refresh_ms": took, "blocked_wall_ms": wall, "blocked_cpu_ms": cpu}
        return Figure(f"{SIZE:,} breakers, {name}", wall.p50, "ms", bound, note=f"{told}; {note}", raw=raw)


def large_catalogue() -> Catalogue:
    """`global`, 9 components, 940 instruments and 50 strategies."""
    components = ["execution", *(f"part{number}" for number in range(1, 9))]
    instruments = [f"SYM{number:03}-USD" for number in range(940)]
    strategies = [f"strategy{number:02}" for number in range(50)]
    catalogue = Catalogue.build(components, instruments, strategies)
    if len(catalogue) != SIZE:
        raise RuntimeError(f"the catalogue has {len(catalogue)} breakers")
    return catalogue


def measure(stand: Stand) -> list[Figure]:
    return asyncio.run(_measure(stand))


async def _measure(stand: Stand) -> list[Figure]:
    url, catalogue = stand.valkey.owner_url, large_catalogue()
    trips = await _round_trips(url, catalogue)
    first, rest, one, everything = Refreshes(), Refreshes(), Refreshes(), Refreshes()
    async with Redis.from_url(url) as owner:
        for _ in range(stand.times(_ROUND)):
            store = RedisStore(url, catalogue, keyring(close_all(url, catalogue)))
            await store.connect()
            await first.add(store)
            for turn in range(_ROUND):
                await rest.add(store)
                await owner.incr(f"trip:{catalogue.ids[-1 - turn]}")
                await one.add(store)
            await owner.incr("trip:global")
            await everything.add(store)
            await store.close()
    whole = Samples.of(first.took).p50
    return [
        Figure(
            f"{SIZE:,} breakers, round trips", max(trips), "", 1, note="most of 11 refreshes, on the wire"
        ),
        rest.figure("loop blocked at rest", BOUND_MS, f"whole refresh {Samples.of(rest.took).p50:.1f} ms"),
        one.figure("loop blocked, one tripped", BOUND_MS, f"whole refresh {Samples.of(one.took).p50:.1f} ms"),
        everything.figure("loop blocked, global tripped", BOUND_MS, "every effective state changes"),
        first.figure("loop blocked, first reading", None, f"in slices, {whole:.0f} ms in all; not judged"),
    ]


async def _round_trips(owner_url: str, catalogue: Catalogue) -> list[float]:
    keys, url = close_all(owner_url, catalogue), urlsplit(owner_url)
    found: list[float] = []
    async with counted(url.hostname or "", url.port or 0) as wire:
        through = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{wire.port}").geturl()
        store = RedisStore(through, catalogue, keyring(keys))
        await store.connect()
        for _ in range(11):
            before = wire.round_trips
            await store.snapshot()
            found.append(float(wire.round_trips - before))
        await store.close()
    return found
