"""Panel 4 by keys: what venue and books say, the latch and its release, on real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from time import monotonic, thread_time

import pytest
from rich.cells import cell_len

from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import Catalogue, Scope, switch_of
from cockpit.domain.reconciliation import Kind, LineState, Mismatch, ReconRun, ReconSnapshot, Verdict
from cockpit.domain.reconciliation import Line as ReconLine
from cockpit.domain.states import State
from cockpit.screens.reconciliation import ReconciliationPanel
from cockpit.switching import Switching
from tests.authority.conftest import desk
from tests.authority.desk import BTC, Desk
from tests.screen.conftest import PATIENCE_S, SLOW, Cockpit, cockpit
from tests.screen.records import denied
from tests.screen.test_rows import NOW
from tests.screen.test_rows import board as some_board
from tests.screen.test_text_from_outside import HOSTILE, strips
from tests.trading_platform import Platform
from widgets.latch_dialog import LatchDialog
from widgets.line import text_of, width
from widgets.recon_details import number, recon_details
from widgets.recon_rows import (
    columns,
    is_grave,
    lines_by_key,
    rank,
    rate_words,
    recon_heading,
    recon_line,
    state_words,
    status_lines,
)
from widgets.views import LinesDialog

__all__ = ["desk"]
LATCH = switch_of(Scope.LATCH, "BTC-USD")
KINDS = ("order", "position", "ledger")
WHY = "both sides were looked at and agree again"


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    return SLOW | {"reset_interval_s": 1, "quiet_period_s": 1}


async def ran(
    platform: Platform,
    kind: str,
    symbol: str,
    status: str,
    ago_s: float = 5,
    mismatches: Sequence[Mapping[str, str]] = (),
    seqs: tuple[int | None, int | None] = (None, None),
) -> None:
    """One run of the trading side, begun `ago_s` ago."""
    async with platform.connection() as owner:
        await owner.execute(
            "INSERT INTO reconciliation_runs (kind, symbol, status, mismatches, engine_seq, ledger_seq,"
            " started_at, finished_at) SELECT $1, $2, $3, $4::jsonb, $5, $6, at, at FROM"
            " (SELECT clock_timestamp() - make_interval(secs => $7::double precision) AS at) moment",
            kind, symbol, status, json.dumps(list(mismatches)), *seqs, ago_s,
        )  # fmt: skip


async def panel(screen: Cockpit) -> ReconciliationPanel:
    await screen.shows("operator-act")
    await screen.press("4")
    await screen.shows("RECONCILIATION", "read ")
    found = screen.app.screen
    assert isinstance(found, ReconciliationPanel)
    return found


def row(screen: Cockpit, *words: str) -> str:
    """The list's row that shows these words."""
    return next(line for line in screen.top().splitlines() if all(word in line for word in words))


async def test_each_kind_says_how_it_stands_and_unknown_is_never_clean(platform: Platform) -> None:
    """I4, I25; and a reading that fails is stale and says so."""
    differs = [{"id": "o-77", "venue": "1.50000001", "books": "1.4"}]
    for ago_s in (30, 20, 10):
        await ran(platform, "order", "BTC-USD", "mismatch", ago_s, differs)
    await ran(platform, "ledger", "BTC-USD", "clean", 5, seqs=(120, 117))
    await ran(platform, "position", "ETH-USD", "clean", 30)
    await ran(platform, "position", "ETH-USD", "unknown", 5)
    await ran(platform, "position", "SOL-USD", "clean", 4_000)
    await platform.open_for_trading(*platform.catalogue.everything)
    async with cockpit(platform) as screen:
        shown = await panel(screen)
        for shows in (screen.shows, screen.shows_wide):
            await shows(
                "1 BREACHED", "1 UNKNOWN", "1 STALE", "■ BREACHED", "● CLEAN", "? UNKNOWN", "? NO RUNS"
            )
        assert "■ BREACHED" in row(screen, "BTC-USD", "order", "3/3")
        assert "● CLEAN" in row(screen, "BTC-USD", "ledger", "100 %")
        assert "? UNKNOWN" in row(screen, "ETH-USD", "position")
        assert "? STALE" in row(screen, "SOL-USD", "position", "1 h")
        assert "? NO RUNS" in row(screen, "ADA-USD")
        assert shown.rows.key == "order BTC-USD", "worst first"
        await screen.press("enter")
        await screen.until(lambda: isinstance(screen.app.screen, LinesDialog))
        await screen.shows("o-77", "1.50000001", "0.10000001", "3 mismatches in a row, 3 of 3")
        await screen.press("escape", "slash")
        await screen.type("unknown")
        await screen.press("enter")
        assert shown.rows.keys == ("position ETH-USD",)
        await screen.shows("UNKNOWN, not flat", "last known: clean")
        await screen.press("escape", "slash")
        await screen.type("ledger btc")
        await screen.press("enter")
        await screen.shows("engine_seq 120, ledger_seq 117, lag 3 · no gap", "● CLEAN")
        async with platform.connection() as owner:
            await owner.execute("ALTER TABLE reconciliation_runs RENAME TO gone")
        await screen.shows("STALE · read", "? was CLEAN")
        assert "● CLEAN" not in screen.top()


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        desk.platform.settings = desk.settings
        await desk.becomes(BTC, State.CLOSED)
        yield running


