"""The venue as the gateway meets it: fills, rejections, resting orders, positions, and what the faults do
to them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from cockpit.demo.accounts import CAPITAL_USD, Account, Fill
from cockpit.demo.faults import Faults
from cockpit.demo.ledger import CASH
from cockpit.demo.market import LISTINGS, Market, to_lot
from cockpit.demo.orders import Order, OrderStatus, Position, Side, new_order

TIMEOUT_S: Final = 10.0
RUNAWAY: Final = next(iter(LISTINGS))  # the instrument of the runaway order
_CHECKS: Final = 10
_RESTING_SHARE: Final = 0.15
_PRICE: Final = Decimal("0.00000001")


class Outcome(StrEnum):
    """How an exchange with the venue ended."""

    OK = "ok"
    REJECTED = "rejected"
    TIMEOUT = "timeout"


class Witness(Protocol):
    """Is told of all that happens at the venue."""

    def order(self, order: Order) -> None: ...

    def fill(self, fill: Fill) -> None: ...

    def exchange(self, outcome: Outcome, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Runaway:
    side: Side
    quantity: Decimal
    price: Decimal


class Venue:
    """Keeps what the venue would know. Every change of an order or a position goes to the witness.

    `positions` and `account` start as the books of an earlier run left them. `checks` are the gateway's own
    last exchanges with the venue (milliseconds, whether accepted, slippage), from which its health is judged.
    """

    def __init__(self, market: Market, random: random.Random, witness: Witness) -> None:
        self.market = market
        self.faults = Faults()
        self.positions = {symbol: Position(symbol) for symbol in LISTINGS}
        self.account = Account(CAPITAL_USD)
        self.resting: dict[str, Order] = {}
        self.checks: deque[tuple[float, bool, Decimal]] = deque(maxlen=_CHECKS)
        self.errors: deque[float] = deque(maxlen=1_000)
        self._random = random
        self._witness = witness
        self._healing = asyncio.Event()
        self._checking_since: float | None = None
        self._runaway: _Runaway | None = None

    def set_faults(self, faults: Faults) -> None:
        """Put faults in force. Healing all of them starts a new session with the venue: what waits goes on,
        the error counts begin anew, and the venue corrects what its faults cost."""
        before, self.faults = self.faults, faults
        if faults.feed_gap_s != before.feed_gap_s:
            self.market.silence(faults.feed_gap_s)
        self.market.delay_s, self.market.bad_tick_rate = faults.data_delay_s, faults.bad_tick_rate
        if faults.position_runaway != before.position_runaway:
            self._undo_runaway()
            self._run_away(Decimal(str(faults.position_runaway)))
        if faults == Faults():
            self.market.silence(0)
            self._healing.set()
            self._healing = asyncio.Event()
            self.checks.clear()
            self.errors.clear()
            self._checking_since = None
            self.correct_slippage()

    def current_faults(self) -> Faults:
        """What is in force now: a feed gap runs out by itself."""
        if self.faults.feed_gap_s and not self.market.silent_for_s:
            self.faults = replace(self.faults, feed_gap_s=0.0)
        return self.faults

    async def submit(self, order: Order) -> Order:
        """Send an order; returns what became of it: filled, resting (`open`) or rejected."""
        began = _now_s()
        self._witness.order(order)
        reason = await self._exchange()
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
            # At the touch: resting earns nothing, so that the day's profit stays near zero.
            order = replace(order, status=OrderStatus.OPEN, price=expected)
            self.resting[order.order_id] = order
        else:
            order = self._filled(order, expected)
        self._witness.order(order)
        return order

    def match(self) -> None:
        """Fill some of the resting orders, as time goes by."""
        for order in self.due():
            self.fill(order.order_id)

    def due(self) -> list[Order]:
        """The resting orders whose price is met now: some of them."""
        if self.faults.closed_market:
            return []
        return [order for order in self.resting.values() if self._random.random() < 0.05]

    def fill(self, order_id: str) -> None:
        """Fill a resting order, if it still rests."""
        order = self.resting.pop(order_id, None)
        if order is not None:
            self._witness.order(self._filled(order, order.price or self.market.price(order.symbol)))

    def try_cancel(self, order_id: str, why: str) -> str | None:
        """Cancel a resting order, unless the venue refuses: then its reason. One that rests no more is
        done with."""
        if order_id in self.resting and self._random.random() < self.faults.cancel_failures:
            return "the venue refused the cancel"
        self.cancel(order_id, why)
        return None

    def cancel(self, order_id: str, why: str) -> None:
        order = self.resting.pop(order_id, None)
        if order is not None:
            self._witness.order(
                replace(order, status=OrderStatus.CANCELLED, reject_reason=why, updated_at=_now())
            )

    def reported_quantity(self, symbol: str) -> Decimal:
        """What the venue says we hold."""
        drift = Decimal(str(self.faults.recon_drift)) * LISTINGS[symbol].max_position
        return self.positions[symbol].quantity + drift

    def mark(self, symbol: str) -> Decimal:
        """The price at which the venue values what is held: the market's, unless a shock moves it."""
        held, price = self.positions[symbol].quantity, self.market.price(symbol)
        if not held or not self.faults.price_shock:
            return price
        against = Decimal(str(self.faults.price_shock)) * (1 if held > 0 else -1)
        return (price * (1 - against)).quantize(_PRICE)

    def marks(self) -> dict[str, Decimal]:
        return {symbol: self.mark(symbol) for symbol in LISTINGS}

    def value(self) -> Decimal:
        """Equity at this moment, noted in the account as the day's first or highest where it is."""
        equity = self.account.equity(self.positions, self.marks())
        self.account = self.account.valued(equity, _now().date())
        return equity

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

    def correct_slippage(self) -> None:
        """The venue pays back in cash what fills under an injected slippage cost."""
        cost = self.account.slipped
        if cost:
            self._moved(Fill(self.account.engine_seq + 1, CASH, Decimal(0), cost, _now()), -cost)

    async def _exchange(self) -> str | None:
        """Travel to the venue and back; why it refuses, if it does."""
        began = _now_s()
        delay = self._random.uniform(0.001, 0.004) + self.faults.latency_ms / 1_000
        try:
            async with asyncio.timeout(min(delay, TIMEOUT_S)):
                await self._healing.wait()
        except TimeoutError:
            if delay > TIMEOUT_S:
                self.errors.append(_now_s())
                self._witness.exchange(Outcome.TIMEOUT, _now_s() - began)
                return f"the venue gave no answer in {TIMEOUT_S:g} s"
        if self.faults.closed_market:
            self._witness.exchange(Outcome.REJECTED, _now_s() - began)
            return "market closed"
        rejected = self._random.random() < self.faults.reject_rate
        self._witness.exchange(Outcome.REJECTED if rejected else Outcome.OK, _now_s() - began)
        return "rejected by the venue" if rejected else None

    def _filled(self, order: Order, expected: Decimal) -> Order:
        slip = Decimal(str(self.faults.slippage)) if order.status is OrderStatus.NEW else Decimal(0)
        price = (expected * (1 + order.side.sign * slip)).quantize(_PRICE)
        if not order.paper:
            self._execute(order.symbol, order.side, order.quantity, price, abs(price - expected))
        return replace(order, status=OrderStatus.FILLED, price=price, slippage=slip, updated_at=_now())

    def _execute(
        self, symbol: str, side: Side, quantity: Decimal, price: Decimal, slip: Decimal = Decimal(0)
    ) -> None:
        self.positions[symbol] = self.positions[symbol].after(side, quantity, price)
        signed = side.sign * quantity
        seq = self.account.engine_seq + 1
        self._moved(Fill(seq, symbol, signed, -signed * price, _now()), slip * quantity)

    def _moved(self, fill: Fill, slipped: Decimal) -> None:
        self.account = self.account.after(fill, slipped)
        self._witness.fill(fill)

    def _run_away(self, multiple: Decimal) -> None:
        """Execute an order that nobody placed, in the direction of what is held."""
        held, price = self.positions[RUNAWAY].quantity, self.market.price(RUNAWAY)
        side = Side.SELL if held < 0 else Side.BUY
        listing = LISTINGS[RUNAWAY]
        quantity = to_lot(listing, multiple * listing.max_position - abs(held))
        if multiple > 0 and quantity > 0:
            self._runaway = _Runaway(side, quantity, price)
            self._unplaced(side, quantity, price)

    def _undo_runaway(self) -> None:
        """Take it back at its own price, as far as it is still held."""
        gone, self._runaway = self._runaway, None
        if gone is not None:
            held = self.positions[RUNAWAY].quantity * gone.side.sign
            quantity = min(gone.quantity, max(Decimal(0), held))
            if quantity > 0:
                self._unplaced(gone.side.other, quantity, gone.price)

    def _unplaced(self, side: Side, quantity: Decimal, price: Decimal) -> None:
        self._execute(RUNAWAY, side, quantity, price)
        order = replace(new_order(RUNAWAY, side, quantity), status=OrderStatus.FILLED, price=price)
        self._witness.order(replace(order, slippage=Decimal(0)))


def _now() -> datetime:
    return datetime.now(UTC)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
