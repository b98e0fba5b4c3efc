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
    Gauge,
    HeldPosition,
    PastFiring,
    Rows,
    SettledOrder,
    SliSample,
)
from cockpit.domain.trigger_samples import second_of
from cockpit.domain.trigger_watch import Firing, Latch, RuleWatch, Standing, Trend, sound, state_of
from cockpit.domain.triggers import Condition, Effect, Figure, Mode, Rule, Stream, StreamKind
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
        latch = Latch(f"f{seconds}", each.breaker_id, each.fired_at, tries=each.tries)
        watch.inherit(each.subject, latch)
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


def test_what_halted_nothing_is_tried_again_soon_and_then_each_minute() -> None:
    watch = RuleWatch(rule(Condition.LATEST, "500", fresh_s=9000), CATALOGUE)
    watch.add(level(0, 501))
    assert fire(watch, 1, HOLDS)
    found = [each for each in range(2, 240) if fire(watch, each, FAILED)]
    assert found == [6, 16, 36, 76, 136, 196]
    assert fire(watch, 240, HOLDS) == []
    assert fire(watch, 241, RESUMED) and watch.latches[""].tries == 0


def test_what_is_on_its_way_neither_fires_anew_nor_loses_its_events() -> None:
    watch = RuleWatch(RATIO, CATALOGUE)
    watch.add(events(0, 20, 20))
    assert fire(watch, 1, HOLDS)
    assert fire(watch, 2, always(Standing.NOT_YET)) == []
    assert watch.report(at(2)).state is TriggerState.BREACHED  # not restarted
    watch.latches[""].breached = False
    assert fire(watch, 59, always(Standing.NOT_YET)) == []
    watch.latches[""].breached = False
    assert fire(watch, 59, FAILED)


@pytest.mark.parametrize(
    ("effect", "mode", "again"),
    [(Effect.LIMIT, Mode.LIVE, False), (Effect.LIMIT, Mode.SHADOW, True), (Effect.TRIP, Mode.LIVE, True)],
)
def test_a_limit_that_holds_is_not_asked_for_again(effect: Effect, mode: Mode, again: bool) -> None:
    """However often the lag comes and goes: each would be one more limit to lift."""
    lag = rule(
        Condition.LATEST, "30", fresh_s=600, effect=effect, mode=mode,
        share=Decimal("0.5") if effect is Effect.LIMIT else None,
    )  # fmt: skip
    watch = RuleWatch(lag, CATALOGUE)
    watch.add(level(0, 50))
    assert fire(watch, 1, HOLDS)
    watch.add(level(10, 1))
    assert fire(watch, 10, HOLDS) == []
    watch.add(level(100, 50))
    assert bool(fire(watch, 100, HOLDS)) is again
    assert fire(watch, 101, RESUMED)  # lifted, and still over


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
    watch = RuleWatch(replace(RATIO, while_incident="broker/connectivity"), CATALOGUE)
    watch.add(events(0, 20, 20))
    assert fire(watch, 1, HOLDS) == []
    report = watch.report(at(1))
    assert (report.state, report.fraction, report.value) == (TriggerState.CLEAR, None, 1.0)
    assert report.why == "no broker/connectivity incident is open"
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


def test_a_slope_that_is_a_rounding_error_leads_nowhere() -> None:
    """One over it is a number too long for any reader of what the guard publishes."""
    trend = Trend()
    for second, fraction in enumerate([0.0] * 10 + [1e-28]):
        assert trend.breach_in(at(second), "", fraction) is None
    month = Trend()
    month.breach_in(at(0), "", 0.0)
    assert month.breach_in(at(100), "", 100 / (29 * 86_400)) == pytest.approx(29 * 86_400 - 100)
    month = Trend()
    month.breach_in(at(0), "", 0.0)
    assert month.breach_in(at(100), "", 100 / (31 * 86_400)) is None


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
    lookout.feed_gauge("up", at(5), Gauge(2.0, 0.0))
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
    lookout = Lookout([replace(REJECT, while_incident="broker/connectivity")], CATALOGUE)
    lookout.feed(rows(5, orders=[order(each, 1, rejected=True) for each in range(4)]))
    assert due(lookout) == []
    lookout.feed(rows(6, incidents=frozenset({"broker/connectivity"})))
    assert due(lookout) == [("reject", "")]


