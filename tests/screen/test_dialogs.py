"""Focus in the half-open dialog, a run that fails, and what quitting names; on a real authority."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from textual import events
from textual.widgets import Input

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State
from cockpit.screens.overview import Overview
from tests.authority.conftest import authority, desk
from tests.authority.desk import Desk
from tests.screen.conftest import SLOW, Cockpit, cockpit
from widgets.half_open_dialog import HalfOpenDialog
from widgets.views import AskDialog, RunView
from widgets.vouch_item import VouchItem

__all__ = ["authority", "desk"]
BTC = BreakerId("instrument:BTC-USD")


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def halted(desk: Desk, authority: Authority) -> AsyncIterator[Cockpit]:
    """A cockpit with the half-open dialog open on a halted breaker, its checks read."""
    desk.platform.settings = desk.settings
    await desk.trip(BTC)
    async with cockpit(desk.platform) as made:
        await made.shows("HALTED by instrument:BTC-USD", "operator-act", "●authority")
        made.app.screen.rows.select(BTC)
        await made.press("h")
        await made.until(lambda: isinstance(made.app.screen, HalfOpenDialog) and made.app.screen.read)
        await made.shows("10 of 10 pass")
        yield made


def answered(screen: Cockpit) -> list[bool]:
    return [item.answered for item in screen.app.screen.query(VouchItem)]


def focus(screen: Cockpit) -> str | None:
    return screen.app.focused.id if screen.app.focused else None


def notes(screen: Cockpit) -> str:
    return screen.app.screen.query_one("#notes", Input).value


async def test_each_item_is_answered_for_by_itself(halted: Cockpit) -> None:
    """Cancel first; ↓ and tab meet every item in turn; space answers for the one with the focus only."""
    assert focus(halted) == "cancel"
    items = [item.id for item in halted.app.screen.query(VouchItem)]
    await halted.press("down")
    assert focus(halted) == items[0]
    await halted.press("tab", "space")
    assert (focus(halted), answered(halted)) == (items[1], [False, True, False, False, False])
    assert "▸[x]" in halted.top()
    await halted.press("enter")
    assert focus(halted) == items[2]
    await halted.press("up", "space", "up", "up")
    assert (focus(halted), answered(halted)) == ("cancel", [False] * 5)


async def test_text_typed_beside_the_notes_goes_into_them(halted: Cockpit) -> None:
    """From a button, from an item, pasted: it answers for nothing. j and k by themselves move."""
    items = [item.id for item in halted.app.screen.query(VouchItem)]
    await halted.type("root cause: kj ")
    assert (focus(halted), notes(halted), answered(halted)) == ("notes", "root cause: kj ", [False] * 5)
    halted.app.screen.query_one("#notes", Input).value = ""
    halted.app.screen.set_focus(halted.app.screen.query_one("#cancel"))
    await halted.press("j")
    assert focus(halted) == items[0]
    await halted.type("back to normal ")
    assert (notes(halted), answered(halted)) == ("back to normal ", [False] * 5)
    halted.app.screen.set_focus(halted.app.screen.query_one("#confirm"))
    halted.app.post_message(events.Paste("k again\nand more"))
    await halted.type("!")
    assert (focus(halted), notes(halted)) == ("notes", "back to normal k again!")


async def test_a_refused_ctrl_s_leads_to_what_is_missing(halted: Cockpit) -> None:
    """It says which, and the key for that is the next one; the button then leaves by space, and what is typed
    on opens nothing."""
    items = [item.id for item in halted.app.screen.query(VouchItem)]
    for item in items:
        await halted.press("ctrl+s")
        assert focus(halted) == item
        assert "not yet: " in halted.top() and "items not answered for" in halted.top()
        await halted.press("space")
    await halted.press("ctrl+s")
    assert focus(halted) == "notes"
    assert "not yet: notes have 0 characters" in halted.top()
    halted.app.screen.set_focus(halted.app.screen.query_one("#cancel"))
    await halted.burst("space", *"trip", "1", "ctrl+s")
    await halted.shows("not taken: trip1 · the dialog was left")
    assert isinstance(halted.app.screen, Overview)


async def test_what_was_said_of_a_fault_goes_with_the_fault(halted: Cockpit) -> None:
    dialog = halted.app.screen
    assert isinstance(dialog, HalfOpenDialog)
    good = dialog._findings
    assert good
    for task in [each for each in halted.app._doing if each.get_name() == "checklist"]:
        task.cancel()  # it would read them anew meanwhile
    dialog.findings([replace(good[0], ok=False), *good[1:]])
    await halted.press("ctrl+s")
    assert f"not yet: {good[0].item_id} fails" in halted.top()
    dialog.findings(good)
    assert "fails" not in halted.top()
    assert "items not answered for" in halted.top()


async def half_open(screen: Cockpit) -> None:
    await screen.press("tab", *(key for _ in range(5) for key in ("space", "down")))
    await screen.type("root cause found and mended by venue")
    await screen.press("ctrl+s")
    await screen.until(lambda: isinstance(screen.app.screen, RunView))


async def test_a_failed_run_says_what_was_read_and_that_it_is_open_again(halted: Cockpit, desk: Desk) -> None:
    """Read and wanted of each failure stand there whole, also in a second cockpit."""
    desk.venue.fills, desk.venue.held = False, True
    async with cockpit(desk.platform, "operator2") as other:
        await other.shows("operator-act", "●authority")
        other.app.screen.rows.select(BTC)
        await half_open(halted)
        await other.shows("PROBING")
        await other.until(lambda: other.app.board.run(BTC) is not None)
        await other.press("p")
        await other.shows("by operator1", "running…", "0/5 · needed 4")
        desk.venue.held = False
        wanted = f"filled within {SLOW['latency_bound_ms']} ms)"
        for screen in (halted, other):
            await screen.shows("✗ paper-order", "(wanted", wanted, "FAILED:", "back to OPEN · HALTED")
            if screen is halted:  # at once: the status line keeps it for some seconds only
                await halted.press("escape")
                await halted.shows("probe run of instrument:BTC-USD FAILED, back to OPEN · HALTED")
                assert "its probes run (p)" not in halted.text()
        await other.press("escape", "p")
        await other.shows("by operator1", "FAILED:")
    assert await desk.state(BTC) is State.OPEN


async def test_a_silent_authority_leaves_nothing_of_its_own_ticked(desk: Desk) -> None:  # I25, F24
    async with running_authority(desk.settings), AsyncExitStack() as stack:
        desk.platform.settings = desk.settings
        await desk.trip(BTC)
        screen = await stack.enter_async_context(cockpit(desk.platform))
        await screen.shows("HALTED by instrument:BTC-USD", "operator-act", "●authority")
        screen.app.screen.rows.select(BTC)
        await screen.press("h")
        await screen.shows("✓ 10 of 10 pass")
        left = stack.pop_all()
    async with left:
        await screen.shows("NOTHING CAN RESUME", "✗ audit-chain", "no authority answers")


async def test_ctrl_q_in_the_run_view_names_the_run_and_stays(halted: Cockpit, desk: Desk) -> None:
    """The answer of the venue is held back, so the run is on while somebody quits."""
    desk.venue.held = True
    await half_open(halted)
    await halted.press("ctrl+q")
    await halted.until(lambda: isinstance(halted.app.screen, AskDialog))
    await halted.shows("probe run of instrument:BTC-USD is on")
    assert focus(halted) == "no"
    await halted.until(lambda: isinstance(halted.app.screen, AskDialog) and halted.app.screen.ready)
    await halted.press("ctrl+q", "enter")
    await halted.until(lambda: isinstance(halted.app.screen, RunView))
    assert halted.app.is_running
    desk.venue.held = False
