"""Trip, prove, resume by keys alone, on the real servers with a real authority."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from statistics import median

import pytest

from cockpit.authority.service import Authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State
from tests.authority.conftest import authority, desk
from tests.authority.desk import Desk
from tests.screen.clocks import unhindered
from tests.screen.conftest import PATIENCE_S, SLOW, Cockpit, cockpit
from widgets.approve_dialog import ApproveDialog
from widgets.close_dialog import CloseDialog
from widgets.half_open_dialog import HalfOpenDialog
from widgets.trip_dialog import TripDialog
from widgets.views import RunView, VerificationView

__all__ = ["authority", "desk"]
BTC = BreakerId("instrument:BTC-USD")
NOTES = "feed lags by more than five seconds"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def screen(desk: Desk, authority: Authority) -> AsyncIterator[Cockpit]:
    desk.platform.settings = desk.settings
    async with cockpit(desk.platform) as made:
        await made.shows("ALL TRADING: CLOSED · TRADING", "operator-act", "●authority")
        made.app.screen.rows.select(BTC)
        yield made


async def trip(screen: Cockpit) -> None:
    await screen.press("t", "2", "enter")
    await screen.type(NOTES)
    await screen.press("ctrl+s")
    await screen.until(lambda: isinstance(screen.app.screen, VerificationView))
    await screen.shows("✓ audit row", "✓ evidence present", "✓ event delivered")
    await screen.press("escape")


async def fill_half_open(screen: Cockpit) -> None:
    await screen.press("h")
    await screen.until(lambda: isinstance(screen.app.screen, HalfOpenDialog) and screen.app.screen.read)
    await screen.shows("10 of 10 pass")
    await screen.press("tab", *(key for _ in range(5) for key in ("space", "down")))
    await screen.type("root cause found and mended by venue")


async def test_from_trip_to_trading_by_keys(screen: Cockpit, desk: Desk) -> None:
    """The whole job; what decides is on the wide screen too."""
    await trip(screen)
    await screen.shows_wide("HALTED by instrument:BTC-USD")
    await fill_half_open(screen)
    await screen.shows_wide("[ Cancel ]")
    await screen.press("ctrl+s")
    await screen.until(lambda: isinstance(screen.app.screen, RunView))
    for shows in (screen.shows, screen.shows_wide):
        await shows("PASSED", "press c")
    await screen.press("c")
    await screen.until(lambda: isinstance(screen.app.screen, CloseDialog) and screen.app.screen.ready)
    assert "QUIET_PERIOD · LIMITED for" in screen.top()
    await screen.shows_wide("QUIET_PERIOD · LIMITED for")
    await screen.press("tab")
    await screen.type("probes passed and the feed is healthy")
    await screen.press("ctrl+s")
    await desk.becomes(BTC, State.CLOSED, PATIENCE_S)
    await screen.shows("ALL TRADING: CLOSED · TRADING")


async def test_a_loosening_dialog_opens_with_cancel_focused_and_enter_there_changes_nothing(
    screen: Cockpit, desk: Desk
) -> None:
    await trip(screen)
    await screen.press("h")
    await screen.until(lambda: isinstance(screen.app.screen, HalfOpenDialog))
    await screen.shows_wide("[▸Cancel ]")
    assert screen.app.focused is not None and screen.app.focused.id == "cancel"
    await screen.press("ctrl+s")
    assert isinstance(screen.app.screen, HalfOpenDialog), "nothing was vouched for"
    await screen.press("enter")
    assert await desk.state(BTC) is State.OPEN


async def test_a_trip_while_the_dialog_is_open_voids_it(screen: Cockpit, desk: Desk) -> None:  # F6, I2
    await trip(screen)
    await fill_half_open(screen)
    await desk.trip(BTC, "operator2")
    for shows in (screen.shows, screen.shows_wide):
        await shows("TRIPPED ANEW")
    await screen.press("ctrl+s")
    assert isinstance(screen.app.screen, HalfOpenDialog)
    assert await desk.state(BTC) is State.OPEN


async def test_a_second_cockpit_sees_a_trip_within_a_quarter_second(screen: Cockpit, desk: Desk) -> None:
    async with cockpit(desk.platform, "operator2") as other:
        await other.shows("ALL TRADING: CLOSED · TRADING")
        waits = []
        for symbol in ("BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD", "BTC-USD"):
            name = BreakerId(f"instrument:{symbol}")
            before = other.app.board.epoch(name)
            await desk.trip(name, "admin1")
            began = unhindered()
            await other.until(lambda name=name, before=before: other.app.board.epoch(name) != before)  # type: ignore[misc]
            waits.append(unhindered() - began)
        await other.shows("HALTED by")
        assert median(waits) < 0.25, waits  # one may fall into a pause of the whole machine


async def test_draft_survives_and_two_fast_presses_open_one_dialog(screen: Cockpit) -> None:
    await screen.burst("t", "t")  # fast, however slow the machine is
    await screen.until(lambda: isinstance(screen.app.screen, TripDialog))
    assert len([each for each in screen.app.screen_stack if isinstance(each, TripDialog)]) == 1
    await screen.press("5", "enter")
    await screen.type("half a note")
    await screen.press("escape")
    assert "NOT TRIPPED" in screen.top()
    await screen.press("escape", "t")
    assert "● data-integrity" in screen.top()
    assert screen.app.screen.query_one("#notes").value == "half a note"  # type: ignore[attr-defined]


async def test_enter_on_typed_notes_neither_trips_nor_cancels(screen: Cockpit, desk: Desk) -> None:
    await screen.press("t", "2", "enter")
    await screen.type(NOTES)
    await screen.press("enter")
    assert isinstance(screen.app.screen, TripDialog)
    assert screen.app.focused is not None and screen.app.focused.id == "trip"
    assert await desk.state(BTC) is State.CLOSED


async def test_a_digit_leads_to_the_notes_and_so_does_text(screen: Cockpit) -> None:
    """In one burst: nothing of it is lost, and shift+tab leads back to the list."""
    await screen.press("t")
    await screen.until(lambda: isinstance(screen.app.screen, TripDialog) and screen.app.screen.ready)
    await screen.type("1jk 2 lags")
    await screen.until(lambda: screen.app.screen.query_one("#notes").value == "jk 2 lags")  # type: ignore[attr-defined]
    assert "● slippage" in screen.top()
    await screen.press("shift+tab")
    assert screen.app.focused is not None and screen.app.focused.id == "reasons"
    await screen.type(" much behind")
    assert screen.app.screen.query_one("#notes").value == "jk 2 lagsmuch behind"  # type: ignore[attr-defined]


async def test_ctrl_q_names_the_draft_and_keeps_it(screen: Cockpit) -> None:
    await screen.press("t", "2")
    await screen.type("half a note")
    await screen.press("ctrl+q")
    for shows in (screen.shows, screen.shows_wide):
        await shows("NOT TRIPPED: what you wrote for the trip of instrument:BTC-USD is lost")
    await screen.press("enter")
    await screen.until(lambda: isinstance(screen.app.screen, TripDialog))
    assert screen.app.screen.query_one("#notes").value == "half a note"  # type: ignore[attr-defined]


async def test_a_key_that_does_nothing_now_says_why(screen: Cockpit) -> None:
    await screen.press("h")
    assert "is CLOSED · TRADING; nothing to resume" in screen.text()
    await screen.press("ctrl+l")
    await screen.burst("h", "c")  # typed on after a refused key, however slow the machine is
    await screen.shows("not taken: c · ")
    await screen.press("ctrl+l", "c")  # a key with ctrl ends what was refused
    assert "only a HALF_OPEN breaker" in screen.text()
    screen.app.screen.rows.select("global")
    await screen.press("ctrl+l", "t")
    assert "lacks TRIP_CIRCUIT on global" in screen.text()


async def test_global_needs_a_second_person(desk: Desk, authority: Authority) -> None:  # I19
    desk.platform.settings = desk.settings
    async with cockpit(desk.platform, "admin1") as one, cockpit(desk.platform, "admin2") as two:
        await one.shows("ALL TRADING: CLOSED · TRADING", "safety-admin")
        await one.press("t", "0", "enter")
        await one.type(NOTES)
        await one.press("ctrl+s")
        assert "type global" in one.top()
        await one.press("enter")
        await one.type("global")
        await one.press("ctrl+s")
        await one.shows("ALL TRADING HALTED by global", "✓ evidence present")
        await one.press("escape")
        await fill_half_open(one)
        await one.press("ctrl+s")
        await two.shows("waits for a second person's approval")
        await one.until(lambda: bool(one.app.board.waiting()))  # its status line may be ahead
        await one.press("A")
        await one.shows("is you: another person must approve")
        await two.press("A")
        await two.until(lambda: isinstance(two.app.screen, ApproveDialog) and two.app.screen.ready)
        await two.press("ctrl+s")
        await two.shows("PROBING", "admin1's cockpit runs the probes")


async def test_the_audit_panel_verifies(screen: Cockpit) -> None:
    await trip(screen)
    await screen.press("5")
    await screen.shows("AUDIT LOG", "TRIP")
    await screen.press("v")
    for shows in (screen.shows, screen.shows_wide):
        await shows("here: ● intact")
    await screen.press("enter")
    await screen.shows("sha-256")
    await screen.press("escape", "1")
    await screen.shows("BREAKER")


async def test_hostile_notes_do_not_act_on_the_screen(screen: Cockpit, desk: Desk) -> None:  # I26
    payload = '{"reason":"[@click=app.quit]x[/]","notes":"\\u202e\\u001b]0;owned\\u0007"}'
    async with desk.platform.redis_line("operator2") as line:
        await line.command("INCR", f"trip:{BTC}")
        await line.command(
            "XADD", "circuit_breaker:events", "*", "event_id", "[/x]\x1b[31m", "breaker_id", str(BTC),
            "kind", "TRIP", "payload", payload, "key_id", "", "signature", "", "login", "[bold]",
            "at", "2026-01-01T00:00:00Z",
        )  # fmt: skip
    for columns, rows in ((80, 24), (120, 40)):
        await screen.resize(columns, rows)
        await screen.shows("HALTED by instrument:BTC-USD")
        text = screen.text()
        assert "\x1b" not in text and "\u202e" not in text
