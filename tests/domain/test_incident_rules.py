"""What stands in the way of a change of an incident, besides its status."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_requests import Verb
from cockpit.domain.incident_rules import (
    CHANGES,
    acknowledgement_ends,
    classify_fault,
    escalate_fault,
    freed_key,
    lost_needs,
    merge_fault,
    snooze_fault,
    unreviewed,
)
from cockpit.domain.incident_story import (
    Delivery,
    IncidentList,
    IncidentStory,
    StoryPage,
    linked,
    overdue,
    snoozed,
)
from cockpit.domain.incidents import PARTICIPLES, Change, Classification, Severity, Status
from cockpit.domain.recovery import BRANCH, Linked, Need, needs
from cockpit.domain.trip_incidents import (
    named_incident,
    same_matter,
    stricter_switches,
    trip_severity,
    trip_title,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


LEAST: dict[str, Any] = {"severity": "P3"}


def row(**fields: Any) -> IncidentRow:
    facts: dict[str, Any] = {
        "incident_id": "one", "opened_at": NOW - timedelta(minutes=5), "severity": "P1",
        "classification": "other", "title": "x", "status": "open", "source": "manual",
        "breaker_id": None, "owner": None, "acknowledged_at": None, "acknowledged_by": None,
    }  # fmt: skip
    return IncidentRow(**{**facts, **fields})


def other(**fields: Any) -> IncidentRow:
    return row(**{"incident_id": "two", **fields})


@pytest.mark.parametrize(
    ("one", "into", "why"),
    [
        (row(), row(), "itself"),
        (row(), other(status="resolved"), "resolved"),
        (row(), other(status="merged"), "merged"),
        (row(), other(severity="P2"), "only P2"),
        (row(severity="P0"), other(), "only P1"),
        (row(), other(status="acknowledged"), "holds up no resume"),
        (row(), other(source="trip", severity="P0"), "holds up no resume"),
        (row(), other(source="override"), "holds up no resume"),
        (row(), other(opened_at=NOW - timedelta(minutes=16)), "holds up no resume"),
        (row(status="acknowledged", classification="reconciliation"), other(), "recovery conditions"),
        (
            row(severity="P3", classification="broker/connectivity"),
            other(classification="data_quality"),
            "recovery",
        ),
        (row(**LEAST, classification="data-integrity"), other(**LEAST), "recovery"),
        (
            row(**LEAST, classification="data_quality"),
            other(**LEAST, classification="data_quality", opened_at=NOW - timedelta(minutes=6)),
            "opened before it",
        ),
        (
            row(**LEAST, classification="data-integrity"),
            other(**LEAST, classification="broker/connectivity"),
            "recovery",
        ),
        (
            row(**LEAST, classification="data-integrity"),
            other(**LEAST, classification="data_quality", opened_at=NOW),
            None,
        ),
        *(
            (
                row(**LEAST, classification="data_quality"),
                other(**LEAST | {"source": source}, classification="data_quality", opened_at=NOW),
                f"a person's own {source}, recovery demands nothing",
            )
            for source in ("trip", "override")
        ),
        (
            row(**LEAST | {"source": "trip"}, classification="data_quality"),
            other(**LEAST, opened_at=NOW),
            None,
        ),
        (row(**LEAST), other(**LEAST, opened_at=NOW - timedelta(days=3)), None),
        (row(), other(), None),
        (row(), other(severity="P0"), None),
        (row(), other(opened_at=NOW - timedelta(hours=3), alarm_at=NOW), None),
        (row(status="acknowledged"), other(status="acknowledged"), None),
        (row(source="trip"), other(status="acknowledged"), None),
        (row(severity="P2"), other(severity="P3"), None),
        (row(opened_at=NOW - timedelta(minutes=16)), other(status="acknowledged"), None),
        (
            row(severity="P3", classification="data_quality"),
            other(severity="P3", classification="data_quality"),
            None,
        ),
    ],
)
def test_what_is_merged_loses_nothing_that_holds(
    one: IncidentRow, into: IncidentRow, why: str | None
) -> None:
    fault = merge_fault(one, into, NOW, WINDOW)
    assert (fault is None) if why is None else (fault is not None and why in fault), fault


ROWS = st.builds(
    row,
    classification=st.sampled_from(["other", *BRANCH]),
    incident_id=st.sampled_from(["one", "two"]),
    severity=st.sampled_from(["P0", "P1", "P2", "P3"]),
    status=st.sampled_from([each.value for each in Status]),
    source=st.sampled_from(["manual", "trip", "override", "guard", "kill"]),
    opened_at=st.integers(0, 40).map(lambda minutes: NOW - timedelta(minutes=minutes)),
)


def _demanded(each: IncidentRow) -> set[Need]:
    """What a resume waits for because of it: nothing because of a person's own trip or an override."""
    if each.source in ("trip", "override"):
        return set()
    return set(needs(_linked(each)))