async def test_a_latch_is_released_by_hand_after_two_clean_cycles(desk: Desk, authority: Authority) -> None:
    """And by nobody whose role forbids it: that attempt is recorded."""
    await ran(desk.platform, "order", "BTC-USD", "mismatch", 5)
    await desk.trip(LATCH)
    await _denied(desk)
    async with cockpit(desk.platform) as screen:
        await screen.shows("HALTED by latch:BTC-USD", "■ OPEN · LATCHED")
        shown = await panel(screen)
        await screen.shows("LATCHED: BTC-USD")
        shown.rows.select("order BTC-USD")
        await screen.press("r")
        await screen.until(lambda: isinstance(screen.app.screen, LatchDialog))
        assert screen.app.focused is not None and screen.app.focused.id == "cancel"
        for shows in (screen.shows, screen.shows_wide):
            await shows("✗ 0 of 2 clean cycles", "2 consecutive clean cycles", "[▸Cancel ]")
        await screen.press("ctrl+s")
        assert "not yet: 0 of 2 clean cycles so far" in screen.top()
        await screen.press("tab")
        await screen.type(WHY)
        for kind in KINDS:
            await ran(desk.platform, kind, "BTC-USD", "clean", 0)
        await screen.shows("✗ 1 of 2 clean cycles")
        for kind in KINDS:
            await ran(desk.platform, kind, "BTC-USD", "clean", 0)
        await screen.shows("✓ 2 of 2 clean cycles")
        await screen.press("ctrl+s")
        await screen.until(lambda: isinstance(screen.app.screen, ReconciliationPanel))
        await desk.becomes(LATCH, State.CLOSED)
        await screen.shows("The safety latch of BTC-USD is released")
        await screen.until(lambda: "off" in row(screen, "BTC-USD", "order"))
        await screen.press("r")
        await screen.shows("release: the latch of BTC-USD is not set")


async def _denied(desk: Desk) -> None:
    async with cockpit(desk.platform, "monitor1") as screen:
        await screen.shows("monitoring-read")
        await screen.press("4")
        await screen.shows("LATCHED: BTC-USD")
        screen.app.screen.rows.select("order BTC-USD")
        await screen.press("r")
        await screen.shows("release: monitor1 (monitoring-read) lacks RESET_CIRCUIT on latch:BTC-USD")
        await denied(desk.platform, "monitor1")


async def test_ids_and_symbols_never_act(platform: Platform) -> None:  # I26
    for text in HOSTILE:
        symbol, differs = text.replace("\0", "")[:90], {"id": text[:500], "venue": "1", "books": "2"}
        await ran(platform, "order", symbol, "mismatch", 5, [differs])
    async with cockpit(platform) as screen:
        shown = await panel(screen)
        await screen.shows("▲ MISMATCH")
        keys = [key for key in shown.rows.keys if key.startswith("order ")]
        assert len(keys) == len(HOSTILE)
        for key in keys:
            shown.rows.select(key)
            await screen.press("enter")
            await screen.until(lambda: isinstance(screen.app.screen, LinesDialog))
            for said, cells, wanted in strips(screen):
                assert said.isprintable(), ascii(said)
                assert (cells, cell_len(said)) == (wanted, wanted), ascii(said)
            await screen.press("escape")


