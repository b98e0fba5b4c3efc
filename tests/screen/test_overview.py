"""The overview on real stores: states, trips by keys, a second cockpit."""

from __future__ import annotations

from tests.screen.conftest import cockpit
from tests.trading_platform import Platform

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
