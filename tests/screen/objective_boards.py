"""Boards with objectives and triggers in every state, for tests without a terminal or a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from cockpit.domain.audit import Head
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.budgets import BURN_WINDOWS, DAY, Counts
from cockpit.domain.desk import DeskSnapshot, SizeLimit
from cockpit.domain.documents import Document, Epoch, Reading, effective
from cockpit.domain.limits import Limits
from cockpit.domain.slo_reports import SliReading, SloReport, SloSnapshot, judge_slo, judge_threshold
from cockpit.domain.slos import (
    Budgeting,
    Consecutive,
    Exclusion,
    Op,
    Ratio,
    Slo,
    SloBook,
    Source,
    SourceKind,
    Statistic,
    Threshold,
)
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import GuardSnapshot, SampleRef, TriggerReport, TriggerState
from widgets.board import Board

NOW = datetime(2026, 11, 21, 3, 16, tzinfo=UTC)
CATALOGUE = Catalogue.build(["execution", "ingest"], ["BTC-USD"], ["momentum"])
EXECUTION = BreakerId("component:execution")
RUN = "a" * 40
WINDOW = 30 * DAY


def slo(name: str, objective: str = "0.995", **changes: object) -> Slo:
    source = Source(SourceKind.POSTGRES, name.replace("-", "_"))
    made = Slo(
        name, f"Title of {name}", f"What {name} is about", Decimal(objective), WINDOW,
        Ratio(source, source, None, False), Budgeting.OCCURRENCES, None, EXECUTION,
        file="runbooks/slos/order-execution.yaml", line=7,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def counted(bad: int, total: int = 10_000, last_hour: int = 0) -> Mapping[int, Counts]:
    """`bad` of `total` events in the window, of which `last_hour` of 1,000 in each burn window."""
    short = {length: Counts(Decimal(1_000 - last_hour), Decimal(1_000)) for length in BURN_WINDOWS}
    return {**short, WINDOW: Counts(Decimal(total - bad), Decimal(total))}


def read(bad: int = 0, age_s: float = 3, **changes: object) -> SliReading:
    made = SliReading(
        NOW, counted(bad), newest_at=NOW - timedelta(seconds=age_s), trend=(1.0, 0.99, None, 0.9)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def report(name: str, reading: SliReading | None = None, **changes: object) -> SloReport:
    return judge_slo(slo(name, **changes), reading if reading is not None else read())


def threshold(name: str, value: float | None, age_s: float = 3, **changes: object) -> Threshold:
    made = Threshold(
        name, f"Title of {name}", "A plain bound", Source(SourceKind.POSTGRES, name.replace("-", "_")),
        Statistic.LATEST, 0, Op.LT, 3, "runs", EXECUTION, file="own.yaml", line=3,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def every_state() -> tuple[SloReport, ...]:
    """One SLO in each state: 50 of 10,000 bad events spend the whole budget of 99.5 %."""
    empty = {length: Counts() for length in (*BURN_WINDOWS, WINDOW)}
    return (
        report("feed-green", read(10)),
        report("bars-yellow", read(30)),
        report("latency-orange", read(41, streak=2), consecutive=Consecutive(3, "bars")),
        report(
            "orders-red",
            replace(read(106, streak=9), counts=counted(106, last_hour=90)),
            consecutive=Consecutive(5, "orders"),
        ),
        report("idle", read(counts=empty)),
        report("silent", read(newest_at=None, counts={})),
        report("old", read(10, age_s=900)),
        report("torn", read(contradictions=4)),
    )


def snapshot(*reports: SloReport, faults: tuple[str, ...] = ()) -> SloSnapshot:
    chosen = reports or every_state()
    bounds = [threshold("mismatch-runs", 5), threshold("stale-warnings", 0)]
    judged = tuple(
        judge_threshold(each, read(value=value)) for each, value in zip(bounds, (5.0, 0.0), strict=True)
    )
    book = SloBook(tuple(each.slo for each in chosen), tuple(bounds), NOW - timedelta(hours=1))
    return SloSnapshot(NOW, 100.0, book, chosen, () if reports else judged, faults=faults)


def exclusion(slo_name: str, **changes: object) -> Exclusion:
    made = Exclusion(
        "x-1", slo_name, NOW - timedelta(hours=2), NOW - timedelta(hours=1), "announced maintenance",
        "admin1", "admin2", 42,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def trigger(rule: str, state: TriggerState, fraction: float | None, **changes: object) -> TriggerReport:
    value = None if fraction is None else fraction * 300
    made = TriggerReport(
        rule, f"Title of {rule}", "live", "trip", EXECUTION, "ms", 300, state, "BTC-USD", value, fraction,
        samples=12, min_samples=10, newest_at=NOW, why=f"p95 over 2 min of {rule}",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def every_trigger() -> tuple[TriggerReport, ...]:
    return (
        trigger("api-errors", TriggerState.CLEAR, 0.2),
        trigger("data-stale", TriggerState.NEAR_50, 0.6),
        trigger("drawdown", TriggerState.NEAR_75, 0.8, mode="shadow"),
        trigger("daily-loss", TriggerState.NEAR_90, 0.93, breach_in_s=240.0, aim="global"),
        trigger(
            "latency", TriggerState.BREACHED, 1.4, fired_at=NOW, fired_on="BTC-USD",
            evidence=(SampleRef("order-17", NOW, 420.0), SampleRef("order-16", NOW, 411.5)),
        ),
        trigger("settlement", TriggerState.MISSING, None, samples=0, effect="limit", newest_at=None),
    )  # fmt: skip


def guard(*reports: TriggerReport, **changes: object) -> GuardSnapshot:
    made = GuardSnapshot("guard-1", 7, 0.4, True, reports or every_trigger())
    return replace(made, **changes)  # type: ignore[arg-type]


def limit(share: str = "0.25", breaker_id: BreakerId = EXECUTION, **changes: object) -> SizeLimit:
    made = SizeLimit(
        "limit-1", breaker_id, Decimal(share), "guard", "settlement-lag", "settlement lags by 40 min",
        "automation1", NOW - timedelta(minutes=9),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def desk(guard_: GuardSnapshot | None = None, *limits: SizeLimit, **changes: object) -> DeskSnapshot:
    made = DeskSnapshot(
        NOW, NOW, 100.0, 1.0, {}, (), (), (), (), None, (), Head(0, ""), (), (), (),
        guard=guard_, size_limits=limits,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def board(
    slos: SloSnapshot | None = None,
    desk_: DeskSnapshot | None = None,
    shares: Mapping[str, str] | None = None,
    states: Mapping[str, State] | None = None,
    age_s: float = 0.2,
) -> Board:
    """Every breaker CLOSED but those in `states`, at full size but those in `shares`."""
    readings = {}
    for name in CATALOGUE.everything:
        state, epoch = (states or {}).get(name, State.CLOSED), Epoch(RUN, 3)
        document = Document(
            name, state, epoch, CATALOGUE.ancestors(name), 1, "authority", "", "", "event", NOW,
            size_share=Decimal((shares or {}).get(name, "1")),
        )  # fmt: skip
        readings[name] = Reading(name, state, epoch, document)
    folded = {name: effective(name, readings, CATALOGUE) for name in CATALOGUE.ids}
    return Board(
        "demo", "operator1", CATALOGUE, Limits(), 100.0 + age_s, NOW + timedelta(seconds=age_s),
        breakers=BreakerSnapshot(readings, folded, RUN, NOW, True, (), NOW, 100.0 + age_s),
        desk=replace(desk_ or desk(), monotonic=100.0 + age_s), slos=slos,
    )  # fmt: skip
