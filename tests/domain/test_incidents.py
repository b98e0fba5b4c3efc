"""Incidents: severities, the table of legal changes, and their clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.incidents import (
    PARTICIPLES,
    BadIncident,
    Change,
    IllegalChange,
    Severity,
    Status,
    acknowledge_by,
    after,
    parse_severity,
    postmortem_by,
)

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
LEGAL = {
    Status.OPEN: {
        Change.ACKNOWLEDGE: Status.ACKNOWLEDGED,
        Change.MERGE: Status.MERGED,
        Change.ESCALATE: Status.OPEN,
        **dict.fromkeys(
            (
                *(Change.NOTE, Change.ASSIGN, Change.CLASSIFY, Change.SNOOZE),
                *(Change.LINK, Change.TOLD, Change.ACTION),
            ),
            Status.OPEN,
        ),
    },
    Status.ACKNOWLEDGED: {
        Change.RESOLVE: Status.RESOLVED,
        Change.MERGE: Status.MERGED,
        Change.ESCALATE: Status.OPEN,
        Change.EXPIRE: Status.OPEN,
        **dict.fromkeys(
            (
                *(Change.NOTE, Change.ASSIGN, Change.CLASSIFY, Change.SNOOZE),
                *(Change.LINK, Change.TOLD, Change.ACTION),
            ),
            Status.ACKNOWLEDGED,
        ),
    },
    Status.RESOLVED: dict.fromkeys((Change.NOTE, Change.TOLD, Change.ACTION), Status.RESOLVED),
    Status.MERGED: {},
}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("change", Change)
def test_every_change_in_every_status(status: Status, change: Change) -> None:
    legal = LEGAL[status].get(change)
    if legal is not None:
        assert after(status, change) is legal
        return
    with pytest.raises(IllegalChange, match=f"{status.value} cannot be {PARTICIPLES[change]}"):
        after(status, change)


def test_nothing_leads_back_from_the_end() -> None:
    for change in Change:
        for status in (Status.RESOLVED, Status.MERGED):
            assert status.over
            if change in LEGAL[status]:
                assert after(status, change) is status
    assert not Status.OPEN.over and not Status.ACKNOWLEDGED.over


@pytest.mark.parametrize(
    ("text", "severity", "sev"),
    [
        ("P0", Severity.P0, "SEV1"),
        (" p1 ", Severity.P1, "SEV2"),
        ("sev1", Severity.P0, "SEV1"),
        ("SEV2", Severity.P1, "SEV2"),
        ("SEV3", Severity.P2, "SEV3"),
        ("P3", Severity.P3, "SEV3"),
    ],
)
def test_two_scales_are_one(text: str, severity: Severity, sev: str) -> None:
    assert parse_severity(text) is severity and severity.sev == sev
    assert severity.critical is (severity in (Severity.P0, Severity.P1))


@pytest.mark.parametrize("text", ["", "P4", "SEV0", "SEV4", "critical", "P\x000"])
def test_what_is_no_severity(text: str) -> None:
    with pytest.raises(BadIncident, match="neither P0 to P3 nor SEV1 to SEV3"):
        parse_severity(text)


@given(MOMENTS)
def test_the_clock_of_each_severity(began: datetime) -> None:
    minutes = [acknowledge_by(each, began) - began for each in (Severity.P0, Severity.P1, Severity.P2)]
    assert minutes == [timedelta(minutes=n) for n in (5, 15, 60)]
    due = acknowledge_by(Severity.P3, began)
    assert due.weekday() < 5 and (due.hour, due.minute) == (17, 0) and due.date() > began.date()
    between = [began.date() + timedelta(days=n) for n in range(1, (due.date() - began.date()).days)]
    assert all(day.weekday() >= 5 for day in between)  # the next business day, and no later one


def test_over_a_weekend() -> None:
    friday = datetime(2026, 3, 6, 23, 59, tzinfo=UTC)
    assert acknowledge_by(Severity.P3, friday) == datetime(2026, 3, 9, 17, tzinfo=UTC)
    assert acknowledge_by(Severity.P3, friday - timedelta(days=1)) == datetime(2026, 3, 6, 17, tzinfo=UTC)


@given(MOMENTS, st.none() | MOMENTS)
def test_a_postmortem_is_due_48_h_after_the_end(opened: datetime, resolved: datetime | None) -> None:
    for severity in Severity:
        due = postmortem_by(severity, resolved, opened)
        assert due == ((resolved or opened) + timedelta(hours=48) if severity.critical else None)
