"""Lines of panel 3 and of the first-five-minutes page, without a terminal or a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_story import IncidentList
from cockpit.domain.incidents import Change, Classification
from cockpit.domain.paging import PageRow, Paging
from cockpit.domain.playbook_checks import Check
from cockpit.domain.playbooks import Act, Judged
from cockpit.domain.reasons import Reason
from cockpit.domain.triage_facts import POSTGRES, Breach, Halt, Part, Quality
from tests.screen.incident_pages import (
    BOOK,
    ID,
    OTHER,
    acked,
    ago,
    ill,
    minutes,
    page,
    reconciled,
    row,
    run_view,
    runs,
    step,
    story,
    unread,
)
from tests.screen.objective_boards import EXECUTION, NOW, board, desk
from tests.screen.test_text_from_outside import HOSTILE
from widgets.board import Board
from widgets.incident_clocks import ack_clock, clock_words, severity_words, state_words
from widgets.incident_forms import (
    FORMS,
    ChangeDraft,
    change_wish,
    form_fault,
    linked_breakers,
    parse_until,
    trip_proposal,
)
from widgets.incident_rows import (
    ORDERS,
    incident_details,
    incident_heading,
    incident_line,
    ordered,
    page_words,
    status_lines,
)
from widgets.line import Line, text_of, width
from widgets.minutes_entry import legend
from widgets.minutes_facts import read_words, title_entries
from widgets.minutes_page import more_lines, page_entries
from widgets.minutes_steps import step_at

EXPIRY_S = 1_800
NOTES = "the venue's feed has come back"


def said(lines: Sequence[Line]) -> str:
    return "\n".join(text_of(line) for line in lines)


def shown(found: object, cells: int = 79, **changes: object) -> str:
    """The page's text."""
    made = page(found, **changes)  # type: ignore[arg-type]
    entries = page_entries(board(), made, BOOK, cells)
    assert len({entry.key for entry in entries}) == len(entries)
    assert all(width(entry.line) <= cells for entry in entries), said([each.line for each in entries])
    return said([entry.line for entry in entries])


# -- clocks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("incident", "words", "style"),
    [
        (row("P0", 30), "ack in 4 min 30 s", "warn"),
        (row("P1", 60), "ack in 14 min 0 s", ""),
        (row("P1", 899), "ack in 1 s", "warn"),
        (row("P1", 900), "overdue 0 s", "bad"),
        (row("P0", 480), "overdue 3 min", "bad"),
        (row("P2", 60), "ack in 59 min", ""),
        (row("P3", 60), "ack in 2 d", ""),  # a Saturday: Monday at 17:00
        (acked(30), "by admin1", "dim"),
        (acked(1_560), "lapses 4 min 0 s", "warn"),
        (acked(1_800), "ack LAPSES", "bad"),
        (acked(1_800, last_event_at=ago(10)), "by admin1", "dim"),
        (acked(9_000, "P2"), "by admin1", "dim"),  # only critical ones lapse
        (row(status="resolved"), "", "dim"),
    ],
)
def test_the_clock_of_an_acknowledgement(incident: IncidentRow, words: str, style: str) -> None:
    assert ack_clock(incident, NOW, EXPIRY_S) == (words, style)


@pytest.mark.parametrize(
    ("incident", "words"),
    [
        (row(), "■ OPEN"),
        (row(acknowledged_at=ago(9)), "■ OPEN AGAIN"),
        (acked(), "◐ ACKED"),
        (acked(snoozed_until=ago(-60)), "z SNOOZED"),
        (acked(snoozed_until=ago(60)), "◐ ACKED"),
        (row(status="resolved", snoozed_until=ago(-60)), "● RESOLVED"),
        (row(status="merged"), "○ MERGED"),
        (row(status="\x1b[2Jodd"), "? \N{REPLACEMENT CHARACTER}[2Jodd"),
    ],
)
def test_the_state_in_words(incident: IncidentRow, words: str) -> None:
    assert state_words(incident, NOW)[0] == words


