"""The kill switch by keys, with an authority and a plant that trades, on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from backends.signing import sign_command
from cockpit.cli.killing import journal_of
from cockpit.domain.breakers import GLOBAL, Scope, switch_of
from cockpit.domain.commands import Command, Kind
from cockpit.domain.desk import AuditRow, KillRow, KillStepRow
from cockpit.domain.documents import Epoch
from cockpit.domain.kill import (
    KILL_TARGET,
    Acted,
    KillProgress,
    KillReport,
    Residual,
    Step,
    StepOutcome,
    StepState,
    Tripped,
)
from cockpit.domain.paging import Paging
from cockpit.domain.states import State
from cockpit.domain.trading import OrderFacts
from tests.authority.desk import NOTES
from tests.kill.ground import Ground, ground_on, rest
from tests.screen.conftest import SLOW, Cockpit, cockpit
from tests.screen.objective_boards import desk as some_desk
from tests.screen.records import denied
from tests.screen.test_modes import only_people_cancel, with_switches
from tests.screen.test_rows import NOW
from tests.screen.test_rows import board as some_board
from tests.screen.test_stores_down import without
from tests.screen.test_text_from_outside import HOSTILE
from tests.trading_platform import Platform
from widgets.approve_dialog import ApproveDialog
from widgets.banner import banner
from widgets.event_rows import audit_line
from widgets.header import header
from widgets.kill_dialogs import KillDialog, KillView, ReviewDialog, UnfinishedDialog
from widgets.kill_modes import freed_by, refusing_lines
from widgets.kill_words import report_lines, row_lines, row_title, status_words, view_title
from widgets.left_behind import left_behind
from widgets.line import text_of, width
from widgets.line_view import LineView
from widgets.mode_dialog import ModeDialog
from widgets.outcome_words import by_keys
from widgets.switch_dialogs import CancelAllDialog
from widgets.views import AskDialog

WHY = "the venue fills at prices that no market has"
FINDINGS = "the venue has mended its prices, both sides agree"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 2, "quiet_period_s": 1}


@pytest.fixture
async def ground(platform: Platform) -> AsyncIterator[Ground]:
    async with ground_on(platform) as made:
        url = str(made.trading.http.base_url)
        platform.settings = replace(platform.settings, gateway_url=url, gateways=("plant",))
        yield made


def focus(screen: Cockpit) -> str | None:
    return screen.app.focused.id if screen.app.focused else None


async def begin(screen: Cockpit) -> None:
    """From the panel to the running kill switch, all of it in one burst."""
    await screen.burst("ctrl+k", "tab", *WHY, "tab", *"KILL", "ctrl+s")
    await screen.until(lambda: isinstance(screen.app.screen, KillView))


async def test_keys_in_one_burst_go_where_they_were_typed(platform: Platform) -> None:
    """A key that leaves a field has left it before the next one is looked at, in dialogs of two fields."""
    await platform.open_for_trading(*platform.catalogue.everything)
    async with cockpit(platform, "admin1") as screen:
        await screen.shows("safety-admin", "● ALL TRADING")
        await screen.burst("ctrl+k", "tab", *WHY, "tab", *"KIL", "shift+tab", *"!", "enter", "L", "backspace")
        await screen.until(lambda: isinstance(screen.app.screen, KillDialog) and focus(screen) == "typed")
        dialog = screen.app.screen
        assert isinstance(dialog, KillDialog)
        await screen.until(lambda: (dialog.typed("notes"), dialog.typed("typed")) == (f"{WHY}!", "KIL"))
        await screen.shows("2 no gateway is registered: it cannot be proved FLAT")
        await screen.burst("L")
        await screen.shows("ctrl+s halts everything, cancels and flattens NOW")
        await screen.burst("tab", "x", "escape", "escape", "j")
        await screen.until(lambda: screen.app.screen is not dialog)
        assert not journal_of(platform.settings).all() and "● ALL TRADING" in screen.text()
        screen.app.screen.rows.select("instrument:BTC-USD")
        await screen.burst("m", "j", "enter", *"OPS-7", "tab", *WHY, "shift+tab", "7")
        await screen.until(lambda: isinstance(screen.app.screen, ModeDialog) and focus(screen) == "ticket")
        mode = screen.app.screen
        assert isinstance(mode, ModeDialog)
        await screen.until(lambda: (mode.typed("ticket"), mode.typed("notes")) == ("OPS-77", WHY))


async def test_from_the_key_to_flat_and_through_its_review(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed, run, proved FLAT, reviewed by one safety-admin, approved by another."""
    await ground.load()
    async with cockpit(ground.platform, "admin1") as screen:
        await screen.shows("safety-admin", "● ALL TRADING", " [ctrl+k] KILL [t] trip ")
        await screen.press("ctrl+k")
        await screen.until(lambda: isinstance(screen.app.screen, KillDialog) and screen.app.screen.ready)
        assert focus(screen) == "cancel"
        for shows in (screen.shows, screen.shows_wide):
            await shows("1 trips global", "enforce it: plant", "open orders", "4 positions, exposure")
        await screen.press("ctrl+s")
        assert "not yet: notes have 0 characters" in screen.top()
        assert focus(screen) == "notes"
        await screen.type(WHY)
        await screen.press("ctrl+s")
        assert "not yet: type KILL to confirm" in screen.top()
        assert await ground.desk.state(GLOBAL) is State.CLOSED
        await screen.press("escape")
        assert "NOTHING HALTED. esc again leaves" in screen.top()
        await screen.press("escape")
        told, tell = [], screen.app.tell

        def telling(text: str, style: str = "", until_next_key: bool = False) -> None:
            told.append(text)
            tell(text, style, until_next_key)

        monkeypatch.setattr(screen.app, "tell", telling)
        await begin(screen)
        for shows in (screen.shows, screen.shows_wide):
            await shows("✓ 1 trip global", "✓ 2 gateways enforce it", "FLAT: no open order and no position")
        assert "kill switch: FLAT, proved" in told  # before its last reports were sent
        assert "tripping global" not in screen.text()
        await screen.shows("KILL SWITCH: FLAT", "r writes its review")
        assert screen.top().count("no open order and no position") == 1
        assert not ground.plant.venue.resting
        await screen.shows("KILL REVIEW", "KILL SWITCH of")
        await screen.press("escape")
        await screen.shows("verify: flat by admin1")
        await screen.press("h")
        await screen.shows("the kill switch of", "has no approved review yet")
        await screen.press("ctrl+k", "r")
        await screen.until(lambda: isinstance(screen.app.screen, ReviewDialog) and screen.app.screen.ready)
        assert focus(screen) == "cancel"
        await screen.press("tab")
        await screen.type(FINDINGS)
        await screen.press("ctrl+s")
        await screen.shows("waits for a second person's approval: the review of the kill switch")
    async with cockpit(ground.platform, "admin2") as screen:
        await screen.shows("REVIEW AWAITS A SECOND SAFETY-ADMIN")
        await screen.press("A")
        await screen.until(lambda: isinstance(screen.app.screen, ApproveDialog) and screen.app.screen.ready)
        for shows in (screen.shows, screen.shows_wide):
            await shows("REVIEW OF THE KILL SWITCH", "reported FLAT", FINDINGS, "covers this review")
        await screen.press("ctrl+s")
        await screen.until(lambda: "KILL" not in screen.text().split("\n")[0])
        await screen.until(lambda: screen.app.board.desk is not None and not screen.app.board.desk.kills)
    async with ground.platform.connection() as owner:
        found = await owner.fetchrow("SELECT reviewed_by, approved_by, review FROM kill_switches")
        assert tuple(found) == ("admin1", "admin2", FINDINGS)


