"""The overview's one line on the objectives: the worst by name, the rest counted, and how old it is."""

from __future__ import annotations

from typing import Final

from cockpit.domain.budgets import HOUR, BudgetState
from cockpit.domain.slo_reports import Report, SloReport, worst_first
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, Span, width
from widgets.slo_rows import unread
from widgets.slo_signs import STYLE, SYMBOL, burn_words, percent, shown_state
from widgets.times import span

_NAMED_FROM: Final = BudgetState.YELLOW.severity
_MOST: Final = 6


def strip(board: Board, cells: int) -> Line:
    """`SLO ■ RED order-success -12 % · ▲ ORANGE signal-latency 18 % · 9 healthy · 3 s`."""
    head: Span = (" SLO ", "title")
    if board.slos is None:
        why = f": {clean(board.slos_error, 200)}" if board.slos_error else ""
        return (head, *unread(board), (why, "unknown"))
    age = span(board.slos_age_s or 0)
    if not board.slos_readable:
        why = clean(board.slos_error or "no reading came", 200)
        return (head, (f"? STALE {age}: {why}", "unknown"))
    reports = worst_first(board.slos.reports)
    if not reports:
        said = clean(board.slos.faults[0], 200) if board.slos.faults else "no objective is loaded"
        return (head, (said, "unknown" if board.slos.faults else "dim"))
    states = {each.name: shown_state(board, each) for each in reports}
    named = sorted(
        (each for each in reports if states[each.name].severity >= _NAMED_FROM or _burns(each)),
        key=lambda each: -states[each.name].severity,
    )
    for brief in (False, True):
        tail = _tail(board, list(states.values()), age, brief)
        for shown in range(min(len(named), _MOST), 0 if named else -1, -1):
            line = (head, *_named(named[:shown], states, len(named) - shown), *tail)
            if width(line) <= cells:
                return line
    return (head, *_named(named[:1], states, len(named) - 1), *tail)


def _burns(report: Report) -> bool:
    """Whether it burns so fast that somebody is to be called, whatever is left yet."""
    return isinstance(report, SloReport) and any(pair.pages for pair in report.fired)


def _named(reports: list[Report], states: dict[str, BudgetState], more: int) -> list[Span]:
    spans: list[Span] = []
    for report in reports:
        state = states[report.name]
        left = ""
        if isinstance(report, SloReport) and report.remaining is not None and state is report.state:
            left = f" {percent(report.remaining)}"
        if _burns(report) and isinstance(report, SloReport) and state.severity < _NAMED_FROM:
            left += f" burns {burn_words(report.burns.get(HOUR))}"
        spans += [(f"{SYMBOL[state]} {state.value} {clean(report.name, 40)}{left}", STYLE[state])]
        spans += [(" · ", "dim")]
    if more:
        spans += [(f"{more} more", "warn"), (" · ", "dim")]
    return spans


def _tail(board: Board, states: list[BudgetState], age: str, brief: bool) -> list[Span]:
    spans: list[Span] = []
    healthy = states.count(BudgetState.GREEN)
    if healthy:
        spans.append((f"{SYMBOL[BudgetState.GREEN]} {healthy} healthy", STYLE[BudgetState.GREEN]))
    if not brief and (idle := states.count(BudgetState.NO_TRAFFIC)):
        spans.append((f"{' · ' if spans else ''}{idle} no traffic", "dim"))
    if board.slos is not None and board.slos.faults:
        count = len(board.slos.faults)
        spans.append((f"{' · ' if spans else ''}! {count} fault{'s' if count > 1 else ''} (2)", "bad"))
    if not brief and board.slos is not None and board.slos.simulated:
        spans.append((f"{' · ' if spans else ''}past simulated", "warn"))
    return [*spans, (f"{' · ' if spans else ''}{age}", "dim")]