def test_clocks_in_sentences() -> None:
    assert clock_words(row("P0", 480), NOW, EXPIRY_S) == (
        "to be acknowledged by 03:13 UTC: overdue 3 min",
        "bad",
    )
    assert "it needs it again" in clock_words(row(acknowledged_at=ago(9)), NOW, EXPIRY_S)[0]
    assert "lapses in 29 min unless something happens" in clock_words(acked(30), NOW, EXPIRY_S)[0]
    assert clock_words(acked(1_900), NOW, EXPIRY_S)[1] == "bad"
    assert clock_words(row(status="merged"), NOW, EXPIRY_S) == ("never acknowledged", "dim")
    assert severity_words(row("P3")) == "P3/SEV3" and severity_words(row("P0")) == "P0/SEV1"
    assert severity_words(row("odd")) == "odd"


# -- the list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [79, 80, 109, 110, 119, 200])
def test_a_row_fills_its_columns_exactly(cells: int) -> None:
    assert width(incident_heading(cells)) == cells + 1
    for text in ("bars are late", *HOSTILE):
        incident = row(title=text, owner=text, classification=text, breakers=(text,), slos=(text,))
        line = incident_line(incident, NOW, EXPIRY_S, cells)
        assert width(line) == cells
        details = incident_details(board(), replace(incident, source=text, run_id=text), NOW, cells)
        assert all(width(each) <= cells for each in details)


def test_order_and_what_is_over() -> None:
    rows = [
        row("P2", 10, incident_id="new"), row("P2", 90, incident_id="old", owner="b"),
        row("P0", 5, incident_id="worst", owner="a"), acked(incident_id="acked"),
        row("P0", 1, incident_id="over", status="resolved"),
    ]  # fmt: skip
    assert ordered(rows, ORDERS[0]) == ("worst", "old", "new", "acked", "over")
    assert ordered(rows, ORDERS[1]) == ("worst", "new", "old", "acked", "over")
    assert ordered(rows, ORDERS[2]) == ("new", "worst", "acked", "old", "over")


def listed(*rows: IncidentRow, **changes: object) -> Board:
    found = IncidentList(NOW, rows, (), len(rows), 0, 0)
    return replace(board(), **({"incidents": found, "incidents_at": 100.2} | changes))  # type: ignore[arg-type]


def test_the_status_counts_all_and_says_what_is_not_listed_and_old() -> None:
    seen = listed(row("P0", 480), row("P1", 1))
    text = said(status_lines(seen, "most urgent first", 79))
    assert "2 open, 1 OVERDUE · 0 acknowledged · 0 ended" in text and "STALE" not in text
    assert seen.incidents is not None
    cut = replace(seen, incidents=replace(seen.incidents, open_count=10_002))
    assert "10,000 more not listed" in said(status_lines(cut, "", 79))
    old = replace(seen, monotonic=109.0, incidents_error="no answer")
    text = said(status_lines(old, "", 79))
    assert "STALE: read 8 s ago" in text and "UNREADABLE now: no answer" in text
    assert "reading…" in said(status_lines(board(), "", 79))
    assert "UNREADABLE: gone" in said(status_lines(replace(board(), incidents_error="gone"), "", 79))


def test_each_incident_is_counted_once_and_a_filter_says_how_many_it_lets_through() -> None:
    asleep = acked(snoozed_until=ago(-60))
    found = IncidentList(NOW, (row("P1", 1), asleep), (), 1, 1, 0, snoozed_acknowledged=1)
    seen = replace(board(), incidents=found, incidents_at=100.2)
    assert "INCIDENTS 1 open · 0 acknowledged · 1 snoozed · 0 ended" in said(status_lines(seen, "", 79))
    late = replace(found, unresolved=(row("P0", 480, snoozed_until=ago(-60)),), open_count=1, snoozed_open=1)
    text = said(status_lines(replace(seen, incidents=replace(late, snoozed_acknowledged=0)), "", 79))
    assert "0 open · 1 acknowledged · 1 snoozed, 1 OVERDUE · 0 ended" in text
    narrowed = replace(found, unresolved=(asleep,), over_count=8, matching_count=1)
    text = said(status_lines(replace(seen, incidents=narrowed), "", 79, 1))
    assert "1 open · 0 acknowledged · 1 snoozed · 8 ended" in text
    assert "1 of 10 shown" in text and "not listed" not in text


