"""Pages on the screen: what is delivered, what waits, what failed; with a real pager and a real receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.paging import PageRow, Paging, TripPage
from cockpit.domain.states import State
from cockpit.pager import courier
from tests.authority.conftest import desk
from tests.authority.desk import BTC, Desk
from tests.pager.outbox import paged, paging
from tests.pager.receiver import Receiver, answers, receiving
from tests.screen.conftest import SLOW, Cockpit, cockpit
from tests.screen.objective_boards import desk as some_desk
from tests.screen.test_rows import NOW
from tests.screen.test_rows import board as some_board
from tests.screen.test_text_from_outside import HOSTILE
from widgets.banner import banner
from widgets.board import Board
from widgets.header import header
from widgets.line import text_of
from widgets.page_words import delivered_words
from widgets.trip_checks import Check, checks_lines
from widgets.views import VerificationView

__all__ = ["desk"]


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        desk.platform.settings = desk.settings
        await desk.becomes(EXECUTION, State.CLOSED)
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


async def trip(screen: Cockpit) -> None:
    """By keys; ends in the verification of the trip."""
    screen.app.screen.rows.select(BTC)
    await screen.press("t")
    await screen.shows("TRIP instrument:BTC-USD")
    await screen.press("1")
    await screen.type("fills are far beside the market")
    await screen.press("ctrl+s")
    await screen.until(lambda: isinstance(screen.app.screen, VerificationView))


async def test_a_trip_is_verified_only_once_its_page_is_delivered(
    desk: Desk, authority: Authority, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:  # I25
    """The receiver fails first: no tick, the tries and the error; then it takes the page, and is named."""
    receiver.default = answers("503 Busy")
    monkeypatch.setattr(courier, "MOST_S", 1.0)  # however long the steps below take, it tries again soon
    settings = paged(desk.platform, webhook_url=receiver.url, min_severity="warning")
    async with cockpit(desk.platform) as screen:
        await screen.shows("operator-act", "● ALL TRADING")
        await trip(screen)
        await screen.shows("○ page delivered", "no pager has ever run here")
        async with paging(settings, total_s=30.0):
            for shows in (screen.shows, screen.shows_wide):
                await shows("✗ page delivered", "waiting for webhook", "503")
            assert "✓ page delivered" not in screen.top()
            await screen.press("escape")
            await screen.shows("NOT DELIVERED: P2 to webhook", "503")
            receiver.default = answers("202 Accepted")
            await screen.press("v")
            await screen.shows("✓ page delivered", "page delivered to webhook at")
            await screen.until(lambda: "NOT DELIVERED" not in screen.text())


async def test_a_page_below_the_least_severity_is_told_as_such(
    desk: Desk, authority: Authority, receiver: Receiver
) -> None:
    async with paging(paged(desk.platform, webhook_url=receiver.url)), cockpit(desk.platform) as screen:
        await screen.shows("operator-act", "● ALL TRADING")
        await trip(screen)
        await screen.shows("○ page delivered", "nobody is paged: below the minimum severity")


# -- pure words --


def board(state: Paging | None, *pages: TripPage) -> Board:
    return replace(some_board(), desk=replace(some_desk(), paging=state, trip_pages=pages, monotonic=100.2))


def page(**fields: object) -> TripPage:
    made = TripPage("e", "i", True, "", (), ("webhook",), 0, "", None)
    return replace(made, **fields)  # type: ignore[arg-type]


def got(*waiting: str) -> TripPage:
    return page(receivers=("webhook",), waiting=waiting, delivered_at=NOW)


def older(made: TripPage) -> TripPage:
    """Of a trip that was told in an incident which had its page before."""
    return replace(made, joined=True, older=True)


def row(**fields: object) -> PageRow:
    made = PageRow("i", "trigger", "P1", "feed is silent", "webhook", 3, NOW, NOW, "503", False)
    return replace(made, **fields)  # type: ignore[arg-type]


LIVES = Paging(1.0, True, ("webhook",), 0, 0)
DEAD = Paging(95.0, False, ("webhook",), 2, 0)
NEVER = Paging(None, False, (), 2, 0)
OFF = Paging(1.0, True, (), 4, 0)


@pytest.mark.parametrize(
    ("state", "pages", "ok", "words"),
    [
        (LIVES, (got(),), True, "delivered to webhook at 03:16"),
        (LIVES, (got("slack"),), True, "not yet to slack"),
        (LIVES, (page(attempts=4, last_error="503"),), False, "4 tries, last error: 503"),
        (LIVES, (page(),), None, "waiting for webhook, 0 tries"),
        (LIVES, (page(queued=False),), None, "its incident has no page yet"),
        (LIVES, (), None, "no incident of this trip yet"),
        (LIVES, (page(unsent="below the minimum severity"),), None, "nobody is paged: below"),
        (OFF, (page(),), None, "paging is off"),
        (LIVES, (replace(got(), joined=True),), True, "in incident i, whose page was delivered to webhook"),
        (LIVES, (older(got()),), None, "no page of its own: told in incident i, paged at 03:16"),
        (DEAD, (older(got()),), None, "paged at 03:16"),
        (OFF, (older(page()),), None, "told in incident i, for which nobody was paged"),
        (LIVES, (older(page(queued=False)),), None, "told in incident i, for which nobody was paged"),
        (LIVES, (older(page(unsent="below the minimum")),), None, "nobody was paged: below the minimum"),
        (LIVES, (older(page(attempts=4, last_error="503")),), None, "reached nobody yet, last error: 503"),
        (DEAD, (page(),), False, "pager silent for 1 min"),
        (NEVER, (page(),), None, "no pager has ever run here"),
        (None, (page(),), None, "no pager has ever run here"),
    ],
)  # fmt: skip
def test_only_a_recorded_delivery_is_ticked(
    state: Paging | None, pages: tuple[TripPage, ...], ok: bool | None, words: str
) -> None:  # I25
    found = delivered_words(board(state, *pages), "e")
    assert found[0] is ok
    assert words in found[1]
    assert delivered_words(board(state, *pages), "another")[0] is not True


def test_a_page_from_before_the_trip_is_no_tick_and_leaves_nothing_to_wait_for() -> None:  # I25
    check = checks_lines((Check("page delivered", *delivered_words(board(LIVES, older(got())), "e")),), 80)
    (line,) = map(text_of, check)
    assert line.startswith(" ○ page delivered") and "waiting" not in line and "was delivered" not in line


def test_what_postgres_said_long_ago_is_no_delivery() -> None:  # I25
    shown = board(LIVES, got())
    old = replace(shown, monotonic=200.0)
    assert delivered_words(old, "e") == (None, "Postgres unreadable here")


@pytest.mark.parametrize("cells", [80, 120])
def test_a_dead_pager_and_failed_pages_are_said(cells: int) -> None:
    def said(state: Paging) -> str:
        return "\n".join(map(text_of, banner(board(state), cells)))

    assert "NOBODY IS PAGED: pager silent for 1 min · 2 pages wait" in said(DEAD)
    assert "NOBODY IS PAGED: no pager has ever run here · 2 pages wait" in said(NEVER)
    assert (
        "PAGE" not in said(LIVES)
        and "PAGE" not in said(OFF)
        and "PAGE" not in said(replace(NEVER, waiting=0))
    )
    failed = replace(LIVES, failed=1, rows=(row(given_up=True),))
    assert "1 PAGE NOT DELIVERED: P1 to webhook, given up, 503: feed is silent" in said(failed)
    assert "pages DEAD 2 wait" in text_of(header(board(DEAD), cells))
    assert "pages 1 FAILED" in text_of(header(board(failed), cells))
    assert "pages" not in text_of(header(board(LIVES), cells))


@pytest.mark.parametrize("text", HOSTILE)
def test_errors_and_titles_of_pages_never_act(text: str) -> None:  # I26
    failed = replace(LIVES, failed=1, rows=(row(title=text, last_error=text, receiver=text[:40]),))
    for line in banner(board(failed)):
        assert text_of(line).isprintable(), ascii(text_of(line))
