"""The communication table: who must hear of what, by when. Source: incident playbook, communication."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cockpit.domain.communications import (
    Audience,
    CommunicationRow,
    Delivered,
    Raised,
    Told,
    Word,
    communication,
)
from cockpit.domain.incidents import Severity

OPENED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ON_CALL, TEAM, STAKEHOLDERS, POSTMORTEM = Audience
DONE, DUE, OVERDUE, NOT_NEEDED = Word


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def words(rows: tuple[CommunicationRow, ...]) -> list[Word]:
    assert [row.audience for row in rows] == list(Audience)
    return [row.word for row in rows]


@pytest.mark.parametrize(
    ("severity", "after", "expected"),
    [
        (Severity.P0, 0, [DUE, DUE, DUE, DUE]),
        (Severity.P1, 1, [DUE, DUE, DUE, DUE]),
        (Severity.P0, 1.01, [OVERDUE, DUE, DUE, DUE]),
        (Severity.P1, 15.01, [OVERDUE, OVERDUE, DUE, DUE]),
        (Severity.P1, 60, [OVERDUE, OVERDUE, DUE, DUE]),
        (Severity.P0, 60.01, [OVERDUE, OVERDUE, OVERDUE, DUE]),
        (Severity.P0, 48 * 60 + 0.01, [OVERDUE] * 4),
        (Severity.P2, 0, [NOT_NEEDED, DUE, NOT_NEEDED, NOT_NEEDED]),
        (Severity.P3, 16, [NOT_NEEDED, OVERDUE, NOT_NEEDED, NOT_NEEDED]),
    ],
)
def test_the_table(severity: Severity, after: float, expected: list[Word]) -> None:
    assert words(communication([Raised(OPENED, severity)], [], [], OPENED + minutes(after))) == expected


def test_a_page_that_arrived_is_how_on_call_heard() -> None:
    pages = [
        Delivered("resolve", "slack", OPENED),
        Delivered("trigger", "webhook", OPENED + minutes(2)),
        Delivered("trigger", "pagerduty", OPENED + minutes(0.5)),
    ]
    row = communication([Raised(OPENED, Severity.P0)], [], pages, OPENED + minutes(5))[0]
    assert (row.word, row.by, row.done_at, row.late) == (DONE, "pagerduty", OPENED + minutes(0.5), False)
    assert row.left(OPENED + minutes(5)) is None


def test_people_may_have_called() -> None:
    told = [Told("on-call", OPENED + minutes(3), "operator1"), Told("team", OPENED + minutes(20), "admin1")]
    on_call, team, *_ = communication([Raised(OPENED, Severity.P1)], told, [], OPENED + minutes(30))
    assert (on_call.word, on_call.by, on_call.late) == (DONE, "operator1", True)
    assert (team.word, team.by, team.late) == (DONE, "admin1", True)


def test_what_nobody_asked_for_is_done_all_the_same() -> None:
    pages = [Delivered("trigger", "slack", OPENED)]
    on_call, _, stakeholders, _ = communication([Raised(OPENED, Severity.P2)], [], pages, OPENED)
    assert (on_call.word, on_call.due_at, on_call.late) == (DONE, None, False)
    assert (stakeholders.word, stakeholders.due_at, stakeholders.left(OPENED)) == (NOT_NEEDED, None, None)


def test_an_escalation_pages_anew_and_starts_the_stakeholders_clock() -> None:
    worse = OPENED + minutes(90)
    raised = [Raised(OPENED, Severity.P2), Raised(worse, Severity.P1)]
    told = [Told("team", OPENED + minutes(5), "operator1")]
    pages = [Delivered("trigger", "slack", OPENED)]
    rows = communication(raised, told, pages, worse + minutes(2))
    assert words(rows) == [OVERDUE, DONE, DUE, DUE]
    assert rows[0].due_at == worse + minutes(1)
    assert rows[2].due_at == worse + minutes(60)
    again = communication(raised, told, [*pages, Delivered("trigger", "slack", worse)], worse + minutes(2))
    assert (again[0].word, again[0].done_at) == (DONE, worse)


def test_a_second_escalation_does_not_forgive_the_stakeholders() -> None:
    raised = [Raised(OPENED, Severity.P1), Raised(OPENED + minutes(50), Severity.P0)]
    stakeholders = communication(raised, [], [], OPENED + minutes(61))[2]
    assert (stakeholders.word, stakeholders.left(OPENED + minutes(61))) == (OVERDUE, minutes(-1))


def test_the_postmortem_is_due_48_hours_after_the_end() -> None:
    ended = OPENED + timedelta(days=3)
    raised = [Raised(OPENED, Severity.P1)]
    row = communication(raised, [], [], ended + timedelta(hours=1), resolved_at=ended)[3]
    assert (row.word, row.left(ended + timedelta(hours=1))) == (DUE, timedelta(hours=47))
    written = [Told("postmortem", ended + timedelta(hours=2), "admin2")]
    assert communication(raised, written, [], ended + timedelta(days=9), resolved_at=ended)[3].word is DONE


def test_a_merged_incident_needs_nothing_more() -> None:
    told = [Told("team", OPENED, "operator1")]
    rows = communication([Raised(OPENED, Severity.P0)], told, [], OPENED + timedelta(days=5), merged=True)
    assert words(rows) == [NOT_NEEDED, DONE, NOT_NEEDED, NOT_NEEDED]


def test_every_audience_has_its_channel() -> None:
    assert [each.channel.rpartition(" ")[2] for each in Audience] == ["once", "min", "h", "h"]
    assert [each.value for each in Audience] == ["on-call", "team", "stakeholders", "postmortem"]
