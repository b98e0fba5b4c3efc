"""What is typed on after a refused dialog does nothing; what is over asks for no halt."""

from __future__ import annotations

import time

from cockpit.authority.service import Authority
from cockpit.screens.audit import AuditPanel
from cockpit.screens.incidents import IncidentPanel
from cockpit.screens.overview import Overview
from tests.authority.conftest import desk
from tests.authority.desk import Desk
from tests.screen.conftest import cockpit
from tests.screen.test_incidents_panel import authority, panel, stands, write
from widgets.trip_dialog import TripDialog

__all__ = ["authority", "desk"]


async def test_a_root_cause_after_a_refused_resolve_runs_as_no_keys(desk: Desk, authority: Authority) -> None:
    """I6: what trips afterwards was meant to."""
    incident = await write(desk.platform, "solved long ago", "P0", 60, status="resolved",
                           breaker_id="component:execution")  # fmt: skip
    async with cockpit(desk.platform) as screen:
        await screen.until(lambda: screen.app.board.desk is not None)
        await screen.press("3")
        await screen.until(
            lambda: isinstance(screen.app.screen, IncidentPanel) and bool(panel(screen).rows.keys)
        )
        await screen.burst("R", *"the gateway lost its feed", "tab", *"trip ok", "ctrl+s")
        await screen.shows("resolve: ", "not taken: the gateway")
        assert isinstance(screen.app.screen, IncidentPanel)
        assert screen.app.trip_made is None and not screen.app._drafts
        # ctrl+s ended it: the next key counts. What is over opens the trip of what it is linked to, empty.
        await screen.press("t")
        trip = await stands(screen, TripDialog)
        assert isinstance(trip, TripDialog) and trip.target == "component:execution"
        assert "proposed" not in screen.top() and incident not in screen.top()
        await screen.press("escape", "R", "escape")
        await screen.until(lambda: isinstance(screen.app.screen, Overview))


async def test_a_pause_ends_what_was_refused(desk: Desk) -> None:
    async with cockpit(desk.platform, "admin1") as screen:
        await screen.until(lambda: screen.app.board.desk is not None)
        await screen.burst("v", "t")
        await screen.shows("no trip was made from this screen yet", "not taken: t")
        paused_until = time.monotonic() + 0.9
        await screen.until(lambda: time.monotonic() > paused_until)
        await screen.press("t")
        await stands(screen, TripDialog)


async def test_a_refusal_goes_with_the_next_key_and_a_dead_key_says_so(desk: Desk) -> None:
    """`v` and `a` work where a panel has no other use for them; what is typed on after a dead key is its."""
    async with cockpit(desk.platform, "admin1") as screen:
        await screen.until(lambda: screen.app.board.identity is not None)
        await screen.press("m")
        await screen.shows("mode: put the cursor on an instrument")
        await screen.press("down")
        assert "put the cursor" not in screen.text()
        for key, digits in (("v", "2346"), ("a", "2456")):
            said = (
                "no trip was made from this screen yet" if key == "v" else "acknowledge: no incident is open"
            )
            for digit in digits:
                await screen.press("ctrl+l", digit)
                assert said not in screen.text()
                await screen.press(key)
                await screen.shows(said)
        await screen.burst("ctrl+l", "5", "n", *"the trip", "2")
        await screen.shows("not taken: the trip2 · n is no key of this panel; ? lists them")
        assert isinstance(screen.app.screen, AuditPanel)
