"""The venue gateway over HTTP, on loopback, in the plant's process. Every order asks the gate first.

Amounts are JSON strings. An error is `{"error": "one line"}`: 400 or 422 for what was sent (422 names the
field), 409 for what the gate or a limit does not permit, 404 and 405 for the route.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from backends.gate import Decision, Gate, OrderKind
from backends.gate_ack import InFlight
from cockpit.demo.emergency import BadRequest, Emergency, parse_symbol, parse_withdrawal
from cockpit.demo.faults import BadFault, Faults, with_changes
from cockpit.demo.health import LedgerHealth, health
from cockpit.demo.idempotency import Answers, BadKey, Made
from cockpit.demo.market import LISTINGS
from cockpit.demo.measuring import Measuring
from cockpit.demo.orders import Order, Side, new_order
from cockpit.demo.pages_app import Pages
from cockpit.demo.serving import Measured
from cockpit.demo.venue import Venue
from cockpit.domain.text import clean

_MOST_BYTES: Final = 16_384
_ORDER_FIELDS: Final = frozenset({"symbol", "side", "quantity", "paper", "reduce_only", "strategy"})


class BadOrder(ValueError):
    """An order that cannot be understood; the message names the field."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the routes work on. `on_faults` is told of every change of the faults; `answers` are those that
    were given under idempotency keys."""

    venue: Venue
    gate: Gate
    flight: InFlight
    measuring: Measuring
    on_faults: Callable[[], None]
    answers: Answers = field(default_factory=Answers)

    async def health(self, request: Request) -> JSONResponse:
        measured = self.measuring
        books = LedgerHealth(measured.books.settlement_lag_s(), measured.violations)
        survey = await self.gate.survey()
        return JSONResponse(health(self.venue, survey, measured.bars.data_age_s, books))

    async def metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        text, content_type = self.measuring.metrics.exposition(accept)
        return Response(text, headers={"content-type": content_type})

    async def open_orders(self, request: Request) -> JSONResponse:
        return JSONResponse({"orders": [order.fields() for order in self.venue.resting.values()]})

    async def positions(self, request: Request) -> JSONResponse:
        rows = [
            {
                "symbol": symbol,
                "quantity": str(self.venue.reported_quantity(symbol)),
                "avg_price": None if position.avg_price is None else str(position.avg_price),
                "mark_price": str(self.venue.mark(symbol)),
                "max_quantity": str(LISTINGS[symbol].max_position),
            }
            for symbol, position in self.venue.positions.items()
        ]
        return JSONResponse({"positions": rows})

    async def place(self, request: Request) -> JSONResponse:
        try:
            order = parse_order(await _json(request))
        except BadOrder as error:
            return _error(422, str(error))
        with self.flight.order():
            decision = await self.gate.decide(order.symbol, order.strategy)
            refused = self._refusal(order, decision)
            if refused is not None:
                return _error(409, refused, decision)
            order = await self.venue.submit(order)
        return JSONResponse(order.fields())

    async def cancel_all(self, request: Request) -> JSONResponse:
        body = await _json(request, empty=None)
        return await self._once(request, lambda key: self._emergency.cancel_all(parse_symbol(body), key))

    async def flatten(self, request: Request) -> JSONResponse:
        return await self._once(request, self._emergency.flatten)

    async def withdraw(self, request: Request) -> JSONResponse:
        body = await _json(request)
        return await self._once(request, lambda key: self._emergency.withdraw(parse_withdrawal(body), key))

    @property
    def _emergency(self) -> Emergency:
        return Emergency(self.venue, self.gate, self.flight, self.answers)

    async def _once(self, request: Request, act: Callable[[str | None], Awaitable[Made]]) -> JSONResponse:
        try:
            status, fields = await act(request.headers.get("idempotency-key"))
        except (BadRequest, BadKey) as error:
            return _error(422, str(error))
        return JSONResponse(fields, status)

    async def faults(self, request: Request) -> JSONResponse:
        if request.method == "PUT":
            try:
                self._set(with_changes(self.venue.current_faults(), await _json(request)))
            except BadFault as error:
                return _error(422, str(error))
        elif request.method == "DELETE":
            self._set(Faults())
        return JSONResponse(self.venue.current_faults().fields())

    def _set(self, faults: Faults) -> None:
        self.venue.set_faults(faults)
        self.on_faults()

    def _refusal(self, order: Order, decision: Decision) -> str | None:
        kind = OrderKind.PROBE if order.paper else OrderKind.NEW
        if order.reduce_only:
            kind = OrderKind.REDUCE_ONLY
        if kind not in decision.permits:
            return f"{kind.value} order not permitted: {decision.why}"
        listing = LISTINGS[order.symbol]
        if kind is OrderKind.NEW:
            most = listing.normal_quantity * decision.size_share
            if order.quantity > most:
                return f"quantity {order.quantity} is over {most}, the largest order now ({decision.why})"
            held = self.venue.positions[order.symbol].quantity
            if abs(held + order.side.sign * order.quantity) > listing.max_position:
                return f"the position would pass its limit of {listing.max_position}"
        return None


def parse_order(fields: object) -> Order:
    """
    Raises:
        BadOrder: names the field and what would be right.
    """
    if not isinstance(fields, dict):
        raise BadOrder('send a JSON object: {"symbol", "side", "quantity", "paper"}')
    foreign = sorted(str(name) for name in fields.keys() - _ORDER_FIELDS)
    if foreign:
        known = ", ".join(sorted(_ORDER_FIELDS))
        raise BadOrder(f"{clean(foreign[0], 40)!r} is no field of an order; {known} are")
    symbol, side, strategy = fields.get("symbol"), fields.get("side"), fields.get("strategy")
    if not isinstance(symbol, str) or symbol not in LISTINGS:
        raise BadOrder(f"symbol is not one of {', '.join(LISTINGS)}")
    if side not in tuple(Side):
        raise BadOrder("side is neither buy nor sell")
    if strategy is not None and not isinstance(strategy, str):
        raise BadOrder("strategy is not a string")
    flags = {name: fields.get(name, False) for name in ("paper", "reduce_only")}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise BadOrder(f"{name} is neither true nor false")
    quantity = _quantity(fields.get("quantity"))
    return new_order(symbol, Side(side), quantity, strategy, flags["paper"], flags["reduce_only"])


def _quantity(value: object) -> Decimal:
    try:
        text = isinstance(value, str | int | float) and not isinstance(value, bool)
        quantity = Decimal(str(value)[:40]) if text else Decimal(0)
    except InvalidOperation:
        quantity = Decimal(0)
    if not quantity.is_finite() or not Decimal(10) ** -18 <= quantity < Decimal(10) ** 12:
        raise BadOrder("quantity is not a positive number (best sent as a string)")
    return quantity


async def _json(request: Request, empty: object = ...) -> object:
    """The body; `empty` where there is none and that is allowed."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise HTTPException(413, f"the body is over {_MOST_BYTES} bytes")
    if not body and empty is not ...:
        return empty
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None


