"""What people read: columns that line up, and text from files and stores that stays text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.columns import aligned, percent, span
from cockpit.cli.sizing import _whole_command
from cockpit.cli.slo_fields import snapshot_fields
from cockpit.cli.slo_lines import detail, overview
from cockpit.cli.slos import moment
from cockpit.domain.breakers import BreakerId
from cockpit.domain.budgets import BURN_WINDOWS, DAY, Counts
from cockpit.domain.slo_reports import SliReading, SloSnapshot, judge_slo, judge_threshold
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Exclusion,
    Limit,
    Op,
    Ratio,
    Slo,
    SloBook,
    Source,
    SourceKind,
    Statistic,
    Threshold,
)
from cockpit.domain.text import clean

NOW = datetime(2026, 1, 31, 13, 0, tzinfo=UTC)
TEXT = st.text(max_size=60)
EVENTS = st.builds(
    lambda total, bad: Counts(Decimal(total - min(bad, total)), Decimal(total)),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)


def test_the_streak_and_what_is_left_out_are_said_as_they_are() -> None:
    counts = Counts(Decimal(900), Decimal(1_000))
    found = report("orders", counts)
    assert "7 orders since the 5-minute rate fell under the objective, over 5 counts" in "\n".join(
        overview(found)
    )
    slo = found.slos[0].slo
    bars = replace(slo, indicator=Limit(Source(SourceKind.POSTGRES, "bars"), Op.LTE, 1.0))
    bar_report = replace(found.slos[0], slo=replace(bars, consecutive=Consecutive(5, "bars")))
    assert "7 bars in a row over the bound, over 5 counts" in "\n".join(detail(bar_report, NOW, ()))
    out = replace(found.slos[0], excluded=Counts(Decimal(1_000), Decimal(1_200)))
    assert "· excl. 1,200" in "\n".join(overview(replace(found, slos=(out,))))


def test_limit_tells_the_whole_command_that_ends_it() -> None:
    said = f"Orders are at most 0.5 of their size. `cockpit lift {UUID(int=7)}` ends the limit."
    line = _whole_command(Answer({"message": said}, (said,))).lines[0]
    assert f"`cockpit lift {UUID(int=7)} --notes … --yes` ends the limit." in line


def report(text: str, counts: Counts, reading: SliReading | None = None) -> SloSnapshot:
    source = Source(SourceKind.POSTGRES, text)
    breaker = BreakerId("component:execution")
    slo = Slo(
        name=text or "x",
        title=text,
        description=text,
        objective=Decimal("0.995"),
        window_s=30 * DAY,
        indicator=Ratio(source, source, None, False),
        budgeting=Budgeting.OCCURRENCES,
        slices=None,
        breaker=breaker,
        consecutive=Consecutive(5, text),
        file=text,
        line=3,
    )
    found = reading or SliReading(
        at=NOW,
        counts={30 * DAY: counts, **dict.fromkeys(BURN_WINDOWS, counts)},
        newest_at=NOW - timedelta(seconds=3),
        streak=7,
        trend=(None, 1.0, 0.5),
    )
    excluded = Exclusion(text, slo.name, NOW, NOW, text, text, text, 1)
    limit = Threshold(
        text or "y", text, text, source, Statistic.LATEST, 0, Op.LTE, 1.0, text, breaker, file=text, line=4
    )
    kept = judge_threshold(limit, SliReading(at=NOW, value=2.0, newest_at=NOW, fault=text))
    return SloSnapshot(
        NOW,
        0.0,
        SloBook((slo,), (limit,)),
        (judge_slo(slo, found, (excluded,)),),
        (kept,),
        (excluded,),
        (text,),
    )


@given(TEXT, EVENTS)
def test_whatever_the_files_say_stays_text(text: str, counts: Counts) -> None:  # I26
    snapshot = report(text, counts)
    lines = [*overview(snapshot)]
    for each in snapshot.reports:
        lines += detail(each, NOW, snapshot.exclusions)
    assert all(clean(line) == line for line in lines)
    fields = snapshot_fields(snapshot)
    assert fields["observed_at"] == "2026-01-31T13:00:00.000000Z"


@pytest.mark.parametrize(
    ("good", "total", "words"),
    [
        (10_000, 10_000, ("● GREEN HEALTHY", "100.0 %")),
        (9_965, 10_000, ("◆ YELLOW CAUTION", "30.0 %")),
        (9_960, 10_000, ("▲ ORANGE HALF SIZE", "20.0 %")),
        (9_900, 10_000, ("■ RED HALT DUE", "-100.0 %", "spent")),
        (0, 0, ("○ NO TRAFFIC", "–")),
    ],
)
def test_each_state_is_a_symbol_and_a_word(good: int, total: int, words: tuple[str, ...]) -> None:
    line = overview(report("orders", Counts(Decimal(good), Decimal(total))))[1:3]
    assert any(all(word in each for word in words) for each in line), line


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=6))
def test_columns_line_up(rows: list[tuple[str, str, str]]) -> None:
    plain = [[cell.encode("ascii", "ignore").decode().strip() for cell in row] for row in rows]
    marked = [(first, "|", last) for first, _, last in plain]
    lines = aligned(marked)
    assert len(lines) == len(rows)
    width = max(len(first) for first, _, _ in marked)
    assert all(line[width + 2] == "|" for line in lines)
    ends = aligned([(first, "|") for first, _, _ in plain], frozenset({0}))
    wanted = [f"{clean(first):>{width}}  |" for first, _, _ in plain]
    assert list(ends) == wanted


@given(st.floats(0, 1e9))
def test_spans_name_their_units(seconds: float) -> None:
    assert span(seconds).split()[1] in ("s", "min", "h", "d")


def test_spans_grow() -> None:
    shown = ["119 s", "2 min", "59 min", "1 h 00 min", "23 h 59 min", "1 d 0 h"]
    assert [span(each) for each in (119, 120, 3_599, 3_600, 86_399, 86_400)] == shown
    assert all(a != b for a, b in pairwise(shown))


def test_a_share_keeps_its_sign() -> None:
    assert (percent(Decimal("-0.023")), percent(None), percent(0.5, 0)) == ("-2.3 %", "–", "50 %")


@given(st.text(max_size=40))
def test_a_moment_is_a_time_or_one_line(text: str) -> None:
    try:
        assert moment(text, "--from").tzinfo is not None
    except UsageFault as fault:
        assert str(fault).startswith("--from: ") and "\n" not in str(fault)


@pytest.mark.parametrize(
    "text", ["2026-01-31", "2026-01-31T13:00:00", "1e9", "now", "2026-13-01T00:00:00Z", ""]
)
def test_a_time_without_zone_is_none(text: str) -> None:
    with pytest.raises(UsageFault):
        moment(text, "--until")
