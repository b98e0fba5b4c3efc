"""Everything about one objective: what it rests on, its burn, what its state allows, who left what out."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId
from cockpit.domain.budgets import BURN_WINDOWS, PAIRS, BudgetState, Counts, WindowPair, duration
from cockpit.domain.slo_reports import Report, SloReport, ThresholdReport
from cockpit.domain.slos import Exclusion, Limit, Ratio, Slo, Source, Statistic
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.breaker_rows import state_span
from widgets.line import Line, fit, fold, wrap
from widgets.slo_rows import empty_in, minutes, threshold_words
from widgets.slo_signs import (
    STYLE,
    burn_words,
    percent,
    sample_age_s,
    shown_state,
    sparkline,
    state_words,
    streak_words,
)
from widgets.times import clock, clock_s, span

_SHIPPED: Final = "runbooks/slos/"
FEW_PERCENT: Final = 5
"""From how much of the budget one failure costs it is worth a word."""


def report_lines(board: Board, report: Report, cells: int) -> list[Line]:
    """The gravest first, since a small screen shows only the beginning."""
    state = shown_state(board, report)
    title = clean(report.slo.title if isinstance(report, SloReport) else report.threshold.title, 120)
    lines: list[Line] = [
        (
            (f"{state_words(report, state)} ", STYLE[state]),
            (f"{clean(report.name, 80)} ", "strong"),
            (title, "dim"),
        ),
    ]
    lines += _labelled("why", _why(board, report, state), cells, "" if state is report.state else "unknown")
    lines.append((*_label("breaker"), (f"{report.breaker} ", ""), *_breaker(board, report.breaker)))
    if isinstance(report, SloReport):
        lines += _slo_lines(board, report, state, cells)
    else:
        lines += _threshold_lines(report, cells)
    lines += _spec_lines(report, cells)
    return lines


def _why(board: Board, report: Report, state: BudgetState) -> str:
    age = sample_age_s(board, report)
    newest = "no sample" if age is None else f"newest sample {span(age)} ago"
    why = report.why
    if state is BudgetState.STALE:
        read = (
            f"; last read in order at {clock_s(report.read_at)}"
            if report.read_at
            else "; never read in order"
        )
        why = (why if report.state is state else "nothing newer was read") + read
    return f"{why} · {newest}"


def _slo_lines(board: Board, report: SloReport, state: BudgetState, cells: int) -> list[Line]:
    lines = _labelled("allows", state.actions, cells)
    lines += fold(burn_line(report), cells, 2)
    lines.append(_factor_line(report))
    if report.remaining is not None:
        empty = {"-": "never at this burn", "SPENT": "spent"}.get(
            empty_in(report), f"empty in {empty_in(report)}"
        )
        lines.append(
            (
                *_label("left"),
                (f"{percent(report.remaining)} of the budget", STYLE[state]),
                (f" · {minutes(report.minutes_left)} of full outage · {empty}", ""),
            )
        )
        lines += _failure_cost(report)
    if report.slo.consecutive is not None:
        lines.append(_streak_line(report))
    lines.append(
        (
            *_label("trend"),
            (sparkline(report.trend, report.slo.objective, 24), ""),
            (" burn per 5 min, taller is worse", "dim"),
        )
    )
    lines += _exclusion_lines(report, cells)
    return lines


def burn_line(report: SloReport) -> Line:
    """`5m 0.0× 30m …`; ! where a pair that fired rests on the window."""
    hot = {length for pair in report.fired for length in (pair.long_s, pair.short_s)}
    spans = [*_label("burn")]
    for length in BURN_WINDOWS:
        mark = "!" if length in hot else ""
        spans.append((f"{duration(length)} ", "dim"))
        spans.append((f"{burn_words(report.burns.get(length))}{mark} ", "bad" if mark else ""))
    return tuple(spans)


def _factor_line(report: SloReport) -> Line:
    if not report.fired:
        wanted = ", ".join(f"{pair.name} over {pair.factor(report.slo.window_s):.3g}×" for pair in PAIRS[:2])
        return (*_label("fired"), ("none", ""), (f" · pages: {wanted}", "dim"))
    return (*_label("fired"), (", ".join(_pair(pair, report.slo) for pair in report.fired), "bad"))


def _pair(pair: WindowPair, slo: Slo) -> str:
    return f"{pair.name} (both over {pair.factor(slo.window_s):.3g}×)"


def _failure_cost(report: SloReport) -> list[Line]:
    cost = report.one_failure_costs
    if cost is None or cost * 100 < FEW_PERCENT:
        return []
    events = f"{report.counts.total:,.0f} events"
    said = f"few events ({events}): one failure more costs {percent(cost)} of the budget"
    return [(*_label("one more"), (said, "warn"))]


def _streak_line(report: SloReport) -> Line:
    wanted = report.slo.consecutive
    assert wanted is not None  # noqa: S101 - the caller looked
    if report.breached:
        return (
            *_label("breach"),
            (f"CONFIRMED: {streak_words(report)} (more than {wanted.over})", "bad"),
        )
    return (
        *_label("breach"),
        (f"not confirmed: {streak_words(report)}", ""),
        (f", more than {wanted.over} count", "dim"),
    )


def _exclusion_lines(report: SloReport, cells: int) -> list[Line]:
    if not report.exclusions:
        return [(*_label("excluded"), ("nothing is left out", "dim"))]
    out = report.excluded
    lines: list[Line] = [(*_label("excluded"), (f"{_events(out)} left out of the budget", "warn"))]
    for each in report.exclusions:
        lines += wrap(f"  {exclusion_words(each)}", cells, 2, "" if each.in_force else "dim")
    return lines


def exclusion_words(each: Exclusion) -> str:
    """`21 Nov 03:10-03:40 by admin1, approved by admin2: notes · #42`, and who took it back."""
    back = (
        f" · TAKEN BACK by {each.reverted_by or '?'} at {clock(each.reverted_at)}"
        if not each.in_force
        else ""
    )
    when = f"{each.from_at:%d %b %H:%M}-{each.until_at:%d %b %H:%M}"
    return f"{when} by {each.login}, approved by {each.approved_by}: {each.notes} · #{each.audit_seq}{back}"


def _events(count: Counts) -> str:
    return f"{count.total:,.0f} events ({count.bad:,.0f} bad)"


def _threshold_lines(report: ThresholdReport, cells: int) -> list[Line]:
    spec = report.threshold
    over = {
        Statistic.LATEST: "newest sample",
        Statistic.RATIO: "good of all",
        Statistic.FAILURE_RATIO: "bad of all",
    }
    window = f" over {duration(spec.window_s)}" if spec.window_s else ""
    return [
        (*_label("value"), (threshold_words(report), ""), (f" · {over[spec.statistic]}{window}", "dim")),
        (*_label("budget"), ("none: a plain threshold, kept or broken", "dim")),
    ]


def _breaker(board: Board, breaker_id: BreakerId) -> Line:
    effective = board.effective(breaker_id)
    return (state_span(effective.state if effective and board.redis_readable else None),)


def _spec_lines(report: Report, cells: int) -> list[Line]:
    if isinstance(report, ThresholdReport):
        spec = report.threshold
        return [
            *_labelled("source", _source(spec.source), cells),
            *_labelled("about", spec.description, cells),
            *_labelled("file", _written(spec.file, spec.line), cells),
        ]
    slo = report.slo
    window = duration(slo.window_s)
    lines = _labelled("objective", f"{_exact(slo.objective)} of events good over {window}", cells)
    lines += [line for name, text in _queries(slo) for line in _labelled(name, text, cells)]
    counted = slo.budgeting.value
    if slo.slices is not None:
        counted += f" of {slo.slices.width_s} s, good where {_exact(slo.slices.target)} of their events are"
    lines += _labelled("counted", counted, cells)
    lines += _labelled("about", slo.description, cells)
    lines += _labelled("file", _written(slo.file, slo.line), cells)
    return lines


def _queries(slo: Slo) -> list[tuple[str, str]]:
    match slo.indicator:
        case Ratio(total, good, bad, counter):
            kind = "cumulative counts" if counter else "counts since the sample before"
            part = ("good", good) if good is not None else ("bad", bad)
            named = [] if part[1] is None else [(part[0], _source(part[1]))]
            return [*named, ("total", f"{_source(total)} ({kind})")]
        case Limit(source, op, bound):
            return [("value", f"{_source(source)} good where {op.sign} {bound:g}")]


def _written(file: str, line: int) -> str:
    """Where it is written down; what comes with the cockpit by its place in there."""
    _, shipped, name = file.rpartition(_SHIPPED)
    return f"{shipped}{name}:{line}"


def _exact(share: Decimal) -> str:
    """99.95 % is not 100 %."""
    return f"{(share * 100).normalize():f} %"


def _source(source: Source) -> str:
    return f"{source.kind.value}: {source.query}"


def _label(name: str) -> Line:
    return ((fit(name, 10), "title"),)


def _labelled(name: str, text: str, cells: int, style: str = "") -> list[Line]:
    """Text from a file or a person beside its name, in at most three lines."""
    if not text.strip():
        return []
    first, *more = wrap(text, max(10, cells - 10), 3, style)
    return [(*_label(name), *first), *(((" " * 10, ""), *line) for line in more)]