# -- pure rows ----------------------------------------------------------------------------------------------


def line(verdict: Verdict = Verdict.CLEAN, symbol: str = "BTC-USD", **fields: object) -> ReconLine:
    run = ReconRun("r", Kind.ORDER, symbol, verdict, NOW - timedelta(seconds=5))
    made = ReconLine(Kind.ORDER, symbol, run, 0, 3, 9, 1, 0)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [79, 119])
def test_every_row_fits_and_lines_up_with_its_titles(cells: int) -> None:
    shown = replace(some_board(), recon=ReconSnapshot(NOW, (line(),)), recon_at=100.0)
    found = recon_line(shown, "order BTC-USD", line(), cells)
    titles = recon_heading(cells)
    assert width(found) <= cells
    assert width(titles) - 1 == width(found)
    assert sum(each.cells for each in columns(cells)) + len(columns(cells)) - 1 <= cells


@pytest.mark.parametrize(
    ("age_s", "error", "good"), [(0.1, None, True), (9.0, None, False), (0.1, "StoreUnreachable", False)]
)
def test_what_was_not_read_lately_is_never_clean(age_s: float, error: str | None, good: bool) -> None:  # I25
    shown = replace(
        some_board(), recon=ReconSnapshot(NOW, (line(),)), recon_at=100.2 - age_s, recon_error=error
    )
    said = text_of(recon_line(shown, "order BTC-USD", line(), 119))
    assert ("● CLEAN" in said) is good
    assert ("? was CLEAN" in said) is not good
    assert ("STALE" in "".join(map(text_of, status_lines(shown, (), 119)))) is not good


def test_never_read_is_unknown_and_no_instrument_is_left_out() -> None:  # I4
    shown = replace(some_board(), recon_error="Postgres is unreachable")
    assert "UNKNOWN, not flat" in text_of(status_lines(shown, (), 119)[0])
    assert state_words(None, NOW, True) == "? NO RUNS"
    read = replace(some_board(), recon=ReconSnapshot(NOW, (line(),)), recon_at=100.0)
    assert dict(lines_by_key(read)) == {"order BTC-USD": line(), "- ETH-USD": None}


def test_a_rate_is_never_rounded_up_to_all_and_amounts_keep_their_digits() -> None:
    assert rate_words(Decimal(9_999) / 10_000) == "99.9 %"
    assert (rate_words(Decimal(1)), rate_words(None)) == ("100 %", "-")
    assert number(Decimal("0.000000010000")) == "0.000000010000"
    assert number(Decimal(10) ** 29).endswith("E+29")


def test_both_sides_of_every_mismatch_are_there_and_what_was_not_listed() -> None:
    run = ReconRun(
        "r", Kind.ORDER, "BTC-USD", Verdict.MISMATCH, NOW,
        mismatches=(Mismatch("o-1", Decimal("1.5"), Decimal("1.4")),), unlisted=7,
    )  # fmt: skip
    shown = replace(some_board(), recon=ReconSnapshot(NOW, ()), recon_at=100.0)
    said = "\n".join(text_of(each) for each in recon_details(shown, "order BTC-USD", line(last=run), 78))
    assert said.index("8 mismatched") < said.index("o-1") < said.index("counts")
    assert "o-1" in said and "1.5" in said and "1.4" in said and "0.1" in said
    assert "and 7 more" in said


def test_a_few_lines_show_both_sides_of_the_first_ids_before_any_count() -> None:
    differs = tuple(Mismatch(f"o-{number}", Decimal(number), Decimal(0)) for number in range(1, 6))
    run = ReconRun("r", Kind.ORDER, "BTC-USD", Verdict.MISMATCH, NOW, mismatches=differs)
    shown = replace(some_board(), recon=ReconSnapshot(NOW, ()), recon_at=100.0)
    said = [text_of(each) for each in recon_details(shown, "order BTC-USD", line(last=run), 78)]
    assert "MISMATCH" in said[0] and "VENUE" in said[1]
    assert [text.split()[0] for text in said[2:5]] == ["o-1", "o-2", "o-3"]
    assert [text.split()[0] for text in said[-2:]] == ["o-4", "o-5"]
    assert any(text.startswith("counts") for text in said[5:])