def test_the_clock_is_the_databases_and_goes_on_between_readings() -> None:
    """This machine's clock may say anything."""
    for wrong in (timedelta(days=9), timedelta(days=-9)):
        seen = replace(listed(row("P0", 290)), now=NOW + wrong)
        assert "OVERDUE" not in said(status_lines(seen, "", 79))
        assert "1 OVERDUE" in said(status_lines(replace(seen, monotonic=115.2), "", 79))


def test_what_became_of_the_pages() -> None:
    def words(**changes: object) -> tuple[str, str]:
        paging = Paging(1.0, True, ("pagerduty",), 0, 0)
        seen = replace(board(), desk=desk(paging=replace(paging, **changes)))  # type: ignore[arg-type]
        return tuple(page_words(seen, row()))  # type: ignore[return-value]

    waits = PageRow(ID, "trigger", "P1", "t", "pagerduty", 2, NOW, NOW, "503", False)
    assert words() == ("nothing waits or failed", "dim")
    assert words(receivers=()) == ("nobody is paged: paging is off", "warn")
    assert words(delivered={ID: NOW}) == ("delivered 03:16", "good")
    assert words(rows=(waits,)) == ("waiting for pagerduty, 2 tries: 503", "warn")
    assert words(rows=(waits,), alive=False)[0].endswith("NO PAGER RUNS")
    assert words(rows=(replace(waits, given_up=True),)) == ("FAILED at pagerduty: 503", "bad")
    assert words(rows=(replace(waits, incident_id="other"),))[1] == "dim"
    assert page_words(board(), row()).style == "unknown"


# -- forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30 min", 1_800), ("30min", 1_800), ("2 h", 7_200), ("45s", 45), ("03:40", 1_440), ("03:10", 86_040),
     ("2026-11-21 04:16", 3_600)],
)  # fmt: skip
def test_the_end_of_a_snooze(text: str, seconds: int) -> None:
    assert parse_until(text, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "30 weeks", "25:00", "-1 h"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="write 30 min"):
        parse_until(text, NOW)


def fault(change: Change, incident: IncidentRow | None = None, **draft: str) -> str | None:
    seen = listed(incident or row(), acked(incident_id="other", severity="P2"))
    return form_fault(FORMS[change], ChangeDraft(**draft), incident or row(), seen, NOW)


def test_what_a_form_still_needs() -> None:
    assert "20 are needed" in (fault(Change.ACKNOWLEDGE) or "")
    assert fault(Change.ACKNOWLEDGE, notes=NOTES) is None
    assert "cause has 0" in (fault(Change.RESOLVE) or "")
    assert fault(Change.NOTE, notes=" ") == "write the note"
    assert fault(Change.NOTE, notes="x") is None
    assert "choose one" in (fault(Change.ASSIGN) or "")
    assert fault(Change.ASSIGN, picked="admin1") is None
    assert fault(Change.ASSIGN, picked="admin1", notes="a\x07b") is not None
    assert "choose one" in (fault(Change.CLASSIFY) or "")
    assert fault(Change.CLASSIFY, picked="data_quality") == "it is classified as data_quality already"
    assert "20 are needed" in (fault(Change.CLASSIFY, picked="other", notes="x") or "")
    assert fault(Change.CLASSIFY, picked="other", notes=NOTES) is None
    assert "until: write" in (fault(Change.SNOOZE) or "")
    assert fault(Change.SNOOZE, text="25 h") == "nothing is snoozed for more than 24 h"
    assert fault(Change.SNOOZE, text="2 h") is None
    assert fault(Change.MERGE, picked="other", notes=NOTES) == "the other one is only P2, and this one P1"
    assert "item: write one line" in (fault(Change.ACTION) or "")
    assert "200 are kept" in (fault(Change.ACTION, text="x" * 201) or "")
    assert "control" in (fault(Change.ACTION, text="a\x1bb") or "")
    assert "500 are kept" in (fault(Change.NOTE, notes="x" * 501) or "")


