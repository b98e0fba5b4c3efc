"""The venue gateway's answers, and how their fields are read: each raises `StoreUnreachable` where it is not
what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Final

from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.text import clean

GATEWAY: Final = "gateway"
_CHECK: Final = "Check that the gateway runs and that gateway_url is right."


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


def unreachable(why: str, sent: bool = False) -> StoreUnreachable:
    return StoreUnreachable(GATEWAY, why, _CHECK, maybe_applied=sent)


class Repeated(ValueError):
    """A field that an object has twice: which one counts is anybody's guess."""


def without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise Repeated(clean(name, 60))
        found[name] = value
    return found


def said(status: int, fields: Mapping[str, object]) -> str:
    return clean(text(fields.get("error")) or f"answered {status}", 300)


def mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise unreachable("it answered something that is no JSON object")
    return value


def rows_of(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise unreachable("it answered without the list that was asked for")
    return value


def reasons(value: object) -> Mapping[str, str]:
    return {clean(str(name), 100): clean(str(why), 300) for name, why in mapping(value).items()}


def text(value: object) -> str | None:
    return clean(value, 500) if isinstance(value, str) else None


def required(fields: Mapping[str, object], name: str) -> str:
    found = text(fields.get(name))
    if found is None:
        raise unreachable(f"its answer lacks {name}")
    return found


def number(value: object) -> float | None:
    """A finite number; None for anything else, also for one that no float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if isfinite(found) else None


def whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def amount(value: object) -> Decimal:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        amount = None
    if amount is None or not amount.is_finite():
        raise unreachable("an amount in its answer is no number")
    return amount


def optional_amount(value: object) -> Decimal | None:
    return None if value is None else amount(value)
