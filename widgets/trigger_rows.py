"""Rows of the automatic triggers: how near each is to its threshold. Pure functions of the board."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.text import clean
from cockpit.domain.trigger_reports import TriggerReport, TriggerState
from widgets.board import Board
from widgets.columns import Column, spaced
from widgets.line import Line, Span, fit, fold, wrap
from widgets.slo_signs import amount, gauge
from widgets.times import clock, clock_s, span

SYMBOL: Final = {
    TriggerState.CLEAR: "●",
    TriggerState.NEAR_50: "◇",
    TriggerState.NEAR_75: "◆",
    TriggerState.NEAR_90: "▲",
    TriggerState.BREACHED: "■",
    TriggerState.MISSING: "?",
}
STYLE: Final = {
    TriggerState.CLEAR: "trading",
    TriggerState.NEAR_50: "limited",
    TriggerState.NEAR_75: "limited",
    TriggerState.NEAR_90: "probing",
    TriggerState.BREACHED: "halted",
    TriggerState.MISSING: "unknown",
}
OFF: Final = "○ OFF"
"""A rule that is not armed says nothing: there is no such incident as it waits for."""
SHOWN_FROM: Final = 0.5
"""How far on the way a rule must be for the time until it fires to be worth a word."""
_RANK: Final = {state: rank for rank, state in enumerate(TriggerState)}
_RANK_MISSING: Final = 2.5  # beside the nearest: what is not measured may be past its threshold
_NARROW: Final = (
    Column("state", "STATE", 12),
    Column("rule", "RULE", 19),
    Column("distance", "DISTANCE", 13),
    Column("value", "VALUE/LIMIT", 16),
    Column("samples", "SAMPLES", 7),
    Column("mode", "MODE", 6),
)
_WIDE: Final = (
    Column("state", "STATE", 12),
    Column("rule", "RULE", 22),
    Column("distance", "DISTANCE", 16),
    Column("value", "VALUE/LIMIT", 17),
    Column("samples", "SAMPLES", 7),
    Column("subject", "SUBJECT", 8),
    Column("breach", "BREACH", 6),
    Column("mode", "MODE", 6),
    Column("aim", "EFFECT ON", 16),
)
_PERCENT: Final = 5


def columns(cells: int) -> tuple[Column, ...]:
    """The columns for a width; what is left over widens the rules' names."""
    chosen: tuple[Column, ...] = _NARROW if cells < 112 else _WIDE
    spare = cells - sum(each.cells for each in chosen) - len(chosen) + 1
    rule = chosen[1]
    return (chosen[0], rule._replace(cells=rule.cells + max(0, min(spare, 14))), *chosen[2:])


def trigger_heading(cells: int) -> Line:
    return ((" ", ""), *spaced([(fit(each.title, each.cells), "title") for each in columns(cells)]))


def reports(board: Board) -> Sequence[TriggerReport]:
    return board.guard.reports if board.guard is not None else ()


def wanted_order(board: Board) -> tuple[str, ...]:
    """The rules' names, nearest to their thresholds first."""

    def key(report: TriggerReport) -> tuple[float, float, str]:
        return (-rank(report), -(report.fraction or 0.0), report.rule)

    return tuple(report.rule for report in sorted(reports(board), key=key))


def rank(report: TriggerReport) -> float:
    """How near the rule is to its threshold, in steps."""
    return _RANK_MISSING if report.state is TriggerState.MISSING else float(_RANK[report.state])


def trigger_line(board: Board, report: TriggerReport, cells: int) -> Line:
    """One row. What a guard said that no longer acts is what was, not what is (I25)."""
    fresh = board.guard_alive
    return spaced([_fitted(column, _cell(report, column, fresh), fresh) for column in columns(cells)])


def _fitted(column: Column, span_: Span, fresh: bool) -> Span:
    text, style = span_
    return (fit(text, column.cells), style if fresh else "stale")


