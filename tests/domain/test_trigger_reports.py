"""A trigger's report survives the trip through JSON, and nothing else is taken for one."""

import dataclasses
import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.trigger_reports import (
    GuardSnapshot,
    MalformedReport,
    SampleRef,
    TriggerReport,
    TriggerState,
    parse_report,
)

NOW = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
REPORT = TriggerReport(
    rule="rejections-5m",
    title="Rejections in five minutes",
    mode="live",
    effect="trip",
    aim="component:execution",
    unit="share",
    threshold=0.1,
    state=TriggerState.NEAR_90,
    subject="BTC-USD",
    value=0.095,
    fraction=0.95,
    breach_in_s=12.5,
    samples=40,
    min_samples=20,
    newest_at=NOW,
    evidence=(SampleRef("o-17", NOW, 1.0), SampleRef("o-16", NOW, 0.0)),
    fired_at=NOW,
    fired_on="instrument:BTC-USD",
    why="2 of 40 orders",
)
PLAIN = TriggerReport("r", "t", "shadow", "limit", "global", "s", 1.0, TriggerState.MISSING)


def through_json(report: TriggerReport) -> TriggerReport:
    return parse_report(json.loads(json.dumps(report.payload(), allow_nan=False)))


@pytest.mark.parametrize("report", [REPORT, PLAIN])
def test_a_report_comes_back_as_it_went(report: TriggerReport) -> None:
    assert through_json(report) == report


@given(
    st.none() | st.floats(-1e12, 1e12),
    st.integers(0, 10**9),
    st.text(max_size=40),
    st.sampled_from(TriggerState),
)
def test_any_report_comes_back(value: float | None, samples: int, subject: str, state: TriggerState) -> None:
    report = dataclasses.replace(REPORT, value=value, samples=samples, state=state, subject=subject)
    found = through_json(report)
    assert dataclasses.replace(found, subject=subject) == report


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e31, -1e31, 1e299])
def test_what_json_has_no_word_for_is_left_out(number: float) -> None:
    """One rule's infinity must not cost the publication of all."""
    evidence = (SampleRef("o-1", NOW, number), SampleRef("o-2", NOW, 3.0))
    found = through_json(dataclasses.replace(REPORT, value=number, breach_in_s=number, evidence=evidence))
    assert found.value is found.breach_in_s is None
    assert found.evidence == evidence[1:]


def test_the_longest_number_is_short_enough_for_its_readers() -> None:
    """`jsonb` writes 1e28 out in digits, and the desk takes 30 characters for a whole number."""
    report = dataclasses.replace(REPORT, value=-1e28, breach_in_s=1e28)
    assert through_json(report) == report
    assert max(len(f"{report.value:.0f}"), len(f"{report.breach_in_s:.0f}")) <= 30


def test_text_of_a_report_cannot_act_on_the_terminal() -> None:  # I26
    found = through_json(dataclasses.replace(REPORT, subject="BTC\x1b[2J", why="a\nb\u202e"))
    assert found.subject == "BTC\N{REPLACEMENT CHARACTER}[2J"
    assert found.why == "a b\N{REPLACEMENT CHARACTER}"


def test_only_the_ten_newest_samples_are_taken() -> None:
    many = tuple(SampleRef(f"o-{n}", NOW, float(n)) for n in range(15))
    assert through_json(dataclasses.replace(REPORT, evidence=many)).evidence == many[:10]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rule": 5}, "rule is no text"),
        ({"state": "FINE"}, "FINE"),
        ({"state": None}, "state is no text"),
        ({"threshold": None}, "threshold is no number"),
        ({"threshold": "0.1"}, "threshold is no number"),
        ({"value": True}, "value is no number"),
        ({"value": math.nan}, "value is no number"),
        ({"value": math.inf}, "value is no number"),
        ({"value": 10**400}, "value is no number"),
        ({"samples": None}, "samples is no count"),
        ({"samples": 2.5}, "samples is no count"),
        ({"samples": True}, "samples is no count"),
        ({"samples": -1}, "samples is no count"),
        ({"min_samples": "3"}, "min_samples is no count"),
        ({"newest_at": "yesterday"}, "yesterday"),
        ({"newest_at": "2026-01-31T12:00:00"}, "zone"),
        ({"fired_at": 5}, "fired_at is no text"),
        ({"evidence": None}, "evidence is no list"),
        ({"evidence": ["o-1"]}, "no sample"),
        ({"evidence": [["o-1", "2026-01-31T12:00:00Z"]]}, "no sample"),
        ({"evidence": [["o-1", "2026-01-31T12:00:00Z", None]]}, "without a value"),
        ({"evidence": [["o-1", "2026-01-31T12:00:00Z", 10**400]]}, "no number"),
        ({"evidence": [[1, "2026-01-31T12:00:00Z", 1]]}, "no text"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(MalformedReport, match=said):
        parse_report(REPORT.payload() | change)


@pytest.mark.parametrize("fields", [None, [], "report", 5])
def test_what_is_no_object_is_no_report(fields: object) -> None:
    with pytest.raises(MalformedReport, match="no object"):
        parse_report(fields)


@pytest.mark.parametrize("name", REPORT.payload())
def test_every_field_must_be_there_and_foreign_ones_do_not_matter(name: str) -> None:
    fields = REPORT.payload() | {"added": "later"}
    assert parse_report(fields) == REPORT
    del fields[name]
    with pytest.raises(MalformedReport, match=f"{name} is missing"):
        parse_report(fields)


def test_a_guard_without_faults_says_none() -> None:
    assert GuardSnapshot("host:1", 3, 0.5, True, (REPORT,)).faults == ()
