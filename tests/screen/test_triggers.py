"""Panel 6 on a real database: what an acting guard has published, a dead one's, none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State
from cockpit.domain.trigger_reports import TriggerReport
from cockpit.screens.triggers import TriggerPanel
from tests.screen.conftest import Cockpit, cockpit
from tests.screen.objective_boards import every_trigger
from tests.screen.test_text_from_outside import HOSTILE, strips
from tests.trading_platform import Platform
from widgets.trip_dialog import TripDialog


async def publish(
    platform: Platform, *reports: TriggerReport, alive_s: float = 3_600, faults: tuple[str, ...] = ()
) -> None:
    """What a guard writes about itself, as the servers' owner."""
    status = json.dumps({"reports": [each.payload() for each in reports], "faults": list(faults)})
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO guard_lease (only_row, holder, login, term, renewed_at, expires_at, status)"
            " VALUES (true, 'guard-1', 'automation1', 7, clock_timestamp() - make_interval(secs => $2),"
            " clock_timestamp() + make_interval(secs => $1), $3::jsonb)"
            " ON CONFLICT (only_row) DO UPDATE SET renewed_at = excluded.renewed_at,"
            " expires_at = excluded.expires_at, status = excluded.status",
            alive_s, 0.0 if alive_s > 0 else 90.0, status,
        )  # fmt: skip


def panel(screen: Cockpit) -> TriggerPanel:
    found = screen.app.screen
    assert isinstance(found, TriggerPanel)
    return found


async def test_rules_by_their_distance_and_the_samples_behind_them(
    platform: Platform, size: tuple[int, int]
) -> None:
    await platform.open_for_trading()
    await publish(platform, *every_trigger())
    async with cockpit(platform, size=size) as screen:
        await screen.shows("ALL TRADING")
        assert "NOTHING TRIPS BY ITSELF" not in screen.text()
        await screen.press("6")
        await screen.shows("■ BREACHED", "▲ NEAR 90%", "◆ NEAR 75%", "◇ NEAR 50%", "● CLEAR", "? MISSING")
        assert panel(screen).rows.keys[0] == "latency"
        await screen.shows("140 %", "420 / 300 ms", "12/10", "shadow", "nearest first")
        await screen.press("enter")
        await screen.shows("TRIGGER", "order-17", "trips component:execution by itself (live)")
        await screen.press("escape", "t")
        await screen.until(lambda: isinstance(screen.app.screen, TripDialog))
        assert "TRIP component:execution" in screen.top()
        await screen.press("escape", "escape")
        await screen.shows("BREAKER")


async def test_the_order_holds_while_somebody_reads(platform: Platform) -> None:
    near, clear = every_trigger()[3], every_trigger()[0]
    await publish(platform, near, clear)
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("6")
        await screen.shows("daily-loss", "api-errors")
        before = panel(screen).rows.keys
        await publish(platform, replace(near, rule="api-errors"), replace(clear, rule="daily-loss"))
        await screen.shows("no longer nearest first")
        assert panel(screen).rows.keys[: len(before)] == before
        await screen.press("s")
        assert panel(screen).rows.keys[0] == "api-errors"


async def test_a_dead_guard_leaves_nothing_that_reads_as_now(
    platform: Platform, size: tuple[int, int]
) -> None:
    """I25: and the banner says since when nothing trips by itself; people still can."""
    await platform.open_for_trading()
    await publish(platform, *every_trigger(), alive_s=-30)
    async with cockpit(platform, size=size) as screen:
        await screen.shows("NOTHING TRIPS BY ITSELF: guard silent since")
        await screen.press("6")
        await screen.shows("? was BREACHED", "? was CLEAR", "STALE")
        assert "● CLEAR" not in screen.top()
        panel(screen).rows.select("latency")
        await screen.press("t", "2", "enter")
        await screen.type("latency was breached and nobody acts")
        await screen.press("ctrl+s")
        await screen.until(
            lambda: screen.app.board.effective(BreakerId("component:execution")).state is State.OPEN  # type: ignore[union-attr]
        )


async def test_no_guard_has_no_rows_and_says_what_that_means(platform: Platform) -> None:
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("6")
        await screen.shows("no guard has ever run here: nothing trips by itself")
        await screen.press("t")
        assert isinstance(screen.app.screen, TriggerPanel)


@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "escapes", "bidi", "wide", "combining", "long"])
async def test_text_of_a_guard_never_acts_and_keeps_its_columns(platform: Platform, text: str) -> None:  # I26
    named = "rule title subject unit aim effect mode why fired_on".split()
    bad = every_trigger()[4].payload() | dict.fromkeys(named, text)
    bad["evidence"] = [[text, "2026-11-21T03:16:00Z", 1.0]]
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO guard_lease VALUES (true, $1, 'automation1', 7, clock_timestamp(),"
            " clock_timestamp() + interval '1 hour', $2::jsonb)",
            text.replace("\x00", ""), json.dumps({"reports": [bad], "faults": [text]}),
        )  # fmt: skip
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        await screen.press("6")
        await screen.shows("■ BREACHED")
        for key in ("j", "enter"):
            await screen.press(key)
            for drawn, cells, wanted in strips(screen):
                assert drawn.isprintable(), ascii(drawn)
                assert cells == wanted, ascii(drawn)
        assert screen.app.is_running
