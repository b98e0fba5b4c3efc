"""The first-five-minutes page by keys, on real servers with a venue and a run folder."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.widgets import Input

from cockpit.asking import is_dialog
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.modes import Mode
from cockpit.domain.playbooks import Act
from cockpit.domain.states import State
from cockpit.screens.first_minutes import FirstMinutesPage
from cockpit.screens.incidents import IncidentPanel
from cockpit.screens.overview import Overview
from tests.authority.conftest import desk
from tests.authority.desk import Desk
from tests.screen.conftest import Cockpit, cockpit
from tests.screen.test_incidents_panel import panel, stands, write
from tests.screen.test_text_from_outside import HOSTILE, strips
from tests.trading_platform import Platform
from widgets.incident_dialogs import ChangeDialog
from widgets.line import text_of
from widgets.mode_dialog import ModeDialog
from widgets.switch_dialogs import WithdrawalsDialog
from widgets.trip_dialog import TripDialog
from widgets.views import LinesDialog

__all__ = ["desk"]
BTC = BreakerId("instrument:BTC-USD")
EXECUTION = BreakerId("component:execution")


def told(folder: Path, name: str, **fields: object) -> None:
    """One line of a run folder's file, as the trading side appends it."""
    run = folder / "results" / "runs" / "run-7"
    run.mkdir(parents=True, exist_ok=True)
    line = {"event_id": "e", "at": datetime.now(UTC).isoformat(), "run_id": "run-7", **fields}
    with (run / name).open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture
async def halls(desk: Desk) -> Desk:
    """A desk whose settings name a run folder."""
    folder = desk.platform.folder
    told(folder, "ops_slo_events.jsonl", event_type="slo_breach", slo="order-success", value=97,
         threshold=99.5, severity="critical")  # fmt: skip
    desk.settings = replace(desk.settings, run_results=folder / "results" / "runs")
    desk.platform.settings = desk.settings
    return desk


@pytest.fixture
async def authority(halls: Desk) -> AsyncIterator[Authority]:
    async with running_authority(halls.settings) as running:
        for name in (EXECUTION, BTC):
            await halls.becomes(name, State.CLOSED)
        yield running


def page(screen: Cockpit) -> FirstMinutesPage:
    found = screen.app.screen
    assert isinstance(found, FirstMinutesPage)
    return found


def whole(screen: Cockpit) -> str:
    """All lines of the page, visible or not."""
    found = next(each for each in screen.app.screen_stack if isinstance(each, FirstMinutesPage))
    return "\n".join(text_of(entry.line) for entry in found._entries.values())


async def open_page(screen: Cockpit) -> None:
    await screen.until(lambda: screen.app.board.desk is not None)
    await screen.press("3")
    await screen.until(lambda: isinstance(screen.app.screen, IncidentPanel) and bool(panel(screen).rows.keys))
    await screen.press("enter")
    await screen.until(lambda: isinstance(screen.app.screen, FirstMinutesPage) and bool(whole(screen)))
    await screen.until(lambda: page(screen).page is not None)


async def test_it_answers_the_triage_list_and_ticks_itself(halls: Desk, authority: Authority) -> None:
    await write(halls.platform, "settlement lags, ledger behind", "P1", 60, breaker_id=BTC,
                classification="reconciliation")  # fmt: skip
    async with halls.platform.connection() as owner:
        await owner.execute(
            "INSERT INTO reconciliation_runs (kind, symbol, started_at, finished_at, status, mismatches,"
            " engine_seq, ledger_seq) VALUES ('ledger', 'BTC-USD', clock_timestamp(), clock_timestamp(),"
            """ 'mismatch', '[{"id": "o-17", "venue": "1.5", "books": "1.4"}]', 120, 100)"""
        )
    async with cockpit(halls.platform) as screen:
        await open_page(screen)
        for shows in (screen.shows, screen.shows_wide):
            await shows("FIRST FIVE MINUTES", "gateway  ✓", "order-success BREACHED (critical)", "next")
        await screen.until(lambda: "✗ ledger: BTC-USD 1 differ · ledger 20 behind" in whole(screen))
        lines = screen.top().splitlines()
        order = ["gateway", "halted", "last SLO", "ack", "recon", "quality", "changes", "class", "next"]
        at = [next(n for n, line in enumerate(lines) if line[2:].startswith(f"{name} ")) for name in order]
        assert at == sorted(at)
        assert "PLAYBOOK" in whole(screen) and "✗ Make it yours. [enter: acknowledge]" in whole(screen)
        page(screen).rows.select("step-own-it")
        await screen.press("enter")
        dialog = await stands(screen, ChangeDialog)
        dialog.set_focus(dialog.query_one("#notes"))
        await screen.type("mine, I look at the ledger now")
        await screen.press("ctrl+s")
        await screen.until(lambda: "✓ Make it yours" in whole(screen) and "◐ ACKED" in screen.top())
        await screen.until(lambda: "acknowledged operator1 · mine, I look at the ledger" in whole(screen))
        page(screen).rows.select("recon-ledger")
        await screen.press("enter")
        await stands(screen, LinesDialog)
        assert "o-17" in screen.top() and "engine 120, ledger 100" in screen.top()
        await screen.press("escape", "3")  # digits are panels here too
        assert isinstance(screen.app.screen, IncidentPanel)
        await screen.press("enter", "1")
        assert isinstance(screen.app.screen, Overview)