def test_what_was_read_is_known_as_long_as_it_can_be_read_again() -> None:
    """By age, not by number."""
    lookout = Lookout([REJECT], CATALOGUE)
    first = [order(0, 1, rejected=True)]
    lookout.feed(rows(5, orders=first))
    lookout.feed(rows(5, orders=[order(1 + each, 1) for each in range(120_000)]))
    lookout.feed(rows(6, orders=first))
    assert lookout.reports()[0].samples == 120_001
    lookout.feed(rows(200))
    assert not lookout._orders._names and not lookout._orders._seconds
    lookout.feed(rows(199))


def test_the_newest_sample_before_every_window_is_read_each_time() -> None:
    rose = rule(Condition.INCREASE, "0", stream=Stream(StreamKind.SLI, "bad"), figure=Figure.VALUE)
    lookout = Lookout([rose], CATALOGUE)
    old = SliSample("1", "bad", at(-500), Decimal(1), Decimal(1), math.nan)
    for second in range(3):
        lookout.feed(rows(second, samples=[old]))
    assert (
        lookout.reports()[0].why
        == "no sample yet; 1 samples left out: no numbers, or more bad than there were"
    )
    lookout.feed(rows(3, samples=[SliSample("2", "bad", at(-400), Decimal(1), Decimal(1), 7.0)]))
    lookout.feed(rows(4, samples=[SliSample("3", "bad", at(4), Decimal(1), Decimal(1), 7.0)]))
    assert due(lookout) == []
    lookout.feed(rows(5, samples=[SliSample("4", "bad", at(4.5), Decimal(1), Decimal(1), 8.0)]))
    assert due(lookout) == [("some-rule", "")]


HELD = rule(
    Condition.LATEST, "1.5", name="held", stream=Stream(StreamKind.POSITIONS), figure=Figure.LIMIT_SHARE,
    keyed=True, fresh_s=0,
)  # fmt: skip


def test_a_position_is_what_was_read_last() -> None:
    lookout = Lookout([HELD], CATALOGUE)

    def told(second: float, *positions: HeldPosition, every: bool = False) -> tuple[TriggerState, str]:
        lookout.feed(rows(second, positions=positions, every_position=every))
        report = lookout.reports()[0]
        return report.state, report.why

    big, small = Decimal(16), Decimal(1)
    assert told(0, HeldPosition("BTC-USD", at(-9000), big, None), every=True)[0] is TriggerState.MISSING
    assert told(1, HeldPosition("BTC-USD", at(-9000), big, Decimal(10)))[0] is TriggerState.BREACHED
    assert told(9000)[0] is TriggerState.BREACHED
    assert told(9001, HeldPosition("BTC-USD", at(-9500), small, Decimal(10)))[0] is TriggerState.CLEAR
    assert told(9002, HeldPosition("BTC-USD", at(99_000), big, Decimal(10)))[0] is TriggerState.BREACHED
    assert told(9003, HeldPosition("BTC-USD", at(0), big, None))[0] is TriggerState.CLEAR
    odd = HeldPosition("BTC-USD", at(9004), Decimal("NaN"), Decimal(10))
    for _ in range(3):
        state, why = told(9004, odd, every=True)
    assert state is TriggerState.MISSING and "; 1 samples left out" in why
    assert told(9005, every=True)[0] is TriggerState.CLEAR


def test_rows_left_out_are_said_until_they_are_gone() -> None:
    lookout = Lookout([REJECT], CATALOGUE)
    lookout.feed(rows(1, odd=3))
    lookout.feed(rows(2))
    assert lookout.faults() == ("3 rows left out: times before 2000, or over a day ahead",)
    lookout.feed(rows(3, odd=0))
    assert lookout.faults() == ()


def test_a_gauge_is_as_old_as_its_sample() -> None:
    gauge = rule(Condition.LATEST, "1", stream=Stream(StreamKind.PROMETHEUS, "up"))
    lookout = Lookout([gauge], CATALOGUE)
    lookout.feed(rows(100))
    lookout.feed_gauge("up", at(100), Gauge(2.0, 61.0))
    assert due(lookout) == [] and lookout.reports()[0].why == "the newest sample is 61 s old"
    lookout.feed_gauge("up", at(100), Gauge(2.0, 59.0))
    assert due(lookout) == [("some-rule", "")]
    lookout.feed_gauge("up", at(100), Gauge(0.5, 59.2))  # asked later, whatever the clocks say
    assert due(lookout) == []


def test_a_sample_knows_its_second() -> None:
    moment = at(0) + timedelta(microseconds=999_999)
    assert second_of(moment) == int(at(0).timestamp())
    assert second_of(moment + timedelta(microseconds=1)) == second_of(moment) + 1