def _linked(each: IncidentRow) -> Linked:
    return Linked(each.incident_id, each.title, each.classification, each.opened_at)


@given(ROWS, ROWS)
def test_a_merge_never_silences_a_resumes_obstacle(one: IncidentRow, into: IncidentRow) -> None:
    if merge_fault(one, into, NOW, WINDOW) is not None:
        return

    def holds(each: IncidentRow) -> bool:
        return each.critical and NOW - each.opened_at < WINDOW

    assert not holds(one) or holds(into)
    proved = _demanded(into) if into.opened_at >= one.opened_at else set()
    assert _demanded(one) <= proved
    assert one.incident_id != into.incident_id and into.status in ("open", "acknowledged")


@pytest.mark.parametrize(
    ("severity", "until", "why"),
    [
        ("P0", timedelta(hours=1), "P0"),
        ("P1", timedelta(0), "past"),
        ("P1", timedelta(hours=24, seconds=1), "24 h"),
        ("P1", timedelta(hours=24), None),
        ("P3", timedelta(seconds=1), None),
    ],
)
def test_the_bounds_of_a_snooze(severity: str, until: timedelta, why: str | None) -> None:
    fault = snooze_fault(row(severity=severity), NOW + until, NOW)
    assert (fault is None) if why is None else (fault is not None and why in fault)


@pytest.mark.parametrize(
    ("before", "wanted", "source", "lost"),
    [
        ("other", "data_quality", "manual", ()),
        ("other", "security", "manual", ()),
        ("data_quality", "other", "guard", (Need.BARS, Need.QUALITY)),
        ("data_quality", "reconciliation", "manual", (Need.BARS, Need.QUALITY)),
        ("data-integrity", "data_quality", "guard", ()),
        ("reconciliation", "broker/connectivity", "run", (Need.CLEAN_RUNS,)),
        ("reconciliation", "security", "kill", (Need.CLEAN_RUNS,)),
        ("broker/connectivity", "reconciliation", "slo", (Need.GATEWAY,)),  # two clean runs are one
        ("broker/connectivity", "data_quality", "manual", (Need.GATEWAY, Need.RERUN)),
        ("reconciliation", "other", "trip", ()),
        ("broker/connectivity", "other", "override", ()),
    ],
)
def test_which_conditions_another_classification_takes_away(
    before: str, wanted: str, source: str, lost: tuple[Need, ...]
) -> None:
    assert lost_needs(row(classification=before, source=source), Classification(wanted)) == lost


@given(ROWS, st.sampled_from(Classification))
def test_what_is_classified_anew_keeps_its_conditions_or_names_them(
    one: IncidentRow, wanted: Classification
) -> None:
    after = replace(one, classification=wanted.value)
    kept = set(needs(_linked(after)))
    kept |= {Need.RERUN} if Need.CLEAN_RUNS in kept else set()
    lost = lost_needs(one, wanted)
    assert not kept & set(lost)
    if one.source not in ("trip", "override"):
        assert set(needs(_linked(one))) <= kept | set(lost)
    assert (classify_fault(one, wanted) is not None) is (one.classification == wanted)
    assert lost == () or classify_fault(one, wanted) is None


@pytest.mark.parametrize("before", Severity)
@pytest.mark.parametrize("wanted", Severity)
def test_severity_only_rises(before: Severity, wanted: Severity) -> None:
    fault = escalate_fault(row(severity=before.value), wanted)
    assert (fault is None) is (int(wanted[1]) < int(before[1]))


def test_an_override_waits_for_its_review() -> None:
    assert unreviewed(row(source="override"))
    assert not unreviewed(row(source="override", acknowledged_at=NOW)) and not unreviewed(row())


def test_when_an_acknowledgement_ends() -> None:
    half = timedelta(minutes=30)
    known = row(status="acknowledged", last_event_at=NOW)
    assert acknowledgement_ends(known, half) == NOW + half
    assert acknowledgement_ends(row(status="acknowledged"), half) == NOW + timedelta(minutes=25)
    assert acknowledgement_ends(
        replace(known, snoozed_until=NOW + timedelta(hours=2)), half
    ) == NOW + timedelta(hours=2)
    assert acknowledgement_ends(replace(known, snoozed_until=NOW), half) == NOW + half
    for none in (row(), replace(known, severity="P2"), replace(known, status="resolved")):
        assert acknowledgement_ends(none, half) is None


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (None, None),
        ("trip:1", "trip:1"),
        ("run:a:b", "run:a:b"),
        ("slo:orders", "slo:orders#i"),
        ("latch:BTC-USD:7", "latch:BTC-USD:7#i"),
    ],
)
def test_standing_conditions_give_their_key_free(key: str | None, kept: str | None) -> None:
    assert freed_key(key, "i") == kept