async def test_steps_open_their_own_dialogs_filled_in(halls: Desk, authority: Authority) -> None:
    incident = await write(halls.platform, "ledger invariant broken", "P0", 60, breaker_id=BTC,
                           classification="reconciliation")  # fmt: skip
    async with cockpit(halls.platform, "admin1") as screen:
        await open_page(screen)
        await screen.press("t")
        trip = await stands(screen, TripDialog)
        assert trip.target == BTC and trip.query_one("#notes", Input).value.startswith("incident P0 ")
        assert "proposed: by the incident that you look at" in screen.top()
        await screen.press("escape")
        book = page(screen).playbook
        assert book is not None and book.playbook_id == "ledger-invariant"
        page(screen).rows.select("step-cancels-only")
        await screen.press("enter")
        mode = await stands(screen, ModeDialog)
        assert isinstance(mode, ModeDialog)
        assert (mode.symbol, mode._meant) == ("BTC-USD", Mode.CANCEL_ONLY)
        assert mode.query_one("#ticket", Input).value == incident[:8]
        await screen.press("escape")
        page(screen).rows.select("step-stop-withdrawals")
        await screen.press("enter")
        halt = await stands(screen, WithdrawalsDialog)
        assert halt.query_one("#ticket", Input).value == incident[:8]
        await screen.press("escape")
        page(screen).rows.select("step-what-changed")  # nothing of it is run from here: all that it says
        await screen.press("enter")
        await stands(screen, LinesDialog)


async def test_a_run_folder_is_tailed_while_one_looks(halls: Desk, authority: Authority) -> None:
    await write(halls.platform, "orders are rejected", "P2", 10, run_id="run-7", run_incident="inc-3")
    async with cockpit(halls.platform, size=(120, 40)) as screen:
        await open_page(screen)
        await screen.until(lambda: "RUN FOLDER run-7" in whole(screen))
        folder = halls.platform.folder
        told(
            folder, "incident_events.jsonl", event_type="incident_open", incident_id="inc-3", title="rejects"
        )
        await screen.until(lambda: "incident_open" in whole(screen))
        with (folder / "results" / "runs" / "run-7" / "incident_events.jsonl").open("a") as file:
            file.write("{broken\n")
        await screen.until(lambda: "1 BAD LINES" in whole(screen) and "1 bad, newest" in whole(screen))
        told(folder, "incident_events.jsonl", event_type="incident_ack", incident_id="inc-3", ack_by="night")
        await screen.until(lambda: "its run folder says: acknowledged by night" in whole(screen))


async def test_what_goes_away_is_unreadable_and_the_rest_flows_on(halls: Desk, authority: Authority) -> None:
    """I25: the database itself is stopped, and goes on."""
    await write(halls.platform, "orders are rejected", "P0", 10)
    async with cockpit(halls.platform, real_bounds=True) as screen:
        await open_page(screen)
        await screen.shows("gateway  ✓")
        await screen.until(lambda: "ack      ✗" in whole(screen))
        book = page(screen).playbook
        assert book is not None and book.playbook_id == "order-execution"
        halls.venue.healthy = False
        await screen.shows("NOT HEALTHY: degraded")
        pid = halls.platform.postgres.pid
        assert pid is not None
        found = _children(pid)
        for each in found:
            os.kill(each, signal.SIGSTOP)
        try:
            await screen.shows("UNREADABLE")
            await screen.until(lambda: "ack      ?" in whole(screen) or "STALE: all of it" in screen.top())
            assert page(screen).playbook == book
        finally:
            for each in found:
                os.kill(each, signal.SIGCONT)
        await screen.until(lambda: "ack      ✗" in whole(screen))


def _children(pid: int) -> list[int]:
    """A server and the processes that serve its clients."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(each) for each in tasks)]


async def test_what_files_and_notes_say_never_acts(halls: Desk, platform: Platform) -> None:  # I26
    incident = await write(platform, HOSTILE[1], "P1", 10, run_id="run-7", run_incident="inc-3")
    for text in HOSTILE:
        async with platform.connection() as owner:
            await owner.execute(
                "INSERT INTO incident_events (incident_id, kind, actor, notes, details)"
                " VALUES ($1, $2, $2, $2, $3::jsonb)", incident, text, json.dumps({text: text}),
            )  # fmt: skip
        told(platform.folder, "incident_events.jsonl", event_type=text, title=text, more=[text])
        told(platform.folder, "ops_slo_events.jsonl", event_type="slo_breach", slo=text, severity=text)
    async with cockpit(platform) as screen:
        await open_page(screen)
        await screen.until(lambda: "RUN FOLDER run-7" in whole(screen))
        for key in ("home", *["pagedown"] * 5, "end", "enter", "escape"):
            await screen.press(key)
            for drawn, cells, wanted in strips(screen):
                assert drawn.isprintable(), ascii(drawn)
                assert cells == wanted, ascii(drawn)
        assert screen.app.is_running


async def test_another_playbook_comes_into_view_and_a_step_names_itself(
    halls: Desk, authority: Authority
) -> None:
    """At 80×24 the playbook begins below the screen: what `p` and enter do is said where one looks."""
    await write(halls.platform, "ledger invariant broken, split brain", "P0", 60, breaker_id=BTC,
                classification="reconciliation")  # fmt: skip
    async with cockpit(halls.platform, "admin1") as screen:
        await open_page(screen)
        first = page(screen).playbook
        await screen.press("p")
        found = page(screen).playbook
        assert found is not None and found is not first
        await screen.shows("PLAYBOOK", "playbook 2 of ")
        assert any("PLAYBOOK" in line and found.title[:20] in line for line in screen.top().splitlines())
        title = found.title[:20]
        step = next(each for each in found.steps if each.action is not Act.NONE)
        page(screen).rows.select(f"step-{step.step_id}")
        await screen.press("enter")
        await screen.until(lambda: is_dialog(screen.app.screen))
        await screen.shows(f"step {found.steps.index(step) + 1} of {title}")
        await screen.settled()
        for view in screen.app.screen.query("#buttons, #foot"):
            assert view.region.bottom <= 23
