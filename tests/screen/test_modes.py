"""Symbol modes, withdrawals and cancel-all by keys, with an authority and a plant, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.demo import plant
from cockpit.demo.faults import Faults
from cockpit.domain.breakers import WITHDRAWALS, BreakerId, Scope, switch_of
from cockpit.domain.documents import Document, Epoch, Reading, effective
from cockpit.domain.modes import Mode
from cockpit.domain.states import State
from tests.kill.ground import Ground, ground_on, rest
from tests.screen.conftest import SLOW, Cockpit, cockpit
from tests.screen.records import denied
from tests.screen.test_rows import CATALOGUE, NOW, RUN
from tests.screen.test_rows import board as some_board
from tests.trading_platform import Platform
from widgets.banner import banner
from widgets.board import Board
from widgets.breaker_rows import breaker_row, row_line
from widgets.header import header
from widgets.line import text_of
from widgets.mode_dialog import ModeDialog
from widgets.switch_dialogs import CancelAllDialog, WithdrawalsDialog
from widgets.switch_words import mark, matrix_heading, matrix_line, switches_set

BTC = BreakerId("instrument:BTC-USD")
WHY = "the venue's book of it is wrong, look"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


@pytest.fixture
async def ground(platform: Platform) -> AsyncIterator[Ground]:
    async with ground_on(platform) as made:
        url = str(made.trading.http.base_url)
        platform.settings = replace(platform.settings, gateway_url=url, gateways=("plant",))
        yield made


def only_people_cancel(patch: pytest.MonkeyPatch) -> None:
    """A gate that reads nothing of Redis for a moment halts, rightly, and the plant then cancels what rests;
    on a busy machine that is now and then."""
    patch.setattr(plant, "_halted", lambda _decision: False)


def focus(screen: Cockpit) -> str | None:
    return screen.app.focused.id if screen.app.focused else None


async def open_mode(screen: Cockpit) -> ModeDialog:
    screen.app.screen.rows.select(BTC)
    await screen.press("m")
    await screen.until(lambda: isinstance(screen.app.screen, ModeDialog) and screen.app.screen.ready)
    dialog = screen.app.screen
    assert isinstance(dialog, ModeDialog)
    return dialog


async def fill(screen: Cockpit) -> None:
    """Ticket and notes, from the field that has the focus, in one burst."""
    await screen.burst(*"OPS-77", "enter", *WHY, "ctrl+s")


async def test_a_tightening_is_set_at_once_and_loosened_step_by_step(ground: Ground) -> None:
    """HARD_HALT with its warning; then CANCEL_ONLY first, then NORMAL, through the authority."""
    hard, cancels = (switch_of(scope, "BTC-USD") for scope in (Scope.HARD_HALT, Scope.CANCEL_ONLY))
    await ground.load()
    async with cockpit(ground.platform, "operator1") as screen:
        await screen.shows("operator-act", "● ALL TRADING")
        await open_mode(screen)
        assert focus(screen) == "modes"
        await screen.press("tab", "ctrl+s")
        assert "not yet: NORMAL is its mode now" in screen.top()
        assert focus(screen) == "modes"
        await screen.press("4")
        assert focus(screen) == "ticket"
        for shows in (screen.shows, screen.shows_wide):
            await shows("HARD_HALT traps resting orders", "resting order")
        await fill(screen)
        for shows in (screen.shows, screen.shows_wide):
            await shows("■ OPEN · HARD_HALT", "HALTED by hard_halt:BTC-USD")
        await screen.becomes(hard, State.OPEN)
        await open_mode(screen)
        assert focus(screen) == "cancel"
        await screen.press("tab", "k", "k", "k")
        await screen.shows("CANCEL_ONLY first, then NORMAL")
        await screen.press("j", "enter")
        await fill(screen)
        await screen.shows("■ OPEN · CANCEL_ONLY")
        await screen.becomes(hard, State.CLOSED)
        await open_mode(screen)
        await screen.press("tab", "k", "enter")
        await fill(screen)
        await screen.becomes(cancels, State.CLOSED)
        await screen.shows("● ALL TRADING")
    async with ground.platform.connection() as owner:
        tickets = (
            "SELECT count(*) FROM audit_log WHERE details::text LIKE '%OPS-77%' AND user_id = 'operator1'"
        )
        assert await owner.fetchval(tickets) >= 3


async def test_withdrawals_are_halted_and_resumed_by_safety_admins_only(ground: Ground) -> None:  # I18
    async with cockpit(ground.platform, "operator1") as screen:
        await screen.shows("operator-act", "● ALL TRADING")
        await screen.press("w")
        await screen.shows("withdrawals: operator1 (operator-act) lacks TRIP_CIRCUIT on withdrawals")
        await denied(ground.platform, "operator1")
    async with cockpit(ground.platform, "admin1") as screen:
        await screen.shows("safety-admin", "● ALL TRADING")
        await screen.press("w")
        await screen.until(lambda: isinstance(screen.app.screen, WithdrawalsDialog))
        await screen.shows("● being made", "[▸Cancel ]")
        await screen.press("tab")
        await fill(screen)
        await screen.shows("HALTED", "SET: WITHDRAWALS HALTED")
        await screen.becomes(WITHDRAWALS, State.OPEN)
        assert "HALTED" in screen.text().split("\n")[0]
        await screen.press("w")
        await screen.until(lambda: isinstance(screen.app.screen, WithdrawalsDialog))
        await screen.shows("RESUME WITHDRAWALS", "■ HALTED", "by admin1")
        await screen.press("tab")
        await fill(screen)
        await screen.becomes(WITHDRAWALS, State.CLOSED)
    await denied(ground.platform, "operator1")


async def test_cancel_all_asks_first_and_shows_what_the_venue_says(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_people_cancel(monkeypatch)
    await ground.load()
    ground.plant.venue.set_faults(Faults(closed_market=1))  # what rests does not fill meanwhile
    order = rest(ground, "BTC-USD", next(iter(ground.plant.venue.resting.values())).side)
    async with cockpit(ground.platform, "operator1") as screen:
        await screen.shows("operator-act", "● ALL TRADING")
        await screen.press("x")
        await screen.shows("cancel all: put the cursor on an instrument")
        screen.app.screen.rows.select(BTC)
        await screen.press("ctrl+l", "x")  # a key with ctrl ends what was refused
        await screen.until(lambda: isinstance(screen.app.screen, CancelAllDialog))
        await screen.shows("of BTC-USD at the venue", "[▸Back ]")
        assert order in ground.plant.venue.resting
        await screen.press("tab")
        await fill(screen)
        await screen.until(lambda: order not in ground.plant.venue.resting)
        await screen.shows("of BTC-USD")


# -- pure words --


def with_switches(*names: str, doubt: bool = False) -> Board:
    """Everything closed but these switches, which somebody set, or which cannot be read."""
    shown = some_board()
    assert shown.breakers is not None
    readings = dict(shown.breakers.readings)
    for name in map(BreakerId, names):
        epoch = Epoch(RUN, 3)
        document = Document(name, State.OPEN, epoch, (), 1, "admin1", "operational", WHY, "e", NOW)
        made = Reading(name, State.OPEN, epoch, document)
        readings[name] = Reading(name, State.OPEN, None, None, "no counter") if doubt else made
    folded = {name: effective(name, readings, CATALOGUE) for name in CATALOGUE.ids}
    return replace(shown, breakers=replace(shown.breakers, readings=readings, effective=folded))


@pytest.mark.parametrize(
    ("switches", "word"),
    [
        (("cancel_only:BTC-USD",), "■ OPEN · CANCEL_ONLY"),
        (("soft_halt:BTC-USD", "cancel_only:BTC-USD"), "■ OPEN · SOFT_HALT"),
        (("hard_halt:BTC-USD",), "■ OPEN · HARD_HALT"),
        (("latch:BTC-USD",), "■ OPEN · LATCHED"),
        (("latch:BTC-USD", "cancel_only:BTC-USD"), "■ CANCEL_ONLY + LATCHED"),
    ],
)
@pytest.mark.parametrize("cells", [79, 119])
def test_a_row_names_its_switches_without_colour(switches: tuple[str, ...], word: str, cells: int) -> None:
    shown = with_switches(*switches)
    assert word in text_of(row_line(breaker_row(shown, BTC), cells))
    assert mark(shown, "instrument:ETH-USD") == ""
    assert set(switches_set(shown)) == set(switches)


def test_a_doubt_halts_and_is_called_a_doubt() -> None:  # I4
    shown = with_switches("hard_halt:BTC-USD", doubt=True)
    assert mark(shown, BTC) == "SWITCH IN DOUBT"
    assert any("1 switch IN DOUBT" in text_of(each) for each in banner(shown))
    assert switches_set(shown) == ()


@pytest.mark.parametrize("cells", [80, 120])
def test_halted_withdrawals_stand_in_the_header(cells: int) -> None:  # I18
    halted = text_of(header(with_switches("withdrawals"), cells))
    assert "HALTED" in halted
    assert "HALTED" not in text_of(header(with_switches(), cells))
    stale = replace(with_switches("withdrawals"), redis_error="no answer")
    assert "HALTED" not in text_of(header(stale, cells)), "what is old is not what is (I25)"


def test_the_matrix_lines_up_and_says_yes_and_no() -> None:
    titles = text_of(matrix_heading())[1:]  # the list puts its cursor's cell before each row
    for mode in Mode:
        said = text_of(matrix_line(mode, now=False, marked=False))
        cells = {
            name: said[titles.index(name) :].split()[0]
            for name in ("new", "reduce", "probe", "cancel", "fills")
        }
        kinds = {
            kind.value.partition("_")[0]: kind in mode.allows for kind in type(next(iter(Mode.NORMAL.allows)))
        }
        yes = {name: "by" if mode is Mode.NORMAL and name != "cancel" else "yes" for name in kinds}
        assert cells == {
            **{name: yes[name] if kinds[name] else "no" for name in kinds},
            "fills": "yes" if mode.fills else "no",
        }
