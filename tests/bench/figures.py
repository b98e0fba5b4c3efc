"""Samples, figures and how they are shown."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Final

PERCENTILES: Final = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Samples:
    """Measurements of one thing in one unit, in the order in which they were taken."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Samples:
        if not values:
            raise ValueError("nothing was measured")
        return cls(tuple(values))

    def percentile(self, percent: float) -> float:
        """By linear interpolation between the closest ranks."""
        ordered = sorted(self.values)
        place = (len(ordered) - 1) * percent / 100
        low, high = math.floor(place), math.ceil(place)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    @property
    def p50(self) -> float:
        return self.percentile(50)

    @property
    def p99(self) -> float:
        return self.percentile(99)

    def summary(self) -> dict[str, float]:
        found = {f"p{percent}": self.percentile(percent) for percent in PERCENTILES}
        return {"n": len(self.values), "min": min(self.values), **found, "max": max(self.values)}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    With a `yardstick` the bound is on `measured / yardstick`, else on `measured` itself; a figure without a
    bound is shown and not judged. `raw` are the samples behind it by name, for the JSON.
    """

    name: str
    measured: float
    unit: str
    bound: float | None
    yardstick: float | None = None
    note: str = ""
    raw: Mapping[str, Samples] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return None if self.yardstick is None else self.measured / self.yardstick

    @property
    def judged(self) -> float:
        ratio = self.ratio
        return self.measured if ratio is None else ratio

    @property
    def passed(self) -> bool | None:
        return None if self.bound is None else self.judged <= self.bound

    @property
    def verdict(self) -> str:
        return {True: "pass", False: "SHORT", None: "-"}[self.passed]

    def document(self) -> dict[str, object]:
        return {
            "name": self.name,
            "measured": self.measured,
            "unit": self.unit,
            "yardstick": self.yardstick,
            "ratio": self.ratio,
            "bound": self.bound,
            "bound_is_on": "ratio" if self.yardstick is not None else "measured",
            "verdict": self.verdict,
            "note": self.note,
            "samples": {name: samples.summary() for name, samples in self.raw.items()},
        }


_COLUMNS: Final = ("figure", "measured", "yardstick", "ratio", "bound", "", "what the yardstick is; remarks")


def row(figure: Figure) -> tuple[str, ...]:
    ratio, bound = figure.ratio, figure.bound
    times = " ×" if ratio is not None else f" {figure.unit}"
    return (
        figure.name,
        f"{figure.measured:,.2f} {figure.unit}",
        f"{figure.yardstick:,.2f} {figure.unit}" if figure.yardstick is not None else "",
        f"{ratio:.2f} ×" if ratio is not None else "",
        f"≤ {bound:g}{times}" if bound is not None else "",
        figure.verdict,
        figure.note,
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of text under a heading."""
    rows = [_COLUMNS, *(row(figure) for figure in figures)]
    widths = [max(len(each[column]) for each in rows) for column in range(len(_COLUMNS) - 1)]
    lines = []
    for cells in rows:
        left = cells[0].ljust(widths[0])
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[1:5], widths[1:5], strict=True))
        lines.append(f"{left}  {numbers}  {cells[5].ljust(widths[5])}  {cells[6]}".rstrip())
    lines.insert(1, "─" * max(len(line) for line in lines))
    return "\n".join(lines)


Timed = Callable[[], Awaitable[float]]
"""Does one thing and returns what it took, in milliseconds."""


async def in_turn(times: int, *timed: Timed, warm_up: int = 3) -> list[Samples]:
    """A B A B …: `times` rounds of all of `timed`, after a few that do not count."""
    taken: list[list[float]] = [[] for _ in timed]
    for turn in range(-warm_up, times):
        for each, kept in zip(timed, taken, strict=True):
            took = await each()
            if turn >= 0:
                kept.append(took)
    return [Samples.of(kept) for kept in taken]


def since_ms(begin_ns: int) -> float:
    return (perf_counter_ns() - begin_ns) / 1e6
