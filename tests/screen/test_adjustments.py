"""Overrides, exclusions and size limits by keys, with a real authority on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.screens.slos import SloPanel
from tests.authority.conftest import desk
from tests.authority.desk import Desk
from tests.screen.conftest import SLOW, Cockpit, cockpit
from tests.screen.records import denied
from tests.screen.samples import write, write_good
from widgets.approve_dialog import ApproveDialog
from widgets.end_dialogs import IncludeDialog, LiftDialog
from widgets.exclude_dialog import ExcludeDialog
from widgets.half_open_dialog import HalfOpenDialog
from widgets.halts_due import due
from widgets.size_words import limits_about
from widgets.views import RunView

__all__ = ["desk"]
BTC = BreakerId("instrument:BTC-USD")
EXECUTION = BreakerId("component:execution")
WHY = "the venue has confirmed the fix and the loss is bounded"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def spent(desk: Desk) -> Desk:
    """Every shipped objective, and samples with which each is kept."""
    desk.settings = replace(desk.settings, shipped_slos=True)
    desk.platform.settings = desk.settings
    await write_good(desk.platform, "order_success")
    await write(desk.platform, "order_success", 1_000, 1_000)
    return desk


@pytest.fixture
async def authority(spent: Desk) -> AsyncIterator[Authority]:
    """It has opened trading; then the order success turned out to have spent its budget five times over."""
    async with running_authority(spent.settings) as running:
        await spent.becomes(EXECUTION, State.CLOSED)
        await write(spent.platform, "order_success", 950, 1_000, ago_s=180)
        yield running


def focus(screen: Cockpit) -> str | None:
    return screen.app.focused.id if screen.app.focused else None


async def open_half_open(screen: Cockpit) -> HalfOpenDialog:
    await screen.shows(
        "HALTED by instrument:BTC-USD", "SLO ■ RED order-success", "TRADING 50 %", "●authority"
    )
    screen.app.screen.rows.select(BTC)
    await screen.press("h")
    await screen.until(lambda: isinstance(screen.app.screen, HalfOpenDialog) and screen.app.screen.read)
    await screen.shows("✗ error-budgets: order-success RED")
    dialog = screen.app.screen
    assert isinstance(dialog, HalfOpenDialog)
    return dialog


async def vouch(screen: Cockpit) -> None:
    await screen.press("tab", *(key for _ in range(5) for key in ("space", "down")))
    await screen.type("root cause found and mended by venue")


async def test_an_operator_is_told_who_may_pass_over_a_spent_budget(
    spent: Desk, authority: Authority
) -> None:
    await spent.trip(BTC)
    async with cockpit(spent.platform) as screen:
        dialog = await open_half_open(screen)
        said = "only a safety-admin may pass over it (admin:override)"
        assert said in screen.top()
        await screen.shows_wide(said)
        assert not dialog.query_one("#override-field").has_class("-open")
        await vouch(screen)
        await screen.press("ctrl+s")
        assert "not yet: error-budgets fails" in screen.top()
        assert await spent.state(BTC) is State.OPEN


async def test_a_safety_admin_breaks_the_glass_with_a_reason(
    spent: Desk, authority: Authority
) -> None:  # I23
    """The field appears for the override alone, fits the screen, and the next one waits for a review."""
    await spent.trip(BTC)
    async with cockpit(spent.platform, "admin1") as screen:
        dialog = await open_half_open(screen)
        assert focus(screen) == "cancel"
        for columns, rows in ((120, 40), (80, 24)):
            await screen.resize(columns, rows)
            assert "break-glass: a P1 incident opens, another person reviews it" in screen.top()
            for name in ("#override", "#confirm", "#foot"):
                region = dialog.query_one(name).region
                assert region.height, name
                assert region.bottom < rows, name
        await vouch(screen)
        await screen.press("ctrl+s")
        assert "error-budgets fails; override: say why in 20 characters" in screen.top()
        assert focus(screen) == "override"
        await screen.type(WHY)
        for shows in (screen.shows, screen.shows_wide):
            await shows("OVERRIDES, half-opens")
        await screen.press("ctrl+s")
        await screen.until(lambda: isinstance(screen.app.screen, RunView))
        await screen.shows("PASSED")
    async with spent.platform.connection() as owner:
        row = await owner.fetchrow("SELECT severity, status FROM incidents WHERE source = 'override'")
    assert (row["severity"], row["status"]) == ("P1", "open")
    await spent.trip(BTC)
    async with cockpit(spent.platform, "admin1") as screen:
        await open_half_open(screen)
        for shows in (screen.shows, screen.shows_wide):
            await shows("an earlier override awaits another person's review")


async def test_an_exclusion_is_asked_approved_shown_and_taken_back(
    spent: Desk, authority: Authority
) -> None:  # I19
    async with (
        cockpit(spent.platform, "admin1") as screen,
        cockpit(spent.platform, "admin2") as other,
    ):
        await screen.shows("SLO ■ RED order-success")
        await screen.press("2", "x")
        await screen.until(lambda: isinstance(screen.app.screen, ExcludeDialog))
        assert focus(screen) == "cancel"
        await fill_exclusion(screen)
        await screen.press("ctrl+s")
        await screen.shows("waits for a second person's approval: exclusion from an error budget")
        await screen.press("A")
        await screen.shows("admin1 is you: another person must approve", "leaves order-success's events of")
        await screen.press("escape")
        await other.shows("waits for a second person's approval")
        await other.press("A")
        await other.until(lambda: isinstance(other.app.screen, ApproveDialog))
        await other.shows_wide(
            "leaves order-success's events of", "notes: announced maintenance of the venue"
        )
        assert "leaves order-success's events of" in other.top()
        assert "notes: announced maintenance of the venue" in other.top()
        await other.press("ctrl+s")
        for each in (screen, other):
            await each.until(lambda each=each: not due(each.app.board))  # type: ignore[misc]
        await screen.press("enter")
        await screen.shows("left out of the budget", "by admin1, approved by admin2: announced")
        await screen.press("escape", "u")
        await screen.until(lambda: isinstance(screen.app.screen, IncludeDialog))
        assert focus(screen) == "cancel"
        await screen.press("tab")
        await screen.until(lambda: focus(screen) != "cancel")
        screen.app.screen.set_focus(screen.app.screen.query_one("#notes"))
        await screen.type("the venue says there was no maintenance")
        await screen.press("ctrl+s")
        await screen.until(lambda: bool(due(screen.app.board)))


async def fill_exclusion(screen: Cockpit) -> None:
    dialog = screen.app.screen
    now = screen.app.board.desk_now
    for name, moment in (("from", now - timedelta(minutes=10)), ("until", now - timedelta(minutes=1))):
        dialog.set_focus(dialog.query_one(f"#{name}"))
        await screen.type(f"{moment:%Y-%m-%d %H:%M:%S}")
    dialog.set_focus(dialog.query_one("#notes"))
    await screen.type("announced maintenance of the venue")


async def test_an_operator_may_not_adjust_a_budget_and_a_threshold_has_none(
    spent: Desk, authority: Authority
) -> None:
    async with cockpit(spent.platform) as screen:
        await screen.shows("operator-act", "SLO ■ RED order-success")
        await screen.press("2", "x")
        await screen.shows("exclude: operator1 (operator-act) lacks ADJUST_BUDGET")
        panel = screen.app.screen
        assert isinstance(panel, SloPanel)
        key = next(each for each in panel.KEYS if each.key_id == "slo.exclude")
        assert not panel.works(key, screen.app.board)
        panel.rows.select("data-quality-errors")
        await screen.press("ctrl+l", "x")  # a key with ctrl ends what was refused
        await screen.shows("data-quality-errors is a plain threshold; it has no budget to adjust")
        await denied(spent.platform, "operator1")


async def test_a_bad_exclusion_says_what_would_be_right(spent: Desk, authority: Authority) -> None:
    async with cockpit(spent.platform, "admin1") as screen:
        await screen.shows("SLO ■ RED order-success")
        await screen.press("2", "x")
        await screen.until(lambda: isinstance(screen.app.screen, ExcludeDialog))
        await screen.press("ctrl+s")
        assert "not yet: from: write 03:10 or 2026-11-21 03:10, UTC" in screen.top()
        dialog = screen.app.screen
        for name, text in (("from", "2026-11-21 03:10"), ("until", "2999-01-01 00:00")):
            dialog.set_focus(dialog.query_one(f"#{name}"))
            await screen.type(text)
        await screen.shows("ends in the future")


async def test_a_size_limit_shows_on_every_row_below_it_and_is_lifted_by_key(
    spent: Desk, authority: Authority
) -> None:
    """ORANGE and RED budgets halve execution by themselves; the person's limit is smaller, and lifted."""
    row = await spent.ask(
        Kind.LIMIT,
        BTC,
        "operator1",
        target="0.25",
        reason="",
        checked=(),
        epoch=None,
        notes="thin book, a quarter of size only",
    )
    assert row.status == "done", row.message
    async with cockpit(spent.platform) as screen:
        for shows in (screen.shows, screen.shows_wide):
            await shows("CLOSED · TRADING 25 %", "CLOSED · TRADING 50 %", "AT 50 % OF SIZE")
        screen.app.screen.rows.select(BTC)
        await screen.shows("orders at 25 % of size: 25 % on instrument:BTC-USD by")
        await screen.press("L")
        await screen.until(lambda: isinstance(screen.app.screen, LiftDialog))
        assert focus(screen) == "cancel"
        assert "thin book" in screen.top()
        await screen.shows_wide("thin book")
        await screen.press("ctrl+s")
        assert "not yet: notes have 0 characters" in screen.top()
        screen.app.screen.set_focus(screen.app.screen.query_one("#notes"))
        await screen.type("the book is as deep as ever again")
        await screen.press("ctrl+s")
        await screen.until(lambda: screen.app.board.effective(BTC).size_share == Decimal("0.5"))  # type: ignore[union-attr]
        await screen.until(lambda: not limits_about(screen.app.board, BTC))  # Postgres is read by itself
        await screen.press("L")
        await screen.shows("lift: no size limit is in force on instrument:BTC-USD")
