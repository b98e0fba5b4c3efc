"""Objectives as the one statement over `sli_samples` takes them, and its answers as readings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cockpit.domain.budgets import BURN_WINDOWS, Counts
from cockpit.domain.counters import extrapolated
from cockpit.domain.slo_reports import NOTHING, TREND_POINTS, SliReading
from cockpit.domain.slos import Budgeting, Exclusion, Limit, Op, Slo, Statistic, Threshold

Objective = Slo | Threshold
FIGURE: Final = "figure:"
ACKNOWLEDGEMENT: Final = "oldest-unacknowledged-critical-min"
_ROUNDING: Final = Decimal("1e-10")
_ODD_TIMES: Final = "its only samples are of the future, of before 1970, or of no time at all"
_NO_TREND: Final = (None,) * TREND_POINTS


class NoQuestion(ValueError):
    """This objective cannot be read from `sli_samples`; the message says why and what would be right."""


def windows_of(objective: Objective) -> tuple[int, ...]:
    """The windows in seconds that are counted, longest first."""
    if isinstance(objective, Slo):
        return tuple(sorted({objective.window_s, *BURN_WINDOWS}, reverse=True))
    return (objective.window_s,) if objective.statistic is not Statistic.LATEST else ()


def figure(objective: Objective) -> str | None:
    """The name of the desk's figure that a threshold judges, if it is one."""
    if isinstance(objective, Slo):
        return None
    query = objective.source.query
    return query.removeprefix(FIGURE) if query == ACKNOWLEDGEMENT or query.startswith(FIGURE) else None


def good_side(op: Op, bound: float) -> tuple[float, float]:
    """The closed interval of readings that are on the good side of `bound`."""
    match op:
        case Op.LTE:
            return -math.inf, bound
        case Op.LT:
            return -math.inf, math.nextafter(bound, -math.inf)
        case Op.GTE:
            return bound, math.inf
        case Op.GT:
            return math.nextafter(bound, math.inf), math.inf


def excluded_times(name: str, exclusions: Iterable[Exclusion]) -> str:
    """What is left out for one objective, as a multirange; overlaps are merged by the server."""
    stretches = (
        f"({each.from_at.isoformat()},{each.until_at.isoformat()}]"
        for each in exclusions
        if each.slo == name and each.in_force
    )
    return "{" + ",".join(stretches) + "}"


def question(place: int, objective: Objective, exclusions: Sequence[Exclusion]) -> dict[str, Any]:
    """One element of the statement's JSON array.

    Raises:
        NoQuestion: the objective asks for what samples cannot say.
    """
    asked: dict[str, Any] = {
        "id": place,
        "windows": windows_of(objective),
        "excluded": excluded_times(objective.name, exclusions),
    }
    if isinstance(objective, Threshold):
        latest = objective.statistic is Statistic.LATEST
        return asked | {"sli": objective.source.query, "kind": "latest" if latest else "events"}
    indicator = objective.indicator
    if isinstance(indicator, Limit):
        low, high = (repr(bound) for bound in good_side(indicator.op, indicator.bound))
        asked |= {"sli": indicator.source.query, "kind": "limit", "low": low, "high": high}
    else:
        asked |= {
            "sli": indicator.total.query,
            "kind": "counter" if indicator.counter else "events",
        }
        if {each.query for each in (indicator.good, indicator.bad) if each} != {indicator.total.query}:
            raise NoQuestion("good and total name different slis; a sample holds both, so name one")
    if objective.budgeting is Budgeting.TIMESLICES and objective.slices is not None:
        if asked["kind"] == "counter":
            raise NoQuestion("time slices of cumulative counts are not kept; write events since the last")
        asked |= {"slice_s": objective.slices.width_s, "slice_target": str(objective.slices.target)}
    if objective.consecutive is not None:
        asked["objective"] = str(objective.objective)
    return asked


