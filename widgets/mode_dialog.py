"""The dialog on a symbol's mode: what each mode lets through, which one is in force, which one shall be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from cockpit.domain.breakers import Scope, switch_of
from cockpit.domain.modes import Mode, switch_for
from cockpit.domain.permissions import Permission
from widgets.board import Board
from widgets.form_dialog import FormDialog
from widgets.line import Line, wrap
from widgets.next_steps import lacks, resume_blocked
from widgets.row_list import RowList
from widgets.switch_words import (
    counted,
    imposed_mode,
    matrix_heading,
    matrix_line,
    of_symbol,
    resting,
    story_words,
    switch_words,
    symbol_now,
    ticket_fault,
)

_MODES: Final = tuple(Mode)


@dataclass(frozen=True, slots=True)
class ModeWish:
    """Put `symbol` into `mode`."""

    symbol: str
    mode: Mode
    notes: str
    ticket: str


class ModeList(RowList):
    """The modes; the one under the cursor is the one that is meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "step(1)", show=False),
        Binding("up,k,K", "step(-1)", show=False),
        Binding("enter", "go_on", show=False),
        *(Binding(str(index), f"digit({index})", show=False) for index, _ in enumerate(_MODES, 1)),
    ]

    def action_step(self, by: int) -> None:
        """Meant at once: what is pressed next may already leave the list."""
        self.move(by)
        self._take()

    def action_digit(self, digit: int) -> None:
        """Meant at once, and on to the ticket."""
        self.select(_MODES[digit - 1].value)
        self._take()
        self.action_go_on()

    def _take(self) -> None:
        if isinstance(self.screen, ModeDialog):
            self.screen.take()

    def action_go_on(self) -> None:
        self.screen.set_focus(self.screen.query_one("#ticket"))


class ModeDialog(FormDialog[ModeWish]):
    """Tightening acts at once, as a trip does; loosening asks the authority, CANCEL_ONLY first. Where it may
    loosen, Cancel is focused; where it can only tighten, the list is."""

    FIELDS = ("ticket", "notes")
    CONFIRM = "Set the mode"
    UNSENT = "MODE NOT SET"
    TITLE_STYLE = "halted"

    def __init__(self, symbol: str, board: Board, proposed: Mode | None = None) -> None:
        super().__init__(f"MODE OF {symbol}", board, classes="-tighten")
        self.symbol = symbol
        self._opened_at = imposed_mode(board, symbol)
        self._meant: Mode | None = None
        self._proposed = proposed  # by a playbook's step: marked from the start, confirmed by a person

    def before(self) -> Iterable[Widget]:
        yield ModeList(id="modes")

    def prepare(self) -> None:
        modes = self.query_one(ModeList)
        modes.styles.height = len(_MODES)
        self._draw_modes()
        now = self._opened_at or Mode.NORMAL
        self._meant = self._proposed or now
        modes.select(self._meant.value)
        self._draw_modes()
        self.set_focus(modes if now is Mode.NORMAL else self.query_one("#cancel"))

    def _draw_modes(self) -> None:
        now = imposed_mode(self.board, self.symbol)

        def draw(key: str, _cells: int) -> Line:
            mode = Mode(key)
            digit = f"{_MODES.index(mode) + 1} "
            return ((digit, "key"), *matrix_line(mode, mode is now, mode is self._meant))

        self.query_one(ModeList).rows([mode.value for mode in _MODES], draw)

    def lines(self, board: Board) -> list[Line]:
        return [self._now(board), *self._why(board), *self._warning(board), (("  ", ""), *matrix_heading())]

    def _now(self, board: Board) -> Line:
        mode, found = imposed_mode(board, self.symbol), symbol_now(board, self.symbol)
        if mode is None or found is None:
            return (("now    ", "title"), ("mode unread: Redis has not answered here", "unknown"))
        parts: list[tuple[str, str]] = [(mode.value, "strong" if mode is Mode.NORMAL else "halted")]
        parts.append((f" · {counted(resting(board, self.symbol))}", "dim"))
        if found.latched:
            parts.append((" · LATCHED: its safety latch is set (panel 4)", "bad"))
        if doubts := len(found.doubts):
            switches = "1 switch" if doubts == 1 else f"{doubts} switches"
            parts.append((f" · {switches} in doubt: no new risk passes", "bad"))
        if not board.redis_readable:
            parts.append((" · STALE, Redis does not answer here", "bad"))
        return (("now    ", "title"), *parts)

    def _why(self, board: Board) -> list[Line]:
        names = [name for name in of_symbol(board, self.symbol) if not name.startswith("latch:")]
        return [
            line
            for name in names[:1]
            for line in wrap(f"       {switch_words(name)} {story_words(board, name)}", self.cells, 2, "dim")
        ]

    def _warning(self, board: Board) -> list[Line]:
        """What a HARD_HALT does that people forget."""
        if self._meant is not Mode.HARD_HALT:
            return []
        in_force = imposed_mode(self.board, self.symbol) is Mode.HARD_HALT
        words = f"HARD_HALT traps resting orders: {counted(resting(board, self.symbol))} can be neither"
        cure = "To cancel them: choose CANCEL_ONLY first" if in_force else "To cancel first: esc, then x"
        words = f"{words} cancelled nor filled while it lasts. {cure}"
        return wrap(words, self.cells, 2, "bad")

    @property
    def loosens(self) -> bool:
        now = imposed_mode(self.board, self.symbol)
        return now is not None and self._meant is not None and self._meant.strictness < now.strictness

    def does(self) -> str:
        meant = self._meant.value if self._meant else "it"
        return f"asks the authority for {meant}" if self.loosens else f"sets {meant} at once"

    def barred(self) -> str | None:
        now, meant = imposed_mode(self.board, self.symbol), self._meant
        if meant is None:
            return "choose a mode: its digit"
        if self.loosens:
            return self._loosening_barred(now, meant)
        if meant is now:
            return f"{meant.value} is its mode now; choose another: its digit"
        name = switch_for(meant, self.symbol)
        if name is None:
            return "its mode is not known here; it can be tightened only"
        return lacks(self.board, name, Permission.TRIP_CIRCUIT)

    def _loosening_barred(self, now: Mode | None, meant: Mode) -> str | None:
        if meant is Mode.NORMAL and now is not Mode.CANCEL_ONLY:
            return "CANCEL_ONLY first, then NORMAL"
        name = switch_for(now, self.symbol) if now is not None else None
        return resume_blocked(self.board, name or switch_of(Scope.CANCEL_ONLY, self.symbol))

    def missing(self) -> Widget | None:
        now, meant = imposed_mode(self.board, self.symbol), self._meant
        if meant is now or (self.loosens and meant is Mode.NORMAL and now is not Mode.CANCEL_ONLY):
            return self.query_one(ModeList)
        return super().missing()

    def field_fault(self, name: str) -> str | None:
        return ticket_fault(self.typed("ticket")) if name == "ticket" else super().field_fault(name)

    def wish(self) -> ModeWish:
        assert self._meant is not None  # noqa: S101 - fault() has said so
        return ModeWish(self.symbol, self._meant, self.notes(), self.typed("ticket").strip())

    def board_changed(self, board: Board) -> None:
        super().board_changed(board)
        if self.ready:
            self._draw_modes()

    def take(self) -> None:
        """The mode under the cursor is meant."""
        key = self.query_one(ModeList).key
        if key is not None and Mode(key) is not self._meant:
            self._meant = Mode(key)
            self.board_changed(self.board)
            self.settle()

    @on(RowList.Moved)
    def moved(self) -> None:
        if self.ready:
            self.take()