def test_it_is_given_to_those_who_may_handle_incidents() -> None:
    roles = {"operator2": ("operator-act",), "admin1": ("safety-admin",), "monitor1": ("monitoring-read",),
             "automation1": ("automation-role",), "odd": ("root",)}  # fmt: skip
    seen = replace(board(), desk=desk(roles=roles))
    found = [each.key for each in FORMS[Change.ASSIGN].options(seen, row())]
    assert found == [board().login, "admin1", "operator2"]


def test_each_class_says_what_a_resume_would_wait_for() -> None:
    options = FORMS[Change.CLASSIFY].options(board(), row())
    assert [each.key for each in options] == list(Classification)
    assert {each.key: each.words for each in options} == {
        "data_quality": "IS NOW · resume waits for 30 daily bars of each symbol and a clean data-quality"
        " cycle since",
        "reconciliation": "resume waits for 2 clean reconciliations in a row since",
        "broker/connectivity": "resume waits for gateway healthy, its feed fresh and a clean reconciliation"
        " since",
        "security": "resume waits for no proof",
        "other": "resume waits for no proof",
    }
    told = FORMS[Change.CLASSIFY].told
    assert told(row(), "").startswith("Now data_quality: resume waits for 30 daily") and "As" not in told(
        row(), ""
    )
    assert told(row(), "data_quality") == told(row(), "")
    assert "As other: resume waits for no proof. Taken away: 30 daily bars" in told(row(), "other")
    assert "only a safety-admin may" in told(row(), "other")
    assert "Taken away" not in told(row(classification="other"), "reconciliation")
    assert told(row(source="trip"), "other") == (
        "Now data_quality: holds up no resume. As other: holds up no resume."
    )


def test_what_is_asked_for() -> None:
    seen = listed(row())
    wish = change_wish(FORMS[Change.ACKNOWLEDGE], ChangeDraft(notes=f" {NOTES}  "), row(), seen, NOW)
    assert (wish.request, wish.incident_id, wish.notes, wish.breaker_id) == (None, ID, NOTES, EXECUTION)
    for change, draft, target in (
        (Change.ASSIGN, ChangeDraft("admin2"), '"owner": "admin2"'),
        (Change.CLASSIFY, ChangeDraft("security"), '"classification": "security"'),
        (Change.ESCALATE, ChangeDraft("P0"), '"severity": "P0"'),
        (Change.SNOOZE, ChangeDraft(text="1 h"), '"until": "2026-11-21T04:16:00'),
        (Change.MERGE, ChangeDraft("other"), '"into": "other"'),
        (Change.TOLD, ChangeDraft("team"), '"audience": "team"'),
        (Change.ACTION, ChangeDraft(text=" mend  it"), '"title": "mend it"'),
    ):
        asked = change_wish(FORMS[change], draft, row(breaker_id="gone"), seen, NOW)
        assert asked.request is not None and target in asked.request.target()
        assert asked.breaker_id == "global"


def test_what_may_be_linked_and_what_a_trip_is_proposed_with() -> None:
    assert linked_breakers("component:execution, global component:execution", board()) == (
        EXECUTION,
        "global",
    )
    for bad in ("component:none", "nonsense"):
        with pytest.raises(ValueError, match="no breaker here"):
            linked_breakers(bad, board())
    assert trip_proposal(row()) == (Reason.DATA_INTEGRITY, "incident P1 00000000: bars are late")
    assert trip_proposal(row(classification="latency"))[0] is Reason.LATENCY
    assert trip_proposal(row(classification="odd"))[0] is Reason.OTHER


# -- the page ----------------------------------------------------------------------------------------------


