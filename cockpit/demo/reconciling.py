"""One reconciliation cycle of the plant: per instrument its orders, its position and its ledger.

The venue's report and the books are of one moment: the report is taken as the books' last messages are, and
the books are read once those are written. Nothing here knows which fault is in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, OrderStatus
from cockpit.demo.venue_record import VenueReport
from cockpit.domain.reconciliation import Kind, Verdict

_MOST_MISMATCHES: Final = 50  # of one run that are listed
_OPEN: Final = (OrderStatus.NEW.value, OrderStatus.OPEN.value)
_ORDERS: Final = """
SELECT order_id, symbol, status, quantity FROM recent_orders
 WHERE order_id = ANY ($1::text[]) OR status IN ('new', 'open')
"""
_POSITIONS: Final = "SELECT symbol, quantity FROM positions"
# What the ledger holds of each instrument: posted and waiting to be.
_LEDGER: Final = """
SELECT symbol, sum(quantity) AS quantity
  FROM (SELECT symbol, quantity FROM plant.balances
        UNION ALL SELECT symbol, quantity FROM plant.unsettled) AS each
 GROUP BY symbol
"""
_SEQUENCE: Final = """
SELECT seq FROM plant.postings WHERE seq >= $1 UNION SELECT seq FROM plant.unsettled WHERE seq >= $1
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on which venue and books differ."""

    name: str
    venue: Decimal
    books: Decimal

    def fields(self) -> dict[str, str]:
        return {"id": self.name, "venue": format(self.venue, "f"), "books": format(self.books, "f")}


@dataclass(frozen=True, slots=True)
class Run:
    """One row of `reconciliation_runs`. The sequence numbers are the ledger's alone."""

    kind: Kind
    symbol: str
    verdict: Verdict
    started_at: datetime
    items: tuple[Item, ...] = ()
    engine_seq: int | None = None
    ledger_seq: int | None = None

    def fields(self) -> dict[str, object]:
        """As an event of the run folder."""
        return {
            "kind": self.kind.value,
            "symbol": self.symbol,
            "status": self.verdict.value,
            "mismatches": [each.fields() for each in self.items],
            "engine_seq": self.engine_seq,
            "ledger_seq": self.ledger_seq,
        }


@dataclass(frozen=True, slots=True)
class BooksView:
    """The books as they are stored: open orders and those asked for, positions, the ledger's quantities and
    the sequence numbers that it has from `since` on. Fills up to `merged_seq` were booked merged."""

    orders: Sequence[Mapping[str, Any]]
    positions: Mapping[str, Decimal]
    ledger: Mapping[str, Decimal]
    sequence: frozenset[int]
    ledger_seq: int
    merged_seq: int


async def read_books(connection: Any, report: VenueReport, ledger_seq: int, merged_seq: int) -> BooksView:
    """In one snapshot."""
    since = report.fills[0].seq if report.fills else report.engine_seq + 1
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        orders = await connection.fetch(_ORDERS, list(report.orders))
        positions = await connection.fetch(_POSITIONS)
        ledger = await connection.fetch(_LEDGER)
        sequence = await connection.fetch(_SEQUENCE, since)
    return BooksView(
        orders,
        {row["symbol"]: row["quantity"] for row in positions},
        {row["symbol"]: row["quantity"] for row in ledger},
        frozenset(row["seq"] for row in sequence),
        ledger_seq,
        merged_seq,
    )


def compare(report: VenueReport, books: BooksView, began: datetime) -> list[Run]:
    """Every line's run of one cycle."""
    orders = _order_items(report, books)
    runs = []
    for symbol in LISTINGS:
        runs.append(_run(Kind.ORDER, symbol, began, orders.get(symbol, ())))
        runs.append(_run(Kind.POSITION, symbol, began, _position_items(symbol, report, books)))
        items = _ledger_items(symbol, report, books)
        runs.append(_run(Kind.LEDGER, symbol, began, items, report.engine_seq, books.ledger_seq))
    return runs


