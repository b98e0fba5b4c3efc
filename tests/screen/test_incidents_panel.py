"""Panel 3 by keys, on real servers with a real authority: the list, its clocks, every change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from textual.widgets import Input

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Classification
from cockpit.domain.states import State
from cockpit.screens.first_minutes import FirstMinutesPage
from cockpit.screens.incidents import IncidentPanel
from tests.authority.conftest import desk
from tests.authority.desk import Desk, until
from tests.screen.conftest import Cockpit, cockpit
from tests.screen.test_stores_down import without
from tests.screen.test_text_from_outside import HOSTILE, strips
from tests.trading_platform import Platform
from widgets.acknowledge_dialog import AcknowledgeDialog
from widgets.dialog import Dialog
from widgets.incident_dialogs import ChangeDialog
from widgets.new_incident_dialog import NewIncidentDialog
from widgets.option_list import OptionList

__all__ = ["desk"]
_CHANGES = ("incident.new", "incident.acknowledge", "incident.note", "incident.resolve")


async def write(
    platform: Platform, title: str, severity: str = "P1", ago_s: float = 0, **columns: object
) -> str:
    """One incident as a service would have written it, `ago_s` seconds before the database's present."""
    fields: dict[str, object] = {"title": title, "severity": severity, **columns}
    names = ", ".join(fields)
    values = ", ".join(f"${index}" for index in range(1, len(fields) + 1))
    moment = f"clock_timestamp() - make_interval(secs => ${len(fields) + 1}::double precision)"
    async with platform.connection() as owner:
        found = await owner.fetchval(
            f"INSERT INTO incidents ({names}, opened_at, alarm_at, last_event_at)"
            f" VALUES ({values}, {moment}, {moment}, {moment}) RETURNING incident_id",
            *fields.values(), ago_s,
        )  # fmt: skip
    return str(found)


def panel(screen: Cockpit) -> IncidentPanel:
    found = screen.app.screen
    assert isinstance(found, IncidentPanel)
    return found


async def test_open_ones_first_with_their_clocks(platform: Platform) -> None:
    await write(platform, "solved long ago", "P0", 7_200, status="resolved")
    await write(platform, "feed is stale", "P1", 120, classification="data_quality", owner="operator2")
    late = await write(platform, "runaway position", "P0", 480, breaker_id="component:execution")
    await write(platform, "a lone late bar", "P3", 60)
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("3")
        for shows in (screen.shows, screen.shows_wide):
            await shows("INCIDENTS 3 open, 1 OVERDUE", "1 ended", "most urgent first", "overdue 3 min")
        assert panel(screen).rows.keys[0] == late
        lines = screen.top().splitlines()
        first = next(line for line in lines if "runaway" in line)
        assert "P0/SEV1" in first and "OPEN" in first and "overdue 3 min" in first and "nobody" in first
        second = next(line for line in lines if "feed is st" in line)
        assert "ack in 12m" in second and "operator2" in second
        assert "RESOLVED" in next(line for line in lines if "solved" in line)
        await screen.shows("component:execution is", "to be acknowledged by", "nobody: y assigns it")


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        await desk.becomes(BreakerId("component:execution"), State.CLOSED)
        yield running


async def story(platform: Platform, incident_id: str) -> list[tuple[str, str, str]]:
    """Kind, actor and notes of every event of one incident, oldest first."""
    async with platform.connection() as owner:
        rows = await owner.fetch(
            "SELECT kind, actor, notes FROM incident_events WHERE incident_id = $1 ORDER BY event_id",
            incident_id,
        )
    return [(row["kind"], row["actor"], row["notes"]) for row in rows]


async def recorded(desk: Desk, incident_id: str, last: str) -> None:
    """Wait until this is the newest event of the incident: what is asked next comes after it."""

    async def is_last() -> bool:
        return (await story(desk.platform, incident_id))[-1][0] == last

    await until(is_last)


async def stands(screen: Cockpit, kind: type[Dialog[Any]]) -> Dialog[Any]:
    """Wait for a dialog that takes keys."""
    await screen.until(lambda: isinstance(screen.app.screen, kind) and screen.app.screen.ready)
    found = screen.app.screen
    assert isinstance(found, kind)
    return found