def test_the_triage_list_when_all_is_well() -> None:
    text = shown(minutes(acked()))
    order = [
        "gateway",
        "halted",
        "last SLO",
        "ack",
        "recon",
        "quality",
        "changes",
        "class",
        "next",
        "PLAYBOOK",
    ]
    assert [name for name in order if name in text] == order
    assert [text.index(f" {name}") for name in order] == sorted(text.index(f" {name}") for name in order)
    assert text_of(legend()) == " ✓ good or done  ✗ needs you  · nothing to do, or not judged  ? not known"
    assert "✓ trading, nothing is halted · healthy: ok, feed 0.4 s old · 0 s ago" in text
    assert "last SLO · no breach is known" in text
    assert "✓ all clean: order 1, position 1, ledger 1 · 20 s ago" in text
    assert "✓ clean: 0 errors, 0 stale warnings · 40 s ago" in text
    assert "gateway 2.1 deployed by ci" in text
    assert "✗" not in "".join(text.split("PLAYBOOK")[0].splitlines())


def test_the_triage_list_when_nothing_is() -> None:
    text = shown(ill())
    assert "✗ HALTED: kill switch until 04:12 · NOT HEALTHY: feed stale" in text
    assert "component:execution" in text and "✗ data-feed BREACHED (critical): 97 against 99.9" in text
    assert "✗ order: BTC-USD 2 differ · ledger 7 behind" in text
    assert "? position: BTC-USD unknown" in text and "? ledger: no run is known" in text
    assert "✗ breach: 3 errors, 1 stale warnings · STALE, 15 min old" in text
    assert "✓ data_quality, and it looks like it" in text
    assert "next     1/6 acknowledge it" in text
    assert "✗ 30 daily bars of each symbol: BTC-USD has 12 of 30" in text
    assert "? UNREADABLE: a clean data-quality cycle since: no answer" in text


def test_a_mark_means_the_same_everywhere() -> None:
    """Halted is judged by nobody, what was clean long ago is not known to be, and nothing asks for a step
    that is not needed in every case."""
    halted = Part(Halt("latch:BTC-USD", None, True, "ok", 0.4, 0), NOW)
    text = shown(minutes(halt=halted, orders=runs("order", reconciled("order", seconds=900))))
    assert "gateway  · HALTED: latch:BTC-USD" in text
    assert "recon    ? all clean: order 1, position 1, ledger 1 · STALE, 15 min old" in text
    behind = runs("ledger", reconciled("ledger", engine_seq=102))
    assert "✓ all clean: order 1, position 1, ledger 1 · 2 still in flight" in shown(minutes(ledger=behind))
    ask = step("ask", check=Check.OBJECTIVES_KEPT, judged=Judged.ASKS)
    perhaps = step("perhaps", Act.TRIP, Check.HALTED, judged=Judged.IF_NEEDED)
    book = replace(BOOK, steps=(ask, perhaps))
    for found, signs in ((minutes(), "··"), (ill(), "✗✓"), (unread(), "??")):
        lines = [text_of(each.line) for each in page_entries(board(), page(found), book, 79)]
        steps = [line[4] for line in lines if line[4:].startswith(tuple("✓✗·?")) and " Do " in line]
        assert "".join(steps) == signs


def test_what_could_not_be_read_is_never_good() -> None:  # I25
    text = shown(unread(), story=None, story_fault="no answer", playbooks=(), playbooks_fault="damaged")
    triage = "\n".join(text.split("PLAYBOOK")[0].splitlines())
    assert triage.count("no answer in 3 s") >= 9
    assert "✓" not in triage
    entries = page_entries(board(), page(playbooks=(), playbooks_fault="damaged"), None, 79)
    assert "UNREADABLE: damaged" in said([each.line for each in entries])
    head = title_entries(board(), page(unread()), NOW, 79)
    assert "UNREADABLE" in said([each.line for each in head])


def test_the_whole_page_says_when_it_is_old() -> None:  # I25
    made = page()
    assert read_words(made, 103.0, None) == ("read 3 s ago", "dim")
    assert read_words(made, 120.0, None) == ("STALE: all of it is 20 s old", "bad")
    assert read_words(made, 120.0, "gone")[0].startswith("UNREADABLE now: gone")
    late = replace(board(), monotonic=130.0)
    text = said([each.line for each in page_entries(late, made, BOOK, 79)])
    assert "· STALE, 30 s old" in text


