"""The venue gateway's HTTP interface, as a client sees it.

Amounts travel as strings. Every call raises `StoreUnreachable` for the store `gateway` where there is no
answer in time, or none that can be understood; an order that the gateway does not let through raises
`OrderNotPermitted`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import httpx

from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.text import clean

GATEWAY: Final = "gateway"
_MOST_BYTES: Final = 4_000_000
_CHECK: Final = "Check that the gateway runs and that gateway_url is right."


class OrderNotPermitted(Exception):
    """The gateway did not send the order on; the message is its one line."""


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """`GET /health`. `problems` are the gateway's own words; `halt_reason` is about trading, not about its
    health. `feed_age_s` and `errors_5m` are None where it did not say."""

    status: str
    problems: tuple[str, ...]
    halt_reason: str | None
    trading_halted_until: str | None
    feed_age_s: float | None
    errors_5m: int | None
    latency_ms: float

    @property
    def healthy(self) -> bool:
        return self.status == "ok" and not self.problems

    @property
    def detail(self) -> str:
        return "; ".join((self.status, *self.problems))


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """What became of an order: `status` is `filled`, `open` or `rejected`; `latency_ms` is the whole way."""

    order_id: str
    status: str
    detail: str
    price: Decimal | None
    slippage: Decimal | None
    latency_ms: float


@dataclass(frozen=True, slots=True)
class VenueOrder:
    order_id: str
    symbol: str
    strategy: str | None
    side: str
    quantity: Decimal
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class VenuePosition:
    symbol: str
    quantity: Decimal
    mark_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A final answer to a cancel-all: the orders' ids. `refused` says why of those that still rest; `why` of
    the whole, where the gateway let none of it through."""

    cancelled: tuple[str, ...]
    refused: Mapping[str, str]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Flattened:
    """A final answer to a flatten. `refused` says why of symbols, `why` of the whole where none of it was let
    through."""

    orders: int
    refused: Mapping[str, str]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    withdrawal_id: str
    status: str


