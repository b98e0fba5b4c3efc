"""Messages of the venue that never reach the books, until somebody asks for them again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cockpit.demo.accounts import Fill
from cockpit.demo.orders import Order, OrderStatus

_ENDED: Final = (OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.CANCELLED)


@dataclass(slots=True)
class Drift:
    """How many of the next messages are lost, and those that were."""

    _orders_due: int = 0
    _fills_due: int = 0
    _orders_asked: int = 0
    _fills_asked: int = 0
    _orders: list[Order] = field(default_factory=list)
    _fills: list[Fill] = field(default_factory=list)

    def lose(self, orders: int, fills: int) -> tuple[list[Order], list[Fill]]:
        """Lose so many from now on, where that is another number than before. Returns what was lost before
        and arrives now: everything of a kind of which nothing more is to be lost."""
        if orders != self._orders_asked:
            self._orders_asked = self._orders_due = orders
        if fills != self._fills_asked:
            self._fills_asked = self._fills_due = fills
        found: tuple[list[Order], list[Fill]] = ([], [])
        if not orders:
            found, self._orders = (self._orders, found[1]), []
        if not fills:
            found, self._fills = (found[0], self._fills), []
        return found

    def keeps_order(self, order: Order) -> bool:
        """Whether this message is lost. Orders of a probe run arrive."""
        if not self._orders_due or order.paper or order.status not in _ENDED:
            return False
        self._orders_due -= 1
        self._orders.append(order)
        return True

    def keeps_fill(self, fill: Fill) -> bool:
        """Whether this message is lost; a correction in cash arrives."""
        if not self._fills_due or not fill.quantity:
            return False
        self._fills_due -= 1
        self._fills.append(fill)
        return True
