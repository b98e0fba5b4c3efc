"""The overview on real stores: states, trips by keys, a second cockpit."""

from __future__ import annotations

from datetime import UTC, datetime

from textual.widgets import Input

from cockpit.domain.desk import AuditRow
from tests.screen.conftest import cockpit
from tests.trading_platform import Platform
from widgets.event_rows import action_words, audit_line
from widgets.line import text_of

NOTES = "feed lags by more than five seconds"


async def test_born_open_then_trading(platform: Platform, size: tuple[int, int]) -> None:
    """I4: no document is OPEN; and no state without its meaning."""
    async with cockpit(platform, size=size) as screen:
        await screen.shows("OPEN · HALTED", "ALL TRADING HALTED by global")
        await platform.open_for_trading()
        await screen.shows("ALL TRADING: CLOSED · TRADING")


async def test_trip_by_keys_and_a_second_cockpit_sees_it(platform: Platform, size: tuple[int, int]) -> None:
    await platform.open_for_trading()
    async with cockpit(platform, size=size) as screen, cockpit(platform, "operator2", size) as other:
        await screen.shows("ALL TRADING: CLOSED · TRADING")
        await other.shows("ALL TRADING: CLOSED · TRADING")
        screen.app.screen.rows.select("instrument:BTC-USD")
        await screen.press("t", "2", "enter")
        await screen.type(NOTES)
        await screen.press("ctrl+s")
        await other.shows("HALTED by instrument:BTC-USD")
        await screen.shows("VERIFY TRIP", "breaker_state 1")


async def test_nothing_blinks(platform: Platform) -> None:
    """Neither a field of a dialog nor those of the filter and the palette."""
    await platform.open_for_trading()
    async with cockpit(platform) as screen:
        await screen.shows("ALL TRADING: CLOSED · TRADING")
        screen.app.screen.rows.select("instrument:BTC-USD")
        for key in ("t", "slash", "ctrl+p"):
            await screen.press(key)
            await screen.until(lambda: bool(screen.app.screen.query(Input)))
            assert not any(field.cursor_blink for field in screen.app.screen.query(Input)), key
            await screen.press("escape")


async def test_events_are_told_in_plain_words(platform: Platform) -> None:
    """Who did it is not said twice where it is the thing itself; the zone of the times is said once."""
    await platform.open_for_trading()
    async with cockpit(platform) as screen:
        await screen.shows("login added      login:monitor1 by owner", "all times are UTC")
    assert action_words("CIRCUIT_BREAKER_TRIP") == "tripped"
    assert action_words("CIRCUIT_BREAKER_RESET_VOID") == "close void"
    term = AuditRow(
        1, "e", datetime(2026, 11, 21, tzinfo=UTC), "AUTHORITY_TERM", "authority", "authority", "authority",
        "{}", None, None, "",
    )  # fmt: skip
    assert text_of(audit_line(term)).split()[2:] == ["authority", "began", "authority"]