def _error(status: int, message: str, decision: Decision | None = None) -> JSONResponse:
    fields: dict[str, object] = {"error": clean(message, 500)}
    if decision is not None:
        fields |= {"effective_state": decision.effective_state.value, "halted_by": decision.halted_by}
    return JSONResponse(fields, status)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    known = {404: "no such route", 405: f"{request.method} is not served here"}
    return _error(error.status_code, known.get(error.status_code, error.detail))


async def _internal(request: Request, error: Exception) -> JSONResponse:
    return _error(500, f"internal error: {type(error).__name__}")  # the server logs the rest


Handler = Callable[[Request], Awaitable[Response]]


def build(gateway: Gateway) -> ASGIApp:
    """The contract's routes."""
    routes: Mapping[tuple[str, str], Handler] = {
        ("GET", "/health"): gateway.health,
        ("GET", "/orders/open"): gateway.open_orders,
        ("GET", "/positions"): gateway.positions,
        ("POST", "/orders"): gateway.place,
        ("POST", "/orders/cancel-all"): gateway.cancel_all,
        ("POST", "/positions/flatten"): gateway.flatten,
        ("POST", "/withdrawals"): gateway.withdraw,
        ("GET PUT DELETE", "/faults"): gateway.faults,
        ("GET", "/metrics"): gateway.metrics,
        ("POST", "/pages"): (pages := Pages()).take,
        ("GET", "/pages"): pages.show,
    }
    app = Starlette(
        routes=[Route(path, handler, methods=methods.split()) for (methods, path), handler in routes.items()],
        exception_handlers={HTTPException: _http_error, Exception: _internal},
    )
    return Measured(app, frozenset(path for _, path in routes), gateway.measuring.metrics.request)
