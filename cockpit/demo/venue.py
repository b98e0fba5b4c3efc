"""The venue as the gateway meets it: fills, rejections, resting orders, positions, and what the faults do
to them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from cockpit.demo.faults import Faults
from cockpit.demo.market import LISTINGS, Market
from cockpit.demo.orders import Order, OrderStatus, Position

TIMEOUT_S: Final = 10.0
_CHECKS: Final = 10
_RESTING_SHARE: Final = 0.15
_PRICE: Final = Decimal("0.00000001")


class Venue:
    """Keeps what the venue would know. Every change of an order or a position goes to `booked`.

    `positions` start as the books of an earlier run left them. `checks` are the gateway's own last exchanges
    with the venue (milliseconds, whether accepted, slippage), from which its health is judged.
    """

    def __init__(self, market: Market, random: random.Random, booked: Callable[[Order], None]) -> None:
        self.market = market
        self.faults = Faults()
        self.positions = {symbol: Position(symbol) for symbol in LISTINGS}
        self.resting: dict[str, Order] = {}
        self.checks: deque[tuple[float, bool, Decimal]] = deque(maxlen=_CHECKS)
        self.errors: deque[float] = deque(maxlen=1_000)
        self._random = random
        self._booked = booked
        self._healing = asyncio.Event()
        self._checking_since: float | None = None

    def set_faults(self, faults: Faults) -> None:
        """Put faults in force. Healing all of them starts a new session with the venue: what waits goes on,
        and the error counts begin anew."""
        if faults.feed_gap_s != self.faults.feed_gap_s:
            self.market.silence(faults.feed_gap_s)
        self.faults = faults
        if faults == Faults():
            self.market.silence(0)
            self._healing.set()
            self._healing = asyncio.Event()
            self.checks.clear()
            self.errors.clear()
            self._checking_since = None

    def current_faults(self) -> Faults:
        """What is in force now: a feed gap runs out by itself."""
        if self.faults.feed_gap_s and not self.market.silent_for_s:
            self.faults = replace(self.faults, feed_gap_s=0.0)
        return self.faults

    async def submit(self, order: Order) -> Order:
        """Send an order; returns what became of it: filled, resting (`open`) or rejected."""
        began = _now_s()
        self._booked(order)
        reason = await self._exchange()
        listing = LISTINGS[order.symbol]
        expected = self.market.price(order.symbol)
        quantity = order.quantity
        if order.reduce_only:
            held = self.positions[order.symbol].quantity
            quantity = min(quantity, abs(held)) if held * order.side.sign < 0 else Decimal(0)
            reason = reason or (None if quantity else "nothing to reduce")
        took = round((_now_s() - began) * 1_000, 3)
        order = replace(order, quantity=quantity or order.quantity, latency_ms=took, updated_at=_now())
        if reason is not None:
            order = replace(order, status=OrderStatus.REJECTED, reject_reason=reason)
        elif not (order.paper or order.reduce_only) and self._random.random() < _RESTING_SHARE:
            away = expected - order.side.sign * 4 * listing.tick
            order = replace(order, status=OrderStatus.OPEN, price=away)
            self.resting[order.order_id] = order
        else:
            order = self._filled(order, expected)
        self._booked(order)
        return order

    def match(self) -> None:
        """Fill some of the resting orders, as time goes by."""
        for order in [order for order in self.resting.values() if self._random.random() < 0.05]:
            del self.resting[order.order_id]
            self._booked(self._filled(order, order.price or self.market.price(order.symbol)))

    def cancel(self, order_id: str, why: str) -> None:
        order = self.resting.pop(order_id, None)
        if order is not None:
            self._booked(replace(order, status=OrderStatus.CANCELLED, reject_reason=why, updated_at=_now()))

    def reported_quantity(self, symbol: str) -> Decimal:
        """What the venue says we hold."""
        drift = Decimal(str(self.faults.recon_drift)) * LISTINGS[symbol].max_position
        return self.positions[symbol].quantity + drift

    async def check(self) -> None:
        """One exchange of the gateway's own with the venue, as a small order would meet it."""
        self._checking_since = began = _now_s()
        reason = await self._exchange()
        if self._checking_since == began:  # else it was healed in between
            slip = Decimal(str(self.faults.slippage))
            self.checks.append(((_now_s() - began) * 1_000, reason is None, slip))
            self._checking_since = None

    @property
    def round_trip_ms(self) -> float:
        """The slower of the last own exchange and the one under way."""
        waiting = 0.0 if self._checking_since is None else (_now_s() - self._checking_since) * 1_000
        return max(waiting, self.checks[-1][0] if self.checks else 0.0)

    def errors_within(self, seconds: float) -> int:
        """Exchanges that the venue did not answer in time."""
        return sum(1 for at in self.errors if _now_s() - at < seconds)

    async def _exchange(self) -> str | None:
        """Travel to the venue and back; why it refuses, if it does."""
        delay = self._random.uniform(0.001, 0.004) + self.faults.latency_ms / 1_000
        try:
            async with asyncio.timeout(min(delay, TIMEOUT_S)):
                await self._healing.wait()
        except TimeoutError:
            if delay > TIMEOUT_S:
                self.errors.append(_now_s())
                return f"the venue gave no answer in {TIMEOUT_S:g} s"
        return "rejected by the venue" if self._random.random() < self.faults.reject_rate else None

    def _filled(self, order: Order, expected: Decimal) -> Order:
        slip = Decimal(str(self.faults.slippage)) if order.status is OrderStatus.NEW else Decimal(0)
        price = (expected * (1 + order.side.sign * slip)).quantize(_PRICE)
        if not order.paper:
            held = self.positions[order.symbol]
            self.positions[order.symbol] = held.after(order.side, order.quantity, price)
        return replace(order, status=OrderStatus.FILLED, price=price, slippage=slip, updated_at=_now())


def _now() -> datetime:
    return datetime.now(UTC)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