def test_the_heading_says_that_a_row_is_worse_than_its_place() -> None:
    assert "STATE" in text_of(recon_heading(79))
    assert text_of(recon_heading(79, holds=False)).startswith(" ▲ s sorts")
    bad, latched = line(Verdict.MISMATCH), line()
    assert rank(bad, NOW) > rank(latched, NOW, latched=True) > rank(latched, NOW)
    shown = replace(some_board(), recon=ReconSnapshot(NOW, ()))
    assert is_grave(shown, "order BTC-USD", line(consecutive=3))
    assert not is_grave(shown, "order BTC-USD", bad) and not is_grave(shown, "- BTC-USD", None)


async def test_the_cursor_goes_to_a_breach_until_somebody_moves_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boards are given to the panel: no run is waited for."""
    async with cockpit(platform) as screen:
        shown = await panel(screen)
        kinds = ("order", "position", "ledger")

        def given(worst: str, state: int) -> None:
            """The next reading, in which that many runs of one kind mismatched in a row."""
            differs = (Mismatch("o-1", Decimal(1), Decimal(2)),)
            found = []
            for kind in kinds:
                bad = kind == worst
                verdict = Verdict.MISMATCH if bad else Verdict.CLEAN
                run = ReconRun("r", Kind(kind), "BTC-USD", verdict, NOW, mismatches=differs * bad)
                found.append(ReconLine(Kind(kind), "BTC-USD", run, state * bad, 3, 9, 1, 0))
            board = screen.app.board
            fresh = replace(board, recon=ReconSnapshot(NOW, tuple(found)), recon_at=board.monotonic)
            screen.app.board = fresh
            shown.follow(fresh)

        monkeypatch.setattr(Switching, "on_recon_read", lambda _app, _message: None)
        shown.entered()
        given("position", 1)
        assert shown.rows.key == "position BTC-USD", "the worst of the first reading"
        given("ledger", 1)
        assert shown.rows.key == "position BTC-USD", "a lone mismatch draws nobody away"
        given("ledger", 3)
        assert shown.rows.key == "ledger BTC-USD"
        await screen.shows("■ BREACHED ledger BTC-USD")
        lines = screen.top().splitlines()
        at = next(index for index, text in enumerate(lines) if "■ BREACHED ledger BTC-USD" in text)
        assert "VENUE" in lines[at + 1] and "o-1" in lines[at + 2]
        assert "▲ s sorts" in screen.top()
        await screen.press("k")
        key = shown.rows.key
        given("order", 3)
        assert shown.rows.key == key != "order BTC-USD", "it stays where somebody put it"


def test_a_breach_stays_one_however_old() -> None:
    broken = line(Verdict.UNKNOWN, consecutive=3)
    assert broken.state(NOW + timedelta(days=1)) is LineState.BREACHED
    assert state_words(broken, NOW, True) == "■ BREACHED"


async def test_its_connection_is_open_before_somebody_comes(platform: Platform) -> None:
    async with cockpit(platform) as screen, platform.connection() as owner:
        deadline = monotonic() + PATIENCE_S
        while not await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'cockpit reconciliation'"
        ):
            assert monotonic() < deadline
            await asyncio.sleep(0.05)
        assert screen.app.board.recon is None, "nobody looks at it yet"
        await screen.press("4")
        await screen.until(lambda: screen.app.board.recon is not None)


async def test_three_hundred_lines_and_a_thousand_symbols_cost_a_frame(platform: Platform) -> None:
    """What a refresh costs the event loop; the bench says how much, with 100,000 runs behind it."""
    symbols = [f"S{index:04}-USD" for index in range(1_000)]
    platform.settings = replace(platform.settings, catalogue=Catalogue.build(["execution"], symbols, []))
    async with cockpit(platform, size=(120, 40)) as screen:
        shown = await panel(screen)
        lines = tuple(line(symbol=symbol) for symbol in symbols[:300])
        costs = []
        for count in range(9):
            snapshot = ReconSnapshot(NOW + timedelta(seconds=count), lines)
            fresh = replace(screen.app.board, recon=snapshot, recon_at=screen.app.board.monotonic)
            begin = thread_time()  # ours alone: the machine may be busy with other things
            shown.follow(fresh)
            costs.append(thread_time() - begin)
        assert len(shown.rows.keys) == 1_000
        assert sorted(costs)[4] < 0.1
