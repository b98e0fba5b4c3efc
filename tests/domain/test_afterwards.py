"""The postmortem's draft and the hand-over: everything recorded is in them, and nothing acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.audit import EMPTY
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.communications import Audience, CommunicationRow, Word, of_story
from cockpit.domain.desk import (
    BreakerRow,
    DeskSnapshot,
    IncidentRow,
    KillRow,
    KillStepRow,
    RequestRow,
    SizeLimit,
)
from cockpit.domain.documents import Epoch, Reading
from cockpit.domain.handover import NOTHING, Debt, Happened, Lately, Section, Sources, handover
from cockpit.domain.incident_story import (
    ActionItem,
    Delivery,
    IncidentList,
    IncidentStory,
    Merged,
    StoryEvent,
    StoryPage,
)
from cockpit.domain.paging import PageRow, Paging
from cockpit.domain.postmortem import draft, plain
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
ID = "11111111-1111-4111-8111-111111111111"
BTC = BreakerId("instrument:BTC-USD")
LATCH = BreakerId("latch:BTC-USD")
CATALOGUE = Catalogue.build(["execution"], ["BTC-USD"], [])


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


ROW = IncidentRow(
    ID, ago(90), "P1", "reconciliation", "books drift", "resolved", "manual", BTC, "operator1", ago(80),
    "operator1",
    opened_by="operator2", slos=("order-success",), resolved_at=ago(10), resolved_by="operator1",
)  # fmt: skip
OPEN = replace(ROW, status="open", acknowledged_at=None, acknowledged_by=None, resolved_at=None, owner=None)


def event(kind: str, minutes: float, notes: str = "", **details: object) -> StoryEvent:
    return StoryEvent(1, ago(minutes), kind, "operator1", notes, details, 7)


# -- postmortem ---------------------------------------------------------------------------------------------


def test_a_resolved_incident_is_told_whole() -> None:
    story = IncidentStory(
        NOW,
        replace(ROW, run_id="run-7", run_incident="inc-1"),
        (event("opened", 90), replace(event("resolved", 10, "a doubled posting"), audit_seq=None)),
        (
            ActionItem("a", "check postings twice", "operator2", NOW, "operator1", ago(5), None, None),
            ActionItem("b", "write it down", "operator1", None, "operator1", ago(5), ago(1), "operator1"),
            ActionItem("c", "tell everybody", "operator1", None, "operator1", ago(5), ago(1), None),
        ),
        merged=(Merged("m", "the same again"),),
        cut=3,
    )
    rows = (
        CommunicationRow(Audience.ON_CALL, Word.DONE, ago(89), ago(88), "pagerduty"),
        CommunicationRow(Audience.TEAM, Word.DUE, NOW),
        CommunicationRow(Audience.STAKEHOLDERS, Word.NOT_NEEDED),
    )
    text = draft(story, rows)
    for part in (
        "P1 (SEV2)", "after 10 min 00 s", "after 1 h 20 min", "a doubled posting", "run-7, inc-1",
        "the same again",
        "3 events between", "- [ ] check postings twice — operator2, due 2026-03-02 03:00:00",
        "- [x] write it down — operator1, done 2026-03-02 02:59:00 by operator1", "by ?",
        "by pagerduty, late", "due, by 2026-03-02", "not needed", "47 h 50 min left", "| 7 |", "|  |",
    ):  # fmt: skip
        assert part in text, part


def test_the_timeline_says_what_was_linked_added_and_tripped() -> None:
    happened = (
        event("linked", 60, breakers=[BTC], slos=["order-success"]),
        event("action", 50, "soon", what="check [all] postings", owner="operator2"),
        event("tripped", 40, "drift", what=f"{BTC} tripped by operator1: manual"),
    )
    text = draft(IncidentStory(NOW, ROW, happened), ())
    for told in (
        "| linked: to instrument:BTC-USD, SLO order-success |",
        "| action: check \\[all\\] postings; for operator2; soon |",
        "| tripped: instrument:BTC-USD tripped by operator1: manual; drift |",
    ):
        assert told in text, text


def test_an_open_one_asks_for_what_is_missing() -> None:
    text = draft(IncidentStory(NOW, replace(OPEN, breaker_id=None, slos=())), ())
    assert "Not resolved yet" in text and "never" in text and "nobody" in text and "None yet" in text
    late = draft(IncidentStory(NOW + timedelta(hours=60), ROW), ())
    assert "OVERDUE" in late
    small = draft(IncidentStory(NOW, replace(ROW, severity="P3", acknowledged_by=None)), ())
    assert "No postmortem is required" in small
    quick = draft(IncidentStory(NOW, replace(ROW, acknowledged_at=ROW.opened_at + timedelta(seconds=4))), ())
    assert "after 4 s" in quick


@given(st.text(max_size=300))
def test_no_text_acts(text: str) -> None:  # I26
    shown = plain(text)
    assert "\n" not in shown and "\x1b" not in shown
    bare = shown.replace("\\\\", "")
    for active in "`*_[]<>#|":
        assert bare.count(active) == bare.count(f"\\{active}")


def test_a_link_is_no_link() -> None:
    assert plain("see https://x.y or www.z") == "see https\\://x.y or www\\.z"


# -- communication ------------------------------------------------------------------------------------------


def test_the_table_of_a_story() -> None:
    page = StoryPage("trigger", "P1", "t", ago(90), (
        Delivery("slack", 1, ago(90), ago(89), None, None),
        Delivery("sms", 4, ago(90), None, None, "503")))  # fmt: skip
    story = IncidentStory(
        NOW, ROW, (event("opened", 90, severity="P2"), event("escalated", 60, severity="P1"),
                   event("told", 50, audience="team"), event("noted", 40)), pages=(page,))  # fmt: skip
    rows = {row.audience: row for row in of_story(story)}
    assert rows[Audience.TEAM].by == "operator1"
    assert rows[Audience.STAKEHOLDERS].due_at == NOW, "its clock began with the escalation"
    assert rows[Audience.ON_CALL].word is Word.OVERDUE, "nobody was paged since the escalation"
    bare = {row.audience: row for row in of_story(IncidentStory(NOW, ROW, pages=(page,)))}
    assert bare[Audience.ON_CALL].by == "slack"
    merged = of_story(IncidentStory(NOW, replace(ROW, status="merged")))
    assert {row.word for row in merged} == {Word.NOT_NEEDED}


# -- hand-over ----------------------------------------------------------------------------------------------


def reading(name: BreakerId, state: State) -> Reading:
    return Reading(name, state, Epoch("r", 1))


def breakers(**states: State) -> BreakerSnapshot:
    readings = {name: reading(name, State.CLOSED) for name in CATALOGUE.everything}
    readings[BTC] = reading(BTC, State.OPEN)
    del readings[LATCH]  # what was not read is set
    return BreakerSnapshot(readings, {}, "r", NOW, True, (), NOW, 0.0)


def desk(paging: Paging | None = None) -> DeskSnapshot:
    rows = {
        BTC: BreakerRow(
            BTC, "OPEN", ago(9), "admin1", "latency", "venue is slow", "e", "r", 1, None, NOW, NOW
        ),
        GLOBAL: BreakerRow(GLOBAL, "CLOSED", ago(9), "", "", "", "e", "r", 1, None, None, NOW),
        LATCH: BreakerRow(LATCH, "CLOSED", ago(9), "x", "", "", "e", "r", 1, None, None, NOW),
    }
    asked = RequestRow(
        "q", "half_open", "global", "admin1", "awaiting_approval", None, None, None, 1, NOW, None, NOW
    )
    kills = (
        KillRow(
            "k",
            Epoch("r", 1),
            "admin1",
            "everything",
            ago(5),
            (KillStepRow("verify", "flat", {}, "admin1", NOW),),
        ),
        KillRow("l", Epoch("r", 2), "admin1", "again", ago(4), ()),
    )
    limit = SizeLimit("s", BTC, Decimal("0.5"), "person", "", "half size", "admin1", NOW)
    return DeskSnapshot(
        NOW, NOW, 0.0, 0.0, rows,
        (asked, replace(asked, expires_at=None), replace(asked, status="done")),
        (), (), (), None, (), EMPTY, (), (), (), size_limits=(limit,), kills=kills, paging=paging,
    )  # fmt: skip


def listed(*rows: IncidentRow, more: int = 0) -> IncidentList:
    return IncidentList(NOW, rows, (), len(rows) + more)


LATELY = Lately(
    NOW,
    (
        Happened(ago(1), "CIRCUIT_BREAKER_TRIP", "admin1", BTC, "slow", 9),
        Happened(ago(2), "APPROVED", "a", BTC, "", 8),
    ),
    5,
    (Debt(ID, "alert on it", "", None, "t"), Debt(ID, "mend it", "operator1", ago(1), "t")),
    (Debt(ID, "postmortem", "", NOW + timedelta(hours=1), "t"),),
)


def made(sources: Sources) -> dict[str, Section]:
    return {section.name: section for section in handover(sources, CATALOGUE, 12)}


def test_a_handover_holds_every_part() -> None:
    snoozed = replace(OPEN, alarm_at=NOW, snoozed_until=NOW + timedelta(hours=1), incident_id="s")
    acknowledged = replace(ROW, status="acknowledged", resolved_at=None, owner=None)
    page = PageRow(ID, "trigger", "P1", "books drift", "slack", 3, ago(5), NOW, "503", False)
    paging = Paging(1.0, True, ("slack",), 1, 1, (page, replace(page, given_up=True)))
    incidents = listed(OPEN, snoozed, acknowledged, more=2)
    found = made(Sources(breakers(), desk(paging), incidents, LATELY, {}))
    halted = found["halted"].lines
    assert (
        halted[0].startswith(f"{BTC} OPEN · HALTED since 03-02 02:51:00 by admin1")
        and "review due" in halted[0]
    )
    assert halted[1] == f"{LATCH} SET"
    assert "verify flat" in found["kills"].lines[0] and "not reported" in found["kills"].lines[1]
    first, second, more = found["unacknowledged"].lines
    assert "OVERDUE" in first and second.endswith("snoozed") and more == "… and 2 more unresolved"
    assert found["acknowledged"].lines[0].endswith("owner nobody")
    assert len(found["overdue"].lines) == 2 and "mend it" in found["overdue"].lines[1]
    assert [line.partition(",")[0] for line in found["owed"].lines] == ["postmortem", "alert on it"]
    assert len(found["approvals"].lines) == 2 and "expires" in found["approvals"].lines[0]
    assert "0.5" in found["limits"].lines[0]
    assert "waiting" in found["pages"].lines[0] and "given up" in found["pages"].lines[1]
    assert found["changes"].lines[-1] == "… and 3 before these: cockpit audit export"
    assert found["changes"].title.endswith("12 H")


@pytest.mark.parametrize(
    "paging, said",
    [(None, "paging is off"), (Paging(9.0, False, ("slack",), 0, 0), "does not run")],
)
def test_silent_paging_is_said(paging: Paging | None, said: str) -> None:
    assert said in made(Sources(None, desk(paging), None, None, {}))["pages"].lines[0]


def test_what_was_not_read_is_unknown_and_what_is_empty_is_nothing() -> None:  # I25
    found = made(Sources(None, None, None, None, {"redis": "no answer"}))
    assert found["halted"].text == ("HALTED", "  UNKNOWN: no answer")
    assert all(section.unknown for section in found.values())
    everything = {name: reading(name, State.CLOSED) for name in CATALOGUE.everything}
    closed = BreakerSnapshot(everything, {}, "r", NOW, True, (), NOW, 0.0)
    calm = Lately(NOW, (), 0, (), ())
    found = made(Sources(closed, None, listed(), calm, {}))
    for name in ("halted", "unacknowledged", "acknowledged", "overdue", "owed", "changes"):
        assert found[name].text[1] == f"  {NOTHING}", name
