"""Fields of the venue gateway's answers. Each raises `StoreUnreachable` where it is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.text import clean

GATEWAY: Final = "gateway"
_CHECK: Final = "Check that the gateway runs and that gateway_url is right."


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
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and isinstance(value, int | float) else None


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