def test_every_verb_and_change_has_its_words() -> None:
    assert set(CHANGES) == set(Verb) - {Verb.OPEN}
    assert set(PARTICIPLES) == set(Change)


@pytest.mark.parametrize(
    ("name", "ticket", "title"),
    [
        ("instrument:BTC-USD", "", "instrument:BTC-USD tripped by admin1: drill"),
        ("global", "T-1", "global tripped by admin1: drill"),
        ("withdrawals", "T-1", "withdrawals halted by admin1 (T-1): drill"),
        ("latch:BTC-USD", "", "safety latch of BTC-USD set by admin1: drill"),
        ("soft_halt:BTC-USD", "T-1", "BTC-USD set to SOFT_HALT by admin1 (T-1): drill"),
        ("hard_halt:BTC-USD", "", "BTC-USD set to HARD_HALT by admin1: drill"),
        ("cancel_only:BTC-USD", "T-1", "BTC-USD set to CANCEL_ONLY by admin1 (T-1): drill"),
    ],
)
def test_what_a_trips_incident_is_called(name: str, ticket: str, title: str) -> None:
    assert trip_title(BreakerId(name), "admin1", "drill", ticket) == title


def test_a_row_says_how_it_stands() -> None:
    late = row(opened_at=NOW - timedelta(minutes=16))
    assert (
        overdue(late, NOW)
        and not overdue(row(), NOW)
        and not overdue(replace(late, status="acknowledged"), NOW)
    )
    assert snoozed(row(snoozed_until=NOW + WINDOW), NOW) and not snoozed(row(snoozed_until=NOW), NOW)
    assert not snoozed(row(), NOW)
    assert linked(row(breaker_id="a", breakers=("b", "a", "b"))) == ("a", "b") and linked(row()) == ()
    found = IncidentList(NOW, (late, row()), (), 3, 1, 9)
    assert (found.unresolved_count, found.total) == (4, 13)
    assert (found.unresolved_count, found.hidden, found.overdue) == (4, 2, (late,))


def test_a_story_says_what_is_left() -> None:
    delivery = Delivery("pagerduty", 1, NOW, NOW, None, None)
    told = IncidentStory(NOW, row(breaker_id="a"), pages=(StoryPage("trigger", "P1", "x", NOW, (delivery,)),))
    assert told.breakers == ("a",) and told.left == timedelta(minutes=10)
    assert told.postmortem_by == told.row.opened_at + timedelta(hours=48)
    over = replace(told, row=row(status="resolved", resolved_at=NOW))
    assert over.left is None and over.postmortem_by == NOW + timedelta(hours=48)
    assert replace(told, row=row(severity="P2")).postmortem_by is None


def test_what_halts_everybody_pages() -> None:
    assert trip_severity(GLOBAL) is trip_severity(WITHDRAWALS) is Severity.P1
    for name in ("component:execution", "instrument:BTC-USD", "hard_halt:BTC-USD", "latch:BTC-USD"):
        assert trip_severity(BreakerId(name)) is Severity.P2


def test_beside_which_switches_a_cancel_only_loosens() -> None:
    assert stricter_switches(BreakerId("cancel_only:X")) == ("soft_halt:X", "hard_halt:X")
    assert stricter_switches(BreakerId("hard_halt:X")) == stricter_switches(GLOBAL) == ()


def test_what_an_incident_is_linked_to_that_a_trip_belongs_to() -> None:
    assert same_matter(BreakerId("instrument:BTC-USD")) == ("instrument:BTC-USD",)
    assert same_matter(BreakerId("withdrawals")) == ("withdrawals",)
    assert set(same_matter(BreakerId("soft_halt:BTC-USD"))) == {
        "instrument:BTC-USD",
        *(f"{scope}:BTC-USD" for scope in ("cancel_only", "soft_halt", "hard_halt", "latch")),
    }


@pytest.mark.parametrize(
    ("notes", "ticket", "found"),
    [
        ("incident P1 1a2b3c4d: bars are late", "", "1a2b3c4d"),
        ("as incident 1a2b3c4d says", "OPS-8", "1a2b3c4d"),
        ("incident P1 1a2b3c4d", "99999999", "99999999"),
        ("", "1a2b3c4d-0000-4000-8000-00000000000f", "1a2b3c4d-0000-4000-8000-00000000000f"),
        ("incident P1 1a2b3c4dx", "1A2B3C4D", ""),
        ("the incident of last night", "OPS-8", ""),
        ("", "%", ""),
    ],
)
def test_which_incident_a_trip_names(notes: str, ticket: str, found: str) -> None:
    assert named_incident(notes, ticket) == found
