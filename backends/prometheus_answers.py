"""What Prometheus answered of each objective, put together as a reading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from backends.promql_parts import Asking
from backends.sli_questions import Objective, rounded, without
from cockpit.domain.budgets import Counts
from cockpit.domain.slo_reports import NOTHING, TREND_POINTS, SliReading


@dataclass(slots=True)
class Round:
    """What one reading has learnt so far, by the objective's name."""

    at_ms: int
    deadline: float
    askings: dict[str, Asking] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    trends: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_ms / 1_000, UTC)

    def sound(self) -> list[tuple[str, Asking]]:
        return [(name, asking) for name, asking in self.askings.items() if name not in self.faults]


def reading(this: Round, objective: Objective) -> SliReading:
    asking, fault = this.askings.get(objective.name), this.faults.get(objective.name, "")
    if asking is None or fault:
        return SliReading(at=this.at, fault=fault)
    values = this.values.get(objective.name, {})
    newest = {part: _newest(values, part) for part in asking.queries}
    missing = [part for part, at in newest.items() if at is None]
    if missing:
        what = " and ".join(f"the query for {part}" for part in missing)
        return SliReading(at=this.at, fault=f"{what} gives no series in the last 3 days; is it spelt right?")
    if values.get("series", 1) != 1:
        several = f"the query gives {values['series']:.0f} series where one is needed"
        return SliReading(at=this.at, fault=f"{several}; aggregate them, with max(…) for one")
    unsound = sum(not math.isfinite(value) for value in values.values())
    counts = _window_counts(this, asking, values)
    kept, cut = counts
    value = values.get("value")
    return SliReading(
        at=this.at,
        counts=kept,
        value=value if value is not None and math.isfinite(value) else None,
        newest_at=datetime.fromtimestamp(min(at for at in newest.values() if at is not None), UTC),
        streak=this.streaks.get(objective.name, 0),
        contradictions=unsound,
        excluded=cut,
        trend=this.trends.get(objective.name, (None,) * TREND_POINTS if asking.trended else ()),
    )


def _window_counts(
    this: Round, asking: Asking, values: Mapping[str, float]
) -> tuple[dict[int, Counts], Counts]:
    """Each window's counts without what is excluded; what that was in the SLO's own window."""
    kept: dict[int, Counts] = {}
    excluded = NOTHING
    for window_s in asking.windows:
        whole = _counts(values, f" {window_s}")
        if whole is None:
            continue
        cut = NOTHING
        for start, end in asking.cut(this.at_ms, window_s):
            piece = _counts(values, f" cut {start} {end}") or NOTHING
            cut = Counts(cut.good + piece.good, cut.total + piece.total)
        left, cut = without(rounded(whole), cut)
        kept[window_s] = rounded(left)
        if window_s == getattr(asking.objective, "window_s", None):
            excluded = cut
    return kept, excluded


def _counts(values: Mapping[str, float], suffix: str) -> Counts | None:
    """None where the server gave no number for it: fewer than two samples, or not a number among them."""
    total, good, bad = (values.get(f"{what}{suffix}", math.nan) for what in ("total", "good", "bad"))
    if math.isnan(good):
        good = total - bad
    if not (math.isfinite(total) and math.isfinite(good)):
        return None
    return Counts(Decimal(repr(good)), Decimal(repr(total)))


def any_newest(values: Mapping[str, float], part: str) -> bool:
    return _newest(values, part) is not None


def _newest(values: Mapping[str, float], part: str) -> float | None:
    """A query is as new as the oldest of the series that it rests on, of those that there are."""
    found = [at for key, at in values.items() if key.startswith(f"newest {part} ")]
    return min(found, default=None)


def bad_run(points: Mapping[int, float], *, gaps_end_it: bool) -> list[int]:
    """The newest steps that are bad one after another, newest first."""
    run: list[int] = []
    for at in sorted(points, reverse=True):
        if points[at] == 1 or (gaps_end_it and run and run[-1] - at > 60_000):
            break
        run.append(at)
    return run