def is_off(report: TriggerReport) -> bool:
    """Whether the rule is not armed: only then a distance is missing where samples are not."""
    return report.state is TriggerState.CLEAR and report.fraction is None


def is_over(report: TriggerReport) -> bool:
    """Whether a sustained rule is past its bound, and only its time has yet to run out."""
    nearest = report.state is TriggerState.NEAR_90
    return nearest and report.fraction is not None and report.fraction >= 1 and report.breach_in_s is not None


def state_words(report: TriggerReport, fresh: bool) -> str:
    """`▲ NEAR 90%`, `○ OFF`, `▲ OVER, fires in 58 s`; of a guard that no longer acts `? was …`."""
    word = report.state.value
    if is_off(report):
        return OFF if fresh else "? was OFF"
    if is_over(report):
        word = f"OVER, fires in {breach_words(report)}" if fresh else "OVER"
    return f"{SYMBOL[report.state]} {word}" if fresh else f"? was {word}"


def state_style(report: TriggerReport) -> str:
    return "dim" if is_off(report) else STYLE[report.state]


def _cell(report: TriggerReport, column: Column, fresh: bool) -> Span:
    style = state_style(report)
    over = is_over(report) and fresh
    match column.name:
        case "state":
            return (f"{SYMBOL[report.state]} OVER" if over else state_words(report, fresh), style)
        case "rule":
            near = report.state not in (TriggerState.CLEAR, TriggerState.NEAR_50)
            return (clean(report.rule, 80), "strong" if near else "")
        case "distance" if over:
            words = f"in {breach_words(report)}"
            return (f"fires {words}" if len(words) + 6 <= column.cells else words, style)
        case "distance":
            bar = gauge(report.fraction, column.cells - _PERCENT - 1)
            return (f"{bar} {distance(report.fraction):>{_PERCENT}}", style)
        case "value":
            return (_of_threshold(report, " / "), "")
        case "samples":
            few = report.samples < report.min_samples
            return (f"{report.samples}/{report.min_samples}".rjust(7), "warn" if few else "dim")
        case "subject":
            return (clean(report.subject, 40) or "-", "")
        case "breach":
            return (breach_words(report), "dim" if breach_words(report) == "-" else "warn")
        case "mode":
            return (clean(report.mode, 20), "strong" if report.mode == "live" else "dim")
        case _:
            return (f"{clean(report.effect, 20)} {aim_words(report)}", "dim")


def aim_words(report: TriggerReport) -> str:
    """`execution*` where the rule is aimed at `global`: the guard may not halt that."""
    aim = f"{EXECUTION}*" if report.aim == GLOBAL else clean(report.aim, 60)
    return aim.removeprefix("component:")


def distance(fraction: float | None) -> str:
    """How much of the way to the threshold is gone: `62 %`; `-` where nothing is known."""
    if fraction is None:
        return "-"
    return f"{min(max(fraction * 100, -999), 999):.0f} %"


def _of_threshold(report: TriggerReport, between: str) -> str:
    """`420 / 300 ms`, `9.4 % / 10 %`."""
    if report.unit.startswith("share"):
        return f"{amount(report.value, report.unit)}{between}{amount(report.threshold, report.unit)}"
    return f"{amount(report.value, '')}{between}{amount(report.threshold, report.unit)}"


def breach_words(report: TriggerReport) -> str:
    """Until it fires, from half of the way on: what drifts far off is no news."""
    if report.state is TriggerState.BREACHED:
        return "NOW"
    near = report.fraction is not None and report.fraction >= SHOWN_FROM
    return span(min(report.breach_in_s, 8.64e9)) if near and report.breach_in_s is not None else "-"


