"""What the trading side's tables show: orders, positions, automations. Times are the database's, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from cockpit.domain.breakers import BreakerId


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """Orders of one instrument and strategy. `*_30s` cover the last 30 s, `last_risk_at` the last 5 min.

    `notional` is Σ quantity × price of what is open. `last_risk_at` is when the newest order that adds risk
    (neither paper nor reduce-only, and not rejected) was placed; None: none in the last 5 min.
    """

    symbol: str
    strategy: str | None
    open_orders: int
    notional: Decimal
    last_risk_at: datetime | None
    orders_30s: int
    rejected_30s: int
    p95_ms_30s: float | None


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """Orders placed in one stretch of time, for the checklist and the latency probe."""

    orders: int
    rejected: int
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class PositionRow:
    """`max_quantity` is the limit of the absolute position; None: no limit is known."""

    symbol: str
    quantity: Decimal
    avg_price: Decimal | None
    mark_price: Decimal | None
    max_quantity: Decimal | None
    updated_at: datetime

    @property
    def exposure(self) -> Decimal:
        """Absolute quantity × mark price (or average price, where nothing marks it)."""
        price = self.mark_price if self.mark_price is not None else self.avg_price
        return abs(self.quantity) * (price or Decimal(0))

    @property
    def over(self) -> bool:
        return self.max_quantity is not None and abs(self.quantity) > self.max_quantity


@dataclass(frozen=True, slots=True)
class OverLimit:
    symbol: str
    quantity: Decimal
    max_quantity: Decimal


@dataclass(frozen=True, slots=True)
class AutomationRow:
    name: str
    breaker_id: BreakerId
    status: str
    reason: str | None
    updated_at: datetime
