"""Objectives and error budgets as metrics. A figure that nothing vouches for now is absent, never 0."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cockpit.domain.budgets import PAIRS, BudgetState, duration
from cockpit.domain.slo_reports import SloReport, SloSnapshot, ThresholdReport
from cockpit.exporter.families import Families

STATES: Final = tuple(state.value for state in BudgetState)
UNKNOWN: Final = frozenset({BudgetState.NO_DATA, BudgetState.STALE, BudgetState.CONTRADICTION})


def add_objectives(families: Families, snapshot: SloSnapshot) -> None:
    families.add("slo_faults", float(len(snapshot.faults) + len(snapshot.book.faults)))
    for report in snapshot.slos:
        _add_slo(families, report)
    for threshold in snapshot.thresholds:
        _add_threshold(families, threshold)


def _add_slo(families: Families, report: SloReport) -> None:
    name, slo = report.name, report.slo
    families.add("slo_info", 1.0, slo=name, breaker_id=slo.breaker, title=slo.title)
    families.add("slo_objective", slo.objective, slo=name)
    families.add("slo_window_seconds", float(slo.window_s), slo=name)
    families.one_hot("slo_state", STATES, report.state.value, slo=name)
    families.add("slo_last_sample_timestamp_seconds", timestamp(report.newest_at), slo=name)
    pairs = [pair for pair in PAIRS if pair.long_s <= slo.window_s]  # the others say nothing of this SLO
    for pair in pairs:
        window = duration(pair.long_s)
        families.add("slo_burn_threshold", pair.factor(slo.window_s), slo=name, window=window)
    if report.state in UNKNOWN:
        return
    families.add("slo_error_budget_remaining_ratio", report.remaining, slo=name)
    families.add("slo_error_budget_exhausted_in_seconds", report.exhausted_in_s, slo=name)
    families.add("slo_events", report.counts.good, slo=name, outcome="good")
    families.add("slo_events", report.counts.bad, slo=name, outcome="bad")
    families.add("slo_excluded_events", report.excluded.total, slo=name)
    for length_s, burn in report.burns.items():
        families.add("slo_burn_rate", burn, slo=name, window=duration(length_s))
    for pair in pairs:
        severity = "page" if pair.pages else "ticket"
        fired = float(pair in report.fired)
        families.add("slo_burn_fired", fired, slo=name, severity=severity, window=duration(pair.long_s))
    if slo.consecutive is not None:
        families.add("slo_consecutive_bad", float(report.streak), slo=name)
        families.add("slo_breached", float(report.breached), slo=name)


def _add_threshold(families: Families, report: ThresholdReport) -> None:
    name, threshold = report.name, report.threshold
    families.add(
        "slo_threshold_info",
        1.0,
        threshold=name,
        breaker_id=threshold.breaker,
        op=threshold.op.value,
        unit=threshold.unit,
        title=threshold.title,
    )
    families.add("slo_threshold_bound", threshold.bound, threshold=name)
    families.one_hot("slo_threshold_state", STATES, report.state.value, threshold=name)
    newest = timestamp(report.newest_at)
    families.add("slo_threshold_last_sample_timestamp_seconds", newest, threshold=name)
    if report.state not in UNKNOWN:
        families.add("slo_threshold_value", report.value, threshold=name)


def timestamp(moment: datetime | None) -> float | None:
    """Unix seconds."""
    return None if moment is None else moment.timestamp()
