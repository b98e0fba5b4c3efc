"""Objectives as lines for people: the list, worst first, and one of them in detail. Nothing needs colour:
each state stands there as the screen shows it, a symbol and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from cockpit.cli.columns import aligned, percent, span
from cockpit.cli.slo_fields import query_fields
from cockpit.domain.budgets import BURN_WINDOWS, HOUR, PAIRS, BudgetState, WindowPair, duration
from cockpit.domain.documents import rfc3339
from cockpit.domain.slo_reports import (
    TREND_POINTS,
    Report,
    SloReport,
    SloSnapshot,
    ThresholdReport,
    worst_first,
)
from cockpit.domain.slos import Exclusion
from widgets.slo_signs import burn_words, excluded_words, sparkline, state_words, streak_words

_HEAD: Final = ("STATE", "OBJECTIVE", "LEFT", "BURN 1h", "LASTS", "BREAKER", "WHY")


def overview(snapshot: SloSnapshot) -> tuple[str, ...]:
    """Every objective, worst first, and what the worst of them allows."""
    reports = worst_first(snapshot.reports)
    if not reports:
        return ("No objective is loaded: [slos] of the settings names their folders.",)
    rows = [_HEAD, *map(_row, reports)]
    worst = reports[0]
    return (*aligned(rows, frozenset({2, 3})), "", f"{state_words(worst, worst.state)}: {_allows(worst)}")


def _allows(report: Report) -> str:
    if isinstance(report, ThresholdReport) and report.state is BudgetState.RED:
        return f"Nothing of {report.breaker} resumes while it is broken."
    return report.state.actions


def _row(report: Report) -> Sequence[str]:
    name, breaker = report.name, str(report.breaker)
    if isinstance(report, ThresholdReport):
        return (state_words(report, report.state), name, "–", "–", "–", breaker, report.why)
    streak = f"; {_streak(report)}" if report.breached else ""
    alerts = f"; fires {', '.join(each.name for each in report.fired)}" if report.fired else ""
    return (
        state_words(report, report.state),
        name,
        percent(report.remaining),
        burn_words(report.burns.get(HOUR)),
        _lasts(report),
        breaker,
        f"{report.why}{excluded_words(report)}{streak}{alerts}",
    )


def detail(report: Report, at: datetime, exclusions: Sequence[Exclusion]) -> tuple[str, ...]:
    """One objective with everything behind it. `at` is the moment of the snapshot."""
    if isinstance(report, SloReport):
        return aligned([*_slo_rows(report, at), *_exclusion_rows(exclusions)])
    return aligned(list(_threshold_rows(report, at)))


def _slo_rows(report: SloReport, at: datetime) -> Iterator[Sequence[str]]:
    slo = report.slo
    budget = f"{percent(slo.objective, 3)} good over {duration(slo.window_s)} ({slo.budgeting.value})"
    yield report.name, slo.title
    yield "state", state_words(report, report.state)
    yield "allows", report.state.actions
    yield "why", report.why
    minutes = "" if report.minutes_left is None else f", {report.minutes_left:.1f} min of full outage"
    yield "left", f"{percent(report.remaining)} of the error budget{minutes}"
    yield "lasts", _lasts(report, " at the burn of the last hour")
    yield "one failure", f"costs {percent(report.one_failure_costs, 3)} of the whole budget"
    yield "last hour", f"{percent(report.ratio_now, 3)} good"
    yield "objective", budget
    yield (
        "burn",
        "   ".join(f"{duration(each)} {burn_words(report.burns.get(each))}" for each in BURN_WINDOWS),
    )
    for pair in PAIRS:
        yield "", _alert(pair, report)
    if slo.consecutive is not None:
        yield "breach", _streak(report)
    yield "trend", f"{sparkline(report.trend, slo.objective, TREND_POINTS)} (burn, 5 min each, newest right)"
    yield "breaker", str(report.breaker)
    yield from _source_rows(report, at, query_fields(slo))
    if report.excluded.total:
        yield "excluded", f"{report.excluded.bad:f} bad of {report.excluded.total:f} events of the window"


def _threshold_rows(report: ThresholdReport, at: datetime) -> Iterator[Sequence[str]]:
    threshold = report.threshold
    window = f" over {duration(threshold.window_s)}" if threshold.window_s else ""
    yield report.name, threshold.title
    yield "state", state_words(report, report.state)
    yield "why", report.why
    wanted = f"{threshold.op.sign} {threshold.bound:g} {threshold.unit}".rstrip()
    yield "wanted", f"{threshold.statistic.value}{window} {wanted}"
    yield "breaker", str(report.breaker)
    yield from _source_rows(report, at, {threshold.source.kind.value: threshold.source.query})


def _source_rows(report: Report, at: datetime, queries: dict[str, str]) -> Iterator[Sequence[str]]:
    written = report.slo if isinstance(report, SloReport) else report.threshold
    yield "age", f"newest sample {_age(report.newest_at, at)}, read {_age(report.read_at, at)}"
    for part, query in queries.items():
        yield "query", f"{part}: {query}"
    yield "written in", f"{written.file}:{written.line}"


def _exclusion_rows(exclusions: Sequence[Exclusion]) -> Iterator[Sequence[str]]:
    for each in exclusions:
        taken_back = "" if each.in_force else f"; taken back by {each.reverted_by}"
        yield (
            "exclusion",
            f"{each.exclusion_id}  {rfc3339(each.from_at)} to {rfc3339(each.until_at)}, "
            f"asked by {each.login}, approved by {each.approved_by}{taken_back}: {each.notes}",
        )


def _alert(pair: WindowPair, report: SloReport) -> str:
    now = " and ".join(burn_words(report.burns.get(each)) for each in (pair.long_s, pair.short_s))
    word = "FIRES" if pair in report.fired else "quiet"
    return f"{pair.name}: {word}, {now}, both over {burn_words(pair.factor(report.slo.window_s))} needed"


def _streak(report: SloReport) -> str:
    consecutive = report.slo.consecutive
    if consecutive is None:
        return ""
    counts = "BREACHED" if report.breached else "not breached"
    return f"{streak_words(report)}, over {consecutive.over} counts: {counts}"


def _lasts(report: SloReport, more: str = "") -> str:
    if report.remaining is None:
        return "–"
    if report.exhausted_in_s is None:
        return f"not spent{more}" if more else "–"
    return "spent" if report.exhausted_in_s <= 0 else f"{span(report.exhausted_in_s)}{more}"


def _age(moment: datetime | None, at: datetime) -> str:
    return "never" if moment is None else f"{span(max(0.0, (at - moment).total_seconds()))} ago"
