"""Dialogs that only show: the probe run, the verification of a trip, details, help, and a yes-or-no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from cockpit.domain.desk import RunRow
from cockpit.domain.documents import Epoch
from cockpit.domain.states import State
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, choices
from widgets.line import Line, cut, fit, wrap
from widgets.line_view import LineView
from widgets.run_lines import run_lines
from widgets.symbols import STATE_STYLE, STATE_SYMBOL
from widgets.trip_checks import TripMade, checks_lines, trip_checks


class LinesDialog(Dialog[str | None]):
    """Lines that follow the board; scrolls where they are more than the screen. Returns a key that was
    pressed for the screen below, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "scroll_lines(1)", show=False),
        Binding("up,k,K", "scroll_lines(-1)", show=False),
        Binding("pagedown,space,ctrl+d", "scroll_screens(1)", show=False),
        Binding("pageup,ctrl+u", "scroll_screens(-1)", show=False),
        Binding("home", "scroll_screens(-1000)", show=False),
        Binding("end", "scroll_screens(1000)", show=False),
        Binding("enter,q", "leave", show=False),
    ]

    def __init__(
        self, title: str, board: Board, draw: Callable[[Board, int], Sequence[Line]], hint: Line = ()
    ) -> None:
        super().__init__(title, board)
        self._draw = draw
        self._hint = hint
        self._top = 0

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")

    def board_changed(self, board: Board) -> None:
        lines = [cut(line, self.cells) for line in self._draw(board, self.cells)]
        room = self._room
        self._top = max(0, min(self._top, len(lines) - room))
        self.query_one("#body", LineView).show(lines[self._top : self._top + room])
        self._more = max(0, len(lines) - room - self._top)

    @property
    def _room(self) -> int:
        """How many lines stand on the screen at once."""
        return max(3, self.size.height - 5)

    def hint(self) -> None:
        more = ((f" · {self._more} more below (↓ pgdn)", "dim"),) if self._more else ()
        self.foot((*self._hint, ("esc", "key"), (" leaves", "dim"), *more))

    def action_scroll_screens(self, by: int) -> None:
        """A screen further or back; one line of the last one stays in sight."""
        self.action_scroll_lines(by * (self._room - 1))

    def action_scroll_lines(self, by: int) -> None:
        self._top = max(0, self._top + by)
        self.board_changed(self.board)
        self.hint()


class RunView(LinesDialog):
    """The live probe run of one breaker's `epoch`. `c` goes on to the close, where it passed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c,C", "close_breaker", show=False)]

    def __init__(self, breaker_id: str, board: Board, epoch: Epoch | None) -> None:
        super().__init__(
            f"PROBE RUN {breaker_id}",
            board,
            lambda now, cells: run_lines(now, breaker_id, self._run(now), cells),
            (("p", "key"), (" brings this back · ", "dim")),
        )
        self.target = breaker_id
        self.epoch = epoch

    def _run(self, board: Board) -> RunRow | None:
        """The run of the epoch that was watched from the start, even after a later trip."""
        runs = board.desk.runs if board.desk else ()
        mine = [row for row in runs if row.run.breaker_id == self.target]
        return next((row for row in mine if row.run.epoch == self.epoch), None)

    def action_close_breaker(self) -> None:
        self.dismiss("close")


class VerificationView(LinesDialog):
    """The checks after one's own trip, ticking off while it is open; `again` are the keys that bring it
    back."""

    def __init__(self, made: TripMade, board: Board, again: str = "v") -> None:
        self.made = made
        super().__init__(
            f"VERIFY TRIP {made.breaker_id}",
            board,
            lambda now, cells: checks_lines(trip_checks(now, self.made), cells),
            ((again, "key"), (" brings this back · ", "dim")),
        )

    def update_made(self, made: TripMade) -> None:
        self.made = made
        self.follow(self.board)


_STATE_WORDS: Final = {
    State.CLOSED: "orders pass",
    State.OPEN: "only cancels and orders that reduce",
    State.HALF_OPEN: "probe orders too, until the deadline",
    State.QUIET_PERIOD: "orders up to a share of normal size",
}
_SIGN_WORDS: Final = (
    "? UNREADABLE HERE: this cockpit cannot read Redis; trading may go on, trips are kept and retried",
    "◌ PENDING: a trip that Redis has not confirmed; it halts nothing yet",
    "● good · ■ bad · ? not known: the lights in the header; what is not fresh is never good",
    "STATE is what counts, the strictest of the breaker and those above it; OWN is its own where it differs",
    "SINCE and BY are of who imposes the STATE · a name with ? is a claim that is not audited yet",
    "NEXT: the keys that lead on from here; 4r is r on panel 4",
    "All times are UTC; what remains of a deadline is by the servers' clocks",
)


def help_lines(sections: Sequence[tuple[str, Sequence[tuple[str, str]]]], cells: int) -> list[Line]:
    """The registry's keys, then what the signs mean."""
    lines: list[Line] = []
    for title, keys in sections:
        lines.append(((title.upper(), "title"),))
        for key, text in keys:
            first, *more = wrap(text, cells - 10, 3)
            lines += [((f" {fit(key, 9)}", "key"), *first), *(((" " * 10, ""), *line) for line in more)]
    lines.append((("SIGNS", "title"),))
    lines += [
        ((f" {STATE_SYMBOL[state]} {fit(state.label, 23)} ", STATE_STYLE[state]), (words, ""))
        for state, words in _STATE_WORDS.items()
    ]
    lines += [line for text in _SIGN_WORDS for line in wrap(text, cells - 1, 3)]
    return lines


class AskDialog(Dialog[bool]):
    """A yes-or-no with No focused. Esc is no."""

    def __init__(self, title: str, lines: Sequence[Line], board: Board, yes: str, no: str) -> None:
        super().__init__(title, board)
        self._lines = lines
        self._yes, self._no = yes, no

    def parts(self) -> Iterable[Widget]:
        yield LineView(self._lines, id="body")
        with Horizontal(id="buttons"):
            yield from choices(("no", self._no), ("yes", self._yes))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#no"))

    def action_leave(self) -> None:
        self.dismiss(False)

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        self.dismiss(event.choice.id == "yes")
