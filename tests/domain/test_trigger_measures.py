"""Each measure fires past its edge and not one sample, second or last place before it."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.trigger_levels import Age, Increase, Latest
from cockpit.domain.trigger_samples import Measure, Sample, edge, part_of, second_of, shown, usable
from cockpit.domain.trigger_sustained import Sustained
from cockpit.domain.trigger_watch import _MEASURES
from cockpit.domain.trigger_windows import Consecutive, Windowed
from cockpit.domain.triggers import Condition, Rule
from tests.domain import trigger_oracle
from tests.domain.trigger_making import at, events, level, rule


def fed(made: Rule, samples: list[Sample], now: float) -> Measure:
    measure = _MEASURES[made.condition](made)
    for sample in samples:
        measure.add(sample)
    measure.advance(at(now))
    return measure


def over(measure: Measure) -> list[str]:
    return sorted(each.key for each in measure.breaches())


RUN = rule(Condition.CONSECUTIVE, "0.5", min_samples=10, keyed=True)


def test_a_run_of_nine_is_none_and_one_of_ten_is() -> None:
    bad = [level(each, Decimal("0.6"), key="BTC") for each in range(10)]
    assert over(fed(RUN, bad[:9], 20)) == []
    measure = fed(RUN, bad, 20)
    assert over(measure) == ["BTC"]
    found = measure.of("BTC")
    assert (found.value, found.fraction, found.samples, len(found.evidence)) == (0.6, 1.0, 10, 10)
    assert found.evidence[0].at == at(9)


@pytest.mark.parametrize("value", [Decimal("0.5"), 0.5, Decimal("0.50")])
def test_a_run_at_the_threshold_is_none(value: Any) -> None:
    assert over(fed(RUN, [level(each, value) for each in range(30)], 40)) == []
    past = Decimal("0.5000000000000000000000000001") if isinstance(value, Decimal) else math.nextafter(0.5, 1)
    assert over(fed(RUN, [level(each, past) for each in range(10)], 40)) == [""]


def test_one_good_fill_begins_the_run_anew_and_a_late_one_breaks_it() -> None:
    bad = [level(each, 1) for each in range(10)]
    measure = fed(RUN, [*bad, level(10, 0)], 20)
    assert over(measure) == [] and measure.of("").samples == 0
    measure = fed(RUN, bad, 20)
    measure.add(level(4.5, 0))
    assert over(measure) == [] and measure.of("").samples == 5


def test_a_run_leaves_the_window_with_its_first_second() -> None:
    bad = [level(each / 10, 1) for each in range(10)]  # all within the first second
    assert over(fed(RUN, bad, 59.999)) == [""]
    measure = fed(RUN, bad, 60)
    assert over(measure) == [] and measure.nearest() is None
    assert measure.of("").why == "no sample in the window"


def test_nearest_of_the_runs() -> None:
    measure = fed(RUN, [level(each, 1, key="A") for each in (0, 1, 2)], 3)
    for each in (40, 41):
        measure.add(level(each, 1, key="B"))
    measure.advance(at(50))
    assert measure.nearest().key == "A"  # type: ignore[union-attr]
    measure.advance(at(61.5))
    found = measure.nearest()
    assert found is not None and (found.key, found.samples) == ("B", 2)


def test_the_same_fill_read_twice_is_one() -> None:
    bad = [level(each, 1) for each in range(9)]
    assert over(fed(RUN, [*bad, *bad], 20)) == []


RATIO = rule(Condition.RATIO, "0.1", min_samples=20)


def test_a_tenth_is_no_more_than_a_tenth() -> None:
    assert over(fed(RATIO, [events(1, 3, 30)], 5)) == []
    assert over(fed(RATIO, [events(1, 3, 29)], 5)) == [""]
    assert over(fed(RATIO, [events(1, Decimal("3.0000000000001"), Decimal(30))], 5)) == [""]
    assert over(fed(RATIO, [events(1, 19, 19)], 5)) == []
    missing = fed(RATIO, [events(1, 19, 19)], 5).of("")
    assert (missing.value, missing.why) == (None, "19 of 20 samples")
    assert over(fed(RATIO, [events(1, 20, 20)], 5)) == [""]


def test_a_sample_counts_for_the_whole_window_of_its_second() -> None:
    for moment in (1.0, 1.999999):
        measure = fed(RATIO, [events(moment, 20, 20)], 60.999999)
        assert over(measure) == [""]
        measure.advance(at(61))
        assert over(measure) == [] and measure.nearest() is None
        assert measure.of("").why == "no sample in the window"


def test_a_count_without_a_sample_is_missing_and_one_of_zero_is_zero() -> None:
    count = rule(Condition.COUNT, "10")
    assert fed(count, [], 5).of("").value is None
    assert fed(count, [events(1, 0, 0)], 5).of("").value == 0
    assert over(fed(count, [events(1, 5, 5), events(2, 5, 9)], 5)) == []
    measure = fed(count, [events(1, 5, 5), events(2, 6, 9)], 5)
    assert over(measure) == [""] and measure.of("").value == 11
    assert [ref.at for ref in measure.of("").evidence] == [at(2), at(1)]
    assert fed(RATIO, [events(1, 0, 0)], 5).of("").value is None
    assert fed(replace(RATIO, min_samples=1), [events(1, 0, 0)], 5).of("").value is None


def test_a_long_pause_forgets_everything_at_once() -> None:
    measure = fed(RATIO, [events(each, 1, 1) for each in range(30)], 30)
    measure.advance(at(100_000))
    assert over(measure) == [] and measure.of("").samples == 0


P95 = rule(Condition.SUSTAINED, "300", window_s=10, for_s=20, min_samples=20)


def flow(begin: int, end: int, value: float, a_second: int = 4) -> list[Sample]:
    return [
        level(second + part / a_second, value) for second in range(begin, end) for part in range(a_second)
    ]


def test_the_quantile_fires_when_it_has_been_over_for_so_long_and_not_a_second_before() -> None:
    """A clean flow, then from second 100 on every fourth execution is slow. In the window of second 100 one
    of 40 is, in that of 101 two, which are no more than a twentieth: over from 102 on, so it fires at 122."""
    clean = flow(60, 100, 5)
    slow = [level(100 + each / 4, 301 if each % 4 == 0 else 5) for each in range(200)]
    measure = fed(P95, [*clean, *slow], 101.9)
    assert measure.of("").left_s is None and measure.of("").fraction == pytest.approx(5 / 300)
    for moment in range(102, 122):
        measure.advance(at(moment))
        assert over(measure) == [], moment
        assert measure.of("").left_s == 122 - moment
        assert measure.of("").why == f"over for {moment - 102} of 20 s"
        assert measure.of("").fraction == 1.0
    measure.advance(at(121.999999))
    assert over(measure) == []
    measure.advance(at(122))
    assert over(measure) == [""]
    assert measure.of("").value == 301 and len(measure.of("").evidence) == 10


def test_the_quantile_at_its_bound_is_not_over() -> None:
    assert over(fed(P95, flow(0, 60, 300.0), 60)) == []
    assert over(fed(P95, flow(0, 60, math.nextafter(300, 301)), 60)) == [""]


def test_a_clean_second_in_between_starts_anew_and_a_silent_one_does_not() -> None:
    slow = flow(0, 15, 400)
    measure = fed(P95, [*slow, *flow(15, 16, 5, 2_000), *flow(16, 35, 400)], 35)
    assert over(measure) == []
    # Nothing comes after second 14: from 22 on the window says nothing, and what stood before stands on, as
    # long as 20 samples lie in the last 20 s. Over since second 2, the first with 10 in its window.
    measure = fed(P95, slow, 21.9)
    assert over(measure) == []
    measure.advance(at(22))
    assert over(measure) == [""] and (measure.of("").value, measure.of("").fraction) == (300.0, 1.0)
    measure.advance(at(29))
    assert over(measure) == [""]
    measure.advance(at(30))
    assert over(measure) == [] and measure.of("").why == "16 of 20 samples"
    measure.advance(at(56))
    assert over(measure) == [] and measure.of("").value is None


def test_too_few_samples_say_nothing() -> None:
    few = [level(each, 400) for each in range(0, 60, 3)]
    measure = fed(P95, few, 59)
    assert over(measure) == [] and measure.of("").why == "too few samples in the window"
    assert fed(P95, [], 5).nearest() is None
    assert measure.nearest() == measure.of("")
    burst = fed(P95, flow(0, 1, 400, 19), 5)
    assert burst.of("").why == "19 of 20 samples"


def test_the_latest_value_counts_while_it_is_fresh() -> None:
    latest = rule(Condition.LATEST, "500")
    for value in (500, 500.0, Decimal(500), -1e9):
        assert over(fed(latest, [level(0, value)], 1)) == []
    for value in (501, math.nextafter(500, 501), Decimal("500.0000000000001")):
        assert over(fed(latest, [level(0, value)], 1)) == [""]
    measure = fed(latest, [level(0, 900), level(0.5, 900, name="b")], 60.5)
    assert over(measure) == [""]
    measure.advance(at(60.500001))
    assert over(measure) == [] and measure.of("").why == "the newest sample is 60 s old"
    assert measure.nearest() == measure.of("")
    assert fed(latest, [], 1).nearest() is None
    assert fed(latest, [], 1).of("").why == "no sample yet"
    odd = fed(latest, [level(0, 900), level(1, math.nan)], 2)
    assert over(odd) == [] and odd.of("").why == "the newest sample is no number"
    late = fed(latest, [level(5, 0), level(1, 900)], 6)
    assert over(late) == []


def test_nearest_of_the_latest_is_the_worst_that_is_fresh() -> None:
    shares = rule(Condition.LATEST, "1.5", keyed=True)
    measure = fed(shares, [events(0, 9, 10, key="A"), events(0, 12, 10, key="B")], 1)
    assert measure.nearest().key == "B"  # type: ignore[union-attr]
    assert measure.of("B").value == pytest.approx(1.2)
    none_allowed = fed(shares, [events(0, Decimal("0.001"), 0, key="A")], 1)
    assert over(none_allowed) == ["A"] and none_allowed.of("A").value == 1_000
    assert over(fed(shares, [events(0, 15, 10, key="A")], 1)) == []
    assert over(fed(shares, [events(0, Decimal("15.0000000000000000001"), 10, key="A")], 1)) == ["A"]


def test_who_falls_silent_ages() -> None:  # F14
    age = rule(Condition.AGE, "300")
    measure = fed(age, [level(0, 1.5)], 298.5)
    assert over(measure) == [] and measure.of("").fraction == 1.0
    measure.advance(at(298.500001))
    assert over(measure) == [""]
    measure.add(level(298.4, 0.0))
    assert over(measure) == [] and measure.of("").value == pytest.approx(0.100001)
    assert fed(age, [], 1).nearest() is None and fed(age, [], 1).of("").why == "never seen"
    assert fed(age, [level(0, -400.0)], 1).of("").value == 1.0
    ahead = fed(age, [level(0, 5.0), level(100, 0.0)], 10)
    assert ahead.of("").value == 15.0
    odd = fed(age, [level(0, 5.0), level(9, math.nan)], 10)
    assert odd.of("").value == 15.0


def test_a_counter_that_rises_that_restarts_and_that_was_never_seen() -> None:
    rise = rule(Condition.INCREASE, "0", window_s=60)
    assert over(fed(rise, [level(0, 7), level(70, 7)], 80)) == []
    measure = fed(rise, [level(0, 7), level(70, 8)], 80)
    assert over(measure) == [""] and measure.of("").value == 1
    assert [ref.at for ref in measure.of("").evidence] == [at(70)]
    measure.advance(at(129.9))
    assert over(measure) == [""]
    measure.advance(at(130))
    assert over(measure) == [] and measure.of("").why == "no sample in the window"
    assert over(fed(rise, [level(0, 0)], 1)) == []
    assert over(fed(rise, [level(0, 3)], 1)) == [""]  # nobody saw it rise, and it is not 0
    restarted = fed(rise, [level(0, 7), level(61, 7), level(65, 0), level(70, 2)], 80)
    assert restarted.of("").value == 2
    assert over(fed(rise, [level(0, 1), level(62, math.nan), level(63, -5), level(64, 1)], 80)) == []
    assert fed(rise, [], 1).nearest() is None
    late = fed(rise, [level(0, 7), level(70, 8)], 80)
    late.add(level(15, 8))
    assert over(late) == []
    three = fed(replace(rise, threshold=Decimal(3)), [level(0, 0), level(1, 3)], 2)
    assert over(three) == []


def test_what_was_acted_upon_does_not_count_again() -> None:
    run = fed(RUN, [level(each, 1) for each in range(10)], 20)
    run.restart("", int(at(9).timestamp()))
    assert over(run) == [] and run.of("").why == "no sample in the window"
    run.add(level(8.5, 1))
    assert run.of("").samples == 0
    ratio = fed(RATIO, [events(1, 20, 20), events(5, 20, 20, key="other"), events(3, 1, 1)], 10)
    ratio.restart("", int(at(2).timestamp()))
    ratio.add(events(1.5, 30, 30))
    assert over(ratio) == ["other"] and ratio.of("").why == "1 of 20 samples"
    held = fed(P95, flow(0, 60, 400), 60)
    held.restart("", int(at(55).timestamp()))
    held.add(level(50, 400))
    assert over(held) == [] and held.of("").evidence == ()
    rise = fed(rule(Condition.INCREASE, "0"), [level(0, 0), level(1, 5), level(9, 5)], 10)
    assert over(rise) == [""]
    rise.restart("", int(at(5).timestamp()))
    assert over(rise) == [] and rise.of("").value == 0
    latest = fed(rule(Condition.LATEST, "1"), [level(0, 5)], 1)
    latest.restart("", int(at(9).timestamp()))
    assert over(latest) == [""]


def test_numbers_and_shares() -> None:
    assert [usable(each) for each in (1, 1.5, Decimal(3), Decimal("1e39"))] == [True] * 4
    assert [usable(each) for each in (math.inf, math.nan, Decimal("NaN"), Decimal("1e41"), "1")] == [
        False
    ] * 5
    assert not usable(Decimal(10) + Decimal("1e-41").scaleb(0)) or usable(Decimal(10))
    assert not usable(Decimal("1." + "0" * 40 + "1")) and usable(Decimal(0))
    assert (part_of(5, Decimal(10)), part_of(-5, Decimal(10)), part_of(1, Decimal(0))) == (0.5, 0.0, 1.0)
    assert part_of(0, Decimal(0)) == 0.0
    assert edge(Decimal("0.1")) == max(edge(Decimal("0.1")), 0)
    assert shown(events(0, 1, 4)) == 0.25


# ── incremental against from scratch ──

MOMENTS = st.floats(0, 200, allow_nan=False).map(lambda seconds: round(seconds, 2))
KEYS = st.sampled_from(["A", "B"])
RULES = [
    rule(Condition.CONSECUTIVE, "5", min_samples=3, window_s=40),
    rule(Condition.RATIO, "0.3", min_samples=4, window_s=30),
    rule(Condition.COUNT, "6", window_s=25),
    rule(Condition.SUSTAINED, "5", window_s=6, for_s=12, min_samples=4, quantile=Decimal("0.7")),
    rule(Condition.LATEST, "5", fresh_s=20),
    rule(Condition.AGE, "15"),
    rule(Condition.INCREASE, "4", window_s=50),
]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[float, Sample]], list[float]]:
    """Samples with the moment at which each is read (never before its own), and moments to look at."""
    count = draw(st.integers(0, 40))
    found = []
    for number in range(count):
        moment, late, key = draw(MOMENTS), draw(st.sampled_from([0.0, 0.0, 0.3, 7.0, 35.0])), draw(KEYS)
        bad = draw(st.integers(0, 4))
        value = draw(st.integers(0, 9))
        found.append(
            (
                moment + late,
                Sample(
                    f"{number:03}",
                    key,
                    at(moment),
                    second_of(at(moment)),
                    value,
                    bad,
                    bad + draw(st.integers(0, 4)),
                ),
            )
        )
    return sorted(found, key=lambda each: each[0]), sorted(draw(st.lists(MOMENTS, min_size=1, max_size=12)))


@pytest.mark.parametrize("made", RULES, ids=lambda each: each.condition.value)
@given(history=histories(), restart=st.one_of(st.none(), st.integers(10, 150)))
def test_however_samples_come_in_the_verdict_is_that_of_all_of_them(
    made: Rule, history: tuple[list[tuple[float, Sample]], list[float]], restart: int | None
) -> None:
    arriving, looks = history
    level_only = made.condition not in (Condition.RATIO, Condition.COUNT)
    samples = [(moment, replace(each, bad=0, total=0) if level_only else each) for moment, each in arriving]
    measure = _MEASURES[made.condition](made)
    there: list[Sample] = []
    since = 0
    for look in looks:
        while samples and samples[0][0] <= look:
            moment, sample = samples.pop(0)
            measure.advance(at(moment))
            measure.add(sample)
            there.append(sample)
        if restart is not None and look >= restart:
            restart, since = None, int(at(look).timestamp()) - 3
            measure.advance(at(look))
            measure.restart("A", since)
        measure.advance(at(look))
        begins = {"A": since, "B": 0}
        expected = [
            key for key in ("A", "B") if trigger_oracle.breached(made, there, key, at(look), begins[key])
        ]
        assert over(measure) == expected
        assert sorted(key for key in ("A", "B") if measure.of(key).breached) == expected
        nearest = measure.nearest()
        if expected:
            assert nearest is not None and (nearest.fraction or 0) >= 1


@given(
    values=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    quantile=st.sampled_from(["0.5", "0.9", "0.95", "0.99", "0.333"]),
)
def test_more_than_the_rest_being_over_is_the_quantile_being_over(values: list[int], quantile: str) -> None:
    made = rule(Condition.SUSTAINED, "5", window_s=1, for_s=1, min_samples=1, quantile=Decimal(quantile))
    twice = [level(second + 0.01 * place, value) for second in (0, 1) for place, value in enumerate(values)]
    measure = fed(made, twice, 1)
    expected = trigger_oracle.quantile_over(made, [trigger_oracle.fraction(value) for value in values])
    assert (over(measure) == [""]) is expected
    assert (float(measure.of("").value or 0) > 5) is expected


def test_the_measures_are_these() -> None:
    kinds = {type(_MEASURES[condition](rule(condition))) for condition in Condition}
    assert kinds == {Consecutive, Windowed, Sustained, Latest, Age, Increase}
