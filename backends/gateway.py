"""The venue gateway's HTTP interface, as a client sees it.

Amounts travel as strings. Every call raises `StoreUnreachable` for the store `gateway` where there is no
answer in time, or none that can be understood; an order that the gateway does not let through raises
`OrderNotPermitted`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import httpx

from backends.gateway_answers import (
    GATEWAY,
    Cancelled,
    Flattened,
    GatewayHealth,
    PlacedOrder,
    Repeated,
    VenueOrder,
    VenuePosition,
    Withdrawn,
    amount,
    mapping,
    number,
    optional_amount,
    reasons,
    required,
    rows_of,
    said,
    text,
    unreachable,
    whole,
    without_repeats,
)
from cockpit.domain.text import clean

__all__ = ["GATEWAY", "Gateway", "OrderNotPermitted"]

_MOST_BYTES: Final = 4_000_000
_PARTIAL: Final = ("error", "truncated", "partial", "has_more", "next", "next_cursor")
"""Beside a list, unless empty or false: it is not, or not the whole of, what was asked for."""


class OrderNotPermitted(Exception):
    """The gateway did not send the order on; the message is its one line."""


class Gateway:
    """A client of one venue gateway at `url`. Close it, or use it as an asynchronous context."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._total_s = 2 * timeout_s
        self._http = httpx.AsyncClient(
            base_url=url,
            verify=url.lower().startswith("https:"),  # certificates take 20 ms to load, and http reads none
            timeout=timeout_s,
            trust_env=False,
            headers={"user-agent": "cockpit"},
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
            status=text(fields.get("status")) or "unknown",
            problems=tuple(clean(str(line), 300) for line in rows_of(fields.get("problems", []))),
            halt_reason=text(fields.get("halt_reason")),
            trading_halted_until=text(fields.get("trading_halted_until")),
            feed_age_s=number(fields.get("feed_age_s")),
            errors_5m=whole(fields.get("api_errors_5m")),
            latency_ms=(time.monotonic() - began) * 1_000,
        )

    async def open_orders(self) -> tuple[VenueOrder, ...]:
        rows = await self._rows("/orders/open", "orders")
        return tuple(
            VenueOrder(
                required(row, "order_id"),
                required(row, "symbol"),
                text(row.get("strategy")),
                required(row, "side"),
                amount(row.get("quantity")),
                optional_amount(row.get("price")),
            )
            for row in map(mapping, rows)
        )

    async def positions(self) -> tuple[VenuePosition, ...]:
        rows = await self._rows("/positions", "positions")
        return tuple(
            VenuePosition(
                required(row, "symbol"),
                amount(row.get("quantity")),
                optional_amount(row.get("mark_price")),
            )
            for row in map(mapping, rows)
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
            order_id=required(fields, "order_id"),
            status=required(fields, "status"),
            detail=text(fields.get("reject_reason")) or required(fields, "status"),
            price=optional_amount(fields.get("price")),
            slippage=optional_amount(fields.get("slippage")),
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
        ids = tuple(clean(str(order_id), 100) for order_id in rows_of(fields.get("cancelled")))
        return Cancelled(ids, reasons(fields.get("refused", {})))

    async def flatten(self, key: str | None = None) -> Flattened:
        """Reduce every position to nothing, by orders that only reduce. The same `key` sent again gets the
        first answer again and submits nothing."""
        try:
            fields = await self._object("POST", "/positions/flatten", None, key)
        except OrderNotPermitted as refused:
            return Flattened(0, {}, str(refused))
        return Flattened(len(rows_of(fields.get("orders"))), reasons(fields.get("refused", {})))

    async def withdraw(self, account: str, asset: str, amount: Decimal, key: str | None = None) -> Withdrawn:
        """Send assets away.

        Raises:
            OrderNotPermitted: withdrawals are halted, or the request is not one.
        """
        body = {"account": account, "asset": asset, "amount": str(amount)}
        fields = await self._object("POST", "/withdrawals", body, key)
        return Withdrawn(required(fields, "withdrawal_id"), required(fields, "status"))

    async def faults(self) -> Mapping[str, object]:
        """The faults in force. Only the demo's plant has this route."""
        return await self._object("GET", "/faults")

    async def set_faults(self, changes: Mapping[str, float]) -> Mapping[str, object]:
        return await self._object("PUT", "/faults", dict(changes))

    async def heal(self) -> Mapping[str, object]:
        return await self._object("DELETE", "/faults")

    async def _rows(self, path: str, name: str) -> Sequence[object]:
        """The whole list under `name`. From it follows that nothing is left at the venue, so that an answer
        counts only where it is a plain 200 without any sign of being partial."""
        status, fields = await self._answer("GET", path)
        if status != 200:
            raise unreachable(said(status, fields))
        for sign in _PARTIAL:
            if fields.get(sign) not in (None, False, ""):
                raise unreachable(f"GET {path} answered with `{sign}`: not all of what was asked for")
        return rows_of(fields.get(name))

    async def _object(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> Mapping[str, object]:
        status, fields = await self._answer(method, path, body, key)
        if 200 <= status < 300:
            return fields
        if 400 <= status < 500:
            raise OrderNotPermitted(said(status, fields))
        raise unreachable(said(status, fields))

    async def _answer(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> tuple[int, Mapping[str, object]]:
        """The status and the JSON object of an answer, whole or not at all."""
        headers = {} if key is None else {"idempotency-key": key}
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._total_s),
                self._http.stream(method, path, json=body, headers=headers) as response,
            ):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise unreachable(
                            f"{method} {path} answered over {_MOST_BYTES} bytes", sent=method != "GET"
                        )
        except (httpx.TimeoutException, TimeoutError) as error:
            raise unreachable("no answer in time", sent=method != "GET") from error
        except httpx.HTTPError as error:
            why = clean(str(error), 200) or type(error).__name__
            raise unreachable(why, sent=not isinstance(error, httpx.ConnectError)) from error
        status = response.status_code
        try:
            return status, mapping(json.loads(content, object_pairs_hook=without_repeats))
        except Repeated as error:
            raise unreachable(f"{method} {path} answered with {error} twice") from error
        except (ValueError, RecursionError) as error:
            raise unreachable(f"{method} {path} answered {status} without JSON") from error
