"""Rows of the objectives' table: pure functions of the board."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from cockpit.domain.budgets import HOUR, BudgetState, WindowPair, duration
from cockpit.domain.slo_reports import Report, SloReport, ThresholdReport, worst_first
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.columns import Column, spaced
from widgets.line import Line, Span, fit, fold, wrap
from widgets.slo_signs import (
    STYLE,
    amount,
    burn_words,
    excluded_words,
    gauge,
    percent,
    sample_age_s,
    shown_state,
    sparkline,
    state_words,
)
from widgets.times import clock_s, span

_NARROW: Final = (
    Column("state", "STATE", 18),
    Column("name", "OBJECTIVE", 18),
    Column("budget", "BUDGET LEFT", 19),
    Column("burn", "BURN1H", 6),
    Column("empty", "EMPTY", 7),
    Column("age", "AGE", 6),
)
_WIDE: Final = (
    Column("state", "STATE", 18),
    Column("name", "OBJECTIVE", 24),
    Column("budget", "BUDGET LEFT", 19),
    Column("burn", "BURN 1H", 7),
    Column("empty", "EMPTY", 7),
    Column("fired", "FIRED", 9),
    Column("breaker", "BREAKER", 9),
    Column("trend", "TREND", 12),
    Column("age", "AGE", 6),
)
_MINUTES: Final = Column("minutes", "MIN LEFT", 9)
_GAUGE_FOR: Final = 7
_MEASURED: Final = ("budget", "burn", "empty")
_FAULTS: Final = 2


def columns(cells: int) -> tuple[Column, ...]:
    """The columns for a width; what is left over widens the names."""
    chosen: tuple[Column, ...] = _NARROW if cells < 112 else _WIDE
    spare = cells - sum(each.cells for each in chosen) - len(chosen) + 1
    if spare > _MINUTES.cells and chosen is _WIDE:
        chosen = (*_WIDE[:5], _MINUTES, *_WIDE[5:])
        spare -= _MINUTES.cells + 1
    name = chosen[1]
    return (chosen[0], name._replace(cells=name.cells + max(0, min(spare, 14))), *chosen[2:])


def slo_heading(cells: int) -> Line:
    return ((" ", ""), *spaced([(fit(each.title, each.cells), "title") for each in columns(cells)]))


def slo_line(board: Board, report: Report, cells: int) -> Line:
    """One row. What is not known says so in words, in place of a figure (I25)."""
    state = shown_state(board, report)
    chosen = columns(cells)
    spans: list[Span] = []
    plain = isinstance(report, ThresholdReport) or state is BudgetState.STALE or _figureless(report)
    for column in chosen:
        if plain and column.name in _MEASURED:
            if column.name == _MEASURED[0]:
                room = sum(each.cells + 1 for each in chosen if each.name in _MEASURED) - 1
                spans.append((fit(_instead(report, state), room), "" if _known(state) else "stale"))
            continue
        text, style = _cell(board, report, state, column)
        spans.append((fit(text, column.cells), style))
    return spaced(spans)


def _known(state: BudgetState) -> bool:
    return state not in (BudgetState.STALE, BudgetState.NO_DATA, BudgetState.CONTRADICTION)


def _figureless(report: Report) -> bool:
    return isinstance(report, SloReport) and report.remaining is None


def _instead(report: Report, state: BudgetState) -> str:
    """What stands where an SLO in order has its budget: a threshold's value, the last known, or why not."""
    if isinstance(report, ThresholdReport):
        if report.value is None:
            return clean(report.why, 200) or "no value"
        was = "was " if state is BudgetState.STALE else ""
        return f"{was}{threshold_words(report)}"
    if report.remaining is not None:
        return f"was {percent(report.remaining)} left{excluded_words(report)}"
    return f"{clean(report.why, 200) or 'no figure'}{excluded_words(report)}"


def threshold_words(report: ThresholdReport) -> str:
    """`5 runs (wanted < 3)`, `99.1 % of runs (wanted ≥ 99.5 %)`."""
    spec = report.threshold
    bound = amount(spec.bound, "share") if spec.unit.startswith("share") else f"{spec.bound:g}"
    return f"{amount(report.value, spec.unit)} (wanted {spec.op.sign} {bound})"


