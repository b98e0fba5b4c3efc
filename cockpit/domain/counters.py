"""How much a cumulative counter rose over a window, exactly as Prometheus reckons it.

A counter is seen only at its samples, so the rise between the first and the last of them is extrapolated to
the window's edges. Source: Prometheus 2.42, `promql/functions.go`, extrapolatedRate; later releases choose
the edge differently (`closed_start`) and cap the zero point by half an interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_NEAR: Final = 1.1  # an edge within 1.1 of the usual distance between samples counts as reached


def increase(
    samples: Sequence[tuple[float, float]], start_s: float, end_s: float, *, closed_start: bool = True
) -> float | None:
    """The rise within a window; None with fewer than two samples in it.

    `samples` are (Unix seconds, value), finite and in the order of time; those outside the window are left
    out. With `closed_start` the window is [start, end], as in Prometheus 2; without, (start, end], as in 3.
    """
    first_ms, last_ms = _ms(start_s), _ms(end_s)
    inside = [
        (at_s, value)
        for at_s, value in samples
        if (first_ms < _ms(at_s) or (closed_start and first_ms == _ms(at_s))) and _ms(at_s) <= last_ms
    ]
    if not inside:
        return None
    return extrapolated(
        len(inside), inside[0][0], inside[-1][0], inside[0][1], raw_increase(inside), start_s, end_s
    )


def raw_increase(samples: Sequence[tuple[float, float]]) -> float:
    """The rise from the first of these samples (at least one) to the last. A value lower than the one before
    is a restart from zero."""
    risen = samples[-1][1] - samples[0][1]
    for (_, before), (_, value) in pairwise(samples):
        if value < before:
            risen += before
    return risen


def extrapolated(
    count: int,
    first_s: float,
    last_s: float,
    first_value: float,
    raw_increase: float,
    start_s: float,
    end_s: float,
) -> float | None:
    """The rise over [start, end] from a summary of the `count` samples in it; None with fewer than two.

    An edge that lies farther from the samples than 1.1 of their usual distance is not reached: half a
    distance is added instead. Nor does a counter reach back past the moment at which it was zero. Times are
    taken to the millisecond, which is all that Prometheus keeps.
    """
    if count < 2:
        return None
    sampled_s = _between(first_s, last_s)
    if sampled_s == 0:
        return raw_increase  # of one and the same moment: there is no pace to extrapolate by
    usual_s = sampled_s / (count - 1)
    to_start_s, to_end_s = _between(start_s, first_s), _between(last_s, end_s)
    if raw_increase > 0 and first_value >= 0:
        to_start_s = min(to_start_s, sampled_s * (first_value / raw_increase))
    reached_s = sampled_s
    for gap_s in (to_start_s, to_end_s):
        reached_s += gap_s if gap_s < usual_s * _NEAR else usual_s / 2
    return raw_increase * (reached_s / sampled_s)


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)


def _between(start_s: float, end_s: float) -> float:
    return (_ms(end_s) - _ms(start_s)) / 1_000
