"""What a gateway publishes to be believed halted: the epochs that it enforces, with no older order still in
flight.

    flight = InFlight()
    ack = GateAck(redis, "plant", catalogue, flight)
    task = asyncio.create_task(ack.run())
    …
    with flight.order():                    # around the decision and the sending of each order
        decision = await gate.decide(…)
        …send it…

An order that was let through at an older epoch began before the newer counters were read. So: read the
counters, wait for every order begun before that, then publish what was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from backends.signing import canonical
from cockpit.domain.breakers import BreakerId, Catalogue, is_switch
from cockpit.domain.documents import parse_counter, rfc3339

EVENTS: Final = "circuit_breaker:events"
BORN: Final = 1  # the counter that every breaker and switch begins with
_log = logging.getLogger(__name__)


class InFlight:
    """The orders between their question to the gate and their arrival at the venue."""

    def __init__(self) -> None:
        self._orders: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._orders)

    @contextlib.contextmanager
    def order(self) -> Iterator[None]:
        done = asyncio.get_running_loop().create_future()
        self._orders.add(done)
        try:
            yield
        finally:
            self._orders.discard(done)
            done.set_result(None)

    async def drained(self) -> None:
        """Wait for the orders that are in flight now; later ones are not waited for."""
        if self._orders:
            await asyncio.wait(tuple(self._orders))


@dataclass(frozen=True, slots=True)
class Epochs:
    """What Redis said at one moment: `counters` holds every breaker whose counter is one, and every switch
    that was ever set. (Of the others there are thousands on a large platform, and nobody waits for them.)"""

    run_id: str
    counters: dict[BreakerId, int]
    read_at: datetime


class GateAck:
    """Writes `gate:ack:<gateway>`: whenever an epoch changes, and every `every_s` as a sign of life.

    A stream entry wakes it; a counter that was raised without one is found within `poll_s`.
    """

    def __init__(
        self,
        redis: Redis,
        gateway: str,
        catalogue: Catalogue,
        flight: InFlight,
        every_s: float = 1.0,
        poll_s: float = 0.2,
    ) -> None:
        self._redis = redis
        self._gateway = gateway
        self._names = catalogue.everything
        self._keys = [f"trip:{name}" for name in catalogue.everything]
        self._flight = flight
        self._every = timedelta(seconds=every_s)
        self._poll_s = poll_s
        self.published: Epochs | None = None

    async def run(self) -> None:
        """Publish until cancelled. What Redis does not take is logged and tried again."""
        quiet = False
        while True:
            try:
                await self.step()
                await self._wake()
                quiet = False
            except (RedisError, OSError) as error:
                if not quiet:
                    _log.warning("gate:ack:%s is not written: %s", self._gateway, error)
                quiet = True
                await asyncio.sleep(self._poll_s)

    async def step(self) -> None:
        """Read the epochs once and publish them if they changed or the last word is old.

        Raises RedisError, OSError.
        """
        seen = await self._read()
        last = self.published
        fresh = last is None or (seen.run_id, seen.counters) != (last.run_id, last.counters)
        if not fresh and last is not None and timedelta(0) <= seen.read_at - last.read_at < self._every:
            return
        if fresh:
            await self._flight.drained()
        value = {
            "gateway": self._gateway,
            "run_id": seen.run_id,
            "epochs": {str(name): counter for name, counter in seen.counters.items()},
            "acked_at": rfc3339(seen.read_at),
        }
        await self._redis.set(f"gate:ack:{self._gateway}", canonical(value))
        self.published = seen

    async def _read(self) -> Epochs:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.mget(self._keys)
        pipeline.info("server")
        pipeline.time()
        values, info, (seconds, micros) = await pipeline.execute()
        counters = {
            name: counter
            for name, raw in zip(self._names, values, strict=True)
            if (counter := parse_counter(raw)) is not None and (counter > BORN or not is_switch(name))
        }
        read_at = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=micros)
        return Epochs(str(info["run_id"]), counters, read_at)

    async def _wake(self) -> None:
        """Return at the next stream entry or after `poll_s`. The stream is a hint and may be broken."""
        began = asyncio.get_running_loop().time()
        try:
            await self._redis.xread({EVENTS: "$"}, count=1, block=int(self._poll_s * 1_000))
        except RedisError as error:
            _log.debug("no wake-up by %s: %s", EVENTS, error)
            left = self._poll_s - (asyncio.get_running_loop().time() - began)
            await asyncio.sleep(max(0.0, left))
