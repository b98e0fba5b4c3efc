"""A counter's rise is Prometheus's, to the last digit where a server said what that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.counters import extrapolated, increase, raw_increase

# What `promtool test rules` of Prometheus 2.42 confirmed for increase(c[600s]) of these series, a sample each
# 15 s from 0 and "_" where there is none.
STEP_S = 15.0
STEADY = "0 1 2 3 4 5 6 7 8 9 10"
RESET = "7 9 11 1 4 4 6"
LATE = "_ _ _ _ _ _ 5 6 8"


def series(text: str) -> list[tuple[float, float]]:
    values = enumerate(text.split())
    return [(place * STEP_S, float(value)) for place, value in values if value != "_"]


@pytest.mark.parametrize(
    ("text", "start_s", "end_s", "expected"),
    [
        (STEADY, 0, 150, 10.0),  # the whole of it
        (STEADY, 30, 90, 4.0),  # both edges on samples: [start, end]
        (STEADY, 31, 89, 2 * 58 / 30),  # both edges nearer than 1.1 intervals: extrapolated to them
        (STEADY, 30, 300, 8 * (120 + 7.5) / 120),  # the end is far: half an interval is added
        (STEADY, 150, 300, None),  # one sample
        (STEADY, 151, 300, None),  # none
        (RESET, 0, 90, 4 + 1 + 3 + 0 + 2),  # a restart from zero counts what it shows
        (LATE, 0, 120, 3 * (30 + 7.5) / 30),  # the start is far, and zero is farther back
        ("_ _ _ _ _ _ 0 6 12", 0, 120, 12.0),  # it began at zero: no reaching back
        ("_ _ _ _ _ _ 2 6 14", 0, 120, 12 * (30 + 5) / 30),  # zero 5 s before the first sample
        ("5 5 5 5", 0, 45, 0.0),
        ("-5 -5 5", 0, 30, 10.0),  # below zero at first: no zero point to respect
        ("-5 -5 5", -10, 30, 10 * (30 + 10) / 30),
    ],
)
def test_the_rise_of_a_counter(text: str, start_s: float, end_s: float, expected: float | None) -> None:
    found = increase(series(text), start_s, end_s)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-12))


@pytest.mark.parametrize(("gap_s", "reached_s"), [(16.49, 16.49), (16.5, 7.5), (0.0, 0.0)])
def test_an_edge_is_reached_below_1_1_intervals_and_not_at_them(gap_s: float, reached_s: float) -> None:
    found = extrapolated(3, 100.0, 130.0, 1_000.0, 6.0, 100.0, 130.0 + gap_s)
    assert found == pytest.approx(6.0 * (30 + reached_s) / 30, rel=1e-12)
    found = extrapolated(3, 100.0, 130.0, 1_000.0, 6.0, 100.0 - gap_s, 130.0)
    assert found == pytest.approx(6.0 * (30 + reached_s) / 30, rel=1e-12)


def test_whether_the_start_belongs_to_the_window_is_said() -> None:
    assert increase(series(STEADY), 30, 60) == 2.0
    assert increase(series(STEADY), 30, 60, closed_start=False) == pytest.approx(2.0)  # one, and extrapolated
    assert increase(series(STEADY), 30, 45) == 1.0
    assert increase(series(STEADY), 30, 45, closed_start=False) is None


def test_times_count_to_the_millisecond() -> None:
    """At today's Unix seconds a double's own steps would already be wrong in the ninth digit."""
    start = 1_767_225_600.0
    exact = extrapolated(2, 10.003, 20.007, 50.0, 7.0, 5.001, 25.0)
    found = extrapolated(2, start + 10.003, start + 20.007, 50.0, 7.0, start + 5.001, start + 25.0)
    assert found == exact
    assert increase([(10.0004, 1.0), (20.0, 2.0)], 10.0, 20.0) == 1.0  # what rounds to the edge is on it
    assert increase([(9.9996, 1.0), (20.0, 2.0)], 10.0, 20.0) == 1.0


def test_samples_of_one_moment_show_no_pace() -> None:
    assert extrapolated(2, 10.0, 10.0, 1.0, 3.0, 0.0, 60.0) == 3.0


@given(
    st.lists(st.integers(0, 1_000), min_size=2, max_size=60),
    st.integers(0, 400),
    st.integers(1, 900),
)
def test_the_summary_and_the_samples_say_the_same(values: list[int], start_s: int, length_s: int) -> None:
    samples = [(place * 7.0, float(value)) for place, value in enumerate(values)]
    inside = [each for each in samples if start_s <= each[0] <= start_s + length_s]
    found = increase(samples, start_s, start_s + length_s)
    if len(inside) < 2:
        assert found is None
        return
    facts = (len(inside), inside[0][0], inside[-1][0], inside[0][1], raw_increase(inside))
    assert found == extrapolated(*facts, start_s, start_s + length_s)
    assert found is not None
    assert found >= raw_increase(inside) - 1e-9 >= -1e-9  # a counter never falls, and no edge takes away


@given(st.lists(st.integers(0, 50), min_size=1, max_size=50), st.integers(0, 49))
def test_a_restart_only_loses_what_nobody_saw(steps: list[int], cut: int) -> None:
    """The rise of a counter that restarts at zero is that of one which never did."""
    whole, broken, total, since = [], [], 0, 0
    for place, step in enumerate(steps):
        total += step
        since = step if place == cut else since + step
        whole.append((float(place), float(total)))
        broken.append((float(place), float(since)))
    seen = cut >= len(steps) or cut == 0 or broken[cut][1] < broken[cut - 1][1]
    if seen:
        assert raw_increase(broken) == pytest.approx(raw_increase(whole))