def status_lines(board: Board, order: Line, cells: int) -> list[Line]:
    """Above the table: who evaluates, how old that is, how many stand how; then what is wrong with rules."""
    guard = board.guard
    head: Span = ("TRIGGERS ", "title")
    if board.desk is None:
        why = f"unread: {clean(board.desk_error or '', 200)}" if board.desk_error else "reading…"
        return [(head, (why, "unknown" if board.desk_error else "dim"))]
    if guard is None:
        return [
            (
                head,
                ("no guard has ever run here: nothing trips by itself; `cockpit guard` starts one", "warn"),
            )
        ]
    age = span(board.guard_age_s or 0)
    holder = f" {clean(guard.holder, 40)}," if cells >= 112 else ""
    who = f"guard{holder} term {guard.term}"
    if not board.guard_alive:
        lost = "Postgres unreadable here" if not board.desk_readable else f"{who} silent"
        return [(head, (f"STALE · {lost} for {age}: nothing here is what is now", "bad"))]
    parts: list[Span] = [head, (f"{who}, {age} ago · ", "dim"), *order]
    states = [report.state for report in guard.reports if not is_off(report)]
    for state in sorted(set(states), key=lambda each: -_RANK[each]):
        parts += [(" · ", "dim"), (f"{states.count(state)} {state.value}", STYLE[state])]
    if off := sum(map(is_off, guard.reports)):
        parts.append((f" · {off} OFF", "dim"))
    lines = fold(tuple(parts), cells, 2)
    for fault in guard.faults[:2]:
        lines += wrap(f" ! {fault}", cells, 2, "bad")
    return lines


def trigger_details(board: Board, report: TriggerReport, cells: int) -> list[Line]:
    """The rule in words, then the samples that its verdict rests on."""
    fresh = board.guard_alive
    style = state_style(report) if fresh else "stale"
    lines: list[Line] = [
        (
            (f"{state_words(report, fresh)} ", style),
            (f"{clean(report.rule, 80)} ", "strong"),
            (clean(report.title, 160), "dim"),
        ),
    ]
    whole = "whole platform"
    lines.append(
        (
            ("value     ", "title"),
            (_of_threshold(report, " of "), ""),
            (f" ({distance(report.fraction)} of the way) · {clean(report.subject, 60) or whole}", ""),
            (_breach_in(report), "warn"),
        )
    )
    lines.append((("does      ", "title"), (_effect_words(report), "" if report.mode == "live" else "warn")))
    newest = f", newest {clock_s(report.newest_at)}" if report.newest_at else ""
    lines.append(
        (("samples   ", "title"), (f"{report.samples} of at least {report.min_samples}{newest}", ""))
    )
    if report.why:
        lines += _labelled("why", report.why, cells)
    fired = (
        f"{clock(report.fired_at, board.desk_now)} on {clean(report.fired_on, 80) or whole}"
        if report.fired_at
        else "never, as far as this guard knows"
    )
    lines.append((("fired     ", "title"), (fired, "bad" if report.fired_at else "dim")))
    if report.evidence:
        lines.append((("evidence  ", "title"), ("newest first: time, value, sample", "dim")))
        lines += [
            (
                (f"  {clock_s(each.at)} ", "dim"),
                (f"{amount(each.value, report.unit):>14} ", ""),
                (clean(each.sample_id, 120), "dim"),
            )
            for each in report.evidence
        ]
    return lines


def _breach_in(report: TriggerReport) -> str:
    words = breach_words(report)
    return "" if words in ("-", "NOW") or is_over(report) else f" · breach in {words}"


def _effect_words(report: TriggerReport) -> str:
    aim = f"{EXECUTION} (for {GLOBAL})" if report.aim == GLOBAL else clean(report.aim, 80)
    paged = ", P0 + page" if report.aim == GLOBAL else ""
    act = {"trip": f"trips {aim}", "limit": f"limits the size of {aim}"}.get(
        report.effect, f"{clean(report.effect, 20)} {aim}"
    )
    if report.mode == "live":
        return f"{act} by itself (live){paged}"
    return f"only says so: {clean(report.mode, 20)} mode; live it {act}{paged}"


def _labelled(name: str, text: str, cells: int) -> list[Line]:
    first, *more = wrap(text, max(10, cells - 10), 2)
    return [((fit(name, 10), "title"), *first), *(((" " * 10, ""), *line) for line in more)]