async def change(screen: Cockpit, key: str, *keys: str, text: str = "", notes: str = "") -> None:
    """Press a key, fill its dialog, confirm."""
    await screen.press(key)
    dialog = await stands(screen, ChangeDialog)
    await screen.press(*keys)
    if text:
        dialog.set_focus(dialog.query_one("#text"))
        await screen.type(text)
    if notes:
        dialog.set_focus(dialog.query_one("#notes"))
        await screen.type(notes)
    await screen.press("ctrl+s")
    await screen.until(lambda: screen.app.screen is not dialog)


async def test_an_incident_from_its_opening_to_its_end(desk: Desk, authority: Authority) -> None:
    async with cockpit(desk.platform) as screen:
        await screen.shows("TRADING")
        await screen.press("3", "i")
        await stands(screen, NewIncidentDialog)
        assert "choose a severity" in screen.top()
        await screen.press("2", "down", "ctrl+s")
        assert "not yet: choose a class: its digit" in screen.top()
        await screen.type("5bars are late")  # in one burst: the digit is its own list's
        await screen.press("ctrl+s")
        await screen.shows("bars are late", "P1/SEV2", "ack in 14m")
        key = panel(screen).incident_id
        assert key is not None
        await change(screen, "a", notes="looking at the feed of the venue now")
        await screen.shows("◐ ACKED", "by operator1", "lapses in")
        await change(screen, "n", notes="x")
        await recorded(desk, key, "noted")
        await change(screen, "y", "2")
        await recorded(desk, key, "assigned")
        await change(screen, "z", text="30 min")
        await screen.shows("z SNOOZED")
        await change(screen, "o", "2")
        await recorded(desk, key, "told")
        await change(screen, "x", text="alert on late bars")
        await recorded(desk, key, "action")
        await change(screen, "e", "1", notes="it takes the whole platform down")
        await screen.shows("P0/SEV1", "OPEN AGAIN", "ack in 4m")
        await screen.press("R")
        await screen.shows("resolve: acknowledge it first (a)")
        await screen.press("ctrl+l")  # a key with ctrl ends what was refused
        await change(screen, "a", notes="all hands are on the venue's feed")
        await screen.shows("◐ ACKED")
        await change(screen, "R", notes="the venue's feed had no heartbeat; it has one again")
        await screen.shows("● RESOLVED")
        await screen.press("a")
        await screen.shows("an incident that is resolved cannot be acknowledged")
        late = await write(desk.platform, "no bars at all", "P1", 5, classification="data_quality")
        await screen.press("ctrl+l")
        await screen.shows("no bars at all")
        panel(screen).rows.select(late)
        await change(screen, "a", notes="asking the venue for its bars")
        await screen.shows("◐ ACKED")
        await change(screen, "R", notes="they will come some day")
        await screen.shows("recovery conditions do not hold")
    kinds = [kind for kind, _, _ in await story(desk.platform, key)]
    assert kinds == [
        "opened", "acknowledged", "noted", "assigned", "snoozed", "told", "action", "escalated",
        "acknowledged", "resolved",
    ]  # fmt: skip
    async with desk.platform.connection() as owner:
        row = await owner.fetchrow("SELECT * FROM incidents WHERE incident_id = $1", key)
    assert (row["status"], row["severity"], row["opened_by"]) == ("resolved", "P0", "operator1")
    assert [kind for kind, _, _ in await story(desk.platform, late)] == ["acknowledged"]
    assert row["root_cause"] == "the venue's feed had no heartbeat; it has one again"


async def test_what_it_is_is_said_on_its_page_and_in_the_list(desk: Desk, authority: Authority) -> None:
    """The row, the page and the playbook follow; what is still to be proved is not renamed away."""
    key = await write(desk.platform, "a strange night", "P2", 5, breaker_id="instrument:BTC-USD")
    async with cockpit(desk.platform) as screen:
        await screen.shows("TRADING")
        await screen.press("3")
        await screen.shows("a strange night")
        await screen.press("enter")
        await screen.until(
            lambda: (
                isinstance(screen.app.screen, FirstMinutesPage)
                and screen.app.screen.playbook is not None
                and screen.app.screen.playbook.playbook_id != "order-execution"
            )
        )
        page = screen.app.screen
        assert isinstance(page, FirstMinutesPage)
        await screen.press("c")
        dialog = await stands(screen, ChangeDialog)
        lines = screen.top().splitlines()
        for number, word in enumerate(Classification, 1):
            (line,) = [each for each in lines if f"{number}   {word}" in each]  # none is chosen
            assert ("IS NOW" in line) is (word == "other")
        assert "choose one" in screen.top()
        await screen.press("5", "ctrl+s")
        assert "not yet: it is classified as other already" in screen.top()
        dialog.query_one(OptionList).focus()
        await screen.press("3")
        said = " ".join(screen.top().split())
        assert "As broker/connectivity: resume waits for gateway healthy" in said
        dialog.set_focus(dialog.query_one("#notes"))
        await screen.type("the venue drops every second session")
        await screen.press("ctrl+s")
        await screen.until(
            lambda: page.playbook is not None and page.playbook.playbook_id == "order-execution"
        )
        assert page.row is not None and page.row.classification == "broker/connectivity"
        await screen.press("escape")
        await screen.until(lambda: "broker" in screen.top() and panel(screen).incident_id == key)
        await change(screen, "c", "5", notes="it was nothing of the kind after all")
        await screen.until(
            lambda: "recovery conditions that would be lost do not hold" in " ".join(screen.top().split())
        )
    assert [kind for kind, _, _ in await story(desk.platform, key)] == ["classified"]


