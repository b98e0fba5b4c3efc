"""A store goes away under the screen: what it says then is true, and trips are kept (F8, F9, F10, I25)."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from cockpit.config import Credentials
from tests.screen.conftest import cockpit
from tests.trading_platform import Platform

NOTES = "feed lags by more than five seconds"
NOWHERE_REDIS = "redis://operator1:x@127.0.0.1:1/0"
NOWHERE_POSTGRES = "postgresql://operator1:x@127.0.0.1:1/none"


def without(platform: Platform, redis: bool, postgres: bool, login: str = "operator1") -> Platform:
    """The platform as a cockpit of `login` sees it that cannot reach a store."""
    found = platform.login(login)
    cut = Credentials(
        login,
        NOWHERE_REDIS if redis else found.redis_url,
        NOWHERE_POSTGRES if postgres else found.postgres_dsn,
        found.signing_key,
    )
    return replace(
        platform, settings=replace(platform.settings, logins={**platform.settings.logins, login: cut})
    )


async def test_redis_down_is_never_shown_as_halted(platform: Platform, size: tuple[int, int]) -> None:  # I25
    async with cockpit(without(platform, redis=True, postgres=False), size=size) as screen:
        await screen.shows("UNREADABLE HERE", "TRADING MAY CONTINUE", "redis DOWN")
        assert "HALTED by" not in screen.text()


async def test_postgres_down_trips_and_says_that_nothing_resumes(platform: Platform) -> None:  # F8
    await platform.open_for_trading()
    async with cockpit(without(platform, redis=False, postgres=True)) as screen:
        await screen.shows("ALL TRADING: CLOSED", "NOTHING CAN RESUME: Postgres unreadable")
        screen.app.screen.rows.select("instrument:BTC-USD")
        await screen.press("t")
        await screen.shows("open orders unknown")
        await screen.press("2", "enter")
        await screen.type(NOTES)
        await screen.press("ctrl+s")
        await screen.shows("HALTED by instrument:BTC-USD")


async def test_both_down_the_trip_is_kept_and_shown_as_pending(platform: Platform) -> None:  # F10
    async with cockpit(without(platform, redis=True, postgres=True)) as screen:
        await screen.shows("UNREADABLE HERE")
        screen.app.screen.rows.select("instrument:BTC-USD")
        await screen.press("t", "2", "enter")
        await screen.type(NOTES)
        await screen.press("ctrl+s")
        await screen.shows("PENDING · NOT HALTED YET: instrument:BTC-USD", "in the spool of this machine")
    await platform.open_for_trading()
    async with cockpit(platform) as screen:  # the next start delivers it
        await screen.shows("HALTED by instrument:BTC-USD")


async def test_quitting_with_a_trip_in_the_spool_names_it(platform: Platform) -> None:  # F10
    async with cockpit(without(platform, redis=True, postgres=True)) as screen:
        await screen.shows("UNREADABLE HERE")
        screen.app.screen.rows.select("instrument:BTC-USD")
        await screen.press("t", "2", "enter")
        await screen.type(NOTES)
        await screen.press("ctrl+s")
        await screen.shows("in the spool of this machine")
        await screen.press("ctrl+q")
        await screen.shows("NOT HALTED YET: the trip of instrument:BTC-USD", "[▸Stay ]")
        await screen.press("enter")
        assert screen.app.is_running


async def test_a_redis_that_falls_silent_leaves_no_state_that_reads_as_fresh(platform: Platform) -> None:
    """I25: the server itself is stopped, and goes on: old data is called old, then fresh again."""
    await platform.open_for_trading()
    async with cockpit(platform, real_bounds=True) as screen:
        await screen.shows("ALL TRADING: CLOSED · TRADING")
        pid = platform.valkey.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await screen.shows("UNREADABLE HERE · last CLOSED", "global · last read", "redis DOWN", "STALE")
            assert "CLOSED · TRADING" not in screen.text().replace("own state CLOSED · TRADING", "")
            assert "ALL TRADING: " not in screen.text()
        finally:
            os.kill(pid, signal.SIGCONT)
        await screen.shows("ALL TRADING: CLOSED · TRADING", "live")
