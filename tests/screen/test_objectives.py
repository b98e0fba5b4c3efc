"""Panel 2, the strip and the teeth of the budgets: the real screen on real servers with real samples."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from cockpit.app import CockpitApp, open_desk
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.desk import AuditRow
from cockpit.domain.states import State
from cockpit.feeds import ObjectivesSide, SlosFeed
from cockpit.screens.slos import SloPanel
from tests.screen.clocks import unhindered
from tests.screen.conftest import Cockpit, cockpit
from tests.screen.objective_boards import NOW, desk
from tests.screen.samples import write, write_good
from tests.trading_platform import Platform
from widgets.trip_dialog import TripDialog
from widgets.views import VerificationView

EXECUTION = BreakerId("component:execution")


@pytest.fixture
async def sampled(platform: Platform) -> Platform:
    """Trading, and every shipped objective but the order success read as kept."""
    platform.settings = replace(platform.settings, shipped_slos=True)
    await platform.open_for_trading()
    await write_good(platform, "order_success")
    return platform


@pytest.fixture
async def red(sampled: Platform) -> AsyncIterator[Cockpit]:
    """50 bad of 1,000 orders: ten times the budget of 99.5 %."""
    await write(sampled, "order_success", 950, 1_000)
    async with cockpit(sampled) as screen:
        await screen.shows("ALL TRADING", "operator-act", "SLO ■ RED order-success -900 %")
        yield screen


def panel(screen: Cockpit) -> SloPanel:
    found = screen.app.screen
    assert isinstance(found, SloPanel)
    return found


async def test_the_panel_by_its_key_and_back(red: Cockpit) -> None:
    await red.press("2")
    for shows in (red.shows, red.shows_wide):
        await shows("■ RED HALT DUE", "order-success", "-900 %", "SPENT", "● GREEN HEALTHY", "● GREEN KEPT")
    assert panel(red).rows.keys[0] == "order-success"
    assert panel(red).rows.key == "order-success"
    await red.shows("50 bad of 1000 events", "worst first", "read ")
    await red.press("enter")
    for shows in (red.shows, red.shows_wide):
        await shows("OBJECTIVE", "5m 10.0×", "runbooks/slos/order-execution.yaml:")
    await red.press("pagedown")
    await red.shows("Postgres: order_success")
    await red.press("escape", "escape")
    await red.shows("BREAKER")
    assert not isinstance(red.app.screen, SloPanel)


async def test_the_proposed_halt_needs_a_person_and_nothing_else(red: Cockpit) -> None:
    """One key opens the trip, filled in; Enter goes through it, and the last one trips."""
    due = "HALT DUE (b): order-success RED -900 % · component:execution is not halted"
    assert due in red.text()
    await red.shows_wide(due)
    await red.press("b")
    await red.until(lambda: isinstance(red.app.screen, TripDialog))
    assert "TRIP component:execution" in red.top()
    assert "● rejection-rate" in red.top()
    await red.shows_wide("TRIP component:execution", "● rejection-rate")
    assert "error budget of order-success is RED: -900 % left" in red.app.screen.query_one("#notes").value  # type: ignore[attr-defined]
    assert red.app.board.effective(EXECUTION).state is State.CLOSED  # type: ignore[union-attr]
    await red.press("enter", "enter", "enter")
    await red.until(lambda: isinstance(red.app.screen, VerificationView))
    await red.press("escape")
    for shows in (red.shows, red.shows_wide):
        await shows("HALTED by component:execution", "error budget of order-success")
    assert "HALT DUE" not in red.text()


async def test_from_panel_2_the_row_under_the_cursor_is_tripped(red: Cockpit) -> None:
    """RED opens filled in; esc loses nothing of anybody's; another row opens empty."""
    await red.press("2", "t")
    await red.until(lambda: isinstance(red.app.screen, TripDialog))
    assert "proposed: order-success RED" in red.top()
    await red.shows_wide("proposed: order-success RED")
    await red.press("escape")
    await red.until(lambda: isinstance(red.app.screen, SloPanel))
    panel(red).rows.select("data-feed-uptime")
    await red.press("t")
    await red.until(lambda: isinstance(red.app.screen, TripDialog))
    assert "TRIP component:ingest" in red.top()
    assert red.app.screen.query_one("#notes").value == ""  # type: ignore[attr-defined]
    await red.press("escape")


