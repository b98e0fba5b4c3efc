"""When rules fire, fire anew, hold and report; rows in, firings out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cockpit.domain.breakers import BreakerId
from cockpit.domain.lookout import Lookout
from cockpit.domain.trigger_reports import TriggerState, parse_report
from cockpit.domain.trigger_rows import (
    CountedOrders,
    HeldPosition,
    PastFiring,
    Rows,
    SettledOrder,
    SliSample,
)
from cockpit.domain.trigger_samples import second_of
from cockpit.domain.trigger_watch import Firing, Latch, RuleWatch, Standing, Trend, sound, state_of
from cockpit.domain.triggers import Condition, Figure, Rule, Stream, StreamKind
from tests.domain.trigger_making import CATALOGUE, at, events, level, rule

LOSS = rule(Condition.LATEST, "500", stream=Stream(StreamKind.SLI, "pnl"), figure=Figure.LOSS)
RATIO = rule(Condition.RATIO, "0.1", min_samples=10)


def always(standing: Standing) -> Callable[[Latch], Standing]:
    return lambda _latch: standing


HOLDS, RESUMED, FAILED = map(always, (Standing.HOLDS, Standing.RESUMED, Standing.FAILED))


def fire(watch: RuleWatch, seconds: float, standing: Callable[[Latch], Standing]) -> list[Firing]:
    """What is due at that moment; it is done, too."""
    watch.advance(at(seconds))
    found = watch.due(at(seconds), standing)
    for each in found:
        watch.inherit(each.subject, Latch(f"f{seconds}", each.breaker_id, each.fired_at))
    return found


def test_a_breach_fires_once() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500"), CATALOGUE)
    watch.add(level(0, 501))
    found = fire(watch, 1, HOLDS)
    assert [(each.subject, each.breaker_id, each.value) for each in found] == [
        ("", "component:execution", 501)
    ]
    assert [fire(watch, each, HOLDS) for each in (2, 30, 59)] == [[], [], []]


def test_it_fires_anew_while_somebody_resumes_over_it() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500"), CATALOGUE)
    watch.add(level(0, 501))
    assert fire(watch, 1, HOLDS) and fire(watch, 1.25, RESUMED) and fire(watch, 1.5, RESUMED)
    assert fire(watch, 2, HOLDS) == []


def test_it_fires_anew_when_it_cleared_and_came_back_a_minute_later() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500", fresh_s=600), CATALOGUE)
    for seconds, value, fires in (
        (0, 501, True), (10, 400, False), (20, 501, False), (30, 400, False), (59.9, 501, False),
        (60, 400, False), (61, 502, True), (200, 503, False),
    ):  # fmt: skip
        watch.add(level(seconds, value))
        assert bool(fire(watch, seconds, HOLDS)) is fires, seconds


def test_missing_does_not_clear() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500", fresh_s=5), CATALOGUE)
    watch.add(level(0, 501))
    assert fire(watch, 1, HOLDS)
    assert fire(watch, 90, HOLDS) == []
    watch.add(level(100, 501))
    assert fire(watch, 100, HOLDS) == []  # the same breach, as far as anybody knows


def test_what_halted_nothing_is_tried_again_each_minute() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500", fresh_s=600), CATALOGUE)
    watch.add(level(0, 501))
    assert fire(watch, 1, FAILED)
    assert [bool(fire(watch, each, FAILED)) for each in (2, 60.9, 61, 90)] == [False, False, True, False]


def test_events_count_once() -> None:
    watch = RuleWatch(RATIO, CATALOGUE)
    watch.add(events(0, 20, 20))
    assert fire(watch, 1.5, HOLDS)
    assert fire(watch, 10, RESUMED) == []
    watch.add(events(1.9, 20, 20))  # of the second in which it fired
    assert fire(watch, 11, RESUMED) == []
    watch.add(events(2, 20, 20))
    assert fire(watch, 12, RESUMED)


def test_a_rule_is_armed_by_its_incident() -> None:
    watch = RuleWatch(replace(RATIO, while_incident="order-execution"), CATALOGUE)
    watch.add(events(0, 20, 20))
    assert fire(watch, 1, HOLDS) == []
    report = watch.report(at(1))
    assert (report.state, report.fraction, report.value) == (TriggerState.CLEAR, None, 1.0)
    assert report.why == "no order-execution incident is open"
    watch.armed = True
    assert fire(watch, 2, HOLDS)
    assert watch.report(at(2)).state is TriggerState.BREACHED
    watch.armed = False
    assert fire(watch, 3, HOLDS) == []
    watch.armed = True
    assert fire(watch, 59, HOLDS) == [] and fire(watch, 59.5, HOLDS) == []


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (249, TriggerState.CLEAR),
        (250, TriggerState.NEAR_50),
        (374, TriggerState.NEAR_50),
        (375, TriggerState.NEAR_75),
        (449, TriggerState.NEAR_75),
        (450, TriggerState.NEAR_90),
        (500, TriggerState.NEAR_90),
        (501, TriggerState.BREACHED),
        (-80, TriggerState.CLEAR),
        (math.nan, TriggerState.MISSING),
    ],
)
def test_warnings(value: float, state: TriggerState) -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500"), CATALOGUE)
    sample = level(0, value)
    watch.add(sample, sound(sample, Figure.VALUE))
    fire(watch, 1, HOLDS)
    report = watch.report(at(1))
    assert report.state is state
    assert parse_report(report.payload()) == report
    assert state_of(0.5) is TriggerState.NEAR_50
    assert (report.fired_at is None) is (state is not TriggerState.BREACHED)


def test_no_sample_at_all_is_missing() -> None:
    report = RuleWatch(LOSS, CATALOGUE).report(at(0))
    assert (report.state, report.why, report.value) == (TriggerState.MISSING, "no sample yet", None)


def test_what_contradicts_itself_is_left_out_and_said() -> None:
    watch = RuleWatch(rule(Condition.RATIO, "0.1", figure=Figure.FAILURES), CATALOGUE)
    for bad, total in ((3, 2), (-1, 2), (Decimal("NaN"), Decimal(2))):
        odd = events(0, bad, total)
        watch.add(odd, sound(odd, Figure.FAILURES))
    watch.add(events(0, 0, 5))
    watch.advance(at(1))
    report = watch.report(at(1))
    assert (report.samples, report.why) == (5, "3 samples left out: no numbers, or more bad than there were")


def test_what_is_over_already_knows_when_it_fires() -> None:
    watch = RuleWatch(rule(Condition.SUSTAINED, "300", window_s=5, for_s=20, min_samples=4), CATALOGUE)
    for second in range(11):
        watch.add(level(second, 400))
    watch.advance(at(10))
    report = watch.report(at(10))
    assert (report.state, report.breach_in_s, report.why) == (TriggerState.NEAR_90, 10, "over for 10 of 20 s")


def test_the_worst_of_several_breaches_is_shown() -> None:
    watch = RuleWatch(replace(RATIO, keyed=True, aim="instrument"), CATALOGUE)
    for key, bad in (("BTC-USD", 5), ("ETH-USD", 9), ("SOL-USD", 7)):
        watch.add(events(0, bad, 10, key=key))
    found = fire(watch, 1, HOLDS)
    halted = ["instrument:BTC-USD", "instrument:ETH-USD", "component:execution"]
    assert [each.breaker_id for each in found] == halted
    assert watch.report(at(1)).subject == "ETH-USD"


def test_time_to_breach() -> None:
    trend = Trend()
    assert trend.breach_in(at(0), "", 0.1) is None
    assert trend.breach_in(at(4), "", 0.14) is None  # too short
    assert trend.breach_in(at(10), "", 0.2) == pytest.approx(80)
    assert trend.breach_in(at(200), "", 0.1) is None  # the old points are gone
    assert trend.breach_in(at(210), "", 0.05) is None  # it falls
    assert trend.breach_in(at(211), "other", 0.5) is None
    assert trend.breach_in(at(220), "other", 1.0) is None
    assert trend.breach_in(at(221), "other", None) is None
    assert trend.breach_in(at(222), "other", 0.9) is None


# ── rows ──


def order(number: int, seconds: float, **changes: Any) -> SettledOrder:
    fields: dict[str, Any] = {
        "order_id": f"o{number}",
        "symbol": "BTC-USD",
        "at": at(seconds),
        "rejected": False,
        "latency_ms": 5.0,
        "slippage": Decimal(0),
    }
    return SettledOrder(**fields | changes)


def rows(seconds: float, **parts: Any) -> Rows:
    return Rows(at(seconds), "1", True, **parts)


def standing(_rule: Rule, _latch: Latch) -> Standing:
    return Standing.HOLDS


SLIP = rule(Condition.CONSECUTIVE, "0.5", name="slip", figure=Figure.SLIPPAGE, keyed=True, min_samples=2)
SLOW = rule(Condition.CONSECUTIVE, "300", name="slow", figure=Figure.LATENCY, min_samples=2)
REJECT = rule(Condition.RATIO, "0.5", name="reject", min_samples=2)


def due(lookout: Lookout) -> list[tuple[str, str]]:
    return [(each.rule.name, each.subject) for each in lookout.due(standing)]


def test_orders_feed_three_figures() -> None:
    lookout = Lookout([SLIP, SLOW, REJECT], CATALOGUE)
    assert lookout.due(standing) == [] and lookout.reports() == ()
    bad = [order(each, each, latency_ms=400.0, slippage=Decimal(1)) for each in range(2)]
    lookout.feed(rows(5, orders=bad))
    assert due(lookout) == [("slip", "BTC-USD"), ("slow", "")]
    lookout.feed(rows(6, orders=[order(each + 2, 5, rejected=True, latency_ms=None) for each in range(3)]))
    assert due(lookout)[-1] == ("reject", "")
    assert [each.rule for each in lookout.reports()] == ["slip", "slow", "reject"]


def test_what_is_read_twice_counts_once() -> None:
    lookout = Lookout([REJECT], CATALOGUE)
    one = [order(1, 1, rejected=True)]
    lookout.feed(rows(5, orders=one, counted=[CountedOrders("", at(-10), 0, 0)]))
    lookout.feed(rows(6, orders=one))
    assert due(lookout) == []
    lookout.feed(rows(7, counted=[CountedOrders("", at(-9), 1, 1)]))
    assert due(lookout) == [("reject", "")]


def test_runs_only_count_as_fills() -> None:
    lookout = Lookout([SLIP, SLOW, REJECT], CATALOGUE)
    fills = [order(each, each, latency_ms=900.0, slippage=Decimal(1)) for each in range(2)]
    lookout.feed(rows(5, runs=[*fills, order(9, 0, slippage=None)]))
    assert due(lookout) == [("slip", "BTC-USD")]


def test_positions_and_samples() -> None:
    held = rule(
        Condition.LATEST, "1.5", name="held", stream=Stream(StreamKind.POSITIONS), figure=Figure.LIMIT_SHARE,
        keyed=True,
    )  # fmt: skip
    errors = rule(
        Condition.COUNT, "3", name="errors", stream=Stream(StreamKind.SLI, "api"), figure=Figure.FAILURES
    )
    gauge = rule(Condition.LATEST, "1", name="gauge", stream=Stream(StreamKind.PROMETHEUS, "up"))
    lookout = Lookout([held, replace(LOSS, name="loss"), errors, gauge], CATALOGUE)
    lookout.feed(
        rows(
            5,
            positions=[
                HeldPosition("BTC-USD", at(4), Decimal(-16), Decimal(10)),
                HeldPosition("ETH-USD", at(4), Decimal(1), None),
            ],
            samples=[
                SliSample("1", "pnl", at(4), Decimal(1), Decimal(1), -501.0),
                SliSample("2", "api", at(4), Decimal(0), Decimal(4), None),
            ],
        )
    )
    lookout.feed_gauge("up", at(5), 2.0)
    assert due(lookout) == [("held", "BTC-USD"), ("loss", ""), ("errors", ""), ("gauge", "")]
    assert lookout.faults() == ()
    lookout.feed(rows(6, samples=[SliSample("3", "pnl", at(60), Decimal(1), Decimal(1), 0.0)]))
    assert lookout.faults() == ("the newest sample is 54 s ahead of the database's clock",)
    lookout.feed(rows(58))
    assert lookout.faults() == ()


def test_time_only_moves_on() -> None:
    lookout = Lookout([REJECT], CATALOGUE)
    lookout.feed(rows(100))
    lookout.feed(rows(50))
    assert lookout.now == at(100)


def test_a_successor_knows_what_was_fired() -> None:
    lookout = Lookout([REJECT, SLIP], CATALOGUE)
    name = BreakerId("component:execution")
    past = [PastFiring("f1", "reject", "", name, at(0)), PastFiring("f2", "gone", "", name, at(0))]
    bad = [order(each, 1, rejected=True) for each in range(4)]
    lookout.inherit(past, frozenset({("reject", "")}))
    lookout.feed(rows(5, orders=bad))
    assert due(lookout) == [] and lookout.breached() == [["reject", ""]]
    assert [(rule.name, latch.firing_id) for rule, latch in lookout.latches] == [("reject", "f1")]
    fresh = Lookout([REJECT], CATALOGUE)
    fresh.inherit(past, frozenset())
    fresh.feed(rows(61, orders=bad))  # its last word was clear, and a minute has gone by
    assert due(fresh) == []
    fresh.feed(rows(61, orders=[order(each + 9, 60, rejected=True) for each in range(4)]))
    assert due(fresh) == [("reject", "")]
    lookout.forget("f1")
    assert due(lookout) == [("reject", "")]


def test_incidents_arm() -> None:
    lookout = Lookout([replace(REJECT, while_incident="order-execution")], CATALOGUE)
    lookout.feed(rows(5, orders=[order(each, 1, rejected=True) for each in range(4)]))
    assert due(lookout) == []
    lookout.feed(rows(6, incidents=frozenset({"order-execution"})))
    assert due(lookout) == [("reject", "")]


def test_memory_of_what_was_read_is_bounded() -> None:
    lookout = Lookout([REJECT], CATALOGUE)
    for turn in range(3):
        lookout.feed(rows(5, orders=[order(turn * 40_000 + each, 1) for each in range(40_000)]))
    assert len(lookout._seen) <= 100_000


def test_a_sample_knows_its_second() -> None:
    moment = at(0) + timedelta(microseconds=999_999)
    assert second_of(moment) == int(at(0).timestamp())
    assert second_of(moment + timedelta(microseconds=1)) == second_of(moment) + 1