async def test_what_is_left_is_listed_and_never_called_flat(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:  # I15, I17, F12
    """Orders of a symbol in HARD_HALT are trapped; esc leaves it running; g goes on once they are freed."""
    only_people_cancel(monkeypatch)
    await ground.load()
    hard, cancels = (switch_of(scope, "BTC-USD") for scope in (Scope.HARD_HALT, Scope.CANCEL_ONLY))
    await ground.desk.trip(hard, "admin1")
    order = rest(ground, "BTC-USD", next(iter(ground.plant.venue.resting.values())).side)
    async with cockpit(ground.platform, "admin1") as screen:
        await screen.shows("HALTED by hard_halt:BTC-USD")
        await screen.press("ctrl+k")
        for shows in (screen.shows, screen.shows_wide):
            await shows("NOT FLATTENED, their mode refuses it: BTC-USD HARD_HALT · 1 position of")
            await shows("and no cancel passes a HARD_HALT: ", "trapped", "[▸Cancel ]")
        await screen.press("escape")
        await begin(screen)
        await screen.press("escape")
        assert not isinstance(screen.app.screen, KillView)
        await screen.shows("KILL RUNNING", "KILL SWITCH RUNNING HERE")
        await screen.press("ctrl+q")
        await screen.until(lambda: isinstance(screen.app.screen, AskDialog) and screen.app.screen.ready)
        await screen.shows("The KILL SWITCH runs in this cockpit", "ctrl+k on any")
        await screen.press("escape", "ctrl+k")
        await screen.shows(
            "LEFT AT THE VENUE, each with the reason", order, "HARD_HALT", "NOT FLAT", timeout_s=40
        )
        await screen.shows("g goes on", "KILL UNFINISHED")
        await screen.shows("kept by its mode: BTC-USD HARD_HALT")
        assert "FLAT: no open" not in screen.text()
        assert await ground.desk.state(GLOBAL) is State.OPEN
        await ground.desk.trip(cancels, "admin1")
        for switch in (hard, cancels):
            assert (await ground.desk.ask(Kind.RELEASE, switch, "admin1", target="OPS-1")).status == "done"
        await screen.press("g")
        await screen.shows("FLAT: no open order and no position")


async def test_what_another_cockpit_left_is_shown_and_gone_on_with(ground: Ground) -> None:
    """One died after its trip: its banner stands on every screen, and Go on ends it under its own id."""
    await ground.load()
    switch = ground.begin("admin1")
    running = switch.run()
    await anext(running)
    await running.aclose()  # type: ignore[attr-defined]
    async with cockpit(ground.platform, "operator1") as looks_on:
        await looks_on.shows("KILL UNFINISHED", "KILL SWITCH UNFINISHED: begun")
        assert "[ctrl+k]" not in looks_on.text()
        await looks_on.press("ctrl+k")
        await looks_on.shows("kill switch: operator1 (operator-act) lacks KILL_SWITCH on global")
        await denied(ground.platform, "operator1")
    async with cockpit(ground.platform, "admin2") as screen:
        await screen.shows("KILL SWITCH UNFINISHED", "by admin1")
        await screen.press("ctrl+k")
        await screen.until(
            lambda: isinstance(screen.app.screen, UnfinishedDialog) and screen.app.screen.ready
        )
        for shows in (screen.shows, screen.shows_wide):
            await shows("✓ 1 trip global", NOTES, "NOT FLAT as far as was reported")
        assert focus(screen) == "cancel"
        dialog, shown = screen.app.screen, screen.app.board
        assert isinstance(dialog, UnfinishedDialog) and shown.desk is not None
        ended = KillStepRow("verify", "flat", {"line": "none"}, "admin1", NOW)  # while the dialog is open
        rows = tuple(replace(row, steps=(*row.steps, ended)) for row in shown.desk.kills)
        dialog.follow(replace(shown, desk=replace(shown.desk, kills=rows)))
        assert text_of(dialog.query_one("#title", LineView).lines[0]) == "KILL SWITCH: REVIEW DUE"
        await screen.press("up", "up", "enter")
        await screen.until(lambda: isinstance(screen.app.screen, KillView))
        await screen.shows("FLAT: no open order and no position")
        assert screen.app.board.kill is not None
        assert screen.app.board.kill.report.kill_id == switch.kill_id
    async with ground.platform.connection() as owner:
        assert await owner.fetchval("SELECT count(*) FROM kill_switches") == 1
    await denied(ground.platform, "operator1")


async def test_without_postgres_this_machines_journal_says_what_is_unfinished(platform: Platform) -> None:
    """F8: nothing crashes, the banner names it, and ctrl+k offers to go on with it, and only with that."""
    kill_id, begun = str(uuid4()), datetime.now(UTC)
    command = Command(Kind.TRIP, kill_id, GLOBAL, "admin1", begun, notes=WHY, target=KILL_TARGET)
    journal = journal_of(platform.settings)
    for each, over in ((str(uuid4()), True), (kill_id, False)):
        journal.begin(each, "admin1", WHY, begun, sign_command(command, platform.keys["admin1"]))
        journal.fact(each, Tripped(Epoch("0" * 40, 7)))
        journal.fact(each, Acted(Step.CANCEL, 1, False, why="no answer"))
        if over:
            journal.over(each)
    async with cockpit(without(platform, redis=False, postgres=True, login="admin1"), "admin1") as screen:
        await screen.shows("KILL UNFINISHED", "KILL SWITCH UNFINISHED: begun")
        await screen.shows_wide("KILL SWITCH UNFINISHED: begun", "by admin1", "by this machine's journal")
        assert [row.kill_id for row in screen.app.board.kills_kept] == [kill_id]
        await screen.press("ctrl+k")
        await screen.until(
            lambda: isinstance(screen.app.screen, UnfinishedDialog) and screen.app.screen.ready
        )
        dialog = screen.app.screen
        assert isinstance(dialog, UnfinishedDialog) and dialog.kill_id == kill_id
        assert focus(screen) == "cancel"
        await screen.shows("epoch 7", WHY, "✗ 3 cancel all orders", "no answer", "Going on cancels")
        await screen.press("up", "enter")
        await screen.until(lambda: isinstance(screen.app.screen, ReviewDialog) and screen.app.screen.ready)
        await screen.press("ctrl+s")
        assert "not yet: " in screen.top() and "Postgres" in screen.top()
        await screen.press("escape", "ctrl+k", "up", "up", "enter")
        await screen.until(lambda: screen.app.board.kill is not None)
        assert screen.app.board.kill is not None
        assert screen.app.board.kill.report.kill_id == kill_id


# -- pure words --


def report(*residuals: Residual, unproved: tuple[str, ...] = ()) -> KillReport:
    flat = not residuals and not unproved
    steps = [StepState(step, StepOutcome.DONE, "done") for step in tuple(Step)[:-1]]
    last = StepState(Step.VERIFY, StepOutcome.FLAT if flat else StepOutcome.WAITING, "read")
    return KillReport("k", Epoch("r", 4), (*steps, last), residuals, unproved)


def kill_row(*steps: tuple[str, str], text: str = "fills are wrong") -> KillRow:
    rows = tuple(KillStepRow(step, outcome, {"line": text}, text, NOW) for step, outcome in steps)
    return KillRow("k", Epoch("r", 4), text, text, NOW - timedelta(minutes=3), rows)


@pytest.mark.parametrize(
    ("found", "flat"),
    [
        (report(), True),
        (report(Residual("BTC-USD", Decimal("0.1"), "closed market", "o-1", "buy")), False),
        (report(unproved=("not acknowledged by plant",)), False),
    ],
)
def test_flat_is_said_only_where_it_is_proved(found: KillReport, flat: bool) -> None:  # I15
    said = "\n".join(text_of(each) for each in report_lines(found, 78))
    assert ("FLAT: no open order" in said) is flat
    assert ("NOT FLAT" in said) is not flat
    shown = replace(some_board(), kill=KillProgress(found, False))
    assert any("NOT FLAT" in text_of(each) for each in banner(shown)) is not flat


@pytest.mark.parametrize("cells", [80, 120])
def test_a_kill_switch_stands_in_banner_and_header_until_its_review(cells: int) -> None:
    begun, over = (("trip", "done"), ("cancel", "waiting")), (("verify", "flat"),)
    for steps, word in (((), "UNFINISHED"), (begun, "UNFINISHED"), (over, "REVIEW")):
        shown = replace(some_board(), desk=replace(some_desk(), kills=(kill_row(*steps),), monotonic=100.2))
        assert any("KILL SWITCH" in text_of(each) and word in text_of(each) for each in banner(shown))
        assert f"KILL {word}" in text_of(header(shown, cells))
    running = replace(some_board(), kill=KillProgress(report(unproved=("trip",)), True))
    assert "KILL RUNNING" in text_of(header(running, cells))
    assert "KILL SWITCH runs in this cockpit" in text_of(left_behind(running, (), ())[0])


def test_titles_and_status_say_what_the_report_says() -> None:  # I15, I25
    shown = replace(some_board(), desk=replace(some_desk(), monotonic=100.2))
    assert row_title(shown, kill_row(("trip", "done"))) == "KILL SWITCH: UNFINISHED"
    assert row_title(shown, kill_row(("verify", "flat"))) == "KILL SWITCH: REVIEW DUE"
    assert row_title(shown, None) == "KILL SWITCH: REVIEWED"
    lacking = report(unproved=("not acknowledged by plant",))
    said = {(lacking, True): "RUNNING", (lacking, False): "NOT FLAT"}
    said |= {(report(), running): "FLAT" for running in (True, False)}
    for (found, running), word in said.items():
        assert view_title(replace(shown, kill=KillProgress(found, running))) == f"KILL SWITCH: {word}"
    assert view_title(shown) == "KILL SWITCH"
    assert status_words(report()) == ("kill switch: FLAT, proved", "good")
    left = report(Residual("BTC-USD", Decimal("0.1"), "closed market"))
    assert status_words(left) == ("kill switch: 1 left at the venue", "bad")


def test_what_was_reported_flat_is_told_as_a_report() -> None:  # I15, I25
    shown = replace(some_board(), desk=replace(some_desk(), monotonic=100.2))
    said = "\n".join(text_of(each) for each in row_lines(shown, kill_row(("verify", "flat")), 78))
    assert "reported FLAT at" in said
    later = kill_row(("verify", "flat"), ("verify", "residual"))
    said = "\n".join(text_of(each) for each in row_lines(shown, later, 78))
    assert "NOT FLAT as far as was reported" in said


def test_what_was_confirmed_keeps_its_time_when_somebody_goes_on() -> None:
    shown = replace(some_board(), desk=replace(some_desk(), monotonic=100.2))

    def told(step: str, outcome: str, line: str, seconds: int, login: str = "admin1") -> KillStepRow:
        at = NOW.replace(hour=15, minute=40, second=34) + timedelta(seconds=seconds)
        return KillStepRow(step, outcome, {"line": line, "round": 1}, login, at)

    steps = (
        told("trip", "done", "epoch 4", 0),
        told("cancel", "done", "no open orders", 1),
        told("verify", "residual", "1 left", 2),
        told("trip", "done", "epoch 4", 40, "admin2"),
        told("cancel", "waiting", "not confirmed", 40, "admin2"),
        told("cancel", "done", "no open orders", 41, "admin2"),
        told("verify", "flat", "none", 42, "admin2"),
    )
    row = replace(kill_row(), steps=steps)
    lines = [text_of(each) for each in row_lines(shown, row, 100)]

    def line(number: int) -> str:
        return next(each for each in lines if each[2:3] == str(number))

    assert line(1).endswith("epoch 4 · 15:40:34 by admin1, again 15:41 by admin2")
    assert "15:40:35 by admin1, again 15:41" in line(3)
    assert line(5).endswith("15:41:16 by admin2")
    tripped_anew = (*steps, told("trip", "done", "epoch 5", 60, "admin2"))
    said = [text_of(each) for each in row_lines(shown, replace(row, steps=tripped_anew), 100)]
    assert any("epoch 5 · 15:41:34 by admin2" in each and "again" not in each for each in said)


def test_the_screen_names_its_keys_and_no_commands() -> None:
    asked = f"Awaits a second person: `cockpit approve {uuid4()}` by another safety-admin."
    assert by_keys(asked) == "Awaits a second person: A approves, on the screen of another safety-admin."
    due = f"A safety-admin reviews it with `cockpit kill-switch review {uuid4()} --notes … --yes`, and"
    assert by_keys(due) == "A safety-admin reviews it with ctrl+k, and"


def test_the_dialog_says_where_there_is_nothing_to_cancel() -> None:
    orders = tuple(
        OrderFacts(symbol, None, number, Decimal(number), None, 0, 0, None)
        for symbol, number in (("BTC-USD", 2), ("ETH-USD", 0))
    )
    shown = replace(some_board(), desk=replace(some_desk(), orders=orders, monotonic=100.2))
    for symbol, said in (("BTC-USD", "cancels 2 resting orders of BTC-USD"), ("ETH-USD", "none of ETH-USD")):
        first = CancelAllDialog(symbol, shown).lines(shown)[0]
        assert said in text_of(first)


@pytest.mark.parametrize("cells", [80, 120])
def test_whatever_else_is_wrong_the_header_fits_and_keeps_login_and_age(cells: int) -> None:  # I25
    dead = Paging(95.0, False, ("webhook",), 2, 0)
    desk_ = replace(some_desk(), kills=(kill_row(),), paging=dead, monotonic=100.2)
    for login in ("admin1", "a-login-with-a-long-name"):
        for moment, age in ((100.2, "live"), (400.0, "STALE 5 min")):
            shown = replace(with_switches("withdrawals"), login=login, desk=desk_, monotonic=moment)
            found = header(shown, cells)
            assert width(found) == cells
            assert login[:9] in text_of(found) and text_of(found).endswith(f" {age} ")
            assert "KILL UNFINISHED" in text_of(found)


@pytest.mark.parametrize(
    ("switches", "said", "traps"),
    [
        ((), "", False),
        (("cancel_only:BTC-USD",), "BTC-USD CANCEL_ONLY", False),
        (("soft_halt:BTC-USD",), "BTC-USD SOFT_HALT", False),
        (("latch:BTC-USD",), "", False),
        (("hard_halt:ETH-USD", "soft_halt:BTC-USD"), "ETH-USD HARD_HALT, BTC-USD SOFT_HALT", True),
    ],
)
def test_what_a_mode_keeps_from_the_kill_switch_is_said(
    switches: tuple[str, ...], said: str, traps: bool
) -> None:
    shown = with_switches(*switches)
    words = " ".join(text_of(each) for each in refusing_lines(shown, 200))
    assert (said in words) if said else not words
    assert ("HARD_HALT: resting orders, how many: unknown, trapped" in words) is traps
    left = report(Residual("BTC-USD", Decimal("1"), "refused"))
    advice = " ".join(text_of(each) for each in freed_by(shown, left, 200))
    assert ("kept by its mode: BTC-USD" in advice) is ("BTC-USD" in said)
    assert "ETH-USD" not in advice
    unread = replace(shown, breakers=None)
    assert "symbol modes unread" in text_of(refusing_lines(unread, 200)[0])


def test_a_step_among_the_events_names_itself_and_its_outcome() -> None:
    details = '{"kill_id":"k","step":"flatten","outcome":"residual","details":"{}"}'
    row = AuditRow(
        9, "e", NOW, "KILL_SWITCH_STEP", "admin1", "safety-admin", "global", details, None, None, ""
    )
    assert "kill switch      flatten: residual by admin1" in text_of(audit_line(row))
    assert "flatten: residual by admin1" in text_of(audit_line(row, exact=True))
    assert "see its details by admin1" in text_of(audit_line(replace(row, details=details[:40])))


@pytest.mark.parametrize("text", HOSTILE)
def test_steps_and_residuals_never_act(text: str) -> None:  # I26
    shown = replace(some_board(), desk=replace(some_desk(), monotonic=100.2))
    rows = row_lines(shown, kill_row(("trip", "done"), ("nonsense", "odd"), text=text), 78)
    left = report(Residual(text[:90], Decimal(1), text, text[:90], "buy"))
    for each in (*rows, *report_lines(left, 78)):
        assert text_of(each).isprintable(), ascii(text_of(each))
