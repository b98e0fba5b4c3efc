"""What Postgres says of authority, audit chain, guard, pager and the breakers' history, as metrics.

Both services publish their status as JSON. Of one that is not alive only its age is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from backends.event_counts import EventCounts
from cockpit.domain.breakers import Catalogue
from cockpit.domain.desk import DeskSnapshot, LeaseRow
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.paging import Paging
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.trigger_reports import GuardSnapshot, TriggerReport, TriggerState
from cockpit.exporter.families import Families

SEVERITIES: Final = ("P0", "P1", "P2", "P3")
TRIGGER_STATES: Final = tuple(state.value for state in TriggerState)
MOST_RULES: Final = 200  # the guard's status is its own word: it must not flood Prometheus with series


def add_desk(
    families: Families,
    desk: DeskSnapshot,
    counts: EventCounts,
    breakers: BreakerSnapshot | None,
    catalogue: Catalogue,
) -> None:
    """`breakers` says which epoch is current; without it, no run is known to be of the current one."""
    _add_authority(families, desk)
    families.add("audit_head_seq", float(desk.head.seq))
    families.add("audit_anchor_seq", None if desk.anchor is None else float(desk.anchor.seq))
    waiting = Counter(row.severity for row in desk.incidents if row.status == "open" and row.source != "trip")
    for severity in SEVERITIES:
        families.add("incidents_unacknowledged", float(waiting[severity]), severity=severity)
    _add_guard(families, desk.guard, counts)
    _add_paging(families, desk.paging)
    limits = Counter(limit.breaker_id for limit in desk.size_limits)
    for name in catalogue.ids:
        families.add("breaker_resets_total", float(counts.resets.get(name, 0)), breaker_id=name)
        families.add("breaker_size_limits", float(limits[name]), breaker_id=name)
        if breakers is not None:
            run = desk.run_of(name, breakers.readings[name].epoch)
            families.add("breaker_probe_success_ratio", None if run is None else run.ratio, breaker_id=name)


def _add_authority(families: Families, desk: DeskSnapshot) -> None:
    lease = desk.lease
    alive = lease is not None and lease.alive
    families.add("authority_up", float(alive))
    families.add("authority_queue_length", float(desk.queue))
    if lease is None:
        return
    families.add("authority_lease_age_seconds", lease.age_s)
    families.add("authority_term", float(lease.term))
    if alive:
        _add_health(families, lease)


def _add_health(families: Families, lease: LeaseRow) -> None:
    status = lease.status
    for name in ("evidence_ok", "evidence_backlog", "redis_ok", "clock_skew_s"):
        metric = "authority_" + name.replace("_skew_s", "_skew_seconds")
        families.add(metric, _number(status.get(name)))
    pending, chain, budgets = (status.get(name) for name in ("pending_trips", "chain", "budgets"))
    families.add("authority_pending_trips", float(len(pending)) if isinstance(pending, list) else None)
    if isinstance(budgets, Mapping):
        families.add("authority_budgets_ok", _number(budgets.get("ok")))
    if not isinstance(chain, Mapping):
        return
    families.add("audit_chain_ok", _number(chain.get("ok")))
    families.add("audit_chain_verified_timestamp_seconds", _moment(chain.get("verified_at")))
    families.add("audit_chain_full_verified_timestamp_seconds", _moment(chain.get("full_verified_at")))


def _add_guard(families: Families, guard: GuardSnapshot | None, counts: EventCounts) -> None:
    alive = guard is not None and guard.alive
    families.add("guard_up", float(alive))
    for (rule, mode), fired in counts.firings.items():
        families.add("guard_trigger_firings_total", float(fired), rule=rule, mode=mode)
    if guard is None:
        return
    families.add("guard_lease_age_seconds", guard.age_s)
    families.add("guard_term", float(guard.term))
    if not alive:
        return
    families.add("guard_faults", float(len(guard.faults)))
    for report in guard.reports[:MOST_RULES]:
        _add_trigger(families, report)


def _add_paging(families: Families, paging: Paging | None) -> None:
    if paging is None:
        return
    families.add("pages_waiting", float(paging.waiting))
    families.add("pages_failed", float(paging.failed))
    refused = Counter(row.severity for row in paging.rows if row.given_up)
    for severity in SEVERITIES:
        families.add("pages_given_up", float(refused[severity]), severity=severity)
    if paging.age_s is None:
        return  # a platform that pages nobody lacks no pager
    families.add("pager_up", float(paging.alive))
    families.add("pager_age_seconds", paging.age_s)
    if paging.alive:
        families.add("pager_faults", float(len(paging.faults)))


def _add_trigger(families: Families, report: TriggerReport) -> None:
    rule = report.rule
    families.add(
        "guard_trigger_info",
        1.0,
        rule=rule,
        mode=report.mode,
        effect=report.effect,
        aim=report.aim,
        unit=report.unit,
        title=report.title,
    )
    families.one_hot("guard_trigger_state", TRIGGER_STATES, report.state.value, rule=rule)
    families.add("guard_trigger_threshold", report.threshold, rule=rule)
    families.add("guard_trigger_firings_total", 0.0, rule=rule, mode=report.mode)
    if report.state is not TriggerState.MISSING:
        families.add("guard_trigger_value", report.value, rule=rule)
        families.add("guard_trigger_fraction", report.fraction, rule=rule)
        families.add("guard_trigger_breach_in_seconds", report.breach_in_s, rule=rule)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _moment(value: object) -> float | None:
    """Unix seconds of a time in a status; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        return parse_rfc3339(value).timestamp()
    except ValueError:
        return None
