"""Panel 4: whether venue and books agree, and whose safety latch is set because they did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from cockpit.domain.reconciliation import Line as ReconLine
from cockpit.domain.reconciliation import ReconSnapshot
from cockpit.keymap import RECONCILIATION_SCREEN_KEYS
from cockpit.screens.ordered import OrderedPanel
from cockpit.screens.panel import Host
from widgets.board import Board
from widgets.keys import Key, bindings
from widgets.line import Line
from widgets.recon_details import recon_details
from widgets.recon_rows import (
    is_grave,
    is_latched,
    latched_symbols,
    lines_by_key,
    moment,
    rank,
    recon_heading,
    recon_line,
    state_words,
    status_lines,
    symbol_in,
)

if TYPE_CHECKING:
    from widgets.dialog import Dialog


class ReconciliationPanel(OrderedPanel):
    """A kind of run on an instrument a row, the selected one in words below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(RECONCILIATION_SCREEN_KEYS)]
    KEYS = RECONCILIATION_SCREEN_KEYS
    LIST = "#recon"
    NAME = "recon"
    DETAIL_LEAST = 6  # the state, both sides of a few ids, and that there is more

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._drawn = host.board
        self._put: str | None = None  # where the panel itself has put the cursor
        self._moved = False
        self._before: ReconSnapshot | None = None  # what was known when somebody came here
        self._opening = True
        self._ranked: tuple[Board | None, Mapping[str, float]] = (None, {})
        self._found: tuple[ReconSnapshot | None, Mapping[str, ReconLine | None]] = (None, {})

    def _lines(self, board: Board) -> Mapping[str, ReconLine | None]:
        if self._found[0] is not board.recon:
            self._found = (board.recon, lines_by_key(board))
        return self._found[1]

    def entered(self) -> None:
        super().entered()
        self._put, self._moved, self._opening = None, False, True
        self._before = self.host.board.recon

    def board_changed(self, board: Board, cells: int) -> None:
        """The cursor stands on the worst row of the first reading, and goes to what becomes worse than its
        own where that is breached or latched, until somebody moves it."""
        rows, self._drawn = self.rows, board
        if self._put in rows.keys and rows.key != self._put:
            self._moved = True
        super().board_changed(board, cells)
        if not self._moved:
            if (worst := self._worst(board)) is not None:
                rows.select(worst)
            self._put = rows.key
        if board.recon is not self._before:
            self._opening = False

    def _worst(self, board: Board) -> str | None:
        """The row that the cursor should go to; None where it may stay."""
        ranks, shown = self.ranks(board), self.rows.keys
        worst = max(shown, key=lambda key: ranks.get(key, 0.0), default=None)
        if worst is None or ranks.get(worst, 0.0) <= ranks.get(self.rows.key or "", 0.0):
            return None
        grave = is_grave(board, worst, self._lines(board).get(worst))
        return worst if self._opening or grave else None

    @property
    def symbol(self) -> str | None:
        return symbol_in(self.rows.key)

    @property
    def selected(self) -> str | None:
        name = f"instrument:{self.symbol}"
        return name if name in self.host.board.catalogue else None

    def details(self, board: Board) -> Dialog[str | None] | None:
        key = self.rows.key
        if key is None:
            return None
        from widgets.views import LinesDialog

        def draw(now: Board, cells: int) -> list[Line]:
            return recon_details(now, key, lines_by_key(now).get(key), cells)

        return LinesDialog("RECONCILIATION", board, draw)

    def wanted(self, board: Board) -> tuple[str, ...]:
        ranks = self.ranks(board)
        return tuple(sorted(ranks, key=lambda key: (-ranks[key], symbol_in(key) or "", key)))

    def ranks(self, board: Board) -> Mapping[str, float]:
        if self._ranked[0] is not board:
            at, latched, lines = moment(board), latched_symbols(board), self._lines(board)
            found = {key: rank(line, at, symbol_in(key) in latched) for key, line in lines.items()}
            self._ranked = (board, found)
        return self._ranked[1]

    def status_lines(self, board: Board, order: Line, cells: int) -> list[Line]:
        return status_lines(board, order, cells)

    def heading_line(self, cells: int) -> Line:
        return recon_heading(cells, self.order.holds(self.ranks(self._drawn)))

    def row_line(self, board: Board, key: str, cells: int) -> Line:
        return recon_line(board, key, self._lines(board).get(key), cells)

    def wants_row(self, board: Board, key: str) -> bool:
        latch = "latched" if is_latched(board, symbol_in(key) or "") else ""
        words = state_words(self._lines(board).get(key), moment(board), board.recon_readable)
        return self.matches(key, words, latch)

    def detail_lines(self, board: Board, cells: int) -> list[Line]:
        key = self.rows.key
        return [] if key is None else recon_details(board, key, self._lines(board).get(key), cells - 1)

    def works(self, key: Key, board: Board) -> bool:
        match key.key_id:
            case "recon.release":
                return is_latched(board, self.symbol or "") is True
            case "recon.trip" | "recon.mode":
                return self.selected is not None
            case "recon.details":
                return self.rows.key is not None
            case _:
                return True
