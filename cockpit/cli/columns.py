"""Lines for people: columns that line up, ages and shares in few characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from decimal import Decimal

from cockpit.domain.budgets import DAY, HOUR, MINUTE
from cockpit.domain.text import clean


def aligned(
    rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset(), most: int = 300
) -> tuple[str, ...]:
    """Each row as one line, every column as wide as its widest cell but the last; `right` are the columns
    that end in one line. A cell has at most `most` characters."""
    safe = [[clean(cell, most) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*safe, strict=True)]
    return tuple(
        "  ".join(
            _padded(cell, 0 if at == len(widths) - 1 else width, at in right)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in safe
    )


def _width(text: str) -> int:
    """Cells on a terminal."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - _width(cell))
    return space + cell if right else cell + space


def percent(share: Decimal | float | None, digits: int = 1) -> str:
    """`-23.0 %`; `–` where it is not known."""
    return "–" if share is None else f"{share * 100:.{digits}f} %"


def span(seconds: Decimal | float) -> str:
    """`40 s`, `12 min`, `3 h 05 min`, `2 d 4 h`: two units at most."""
    whole = round(seconds)
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"