class Gateway:
    """A client of one venue gateway at `url`. Close it, or use it as an asynchronous context."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, timeout=timeout_s, trust_env=False, headers={"user-agent": "cockpit"}
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def health(self) -> GatewayHealth:
        began = time.monotonic()
        fields = await self._object("GET", "/health")
        return GatewayHealth(
            status=_text(fields.get("status")) or "unknown",
            problems=tuple(clean(str(line), 300) for line in _list(fields.get("problems", []))),
            halt_reason=_text(fields.get("halt_reason")),
            trading_halted_until=_text(fields.get("trading_halted_until")),
            feed_age_s=_number(fields.get("feed_age_s")),
            errors_5m=_whole(fields.get("api_errors_5m")),
            latency_ms=(time.monotonic() - began) * 1_000,
        )

    async def open_orders(self) -> tuple[VenueOrder, ...]:
        rows = _list((await self._object("GET", "/orders/open")).get("orders"))
        return tuple(
            VenueOrder(
                _required(row, "order_id"),
                _required(row, "symbol"),
                _text(row.get("strategy")),
                _required(row, "side"),
                _amount(row.get("quantity")),
                _optional_amount(row.get("price")),
            )
            for row in map(_mapping, rows)
        )

    async def positions(self) -> tuple[VenuePosition, ...]:
        rows = _list((await self._object("GET", "/positions")).get("positions"))
        return tuple(
            VenuePosition(
                _required(row, "symbol"),
                _amount(row.get("quantity")),
                _optional_amount(row.get("mark_price")),
            )
            for row in map(_mapping, rows)
        )

    async def place_paper(self, symbol: str, side: str, quantity: Decimal) -> PlacedOrder:
        """A paper order through the whole order path.

        Raises:
            OrderNotPermitted: the gateway's gate or a limit forbids it.
            StoreUnreachable: no answer, or none that can be understood.
        """
        body = {"symbol": symbol, "side": side, "quantity": str(quantity), "paper": True}
        began = time.monotonic()
        fields = await self._object("POST", "/orders", body)
        return PlacedOrder(
            order_id=_required(fields, "order_id"),
            status=_required(fields, "status"),
            detail=_text(fields.get("reject_reason")) or _required(fields, "status"),
            price=_optional_amount(fields.get("price")),
            slippage=_optional_amount(fields.get("slippage")),
            latency_ms=(time.monotonic() - began) * 1_000,
        )

    async def cancel_all(self, symbol: str | None = None, key: str | None = None) -> Cancelled:
        """Cancel what rests at the venue, of one symbol or of all. The same `key` sent again gets the first
        answer again and cancels nothing more."""
        body = None if symbol is None else {"symbol": symbol}
        try:
            fields = await self._object("POST", "/orders/cancel-all", body, key)
        except OrderNotPermitted as refused:
            return Cancelled((), {}, str(refused))
        ids = tuple(clean(str(order_id), 100) for order_id in _list(fields.get("cancelled")))
        return Cancelled(ids, _reasons(fields.get("refused", {})))

    async def flatten(self, key: str | None = None) -> Flattened:
        """Reduce every position to nothing, by orders that only reduce. The same `key` sent again gets the
        first answer again and submits nothing."""
        try:
            fields = await self._object("POST", "/positions/flatten", None, key)
        except OrderNotPermitted as refused:
            return Flattened(0, {}, str(refused))
        return Flattened(len(_list(fields.get("orders"))), _reasons(fields.get("refused", {})))

    async def withdraw(self, account: str, asset: str, amount: Decimal, key: str | None = None) -> Withdrawn:
        """Send assets away.

        Raises:
            OrderNotPermitted: withdrawals are halted, or the request is not one.
        """
        body = {"account": account, "asset": asset, "amount": str(amount)}
        fields = await self._object("POST", "/withdrawals", body, key)
        return Withdrawn(_required(fields, "withdrawal_id"), _required(fields, "status"))

    async def faults(self) -> Mapping[str, object]:
        """The faults in force. Only the demo's plant has this route."""
        return await self._object("GET", "/faults")

    async def set_faults(self, changes: Mapping[str, float]) -> Mapping[str, object]:
        return await self._object("PUT", "/faults", dict(changes))

    async def heal(self) -> Mapping[str, object]:
        return await self._object("DELETE", "/faults")

    async def _object(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> Mapping[str, object]:
        headers = {} if key is None else {"idempotency-key": key}
        try:
            response = await self._http.request(method, path, json=body, headers=headers)
        except httpx.TimeoutException as error:
            raise _unreachable("no answer in time", sent=method != "GET") from error
        except httpx.HTTPError as error:
            said = clean(str(error), 200) or type(error).__name__
            raise _unreachable(said, sent=not isinstance(error, httpx.ConnectError)) from error
        try:
            fields = _mapping(json.loads(response.content[:_MOST_BYTES]))
        except (ValueError, RecursionError) as error:
            raise _unreachable(f"{method} {path} answered {response.status_code} without JSON") from error
        if response.is_success:
            return fields
        said = clean(_text(fields.get("error")) or f"answered {response.status_code}", 300)
        if response.is_client_error:
            raise OrderNotPermitted(said)
        raise _unreachable(said)


def _unreachable(why: str, sent: bool = False) -> StoreUnreachable:
    return StoreUnreachable(GATEWAY, why, _CHECK, maybe_applied=sent)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise _unreachable("it answered something that is no JSON object")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise _unreachable("it answered without the list that was asked for")
    return value


def _reasons(value: object) -> Mapping[str, str]:
    return {clean(str(name), 100): clean(str(why), 300) for name, why in _mapping(value).items()}


def _text(value: object) -> str | None:
    return clean(value, 500) if isinstance(value, str) else None


def _required(fields: Mapping[str, object], name: str) -> str:
    text = _text(fields.get(name))
    if text is None:
        raise _unreachable(f"its answer lacks {name}")
    return text


def _number(value: object) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amount(value: object) -> Decimal:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise _unreachable("an amount in its answer is no number")
    return amount


def _optional_amount(value: object) -> Decimal | None:
    return None if value is None else _amount(value)
