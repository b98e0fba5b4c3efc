"""The columns of the breaker table, and what it shows before anything was read."""

from __future__ import annotations

from typing import Final, NamedTuple

from widgets.line import Line, Span, fit


class Column(NamedTuple):
    name: str
    title: str
    cells: int


_NARROW: Final = (
    Column("breaker", "BREAKER", 23),
    Column("state", "STATE", 24),
    Column("own", "OWN", 8),
    Column("since", "SINCE", 5),
    Column("actor", "BY", 9),
    Column("next", "NEXT", 5),
)
_WIDE: Final = (
    Column("breaker", "BREAKER", 25),
    Column("state", "STATE", 24),
    Column("own", "OWN", 8),
    Column("halted_by", "HALTED BY", 19),
    Column("since", "SINCE", 5),
    Column("actor", "BY", 9),
    Column("epoch", "EPOCH", 5),
    Column("probes", "PROBES", 6),
    Column("next", "NEXT", 6),
)


def columns(cells: int) -> tuple[Column, ...]:
    """The columns for a width; what is left over widens the name, or shows reason and notes."""
    if cells < 115:
        spare = max(0, cells - sum(each.cells for each in _NARROW) - len(_NARROW))
        return (Column("breaker", "BREAKER", 23 + min(spare, 16)), *_NARROW[1:])
    used = sum(each.cells for each in _WIDE) + len(_WIDE)
    spare = cells - used
    if spare >= 9:
        return (*_WIDE, Column("why", "REASON", spare - 1))
    return _WIDE


def heading(cells: int, above: int = 0, below: int = 0) -> Line:
    """The titles; beside the first how many rows the list has above and below what is seen of it."""
    first, *others = columns(cells)
    hidden = [f"{sign}{count}" for sign, count in (("↑", above), ("↓", below)) if count]
    more = f" · {' '.join(hidden)} more" if hidden else ""
    spans = [(fit(each.title, each.cells), "title") for each in others]
    head = (fit(f"{first.title}{more}", first.cells), "warn" if more else "title")
    return ((" ", ""), *spaced([head, *spans]))


def unread_line(breaker_id: str, depth: int, cells: int) -> Line:
    """A row of which nothing has been read yet, and nothing failed."""
    return ((name_cell(breaker_id, depth, cells) + " ", "dim"), ("connecting…", "dim"))


def name_cell(breaker_id: str, depth: int, cells: int) -> str:
    return fit(" " * depth + breaker_id, columns(cells)[0].cells)


def spaced(spans: list[Span]) -> Line:
    """One blank after each but the last."""
    return (*((text + " ", style) for text, style in spans[:-1]), spans[-1])
