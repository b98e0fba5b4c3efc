"""The plant's two strategies: each asks the gate before each order, and sends what it permits."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from backends.gate import Decision, Gate, OrderKind
from backends.gate_ack import InFlight
from cockpit.demo.books import Automation
from cockpit.demo.market import LISTINGS, Listing, to_lot
from cockpit.demo.orders import Side, new_order
from cockpit.demo.venue import Venue
from cockpit.domain.breakers import BreakerId, Catalogue, Scope, scope_of
from cockpit.domain.states import State

STRATEGIES: Final = ("momentum", "market-making")
_PAUSE_S: Final = 0.3
_MOST_IN_FLIGHT: Final = 8
_LEAN: Final = 0.25  # share of the position limit at which a strategy only reduces


class Trader:
    """One strategy over all instruments that the catalogue holds, several orders a second.

    `signalled` is told how many seconds each signal took that became an order.
    """

    def __init__(
        self,
        strategy: str,
        symbols: Sequence[str],
        venue: Venue,
        gate: Gate,
        flight: InFlight,
        random: random.Random,
        signalled: Callable[[str, float], None],
    ) -> None:
        self.strategy = strategy
        self._symbols = symbols
        self._venue = venue
        self._gate = gate
        self._flight = flight
        self._random = random
        self._signalled = signalled
        self._orders: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Trade until cancelled; an error in one order ends the strategy, and with it the plant."""
        try:
            async with asyncio.TaskGroup() as group:
                for symbol in itertools.cycle(self._symbols):
                    await asyncio.sleep(_PAUSE_S * self._random.uniform(0.6, 1.4))
                    if len(self._orders) < _MOST_IN_FLIGHT:
                        task = group.create_task(self._trade(LISTINGS[symbol]))
                        self._orders.add(task)
                        task.add_done_callback(self._orders.discard)
        finally:
            self._orders.clear()

    async def _trade(self, listing: Listing) -> None:
        began = time.monotonic()
        with self._flight.order():
            decision = await self._gate.decide(listing.symbol, self.strategy)
            quantity = self._size(listing, decision)
            if quantity > 0:
                order = new_order(listing.symbol, self._side(listing), quantity, self.strategy)
                await self._venue.submit(order)
                self._signalled(self.strategy, time.monotonic() - began)

    def _size(self, listing: Listing, decision: Decision) -> Decimal:
        if OrderKind.NEW not in decision.permits:
            return Decimal(0)
        wanted = listing.normal_quantity * Decimal(str(round(self._random.uniform(0.4, 1), 3)))
        return to_lot(listing, wanted * decision.size_share)

    def _side(self, listing: Listing) -> Side:
        held = self._venue.positions[listing.symbol].quantity
        rising = self._venue.market.rising(listing.symbol)
        return chosen_side(self.strategy, listing, held, rising, self._random)


def chosen_side(strategy: str, listing: Listing, held: Decimal, rising: bool, chance: random.Random) -> Side:
    """What a strategy does next: the more is held, the likelier it is reduced."""
    reduces = Side.SELL if held > 0 else Side.BUY
    lean = min(1.0, float(abs(held) / listing.max_position) / _LEAN)
    if chance.random() < lean:
        return reduces
    if strategy == "momentum":
        follows = Side.BUY if rising else Side.SELL
        return follows if chance.random() < 0.7 else follows.other
    return reduces if chance.random() < 0.6 else reduces.other


class Automations:
    """What runs by itself on the platform, one per breaker below `global`, and whether it may."""

    def __init__(self, catalogue: Catalogue) -> None:
        below = [name for name in catalogue.ids if scope_of(name) is not Scope.GLOBAL]
        self._names = {name: _automation(name) for name in below}
        self._last: dict[str, Automation] = {}

    def changed(self, decisions: Mapping[BreakerId, Decision]) -> list[Automation]:
        """The automations whose status or reason is new. Paused unless orders that add risk are permitted."""
        changed = []
        for breaker_id, name in self._names.items():
            decision = decisions[breaker_id]
            running = OrderKind.NEW in decision.permits
            reason = None if decision.effective_state is State.CLOSED else decision.why[:300]
            row = Automation(name, breaker_id, "running" if running else "paused_risk", reason)
            if self._last.get(name) != row:
                self._last[name] = row
                changed.append(row)
        return changed


def _automation(breaker_id: BreakerId) -> str:
    name = breaker_id.partition(":")[2]
    match scope_of(breaker_id):
        case Scope.INSTRUMENT:
            return f"quoter {name}"
        case Scope.STRATEGY:
            return name
        case _:
            return f"{name} scheduler"
