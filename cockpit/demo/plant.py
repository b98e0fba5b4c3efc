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
import contextlib
import logging
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import uvicorn
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backends.gate import Gate
from backends.gate_ack import GateAck, InFlight
from cockpit.config import BadSettings, Settings, load_settings
from cockpit.demo.books import Books
from cockpit.demo.gateway_app import Gateway, build
from cockpit.demo.market import LISTINGS, Market
from cockpit.demo.traders import STRATEGIES, Automations, Trader
from cockpit.demo.venue import Venue
from cockpit.domain.breakers import Scope, scope_of
from cockpit.domain.states import State

NAME: Final = "plant"
_TICK_S: Final = 0.25
_MARKS_S: Final = 1.0
_SAMPLES_S: Final = 10.0
_RECONCILE_S: Final = 60.0
_CHECK_S: Final = 0.5
_log = logging.getLogger(NAME)


class Plant:
    """Everything that trades. `seed` makes market and strategies repeatable (their timing is not)."""

    def __init__(self, settings: Settings, seed: int | None = None) -> None:
        login = settings.credentials("gateway")
        self._settings = settings
        self._redis: Redis = Redis.from_url(
            login.redis_url,
            socket_timeout=2,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
        )
        chance = random.Random(seed)  # noqa: S311 (a market, not a secret)
        catalogue = settings.catalogue
        self.books = Books(login.postgres_dsn)
        self.venue = Venue(Market(chance, time.monotonic), chance, self.books.order)
        self.gate = Gate(self._redis, catalogue, settings.authority_keys)
        self.flight = InFlight()
        self._ack = GateAck(self._redis, NAME, catalogue, self.flight)
        self._automations = Automations(catalogue)
        named = [name for name in catalogue.ids if scope_of(name) is Scope.INSTRUMENT]
        self._symbols = [name.partition(":")[2] for name in named if name.partition(":")[2] in LISTINGS]
        self._traders = [
            Trader(name, self._symbols, self.venue, self.gate, self.flight, chance)
            for name in STRATEGIES
            if f"strategy:{name}" in catalogue
        ]
        self._reconcile = asyncio.Event()

    async def run(self) -> None:
        """Trade until cancelled."""
        try:
            await self._open_books()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ack.run())
                group.create_task(self._serve())
                group.create_task(self._market())
                group.create_task(self._checks())
                group.create_task(self._keep_books())
                for trader in self._traders:
                    group.create_task(trader.run())
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, TimeoutError):
                await self.books.flush(self.venue.positions, self._prices())
                await self.books.close()
            await self._redis.aclose()

    async def _open_books(self) -> None:
        wait = 0.2
        while True:
            try:
                self.venue.positions |= await self.books.load()
                return
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                _log.warning("no books yet: %s: %s", type(error).__name__, error)
                self.books.drop()
            await asyncio.sleep(wait)
            wait = min(2.0, wait * 2)

    async def _market(self) -> None:
        """Ticks, resting orders, and what a halt means for them and for the automations."""
        while True:
            self.venue.market.advance()
            self.venue.match()
            decisions = await self.gate.survey()
            self.books.automations(self._automations.changed(decisions))
            halted = {name for name, each in decisions.items() if each.effective_state is State.OPEN}
            for order in list(self.venue.resting.values()):
                if {f"instrument:{order.symbol}", f"strategy:{order.strategy}"} & halted:
                    self.venue.cancel(order.order_id, "halted")
            await asyncio.sleep(_TICK_S)

    async def _checks(self) -> None:
        while True:
            await self.venue.check()
            await asyncio.sleep(_CHECK_S)

    async def _keep_books(self) -> None:
        """Everything that goes to Postgres goes through here, one thing after the other, with back-off."""
        every: dict[Callable[[], Awaitable[None]], float] = {
            self._marks: _MARKS_S,
            self.books.sample: _SAMPLES_S,
            self._compare: _RECONCILE_S,
        }
        due = dict.fromkeys(every, 0.0)
        wait = _TICK_S
        while True:
            try:
                await self.books.flush(None, {})
                if self._reconcile.is_set():
                    self._reconcile.clear()
                    due[self._compare] = 0
                for job, at in due.items():
                    if time.monotonic() >= at:
                        await job()
                        due[job] = time.monotonic() + every[job]
                wait = _TICK_S
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                wait = min(2.0, wait * 2)
                _log.warning("books wait %.1f s: %s: %s", wait, type(error).__name__, error)
                self.books.drop()
            await asyncio.sleep(wait)

    async def _marks(self) -> None:
        await self.books.flush(self.venue.positions, self._prices())

    async def _compare(self) -> None:
        """Reconcile: what the venue reports against what the books hold."""
        await self._marks()
        booked = await self.books.booked_quantities()
        self.books.reconciled(
            [
                {"symbol": symbol, "venue": str(self.venue.reported_quantity(symbol)), "books": str(quantity)}
                for symbol, quantity in booked.items()
                if symbol in LISTINGS
                and self.venue.reported_quantity(symbol) - self.venue.positions[symbol].quantity != 0
            ]
        )

    def _prices(self) -> dict[str, Decimal]:
        return {symbol: self.venue.market.price(symbol) for symbol in LISTINGS}

    async def _serve(self) -> None:
        address = urlsplit(self._settings.gateway_url or "")
        app = build(Gateway(self.venue, self.gate, self.flight, self._reconcile.set))
        listening = socket.create_server((address.hostname or "127.0.0.1", address.port or 0))
        # asyncio leaves Nagle's algorithm on for a socket that it did not make: 40 ms for each answer's body.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted connections inherit it
        server = _Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            await serving
            listening.close()


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


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
