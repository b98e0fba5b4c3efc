"""`cockpit slo --json`: the shape that docs/contract.md fixes. Shares, rates and seconds are numbers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from cockpit.domain.documents import rfc3339
from cockpit.domain.slo_reports import Report, SloReport, SloSnapshot, ThresholdReport, worst_first
from cockpit.domain.slos import Exclusion, Limit, Ratio, Slo


def snapshot_fields(snapshot: SloSnapshot, only: str | None = None) -> dict[str, object]:
    """All objectives, worst first, or the one named `only`."""
    reports = [each for each in worst_first(snapshot.reports) if only in (None, each.name)]
    return {
        "slos": [_slo(each) for each in reports if isinstance(each, SloReport)],
        "thresholds": [_threshold(each) for each in reports if isinstance(each, ThresholdReport)],
        "exclusions": [_exclusion(each) for each in snapshot.exclusions if only in (None, each.slo)],
        "faults": list(snapshot.faults),
        "simulated_before": rfc3339(snapshot.simulated_before) if snapshot.simulated_before else None,
        "observed_at": rfc3339(snapshot.at),
    }


def _slo(report: SloReport) -> dict[str, object]:
    slo = report.slo
    return {
        **_common(report),
        "objective": _number(slo.objective),
        "window_s": slo.window_s,
        "budgeting": slo.budgeting.value,
        "remaining": _number(report.remaining),
        "minutes_left": _number(report.minutes_left),
        "exhausted_in_s": _number(report.exhausted_in_s),
        "one_failure_costs": _number(report.one_failure_costs),
        "good": _number(report.counts.good),
        "total": _number(report.counts.total),
        "ratio_1h": _number(report.ratio_now),
        "burns": {str(length): _number(burn) for length, burn in report.burns.items()},
        "fired": [each.name for each in report.fired],
        "streak": report.streak,
        "streak_over": slo.consecutive.over if slo.consecutive else None,
        "breached": report.breached,
        "excluded": {"good": _number(report.excluded.good), "total": _number(report.excluded.total)},
        "trend": list(report.trend),
        "query": query_fields(slo),
        "file": slo.file,
        "line": slo.line,
    }


def _threshold(report: ThresholdReport) -> dict[str, object]:
    threshold = report.threshold
    return {
        **_common(report),
        "value": report.value,
        "op": threshold.op.value,
        "bound": threshold.bound,
        "unit": threshold.unit,
        "statistic": threshold.statistic.value,
        "window_s": threshold.window_s,
        "query": {threshold.source.kind.value: threshold.source.query},
        "file": threshold.file,
        "line": threshold.line,
    }


def _common(report: Report) -> dict[str, object]:
    judged = report.slo if isinstance(report, SloReport) else report.threshold
    return {
        "name": report.name,
        "title": judged.title,
        "breaker_id": report.breaker,
        "state": report.state.value,
        "word": report.state.word,
        "actions": report.state.actions,
        "blocks_resume": report.state.blocks_resume,
        "why": report.why,
        "newest_at": _time(report.newest_at),
        "read_at": _time(report.read_at),
    }


def _exclusion(each: Exclusion) -> dict[str, object]:
    return {
        "exclusion_id": each.exclusion_id,
        "slo": each.slo,
        "from": rfc3339(each.from_at),
        "until": rfc3339(each.until_at),
        "notes": each.notes,
        "login": each.login,
        "approved_by": each.approved_by,
        "audit_seq": each.audit_seq,
        "reverted_at": _time(each.reverted_at),
        "reverted_by": each.reverted_by,
    }


def query_fields(slo: Slo) -> dict[str, str]:
    """What is asked of the source, by the part that it plays."""
    match slo.indicator:
        case Ratio(total=total, good=good, bad=bad):
            parts = {"total": total, "good": good, "bad": bad}
            return {name: f"{part.kind.value}: {part.query}" for name, part in parts.items() if part}
        case Limit(source=source, op=op, bound=bound):
            return {"value": f"{source.kind.value}: {source.query}", "good": f"{op.sign} {bound:g}"}


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