async def test_what_somebody_wrote_is_not_replaced_by_a_proposal(red: Cockpit) -> None:
    red.app.screen.rows.select(EXECUTION)
    await red.press("t", "2", "enter")
    await red.type("the venue answers late since ten past")
    await red.press("escape", "escape", "b")
    await red.until(lambda: isinstance(red.app.screen, TripDialog))
    assert "the venue answers late" in red.app.screen.query_one("#notes").value  # type: ignore[attr-defined]


async def test_the_order_holds_while_somebody_reads(red: Cockpit, sampled: Platform) -> None:
    """A second budget goes RED and deeper: its row changes in place, the header says so, s sorts."""
    await red.press("2", "j", "j")
    rows, before = panel(red).rows, panel(red).rows.keys
    key = rows.key
    await write(sampled, "execution_latency", 0, 1_000)
    await red.shows("execution-latency", "no longer worst first")
    assert (rows.keys, rows.key) == (before, key)
    await red.press("s")
    assert rows.keys[0] == "execution-latency"
    assert rows.key == key
    assert "no longer" not in red.top()
    await red.press("escape", "2")
    assert panel(red).rows.key == key


async def test_old_and_missing_samples_are_words_and_never_green(platform: Platform) -> None:  # I25
    platform.settings = replace(platform.settings, shipped_slos=True)
    await write_good(platform, "order_success", "data_feed", ago_s=600)
    await write(platform, "data_feed", 5, 4)
    async with cockpit(platform) as screen:
        await screen.shows("SLO ", "≠ CONTRADICTION data-feed-uptime")
        await screen.press("2")
        await screen.shows("? STALE", "? NO DATA", "≠ CONTRADICTION")
        by_key = {key: row_of(screen, key) for key in panel(screen).rows.keys}
        assert by_key["order-success"].startswith("? NO DATA")
        assert by_key["execution-latency"].startswith("? STALE")
        assert "was 100 % left" in by_key["execution-latency"]
        assert not any("GREEN" in row for key, row in by_key.items() if key != "incident-acknowledgement")


def row_of(screen: Cockpit, key: str) -> str:
    from widgets.line import text_of

    found = panel(screen)
    return text_of(found.row_line(screen.app.board, key, 79))


async def test_a_filter_narrows_by_name_state_and_breaker(red: Cockpit) -> None:
    await red.press("2", "slash")
    await red.type("red")
    await red.press("enter")
    assert panel(red).rows.keys == ("order-success",)
    await red.press("escape")
    assert len(panel(red).rows.keys) > 5


async def test_without_objectives_the_strip_takes_no_row(platform: Platform) -> None:
    await platform.open_for_trading()
    async with cockpit(platform) as screen:
        await screen.shows("ALL TRADING", "login added")
        assert not screen.app.screen.query_one("#slos-strip").lines  # type: ignore[attr-defined]
        await screen.press("2")
        await screen.shows("SLOs ")


async def test_a_file_that_cannot_be_used_is_said_and_mended_without_a_restart(platform: Platform) -> None:
    with tempfile.TemporaryDirectory(prefix="own") as short:  # a path that stands on one line
        await a_bad_file_is_said_and_mended(platform, Path(short))