def _cell(board: Board, report: Report, state: BudgetState, column: Column) -> Span:
    stale = state is BudgetState.STALE
    match column.name:
        case "state":
            return (state_words(report, state), STYLE[state])
        case "name":
            return (clean(report.name, 80), "stale" if stale else "strong" if state.severity >= 3 else "")
        case "age":
            age = sample_age_s(board, report)
            return ("none" if age is None else span(age), "unknown" if stale else "dim")
        case "breaker":
            return (clean(report.breaker, 80).removeprefix("component:"), "dim")
    if not isinstance(report, SloReport):
        return ("", "")
    match column.name:
        case "budget":
            room = column.cells - _GAUGE_FOR - 1
            left = "-" if report.remaining is None else percent(report.remaining)
            if out := excluded_words(report):  # in place of the bar: the figure rests on what was left out
                short = f"{left}{excluded_words(report, brief=True)}"
                whole = f"{left}{out}"
                return (whole if len(whole) <= column.cells else short, STYLE[state])
            return (f"{gauge(report.remaining, room)} {left:>{_GAUGE_FOR}}", STYLE[state])
        case "burn":
            burn = report.burns.get(HOUR)
            mark = "!" if any(pair.pages for pair in report.fired) else ""
            return (f"{burn_words(burn)}{mark}".rjust(6), "warn" if burn is not None and burn > 1 else "")
        case "empty":
            return (empty_in(report), "bad" if report.exhausted_in_s == 0 else "")
        case "minutes":
            return (minutes(report.minutes_left), "")
        case "fired":
            return (fired_words(report.fired), "bad" if any(pair.pages for pair in report.fired) else "warn")
        case _:
            return (sparkline(report.trend, report.slo.objective, column.cells), "stale" if stale else "")


def empty_in(report: SloReport) -> str:
    """When the budget is spent at the last hour's burn."""
    if report.exhausted_in_s is None:
        return "-"
    return "SPENT" if report.exhausted_in_s == 0 else span(min(float(report.exhausted_in_s), 8.64e9))


def minutes(left: Decimal | None) -> str:
    return "-" if left is None else f"{left:,.0f} min" if abs(left) >= 10 else f"{left:.1f} min"


def fired_words(fired: Sequence[WindowPair]) -> str:
    """The gravest pair by its long window: `page 1h`, `+1` where there are more."""
    if not fired:
        return "-"
    first = min(fired, key=lambda pair: (not pair.pages, pair.long_s))
    more = f"+{len(fired) - 1}" if len(fired) > 1 else ""
    return f"{'page' if first.pages else 'tick'} {duration(first.long_s)}{more}"


def wanted_order(board: Board) -> tuple[str, ...]:
    """The objectives' names, worst first."""
    return tuple(report.name for report in worst_first(board.slos.reports)) if board.slos else ()


def counts(board: Board) -> dict[BudgetState, int]:
    """How many objectives stand how, worst first."""
    states = [shown_state(board, each) for each in (board.slos.reports if board.slos else ())]
    return {
        state: states.count(state)
        for state in sorted(BudgetState, key=lambda each: -each.severity)
        if state in states
    }


def status_lines(board: Board, order: Line, cells: int) -> list[Line]:
    """Above the table: how many stand how, how old that is, how it is sorted; then what is wrong with files
    and sources."""
    if board.slos is None:
        said = clean(board.slos_error or "", 300)
        first: Line = (("SLOs ", "title"), *(unread(board)))
        return [first, *(wrap(f" ! {said}", cells, 3, "bad") if said else [])]
    age = f"read {span(board.slos_age_s or 0)} ago"
    parts: list[Span] = [("SLOs ", "title")]
    parts += [(age, "dim") if board.slos_readable else (f"STALE, {age}", "bad"), (" · ", "dim"), *order]
    for state, count in counts(board).items():
        parts += [(" · ", "dim"), (f"{count} {state.value}", STYLE[state])]
    if board.slos.simulated:
        parts += [(" · ", "dim"), (board.slos.simulated, "warn")]
    lines = fold(tuple(parts), cells, 2)
    faults = (*((board.slos_error,) if board.slos_error else ()), *board.slos.faults)
    for fault in faults[:_FAULTS]:
        lines += wrap(f" ! {fault}", cells, 2, "bad")
    if faults and board.slos.book.loaded_at is not None:
        more = f"{len(faults) - _FAULTS} more; " if len(faults) > _FAULTS else ""
        lines.append(((f"   {more}objectives as loaded at {clock_s(board.slos.book.loaded_at)}", "dim"),))
    return lines


def unread(board: Board) -> Line:
    if not board.objectives:
        return (("no objective is configured: [slos] in config.toml", "dim"),)
    if board.slos_error:
        return (("unread", "unknown"),)
    return (("reading…", "dim"),)