def test_steps_tick_themselves_and_say_what_enter_does() -> None:
    text = shown(ill())
    assert "PLAYBOOK Market data is late" in text and "p: 1 more" in text
    assert "    ✗ Do own-it. [enter: acknowledge] (due 03:30:00)" in text
    words = " ".join(text.split())
    assert f"· Do evidence. (`cockpit incident bundle {ID}` makes it.)" in words
    assert "    ✓ Do stop. [enter: trip] (component:execution halted)" in text
    assert "    · Do by-hand. (The feed is switched at the gateway.)" in text
    assert "✓ Do own-it." in shown(ill(acked()))
    assert "? Do stop. [enter: trip] (no answer in 3 s)" in shown(unread())
    turned = page_entries(board(), page(), OTHER, 79)
    assert "Anything else · p: 1 more · chosen by hand" in said([each.line for each in turned])
    kept = page_entries(board(), page(unread()), BOOK, 119)
    assert "Market data is late · p: 1 more · the incident could not be read" in said(
        [each.line for each in kept]
    )


def test_enter_runs_the_step_whichever_of_its_lines_the_cursor_is_on() -> None:
    entries = page_entries(board(), page(ill()), BOOK, 24)
    keys = [entry.key for entry in entries if entry.key.startswith("step-stop")]
    assert len(keys) > 1 and {step_at(BOOK, key) for key in keys} == {BOOK.steps[2]}
    for key in ("step-evidence", "step-by-hand", "step-gone", "phase-now", "ack", None):
        assert step_at(BOOK, key) is None
    assert step_at(None, "step-stop") is None


def test_who_was_told_the_items_and_the_timeline() -> None:
    text = shown(minutes(), cells=110)
    assert "✓ team         told 03:06 by operator1" in text
    assert "✗ stakeholders due in 39 min" in text and "✓ on-call" in text
    assert "COMMUNICATION o records who was told" in text
    assert "? " not in text.split("PAGES")[1].split("ACTION")[0]
    assert "✗ trigger of 02:56: pagerduty 02:56:10 · chat FAILED: 400 bad hook" in text
    assert "ACTION ITEMS 1 to do" in text and "to do, due 03:15, OVERDUE 1 min" in text
    assert text.index("03:06:00 told") < text.index("02:56:00 opened")
    late = shown(minutes(), story=story(row(seconds=4_000), events=()), cells=110)
    assert "COMMUNICATION 2 overdue" in late and "OVERDUE" in late
    untaken = replace(story().pages[0], deliveries=())
    assert "? trigger of 02:56: no pager has taken it yet" in shown(minutes(), story=story(pages=(untaken,)))
    assert "ACTION ITEMS none yet" in shown(minutes(), story=story(actions=(), pages=()))
    calm = story(row("P3", 100), events=(), pages=())
    assert "· on-call      not needed at this severity" in shown(minutes(), story=calm)


def test_a_deadline_passes_between_two_readings() -> None:
    made = page(story=story(row(seconds=899), events=()))
    for monotonic, words in ((100.2, "team         due in 0 s"), (104.0, "team         OVERDUE 3 s")):
        entries = page_entries(replace(board(), monotonic=monotonic), made, BOOK, 79)
        assert words in said([each.line for each in entries])


def test_lines_of_a_file_that_claim_one_place_stay_two() -> None:
    view = run_view()
    file = view.files["incident_events.jsonl"]
    twice = replace(file, lines=(file.lines[0], replace(file.lines[1], place=file.lines[0].place)))
    text = shown(minutes(run=Part(replace(view, files={"a": twice}), ago(2))))
    assert "line 0" in text and "line 1" in text


def test_a_long_story_is_cut_and_says_so() -> None:
    events = tuple(replace(story().events[0], event_id=n) for n in range(300))
    text = shown(minutes(), story=story(events=events, cut=12), cells=110)
    assert "312 events, newest first, UTC · 12 between the first and the rest are left out" in text


