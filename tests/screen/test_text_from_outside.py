"""Titles and notes that would act on a terminal, through the real stores, down to the strips (I26)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from cockpit.domain.breakers import Catalogue
from tests.screen.conftest import Cockpit, cockpit
from tests.trading_platform import Platform
from widgets.columns import heading
from widgets.line_view import LineView

HOSTILE = (
    "[@click=app.quit]x[/] [/foo] [bold",
    "\x1b[2J\x1b]0;owned\x07\x9b31m\x90q\x9c",
    "\u202egnitart\u2066 \u200b\ufeff",
    "止まれ停止🚨🚨 全取引" * 12,
    "Z" + "\u0301" * 90,
    "very long " * 300,
)


def strips(screen: Cockpit) -> list[tuple[str, int, int]]:
    """Each rendered line of each view: its text, its cells and the cells it should have."""
    found = []
    for each in screen.app.screen_stack:
        for view in each.query(LineView):
            for y in range(view.size.height):
                strip = view.render_line(y)
                found.append((strip.text, strip.cell_length, view.size.width))
    return found


@pytest.mark.parametrize("title", HOSTILE, ids=["markup", "escapes", "bidi", "wide", "combining", "long"])
async def test_a_title_never_acts_and_keeps_its_columns(platform: Platform, title: str) -> None:  # I26
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO incidents (severity, title, breaker_id) VALUES ('P1', $1, $2)", title, title[:60]
        )
    async with cockpit(platform) as screen:
        await screen.shows("1 unacknowledged critical incident")
        await screen.press("a")
        await screen.shows("ACKNOWLEDGE", "P1 ")
        for text, cells, wanted in strips(screen):
            assert text.isprintable(), ascii(text)
            assert (cells, cell_len(text)) == (wanted, wanted), ascii(text)
        assert title[0] not in "[" or "[@click=app.quit]x[/] [/foo] [bold" in screen.top()
        assert screen.app.is_running


async def test_a_thousand_breakers_filter_scroll_and_keep_the_selection(platform: Platform) -> None:
    """The list holds its place while the store changes under it; one change repaints one row."""
    symbols = [f"S{number:04}-USD" for number in range(1_000)]
    platform.settings = replace(
        platform.settings, catalogue=Catalogue.build(["execution"], symbols, ["momentum"])
    )
    async with cockpit(platform) as screen:
        await screen.shows("HALTED")
        rows = screen.app.screen.rows
        assert len(rows.keys) == 1_003
        await screen.press("end", "home", "pagedown", "slash")
        await screen.type("s0500")
        await screen.press("enter")
        assert rows.keys == ("instrument:S0500-USD",)
        assert "filter: s0500 (1) · esc clears" in screen.top()
        titles = screen.app.screen.query_one("#heading", LineView)
        assert titles.line_at(0, 80) == heading(79)
        await screen.press("escape")
        assert (rows.key, len(rows.keys)) == ("instrument:S0500-USD", 1_003)
        await screen.shows("▸  instrument:S0500-USD")
        before = {y: rows.line_at(y, rows.size.width) for y in range(rows.size.height)}
        async with platform.redis_line() as line:
            await line.command("INCR", "trip:instrument:S0500-USD")
        await screen.shows("instrument:S0500-USD · own state OPEN · HALTED · halted by global · epoch 1")
        after = {y: rows.line_at(y, rows.size.width) for y in range(rows.size.height)}
        assert rows.key == "instrument:S0500-USD"
        assert sum(before[y] != after[y] for y in before) <= 1
