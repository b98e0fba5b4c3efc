"""What the venue itself has on record: the last state of recent orders, and its recent fills.

Reconciliation compares this with the books. It is the venue's, so nothing that happens to the books'
messages changes it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cockpit.demo.accounts import Fill
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order
from cockpit.demo.venue import Venue

_MOST_ORDERS: Final = 2_000
_MOST_FILLS: Final = 2_000


class VenueUnreadable(Exception):
    """The venue does not say what it has."""


@dataclass(frozen=True, slots=True)
class VenueReport:
    """All of one moment: recent orders, the ids of those that rest, reported quantities, recent fills."""

    orders: Mapping[str, Order]
    resting: frozenset[str]
    quantities: Mapping[str, Decimal]
    fills: Sequence[Fill]
    engine_seq: int


class VenueRecord:
    """Told of everything at the venue, asked for a report."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._fills: deque[Fill] = deque(maxlen=_MOST_FILLS)

    def order(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._orders.move_to_end(order.order_id)
        while len(self._orders) > _MOST_ORDERS:
            self._orders.popitem(last=False)

    def fill(self, fill: Fill) -> None:
        self._fills.append(fill)

    def report(self, venue: Venue) -> VenueReport:
        """What the venue says now.

        Raises:
            VenueUnreadable: it says nothing.
        """
        if venue.faults.recon_unreadable:
            raise VenueUnreadable("the venue gives no report of its orders, positions and fills")
        return VenueReport(
            dict(self._orders),
            frozenset(venue.resting),
            {symbol: venue.reported_quantity(symbol) for symbol in LISTINGS},
            tuple(self._fills),
            venue.account.engine_seq,
        )
