"""Cancel-all, flatten and withdrawals: what must be safe to ask for twice. Each asks the gate at that moment.

`Idempotency-Key` makes a repeat get the first answer and submit nothing. What a symbol's mode or the venue
does not let through is named in `refused` with its reason; the rest is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import uuid4

from backends.gate import Decision, Gate, OrderKind
from backends.gate_ack import InFlight
from cockpit.demo.idempotency import Answers, Made
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, OrderStatus, Side, new_order
from cockpit.demo.venue import Venue
from cockpit.domain.text import clean

_ASSETS: Final = ("USD", *dict.fromkeys(name.partition("-")[0] for name in LISTINGS))


class BadRequest(ValueError):
    """What was sent cannot be understood; the message names the field."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One that is asked for; `amount` is positive, in units of `asset`."""

    account: str
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Emergency:
    """What the emergency routes work on. Each method returns a status and the JSON object of the answer."""

    venue: Venue
    gate: Gate
    flight: InFlight
    answers: Answers = field(default_factory=Answers)

    async def cancel_all(self, symbol: str | None, key: str | None) -> Made:
        """Cancel what rests, of one symbol or of all."""
        asked = f"cancel-all {symbol or '*'}"
        return await self.answers.once(key, asked, lambda: self._cancel_all(symbol))

    async def flatten(self, key: str | None) -> Made:
        """Reduce every position to nothing. An order never takes one past zero, also when this is sent
        twice."""
        return await self.answers.once(key, "flatten", self._flatten)

    async def withdraw(self, wanted: Withdrawal, key: str | None) -> Made:
        """Send assets away, where withdrawals are permitted at this moment."""
        asked = f"withdrawal {wanted.account} {wanted.asset} {wanted.amount}"
        return await self.answers.once(key, asked, lambda: self._withdraw(wanted))

    async def _cancel_all(self, symbol: str | None) -> Made:
        cancelled: list[str] = []
        refused: dict[str, str] = {}
        with self.flight.order():
            wanted = [order for order in self.venue.resting.values() if symbol in (None, order.symbol)]
            names = {order.symbol for order in wanted} | ({symbol} if symbol else set())
            barred = await self._barred(names, OrderKind.CANCEL)
            if symbol is not None and symbol in barred:
                return 409, {"error": f"cancel not permitted: {barred[symbol]}", "symbol": symbol}
            for order in wanted:
                why = barred.get(order.symbol) or self.venue.try_cancel(order.order_id, "cancel-all")
                if why is None:
                    cancelled.append(order.order_id)
                else:
                    refused[order.order_id] = why
        left = sum(symbol in (None, order.symbol) for order in self.venue.resting.values())
        return 200, {"cancelled": cancelled, "refused": refused, "open": left}

    async def _flatten(self) -> Made:
        placed: list[Order] = []
        with self.flight.order():
            held = {symbol: p.quantity for symbol, p in self.venue.positions.items() if p.quantity}
            refused = await self._barred(set(held), OrderKind.REDUCE_ONLY)
            orders = [
                new_order(symbol, Side.SELL if quantity > 0 else Side.BUY, abs(quantity), reduce_only=True)
                for symbol, quantity in held.items()
                if symbol not in refused
            ]
            placed = list(await asyncio.gather(*map(self.venue.submit, orders)))
        for order in placed:
            if order.status is OrderStatus.REJECTED:
                refused[order.symbol] = order.reject_reason or "rejected"
        left = {symbol: str(p.quantity) for symbol, p in self.venue.positions.items() if p.quantity}
        return 200, {"orders": [order.fields() for order in placed], "refused": refused, "positions": left}

    async def _withdraw(self, wanted: Withdrawal) -> Made:
        with self.flight.order():
            asked = await self.gate.withdrawals()
            if not asked.permitted:
                return 409, {"error": f"withdrawal not permitted: {asked.why}"}
            fields = {"account": wanted.account, "asset": wanted.asset, "amount": str(wanted.amount)}
            return 200, {"withdrawal_id": str(uuid4()), "status": "sent", **fields}

    async def _barred(self, symbols: set[str], kind: OrderKind) -> dict[str, str]:
        """Why orders of a kind may not pass, by symbol."""
        names = sorted(symbols)
        decisions = await asyncio.gather(*map(self.gate.decide, names))
        return {
            name: mode_words(name, each)
            for name, each in zip(names, decisions, strict=True)
            if kind not in each.permits
        }


def mode_words(symbol: str, decision: Decision) -> str:
    """Which mode forbids it, and what the gate says of it."""
    return f"{symbol} is in {decision.mode.value} ({decision.why})"


def parse_symbol(fields: object) -> str | None:
    """The symbol of a cancel-all; None for all.

    Raises:
        BadRequest: no such symbol, or a field that it does not take.
    """
    if fields is None:
        return None
    if not isinstance(fields, dict) or fields.keys() - {"symbol"}:
        raise BadRequest('send nothing, or {"symbol": …}')
    symbol = fields.get("symbol")
    if symbol is not None and (not isinstance(symbol, str) or symbol not in LISTINGS):
        raise BadRequest(f"symbol is not one of {', '.join(LISTINGS)}")
    return symbol


def parse_withdrawal(fields: object) -> Withdrawal:
    """
    Raises:
        BadRequest: names the field and what would be right.
    """
    if not isinstance(fields, Mapping) or fields.keys() != {"account", "asset", "amount"}:
        raise BadRequest('send exactly {"account", "asset", "amount"}')
    account, asset, amount = fields["account"], fields["asset"], fields["amount"]
    if not isinstance(account, str) or not account.strip() or account != clean(account, 64):
        raise BadRequest("account is not a name of 1 to 64 characters")
    if asset not in _ASSETS:
        raise BadRequest(f"asset is not one of {', '.join(_ASSETS)}")
    try:
        quantity = Decimal(amount[:40]) if isinstance(amount, str) else Decimal(0)
    except InvalidOperation:
        quantity = Decimal(0)
    if not quantity.is_finite() or not Decimal(10) ** -18 <= quantity < Decimal(10) ** 12:
        raise BadRequest("amount is not a positive number, sent as a string")
    return Withdrawal(account, str(asset), quantity)