def reading(objective: Objective, row: Mapping[str, Any]) -> SliReading:
    """What one row of the statement says of its objective."""
    figures = json.loads(row["figures"], parse_float=Decimal)
    whole, cut = _sums(figures)
    if figures["slices"]:
        whole, cut = _slices(figures["slices"], windows_of(objective))
    if figures["climbs"]:
        whole = {length: rounded(each) for length, each in whole.items()}
    parted = {length: without(each, cut.get(length, NOTHING)) for length, each in whole.items()}
    counts = {length: kept for length, (kept, _) in parted.items()}
    if figures["climbs"]:
        counts = {length: rounded(each) for length, each in counts.items()}
    value = row["value"]
    if isinstance(objective, Threshold) and objective.statistic is not Statistic.LATEST:
        value = statistic(objective.statistic, counts.get(objective.window_s, NOTHING))
    trend = figures["trend"]
    return SliReading(
        at=row["at"],
        counts=counts,
        value=value,
        newest_at=row["newest_at"],
        streak=row["streak"] or 0,
        contradictions=row["contradictions"],
        excluded=parted.get(objective.window_s, (NOTHING, NOTHING))[1],
        trend=tuple(_share(trend.get(str(slot))) for slot in range(TREND_POINTS)) if trend else _NO_TREND,
        fault=_ODD_TIMES if row["odd_times"] else "",
    )


def figure_reading(at: datetime, minutes: float) -> SliReading:
    """A figure of the desk is as new as the moment at which it is computed."""
    return SliReading(at=at, value=minutes, newest_at=at)


def statistic(kind: Statistic, counts: Counts) -> float | None:
    """A threshold's ratio; None without events."""
    ratio = counts.ratio
    if ratio is None:
        return None
    return float(1 - ratio if kind is Statistic.FAILURE_RATIO else ratio)


def rounded(counts: Counts) -> Counts:
    """Counts that floating point made: what only rounding puts past a limit is put on it."""
    near = _ROUNDING * max(abs(counts.total), Decimal(1))
    total = Decimal(0) if abs(counts.total) <= near else counts.total
    good = total if abs(counts.good - total) <= near else counts.good
    return Counts(Decimal(0) if abs(good) <= near else good, total)


def without(whole: Counts, cut: Counts) -> tuple[Counts, Counts]:
    """What an exclusion leaves of a window, and what it takes. It takes no more than there is: the rise of
    cumulative counts over a stretch is extrapolated by itself, and may come out larger than in the window."""
    if not whole.possible:
        return whole.minus(cut), cut  # a contradiction stays one
    bad = min(max(cut.bad, Decimal(0)), whole.bad)
    total = min(max(cut.total, bad), whole.good + bad)
    kept = whole.total - total
    return Counts(kept - (whole.bad - bad), kept), Counts(total - bad, total)


def _share(value: Decimal | int | None) -> float | None:
    return None if value is None else float(value)


def _sums(figures: Mapping[str, Any]) -> tuple[dict[int, Counts], dict[int, Counts]]:
    """Counts of whole windows, and of what exclusions cut out of them."""
    kept: dict[int, Counts] = {}
    cut: dict[int, Counts] = {}
    for window_s, is_cut, good, total in figures["sums"] or ():
        (cut if is_cut else kept)[window_s] = Counts(Decimal(good), Decimal(total))
    for window_s, is_cut, start_s, end_s, samples, first_s, last_s, *values in figures["climbs"] or ():
        if samples < 2:
            continue
        first_good, first_total, good_rise, total_rise = values
        edges = (samples, float(first_s), float(last_s))
        span = (float(start_s), float(end_s))
        good = extrapolated(*edges, float(first_good), float(good_rise), *span)
        total = extrapolated(*edges, float(first_total), float(total_rise), *span)
        if good is None or total is None:
            continue
        held = cut if is_cut else kept
        before = held.get(window_s, NOTHING)
        held[window_s] = Counts(before.good + Decimal(good), before.total + Decimal(total))
    return kept, cut


def _slices(
    rows: Iterable[Sequence[Any]], windows: Sequence[int]
) -> tuple[dict[int, Counts], dict[int, Counts]]:
    """A slice of reach n lies within the n longest windows."""
    everything = dict.fromkeys(windows, NOTHING)
    cut = dict.fromkeys(windows, NOTHING)
    for reach, is_cut, good, total in rows:
        for length in windows[:reach]:
            for held in (everything, cut) if is_cut else (everything,):
                held[length] = Counts(held[length].good + good, held[length].total + total)
    return everything, cut