async def test_the_target_is_what_was_under_the_cursor_and_two_presses_stack_nothing(
    desk: Desk, authority: Authority
) -> None:
    """A worse incident that comes while the dialog is open changes no target; the cursor keeps its row."""
    mine = await write(desk.platform, "mine, a feed is late", "P2", 60)
    async with cockpit(desk.platform) as screen:
        await screen.shows("TRADING")
        await screen.press("3")
        await screen.shows("mine, a feed")
        await screen.burst("a", "a")
        await stands(screen, ChangeDialog)
        assert sum(isinstance(each, ChangeDialog) for each in screen.app.screen_stack) == 1
        worse = await write(desk.platform, "worse, all is down", "P0", 0)
        await screen.until(
            lambda: any(row.incident_id == worse for row in screen.app.board.incidents.unresolved)  # type: ignore[union-attr]
        )
        await screen.type("I have it and look at the feed")
        await screen.press("ctrl+s")
        await screen.shows("◐ ACKED", "worse, all is")
        assert panel(screen).rows.keys[0] == worse
        assert panel(screen).incident_id == mine
    assert [kind for kind, _, _ in await story(desk.platform, mine)] == ["acknowledged"]
    assert await story(desk.platform, worse) == []


async def test_a_draft_survives_esc_and_another_person_may_be_faster(
    desk: Desk, authority: Authority
) -> None:
    key = await write(desk.platform, "orders are rejected", "P1", 30)
    async with cockpit(desk.platform) as screen, cockpit(desk.platform, "admin1") as other:
        for each in (screen, other):
            await each.shows("TRADING")
            await each.press("3")
            await each.shows("orders are rejected")
        await screen.press("a")
        await stands(screen, ChangeDialog)
        await screen.type("the venue rejects for lack of margin")
        await screen.press("escape")
        assert "NOT SENT. esc again leaves and keeps the draft" in screen.top()
        await screen.press("escape")
        assert panel(screen).incident_id == key
        await screen.press("a")
        await stands(screen, ChangeDialog)
        assert screen.app.screen.query_one("#notes", Input).value == "the venue rejects for lack of margin"
        await change(other, "a", notes="I am on call and have it")
        await screen.shows("admin1 has acknowledged it already")
        await screen.press("ctrl+s")
        assert "not yet: admin1 has acknowledged it already" in screen.top()
        await screen.press("escape", "escape")
        await screen.press("i")
        await stands(screen, NewIncidentDialog)
        await screen.press("1", "5")
        await screen.type("half a title")
        await screen.press("escape", "escape", "i")
        await stands(screen, NewIncidentDialog)
        assert screen.app.screen.query_one("#headline", Input).value == "half a title"
        assert "● P0/SEV1" in screen.top() and "● other" in screen.top()


def acknowledgeable(screen: Cockpit) -> list[IncidentRow]:
    """What the dialog of the other panels offers: the desk's reading, which is not panel 3's."""
    desk = screen.app.board.desk
    return [row for row in desk.incidents if row.status == "open"] if desk is not None else []


