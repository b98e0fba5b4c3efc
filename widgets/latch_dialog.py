"""The dialog that releases a safety latch: what it asks for, how much of it is there. Cancel is focused."""

from __future__ import annotations

from datetime import datetime

from cockpit.domain.breakers import Scope, switch_of
from cockpit.domain.permissions import Permission
from cockpit.domain.reconciliation import CLEAN_WANTED, CleanCycles
from widgets.board import Board
from widgets.form_dialog import FormDialog
from widgets.line import Line, wrap
from widgets.next_steps import lacks, resume_blocked
from widgets.recon_details import release_lines
from widgets.switch_dialogs import SwitchWish
from widgets.switch_words import reads_set


class LatchDialog(FormDialog[SwitchWish]):
    """`counted` tells it how many clean cycles there are; until then, and where that cannot be read, it asks
    for nothing."""

    FIELDS = ("notes",)
    CONFIRM = "Release the latch"
    DOES = "asks the authority to release it"
    UNSENT = "NOT RELEASED"
    TITLE_STYLE = "probing"

    def __init__(self, symbol: str, board: Board) -> None:
        self.symbol = symbol
        self._latch = switch_of(Scope.LATCH, symbol)
        self._cycles: CleanCycles | None = None
        self._why = ""
        title = f"RELEASE THE SAFETY LATCH OF {symbol} · orders that add risk pass again"
        super().__init__(title, board, target=self._latch)

    def since(self, board: Board) -> datetime | None:
        """When the latch was set, by the database's clock; None where that is not recorded yet."""
        row, reading = (
            board.desk.breakers.get(self._latch) if board.desk else None,
            board.reading(self._latch),
        )
        if row is None or reading is None or reading.epoch is None:
            return None
        same = (row.run_id, row.counter) == (reading.epoch.run_id, reading.epoch.counter)
        return row.since if same else None

    def counted(self, cycles: CleanCycles | None, why: str = "") -> None:
        """What was read. None: it could not be, for `why`."""
        self._cycles, self._why = cycles, why
        if self.ready and self.is_current:
            self.board_changed(self.board)

    def lines(self, board: Board) -> list[Line]:
        lines = release_lines(board, self.symbol, self.cells)
        wanted = f"{CLEAN_WANTED} consecutive clean cycles of every kind of its runs, begun after the"
        wanted = f"{wanted} latch was set; an unknown run begins the count anew"
        first, *more = wrap(wanted, self.cells - 10, 3)
        lines += [(("needs     ", "title"), *first), *(((" " * 10, ""), *each) for each in more)]
        if self._cycles is None:
            lines += wrap(f"          {self._uncounted()}", self.cells, 2, "unknown")
        else:
            enough = self._cycles.enough
            mark = "✓" if enough else "✗"
            words = f"          {mark} {self._cycles.why}"
            lines += wrap(words, self.cells, 3, "good" if enough else "bad")
        if self.overtaken:
            lines.append((("SET ANEW since this opened: leave (esc) and look again", "bad"),))
        return lines

    def _uncounted(self) -> str:
        if self._why:
            return f"? clean cycles UNKNOWN: {self._why}"
        if self.since(self.board) is None:
            return "? clean cycles UNKNOWN: when the latch was set is not recorded yet"
        return "? counting the clean cycles…"

    def barred(self) -> str | None:
        if why := lacks(self.board, self._latch, Permission.RESET_CIRCUIT):
            return why
        if not reads_set(self.board, self._latch):
            return "the latch is not set any more"
        if self.overtaken:
            return "set anew since this opened; leave (esc) and look again"
        if self._cycles is None:
            return "its clean cycles are not known"
        if not self._cycles.enough:
            return f"{self._cycles.count} of {self._cycles.wanted} clean cycles so far"
        return resume_blocked(self.board, self._latch)

    def wish(self) -> SwitchWish:
        return SwitchWish(self.symbol, self.notes())