def unreadable(began: datetime) -> list[Run]:
    """The cycle where one side said nothing."""
    return [Run(kind, symbol, Verdict.UNKNOWN, began) for symbol in LISTINGS for kind in Kind]


def _run(
    kind: Kind,
    symbol: str,
    began: datetime,
    items: Iterable[Item],
    engine_seq: int | None = None,
    ledger_seq: int | None = None,
) -> Run:
    listed = tuple(items)
    verdict = Verdict.MISMATCH if listed else Verdict.CLEAN
    return Run(kind, symbol, verdict, began, listed[:_MOST_MISMATCHES], engine_seq, ledger_seq)


def _order_items(report: VenueReport, books: BooksView) -> dict[str, list[Item]]:
    """By instrument: open orders on one side only, and ended ones that executed otherwise."""
    booked = {row["order_id"]: row for row in books.orders}
    found: dict[str, list[Item]] = {}
    for name in sorted({*report.orders, *booked}):
        order, row = report.orders.get(name), booked.get(name)
        symbol = order.symbol if order is not None else row["symbol"] if row is not None else ""
        pairs = zip(_at_venue(name, order, row, report), _in_books(row), strict=True)
        differing = next((Item(name, venue, held) for venue, held in pairs if venue != held), None)
        if differing is not None:
            found.setdefault(symbol, []).append(differing)
    return found


def _at_venue(
    name: str, order: Order | None, row: Mapping[str, Any] | None, report: VenueReport
) -> tuple[Decimal, Decimal]:
    """What is open and what was executed of an order. One that the venue no longer has on record is open if
    it rests; what it executed is then not asked."""
    if order is None:
        quantity = Decimal(0) if row is None else row["quantity"]
        executed = _in_books(row)[1]
        return (quantity if name in report.resting else Decimal(0)), executed
    return _amounts(order.status.value, order.quantity)


def _in_books(row: Mapping[str, Any] | None) -> tuple[Decimal, Decimal]:
    return (Decimal(0), Decimal(0)) if row is None else _amounts(row["status"], row["quantity"])


def _amounts(status: str, quantity: Decimal) -> tuple[Decimal, Decimal]:
    nothing = Decimal(0)
    return (
        quantity if status in _OPEN else nothing,
        quantity if status == OrderStatus.FILLED.value else nothing,
    )


def _position_items(symbol: str, report: VenueReport, books: BooksView) -> list[Item]:
    venue, held = report.quantities[symbol], books.positions.get(symbol, Decimal(0))
    return [Item(symbol, venue, held)] if venue != held else []


def _ledger_items(symbol: str, report: VenueReport, books: BooksView) -> list[Item]:
    """Fills that never reached the ledger, and a quantity that is not what the fills add up to."""
    missing = [
        fill.seq
        for fill in report.fills
        if fill.symbol == symbol and fill.seq > books.merged_seq and fill.seq not in books.sequence
    ]
    items = [
        Item(f"gap:{first}-{last}", Decimal(last - first + 1), Decimal(0)) for first, last in _spans(missing)
    ]
    venue, held = books.positions.get(symbol, Decimal(0)), books.ledger.get(symbol, Decimal(0))
    return [*items, Item(symbol, venue, held)] if venue != held else items


def _spans(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers as (first, last)."""
    runs = (
        [number for _, number in group]
        for _, group in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    )
    return [(run[0], run[-1]) for run in runs]


@dataclass(slots=True)
class Streaks:
    """Mismatches in a row by line; an unknown run neither counts nor clears."""

    _counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)

    def take(self, runs: Iterable[Run]) -> int:
        """The longest streak of any line after this cycle."""
        for run in runs:
            if run.verdict is Verdict.CLEAN:
                self._counts[run.kind, run.symbol] = 0
            elif run.verdict is Verdict.MISMATCH:
                self._counts[run.kind, run.symbol] += 1
        return max(self._counts.values(), default=0)