async def test_incidents_need_no_redis(desk: Desk, authority: Authority) -> None:
    """On panel 3, and from the overview, where the notes are needed too."""
    await write(desk.platform, "redis is away", "P1", 30)
    other = await write(desk.platform, "redis is still away", "P1", 10)
    async with cockpit(without(desk.platform, redis=True, postgres=False)) as screen:
        await screen.shows("UNREADABLE HERE")
        await screen.press("3")
        await screen.shows("redis is away")
        await change(screen, "a", notes="the redis host is being restarted")
        await screen.shows("◐ ACKED")
        await screen.until(lambda: [row.incident_id for row in acknowledgeable(screen)] == [other])
        await screen.press("4", "a")
        await stands(screen, AcknowledgeDialog)
        assert screen.app.focused is not None and screen.app.focused.id == "list"
        await screen.type("the same restart as before")
        await screen.press("ctrl+s")
        await screen.shows("Acknowledged: redis is still away")
    assert [kind for kind, _, _ in await story(desk.platform, other)] == ["acknowledged"]


async def test_merging_goes_by_the_authoritys_rules(desk: Desk, authority: Authority) -> None:
    one = await write(desk.platform, "a feed is late", "P2", 60)
    into = await write(desk.platform, "the venue is away", "P1", 90)
    async with cockpit(desk.platform) as screen:
        await screen.shows("TRADING")
        await screen.press("3")
        await screen.shows("a feed is late")
        panel(screen).rows.select(into)
        await screen.press("M")
        await stands(screen, ChangeDialog)
        await screen.press("1")
        await screen.shows("the other one is only P2, and this one P1")
        await screen.press("escape")
        panel(screen).rows.select(one)
        await change(screen, "M", "1", notes="the late feed is the venue's outage")
        await screen.shows("○ MERGED")
    async with desk.platform.connection() as owner:
        assert (
            str(await owner.fetchval("SELECT merged_into FROM incidents WHERE incident_id = $1", one)) == into
        )


async def test_who_may_not_is_told_why_and_without_an_authority_nothing_is_asked(platform: Platform) -> None:
    await write(platform, "orders are rejected", "P0", 30)
    async with cockpit(platform, "monitor1") as screen:
        await screen.until(lambda: screen.app.board.identity is not None)
        await screen.press("3")
        await screen.shows("orders are rejected")
        await screen.press("a")
        await screen.shows("acknowledge: monitor1 (monitoring-read) lacks ACK_INCIDENT")
        await screen.press("ctrl+l", "i")  # a key with ctrl ends what was refused
        await screen.shows("new incident: monitor1 (monitoring-read) lacks ACK_INCIDENT")
        keys = [key for key in panel(screen).KEYS if key.key_id in _CHANGES]
        assert not any(panel(screen).works(key, screen.app.board) for key in keys)
    async with cockpit(platform) as screen:
        await screen.until(lambda: screen.app.board.identity is not None)
        await screen.press("3")
        await screen.shows("orders are rejected")
        await screen.press("a")
        await screen.shows("acknowledge: no authority answers; it records incidents")
        assert isinstance(screen.app.screen, IncidentPanel)


async def test_the_filter_asks_the_database_too_and_s_sorts(platform: Platform) -> None:
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO incidents (title, severity, opened_at, alarm_at, owner)"
            " SELECT 'noise ' || n, 'P2', now() - interval '5 min', now() - interval '5 min',"
            " CASE n % 2 WHEN 0 THEN 'operator2' END FROM generate_series(1, 400) n"
        )
    needle = await write(platform, "the needle", "P3", 0)
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("3")
        await screen.shows("401 open", "201 more not listed")
        assert needle not in panel(screen).rows.keys
        await screen.press("slash")
        await screen.type("needle")
        await screen.press("enter")
        await screen.until(lambda: panel(screen).rows.keys == (needle,))
        await screen.shows("filter: needle (1) · esc clears", "the needle", "401 open", "1 of 401 shown")
        await screen.press("escape")
        await screen.shows("401 open")
        for order in ("newest first", "by owner", "most urgent first"):
            await screen.press("s")
            await screen.shows(order)
            if order == "by owner":
                assert "nobody" in next(line for line in screen.top().splitlines() if "noise" in line)


async def test_text_from_outside_never_acts(platform: Platform) -> None:  # I26
    for text in HOSTILE:
        short = text[:60]
        await write(
            platform, text, "P1", 5, classification=text[:90], owner=short, source="run", breaker_id=short,
            run_id=short, run_incident=short, opened_by=short, slos=[short], breakers=[short],
        )  # fmt: skip
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("3")
        await screen.shows("INCIDENTS 6 open", "ack in 14m")
        for key in (*["j"] * 6, "t"):
            await screen.press(key)
            for drawn, cells, wanted in strips(screen):
                assert drawn.isprintable(), ascii(drawn)
                assert cells == wanted, ascii(drawn)
        assert screen.app.is_running
