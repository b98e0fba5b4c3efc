"""Orders and positions of the plant, as they are kept in its books."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import uuid4


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def other(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderStatus(StrEnum):
    NEW = "new"
    OPEN = "open"
    FILLED = "filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """One row of `recent_orders`. `slippage` is the share by which the fill was worse than the price."""

    order_id: str
    symbol: str
    strategy: str | None
    side: Side
    quantity: Decimal
    placed_at: datetime
    updated_at: datetime
    status: OrderStatus = OrderStatus.NEW
    price: Decimal | None = None
    reject_reason: str | None = None
    latency_ms: float | None = None
    slippage: Decimal | None = None
    paper: bool = False
    reduce_only: bool = False

    def fields(self) -> dict[str, object]:
        """As the gateway shows it: amounts as strings."""
        return {
            "order_id": self.order_id,
            "symbol": self.symbol,
            "strategy": self.strategy,
            "side": self.side.value,
            "quantity": str(self.quantity),
            "status": self.status.value,
            "price": None if self.price is None else str(self.price),
            "reject_reason": self.reject_reason,
            "latency_ms": self.latency_ms,
            "slippage": None if self.slippage is None else str(self.slippage),
            "paper": self.paper,
            "reduce_only": self.reduce_only,
            "placed_at": self.placed_at.isoformat(),
        }


def new_order(
    symbol: str,
    side: Side,
    quantity: Decimal,
    strategy: str | None = None,
    paper: bool = False,
    reduce_only: bool = False,
) -> Order:
    now = datetime.now(UTC)
    return Order(
        str(uuid4()), symbol, strategy, side, quantity, now, now, paper=paper, reduce_only=reduce_only
    )


@dataclass(frozen=True, slots=True)
class Position:
    """A signed quantity and the average price at which it was entered."""

    symbol: str
    quantity: Decimal = Decimal(0)
    avg_price: Decimal | None = None

    def after(self, side: Side, quantity: Decimal, price: Decimal) -> Position:
        """The position once this fill is booked."""
        total = self.quantity + side.sign * quantity
        if total == 0:
            return Position(self.symbol)
        if self.quantity == 0 or self.quantity * total < 0:
            return Position(self.symbol, total, price)
        if abs(total) < abs(self.quantity):
            return Position(self.symbol, total, self.avg_price)
        before = self.avg_price if self.avg_price is not None else price
        average = (before * abs(self.quantity) + price * quantity) / abs(total)
        return Position(self.symbol, total, average.quantize(Decimal("0.00000001")))