def test_the_tail_of_a_run_folder_counts_bad_lines() -> None:
    text = shown(minutes(run=Part(run_view(), ago(2))))
    assert "RUN FOLDER run-1 · 2 s ago · claims of who may write it · 2 BAD LINES" in text
    assert "2 bad, newest f:77 not JSON" in text and "line 7" in text and "line 2" not in text
    assert "UNREADABLE: ops_slo_events.jsonl: permission denied" in text
    assert "RUN FOLDER there is none" in shown(minutes(run=Part(run_view(run_id="", files={}), ago(2))))
    assert "UNREADABLE: away" in shown(minutes(run=Part(run_view(faults=("away",)), ago(2))))


def test_enter_shows_all_of_a_line() -> None:
    entries = {each.key: each for each in page_entries(board(), page(ill()), BOOK, 79)}
    assert "o-1, o-2" in said(more_lines(entries["recon-order"], 79))
    assert f"`cockpit incident bundle {ID}`" in said(more_lines(entries["step-evidence"], 200))
    assert "audit entry 41" in said(more_lines(entries["event-1"], 79))
    assert more_lines(entries["pages"], 79) == [entries["pages"].line]


def test_enter_shows_all_that_the_gateway_says() -> None:
    detail = f"degraded; {'x' * 300} 3 mismatches in a row"
    found = minutes(
        halt=Part(Halt(f"kill switch {'y' * 200} by admin1", "04:12", False, detail, 0.4, 0), NOW)
    )
    entries = {each.key: each for each in page_entries(board(), page(found), BOOK, 79)}
    assert "3 mismatches" not in text_of(entries["halt"].line)
    whole = said(more_lines(entries["halt"], 79))
    assert "3 mismatches in a row, feed 0.4 s old" in " ".join(whole.split())
    assert "by admin1 until 04:12" in " ".join(whole.split())


def test_what_only_a_file_says_is_no_tick() -> None:  # I25
    """A recovery, a clean cycle and clean runs, by the word of whoever may write the file."""
    claim = Breach("data-feed", "critical", "97 against 99.9", True, "run-1/ops")
    marks = {
        "breach": minutes(breach=Part(claim, ago(130))),
        "quality": minutes(quality=Part(Quality("clean", 0, 0, ago(40), "run-1/q"), ago(40))),
        "recon": minutes(orders=runs("order", reconciled("order", source="run-1/o"))),
        "recon-order": minutes(
            orders=runs("order", reconciled("order", source="run-1/o")),
            ledger=runs("ledger", reconciled("ledger", "mismatch", mismatches=1)),
        ),
    }
    for key, found in marks.items():
        entries = {each.key: each for each in page_entries(board(), page(found), BOOK, 119)}
        line = text_of(entries[key].line)
        assert line[10] == "?", line
        assert "said to have recovered" in line or "only run-1/" in line
    measured = replace(claim, source=POSTGRES)
    assert "✓ data-feed recovered" in shown(minutes(breach=Part(measured, ago(130))))
    ended = replace(measured, ended=True)
    assert "? data-feed incident ended, no recovery measured" in shown(minutes(breach=Part(ended, ago(130))))


def test_recovery_says_why_there_is_none() -> None:
    assert "none: what it is classified as has none" in shown(minutes())
    assert "none: it is over" in shown(minutes(row(status="resolved")))


@pytest.mark.parametrize("cells", [40, 79, 119])
@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "escapes", "bidi", "wide", "combining", "long"])
def test_text_from_outside_keeps_the_width(text: str, cells: int) -> None:  # I26
    bad = replace(reconciled("order", text), symbol=text, ids=(text,), mismatches=1)
    found = replace(ill(row(title=text, owner=text)), orders=runs("order", bad))
    events = (replace(story().events[0], kind=text, actor=text, notes=text, details={text: [text]}),)
    told = story(row(title=text), events=events)
    text_of_page = shown(found, cells, story=told)
    assert text_of_page