async def a_bad_file_is_said_and_mended(platform: Platform, folder: Path) -> None:
    bad = folder / "bad.yaml"
    bad.write_text("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: torn}\n")
    platform.settings = replace(platform.settings, slo_folders=(folder,))
    async with cockpit(platform) as screen:
        await screen.shows("SLO ", "bad.yaml")
        await screen.press("2")
        await screen.shows("SLOs unread", "bad.yaml:")
        bad.write_text(files("runbooks").joinpath("slos/signal-latency.yaml").read_text())
        await screen.shows("? NO DATA", "signal-latency")
        assert "SLOs read " in screen.top()
        assert screen.app.board.slos_error is None


async def test_the_keys_stay_on_a_small_screen_whatever_the_banner_says(platform: Platform) -> None:
    """Three lines of banner over more breakers than the screen has rows."""
    symbols = [f"S{number:02}-USD" for number in range(30)]
    many = Catalogue.build(["execution", "ingest"], [*symbols], ["momentum"])
    platform.settings = replace(platform.settings, shipped_slos=True, catalogue=many)
    await platform.open_for_trading()
    await write_good(platform, "order_success")
    await write(platform, "order_success", 0, 1_000)
    async with cockpit(platform) as screen:
        await screen.shows("HALT DUE", "NOTHING CAN RESUME", "NOTHING TRIPS BY ITSELF", "BREAKER · ↓")
        rows = screen.app.screen.rows
        await screen.shows(f"↓{len(many.ids) - rows.size.height} more")
        await screen.press("end")
        await screen.shows("BREAKER · ↑")
        for panel_key in ("1", "2", "6"):
            await screen.press(panel_key)
            keys = screen.app.screen.query_one("#keys")
            await screen.until(lambda keys=keys: (keys.region.y, keys.region.height) == (23, 1))  # type: ignore[misc]


async def test_an_exclusion_in_the_log_wakes_the_objectives_once(platform: Platform) -> None:
    app = CockpitApp(platform.settings, platform.login("operator1"), open_desk)
    app._slos = feed = SlosFeed(_never_opened, lambda message: None)
    row = AuditRow(7, "e", NOW, "BUDGET_EXCLUDED", "admin1", "safety-admin", "x", "{}", None, None, "")
    app.wake_for_adjustments(desk(audit=(row,)))
    assert feed._wake.is_set()
    feed._wake.clear()
    app.wake_for_adjustments(desk(audit=(row,)))
    assert not feed._wake.is_set()


def _never_opened() -> ObjectivesSide:
    raise AssertionError("no reader is opened here")


async def test_the_new_keys_can_be_remapped(platform: Platform) -> None:
    platform.settings = replace(platform.settings, keymap={"panel.slos": "f2", "halt-due": "f9"})
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("f9")
        await screen.shows("halt due: no error budget is RED where trading goes on")
        await screen.press("ctrl+l", "f2")  # a key with ctrl ends what was refused
        assert isinstance(screen.app.screen, SloPanel)
        await screen.press("question_mark")
        await screen.shows("f2", "Panel: SLOs and error budgets")


async def test_a_database_that_never_answers_leaves_the_keys_alive(platform: Platform) -> None:  # F8
    """It takes the connection and says nothing: the objectives are unread, and every key does its work."""
    held: list[asyncio.StreamWriter] = []

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = replace(
        platform.login("operator1"), postgres_dsn=f"postgresql://operator1@127.0.0.1:{port}/cockpit"
    )
    platform.settings.logins["operator1"] = login  # type: ignore[index]
    platform.settings = replace(platform.settings, shipped_slos=True)
    await platform.open_for_trading()
    try:
        async with cockpit(platform, heard=False, real_bounds=True) as screen:
            await screen.shows("ALL TRADING: CLOSED · TRADING", "SLO ")
            for key in ("2", "j", "s", "6", "1"):
                began = unhindered()
                await screen.press(key)
                assert unhindered() - began < 1
            await screen.shows("postgres DOWN", "SLO ? NO DATA")
            assert "GREEN" not in screen.text()
    finally:
        server.close()
        for writer in held:
            writer.close()
