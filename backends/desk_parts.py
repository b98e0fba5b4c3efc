"""Parts of the desk's JSON, read row by row: one row that nobody can use takes no other along.

The trading side, probers and the guard write their tables with their own logins, so a value in them may be
anything that Postgres stores: `infinity`, a BC date, NaN, a number of 131,000 digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from cockpit.domain.text import clean

Json = Mapping[str, Any]
T = TypeVar("T")
Part = tuple[T, tuple[str, ...]]
"""A value, and what of it could not be read."""

UNUSABLE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What building a value of the domain raises where the row's content is at fault."""
LARGEST: Final = Decimal("1e30")
_LONGEST: Final = 100  # characters of a number
_LONGEST_WHOLE: Final = 30
_NAMED: Final = 3  # rows by name, the rest as a count


def parsed(text: str) -> Any:
    """JSON, where whole numbers beyond 30 digits are Decimals: Python refuses to make an int of 4,300.

    Raises:
        ValueError, RecursionError: not JSON, or nested too deep.
    """
    return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _LONGEST_WHOLE else Decimal(digits)


def figure(text: str) -> Decimal:
    """A quantity or price.

    Raises:
        ValueError: not finite, or so large that no market has it.
    """
    value = Decimal(text) if len(text) <= _LONGEST else Decimal("NaN")
    if not value.is_finite() or abs(value) >= LARGEST:
        raise ValueError(f"{clean(text, 24)} is no quantity or price")
    return value


def read_rows(
    name: str, key: str, build: Callable[[Json], T], doubt: Callable[[Json], str] = lambda row: ""
) -> Callable[[str | None], Part[tuple[T, ...]]]:
    """A reader of the part `name`, a JSON list of rows that are known by their field `key`. `doubt` says
    what is wrong with a row that can be used all the same."""

    def read(text: str | None) -> Part[tuple[T, ...]]:
        built: list[T] = []
        faults: list[str] = []
        for row in parsed(text) if text else ():
            try:
                built.append(build(row))
                why = doubt(row)
            except UNUSABLE as error:
                why = f"left out: {_said(error)}"
            if why:
                faults.append(f"{name}: {clean(str(row.get(key)), 60)}: {why}")
        more = len(faults) - _NAMED
        return tuple(built), (*faults[:_NAMED], *([f"{name}: {more} more like it"] if more > 0 else []))

    return read


def read_one(build: Callable[[Any], T]) -> Callable[[str | None], Part[T | None]]:
    """A reader of a part that is one JSON value, None where there is none."""
    return lambda text: (build(parsed(text)) if text else None, ())


def unreadable(name: str, error: BaseException) -> str:
    return f"{name}: cannot be read: {_said(error)}"


def _said(error: BaseException) -> str:
    return clean(f"{type(error).__name__}: {error}", 120)
