"""The trading plant of the demo: a process of its own, with logins of its own, and a real client of the
contract.

    python -m cockpit.demo.plant --config FILE

Trades with two strategies on four instruments, keeps its books in Postgres, serves the venue gateway over
HTTP and publishes `gate:ack:plant`. While Redis cannot be read it places nothing; while Postgres is away
its books wait.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backends.gate import Decision, Gate, OrderKind
from backends.gate_ack import GateAck, InFlight
from cockpit.config import BadSettings, Settings, load_settings
from cockpit.demo.bars import Bars
from cockpit.demo.bookkeeping import Bookkeeping
from cockpit.demo.books import Books
from cockpit.demo.gateway_app import Gateway, build
from cockpit.demo.market import LISTINGS, Market
from cockpit.demo.measuring import Measuring
from cockpit.demo.run_folder import RunFolder, new_run_id
from cockpit.demo.serving import serve
from cockpit.demo.slis import SAMPLES_S
from cockpit.demo.traders import STRATEGIES, Automations, Trader
from cockpit.demo.venue import Venue
from cockpit.domain.breakers import BreakerId, Scope, scope_of
from cockpit.domain.states import State

NAME: Final = "plant"
_TICK_S: Final = 0.25
_CHECK_S: Final = 0.5
_SWITCHES: Final = frozenset(scope.value for scope in Scope if scope.switch)
_log = logging.getLogger(NAME)


class Plant:
    """Everything that trades. `seed` makes market and strategies repeatable (their timing is not).

    Samples of what it measures are taken every `samples_s` seconds.
    """

    def __init__(self, settings: Settings, seed: int | None = None, samples_s: float = SAMPLES_S) -> None:
        login = settings.credentials("gateway")
        self._settings = settings
        # No socket_timeout: with one, redis-py sends through asyncio.wait_for, which on Python 3.11 can
        # swallow a cancellation, and a task of ours would go on for ever. The gate has a time limit of its
        # own; the acknowledgements wait, which is what they should do.
        self._redis: Redis = Redis.from_url(
            login.redis_url,
            socket_timeout=None,
            socket_keepalive=True,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )
        chance = random.Random(seed)  # noqa: S311 (a market, not a secret)
        catalogue = settings.catalogue
        market = Market(chance, time.monotonic)
        self.books = Books(login.postgres_dsn)
        self.flight = InFlight()
        self.measuring = Measuring(self.books, self.flight, samples_s)
        self.venue = self.measuring.venue = Venue(market, chance, self.measuring)
        self.measuring.bars = Bars(market.clock)
        self.answers = self.books.answers
        self.run_id = new_run_id(datetime.now(UTC))
        folder = RunFolder(settings.run_results, settings.audit_logs, self.run_id)
        self._bookkeeping = Bookkeeping(self.books, self.venue, self.measuring, folder)
        self.gate = Gate(self._redis, catalogue, settings.authority_keys)
        self._ack = GateAck(self._redis, NAME, catalogue, self.flight)
        self._automations = Automations(catalogue)
        named = [name for name in catalogue.ids if scope_of(name) is Scope.INSTRUMENT]
        symbols = [name.partition(":")[2] for name in named if name.partition(":")[2] in LISTINGS]
        self._traders = [
            Trader(name, symbols, self.venue, self.gate, self.flight, chance, self.measuring.signal)
            for name in STRATEGIES
            if f"strategy:{name}" in catalogue
        ]

    async def run(self) -> None:
        """Trade until cancelled."""
        try:
            await self._bookkeeping.open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ack.run())
                group.create_task(self._serve())
                group.create_task(self._market())
                group.create_task(self._halts())
                group.create_task(self._checks())
                group.create_task(self._bookkeeping.run())
                group.create_task(self.measuring.run())
                for trader in self._traders:
                    group.create_task(trader.run())
        finally:
            await self._bookkeeping.close()
            await self._redis.aclose()

    async def _market(self) -> None:
        """Ticks and resting orders."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            ticks = self.venue.market.advance()
            self.measuring.ticked(ticks, now - before, now - before - _TICK_S)
            before = now
            await self._fill_resting()

    async def _fill_resting(self) -> None:
        """What rests fills only where its symbol's mode lets it; asked at that moment, so that what is
        acknowledged holds for fills too."""
        for order in self.venue.due():
            with self.flight.order():
                decision = await self.gate.decide(order.symbol)
                if decision.mode.fills:
                    self.venue.fill(order.order_id)

    async def _halts(self) -> None:
        """What a halt means for resting orders and for the automations. A symbol's mode leaves its orders
        where they are: it says itself what may become of them."""
        while True:
            decisions = await self.gate.survey()
            self.books.automations(self._automations.changed(decisions))
            halted = {name for name, each in decisions.items() if _halted(each)}
            for order in list(self.venue.resting.values()):
                trapped = decisions.get(BreakerId(f"instrument:{order.symbol}"))
                if trapped is not None and OrderKind.CANCEL not in trapped.permits:
                    continue
                if {f"instrument:{order.symbol}", f"strategy:{order.strategy}"} & halted:
                    self.venue.try_cancel(order.order_id, "halted")
            await asyncio.sleep(_TICK_S)

    async def _checks(self) -> None:
        while True:
            await self.venue.check()
            await asyncio.sleep(_CHECK_S)

    async def _serve(self) -> None:
        changed = self._bookkeeping.faults_changed
        gateway = Gateway(self.venue, self.gate, self.flight, self.measuring, changed, self.answers)
        await serve(build(gateway), self._settings.gateway_url or "")


def _halted(decision: Decision) -> bool:
    """Whether a breaker halts it, and not only a switch of its symbol."""
    if decision.effective_state is not State.OPEN:
        return False
    by = decision.halted_by or ""
    return by.partition(":")[0] not in _SWITCHES


async def _main(settings: Settings, seed: int | None) -> int:
    plant = asyncio.create_task(Plant(settings, seed).run())
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(signum, plant.cancel)
    try:
        await plant
    except asyncio.CancelledError:
        _log.info("stopped")
    except ExceptionGroup as errors:
        _log.error("ended: %s", "; ".join(f"{type(each).__name__}: {each}" for each in errors.exceptions))
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="plant", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seed", type=int, help="repeatable market and strategies")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        settings = load_settings(options.config)
        return asyncio.run(_main(settings, options.seed))
    except BadSettings as error:
        print(f"plant: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
