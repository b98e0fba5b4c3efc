"""Budgets, thresholds and triggers as metrics: what is not known is absent, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from backends.event_counts import EventCounts
from cockpit.domain.audit import EMPTY
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BURN_WINDOWS, DAY, HOUR, BudgetState, Counts
from cockpit.domain.desk import DeskSnapshot
from cockpit.domain.slo_reports import SliReading, SloSnapshot, judge_slo, judge_threshold
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Op,
    Ratio,
    Slo,
    SloBook,
    Source,
    SourceKind,
    Statistic,
    Threshold,
)
from cockpit.domain.trigger_reports import GuardSnapshot, TriggerReport, TriggerState
from cockpit.exporter.desk_metrics import MOST_RULES, add_desk
from cockpit.exporter.families import LABEL_LIMIT, Families
from cockpit.exporter.objective_metrics import add_objectives
from tests.metrics.scraping import Samples
from tests.trading_platform import demo_catalogue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = Source(SourceKind.POSTGRES, "orders")
SLO = Slo(
    name="order-success",
    title="Order success",
    description="",
    objective=Decimal("0.99"),
    window_s=30 * DAY,
    indicator=Ratio(SOURCE, SOURCE, None, counter=False),
    budgeting=Budgeting.OCCURRENCES,
    slices=None,
    breaker=EXECUTION,
    consecutive=Consecutive(5, "orders"),
)
THRESHOLD = Threshold("errors", "Errors", "", SOURCE, Statistic.LATEST, 0, Op.LTE, 0.02, "share", EXECUTION)
# 1,000 events with 4 bad ones of 10 allowed; all of them in the last hour.
BUSY = dict.fromkeys((30 * DAY, *BURN_WINDOWS), Counts(Decimal(996), Decimal(1_000)))
BURNS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# What tells how the budget stands now.
FIGURES = (
    "slo_error_budget_remaining_ratio",
    "slo_error_budget_exhausted_in_seconds",
    "slo_events",
    "slo_excluded_events",
    "slo_burn_rate",
    "slo_burn_fired",
    "slo_consecutive_bad",
    "slo_breached",
)


def told(families: Families) -> Samples:
    """Through the text and back, as a scrape would."""
    from prometheus_client.parser import text_string_to_metric_families

    registry = CollectorRegistry()
    registry.register(families)
    return Samples(text_string_to_metric_families(generate_latest(registry).decode()))


def objectives(slo: Slo = SLO, reading: SliReading | None = None) -> Samples:
    reading = reading or SliReading(NOW, counts=BUSY, newest_at=NOW)
    families = Families()
    reports = (judge_slo(slo, reading),)
    threshold = judge_threshold(THRESHOLD, replace(reading, value=0.01))
    add_objectives(families, SloSnapshot(NOW, 0.0, SloBook(), reports, (threshold,)))
    return told(families)


def test_a_budget_in_figures() -> None:
    found = objectives()
    assert found.get("slo_info", slo=SLO.name, breaker_id=EXECUTION, title="Order success") == 1
    assert found.get("slo_objective", slo=SLO.name) == 0.99
    assert found.get("slo_window_seconds", slo=SLO.name) == 30 * DAY
    assert found.get("slo_error_budget_remaining_ratio", slo=SLO.name) == pytest.approx(0.6)
    assert found.get("slo_events", slo=SLO.name, outcome="good") == 996
    assert found.get("slo_events", slo=SLO.name, outcome="bad") == 4
    assert found.get("slo_last_sample_timestamp_seconds", slo=SLO.name) == NOW.timestamp()
    assert found.get("slo_breached", slo=SLO.name) == 0
    for window in BURNS:
        assert found.get("slo_burn_rate", slo=SLO.name, window=window) == pytest.approx(0.4)
    assert len(found.all("slo_burn_rate")) == len(BURNS)
    thresholds = {"1h": 14.4, "6h": 6, "1d": 3, "3d": 1}
    for window, burn in thresholds.items():
        assert found.get("slo_burn_threshold", slo=SLO.name, window=window) == pytest.approx(burn)
    assert found.get("slo_threshold_value", threshold="errors") == 0.01
    assert found.get("slo_threshold_bound", threshold="errors") == 0.02
    assert found.get("slo_threshold_state", threshold="errors", state="GREEN") == 1


def test_a_state_is_one_of_all() -> None:
    found = objectives()
    assert found.get("slo_state", slo=SLO.name, state="GREEN") == 1
    assert sum(found.all("slo_state")) == 1
    assert len(found.all("slo_state")) == len(BudgetState)


def test_an_overspent_budget_is_negative_and_says_which_windows_burn() -> None:
    spent = dict.fromkeys(BUSY, Counts(Decimal(800), Decimal(1_000)))
    found = objectives(reading=SliReading(NOW, counts=spent, newest_at=NOW, streak=6))
    assert found.get("slo_error_budget_remaining_ratio", slo=SLO.name) == pytest.approx(-19)
    assert found.get("slo_burn_fired", slo=SLO.name, severity="page", window="1h") == 1
    assert found.get("slo_burn_fired", slo=SLO.name, severity="ticket", window="3d") == 1
    assert found.get("slo_error_budget_exhausted_in_seconds", slo=SLO.name) == 0
    assert found.get("slo_consecutive_bad", slo=SLO.name) == 6
    assert found.get("slo_breached", slo=SLO.name) == 1


def test_an_slo_over_a_day_has_no_pair_that_looks_back_farther() -> None:
    counts = {DAY: Counts(Decimal(9), Decimal(10)), HOUR: Counts(Decimal(9), Decimal(10))}
    found = objectives(replace(SLO, window_s=DAY), SliReading(NOW, counts=counts, newest_at=NOW))
    assert {each["window"] for each in found.labels("slo_burn_threshold")} == {"1h", "6h", "1d"}
    assert {each["window"] for each in found.labels("slo_burn_rate")} == {"1h", "1d"}  # others hold no event


UNKNOWN = {
    BudgetState.NO_DATA: SliReading(NOW, fault="the source is away"),
    BudgetState.STALE: SliReading(NOW, counts=BUSY, newest_at=NOW - timedelta(hours=1), value=0.01),
    BudgetState.CONTRADICTION: SliReading(NOW, counts=BUSY, newest_at=NOW, contradictions=1, value=0.01),
}


@pytest.mark.parametrize("state", UNKNOWN, ids=str)
def test_what_is_not_known_is_absent(state: BudgetState) -> None:  # I25
    found = objectives(reading=UNKNOWN[state])
    assert found.get("slo_state", slo=SLO.name, state=state.value) == 1
    assert found.get("slo_threshold_state", threshold="errors", state=state.value) == 1
    for name in (*FIGURES, "slo_threshold_value"):
        assert found.all(name) == [], name
    assert found.get("slo_objective", slo=SLO.name) == 0.99


def test_no_traffic_has_no_ratio() -> None:
    found = objectives(reading=SliReading(NOW, newest_at=NOW))
    assert found.get("slo_state", slo=SLO.name, state="NO TRAFFIC") == 1
    assert found.all("slo_error_budget_remaining_ratio") == []
    assert found.all("slo_burn_rate") == []
    assert found.get("slo_events", slo=SLO.name, outcome="good") == 0  # samples say so


NEAR = TriggerReport(
    "slippage", "Slippage", "live", "trip", "component:execution", "%", 50.0, TriggerState.NEAR_90,
    value=46.0, fraction=0.92, breach_in_s=30.0, samples=10,
)  # fmt: skip


def guard(
    reports: tuple[TriggerReport, ...], *, alive: bool = True, counts: Mapping[tuple[str, str], int]
) -> Samples:
    snapshot = DeskSnapshot(
        NOW, NOW, 0.0, 1.0, breakers={}, requests=(), approvals=(), runs=(), incidents=(), lease=None,
        audit=(), head=EMPTY, orders=(), positions=(), automations=(),
        guard=GuardSnapshot("host", 3, 0.5, alive, reports),
    )  # fmt: skip
    families = Families()
    add_desk(families, snapshot, EventCounts({}, counts), None, demo_catalogue())
    return told(families)


def test_triggers_in_figures() -> None:
    found = guard((NEAR,), counts={("slippage", "live"): 2, ("old", "shadow"): 1})
    assert found.get("guard_up") == 1
    assert found.get("guard_trigger_fraction", rule="slippage") == 0.92
    assert found.get("guard_trigger_value", rule="slippage") == 46
    assert found.get("guard_trigger_threshold", rule="slippage") == 50
    assert found.get("guard_trigger_breach_in_seconds", rule="slippage") == 30
    assert found.get("guard_trigger_state", rule="slippage", state="NEAR 90%") == 1
    assert sum(found.all("guard_trigger_state")) == 1
    assert found.get("guard_trigger_firings_total", rule="slippage", mode="live") == 2
    assert found.get("guard_trigger_firings_total", rule="old", mode="shadow") == 1


def test_a_rule_that_never_fired_counts_from_zero() -> None:
    found = guard((NEAR,), counts={})
    assert found.get("guard_trigger_firings_total", rule="slippage", mode="live") == 0


def test_a_rule_without_samples_has_no_distance() -> None:  # F14
    missing = replace(NEAR, state=TriggerState.MISSING, value=0.0, fraction=0.0)
    found = guard((missing,), counts={})
    assert found.get("guard_trigger_state", rule="slippage", state="MISSING") == 1
    for name in ("guard_trigger_value", "guard_trigger_fraction", "guard_trigger_breach_in_seconds"):
        assert found.all(name) == []


def test_a_guard_that_is_gone_tells_no_distances() -> None:  # I25
    found = guard((NEAR,), alive=False, counts={("slippage", "live"): 2})
    assert found.get("guard_up") == 0
    assert found.get("guard_lease_age_seconds") == 0.5
    assert found.all("guard_trigger_fraction") == found.all("guard_trigger_state") == []
    assert found.get("guard_trigger_firings_total", rule="slippage", mode="live") == 2


def test_what_a_guard_says_can_neither_break_nor_flood_a_scrape() -> None:  # I26
    wild = 'x"} 1\ncb_staleness_seconds 0\n\x1b[31m' + "y" * 500
    reports = (replace(NEAR, rule=wild), replace(NEAR, rule=wild, fraction=0.1), *([NEAR] * 3))
    found = guard(reports, counts={})
    assert found.get("cb_staleness_seconds") is None
    (one,) = (each["rule"] for each in found.labels("guard_trigger_fraction") if each["rule"] != "slippage")
    assert "\n" not in one
    assert "\x1b" not in one
    assert len(one) <= LABEL_LIMIT
    assert sorted(found.all("guard_trigger_fraction")) == [0.92, 0.92]  # the first of two equal ones
    many = tuple(replace(NEAR, rule=f"r{number}") for number in range(MOST_RULES + 50))
    assert len(guard(many, counts={}).all("guard_trigger_fraction")) == MOST_RULES


def test_only_known_names_and_labels() -> None:
    families = Families()
    with pytest.raises(KeyError):
        families.add("breaker_stat", 1.0)
    with pytest.raises(KeyError, match="breaker_state has the labels"):
        families.add("breaker_state", 1.0, breaker="x")
    families.add("slo_objective", float("nan"), slo="x")
    families.add("slo_objective", Decimal("NaN"), slo="y")
    collected: list[Metric] = list(families.collect())
    assert collected == []
