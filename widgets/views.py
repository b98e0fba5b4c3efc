"""Dialogs that only show: the probe run, the verification of a trip, details, help, and a yes-or-no."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from cockpit.domain.desk import RunRow
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, choices
from widgets.line import Line, cut, fit
from widgets.line_view import LineView
from widgets.run_lines import run_lines
from widgets.trip_checks import TripMade, checks_lines, trip_checks


class LinesDialog(Dialog[str | None]):
    """Lines that follow the board; scrolls where they are more than the screen. Returns a key that was
    pressed for the screen below, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "scroll_lines(1)", show=False),
        Binding("up,k,K", "scroll_lines(-1)", show=False),
        Binding("pagedown,space", "scroll_lines(10)", show=False),
        Binding("pageup", "scroll_lines(-10)", show=False),
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
        room = max(3, self.size.height - 5)
        self._top = max(0, min(self._top, len(lines) - room))
        self.query_one("#body", LineView).show(lines[self._top : self._top + room])
        self._more = max(0, len(lines) - room - self._top)

    def hint(self) -> None:
        more = ((f" · {self._more} more below (↓)", "dim"),) if self._more else ()
        self.foot((*self._hint, ("esc", "key"), (" leaves", "dim"), *more))

    def action_scroll_lines(self, by: int) -> None:
        self._top = max(0, self._top + by)
        self.board_changed(self.board)
        self.hint()


class RunView(LinesDialog):
    """The live probe run of one breaker. `c` goes on to the close, where it passed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("c,C", "close_breaker", show=False)]

    def __init__(self, breaker_id: str, board: Board) -> None:
        super().__init__(
            f"PROBE RUN {breaker_id}",
            board,
            lambda now, cells: run_lines(now, breaker_id, self._run(now), cells),
            (("p", "key"), (" brings this back · ", "dim")),
        )
        self.target = breaker_id
        self.epoch = board.epoch(breaker_id)

    def _run(self, board: Board) -> RunRow | None:
        """The run of the epoch that was watched from the start, even after a later trip."""
        runs = board.desk.runs if board.desk else ()
        mine = [row for row in runs if row.run.breaker_id == self.target]
        return next((row for row in mine if row.run.epoch == self.epoch), None)

    def action_close_breaker(self) -> None:
        self.dismiss("close")


class VerificationView(LinesDialog):
    """The checks after one's own trip, ticking off while it is open; `v` brings it back."""

    def __init__(self, made: TripMade, board: Board) -> None:
        self.made = made
        super().__init__(
            f"VERIFY TRIP {made.breaker_id}",
            board,
            lambda now, cells: checks_lines(trip_checks(now, self.made), cells),
            (("v", "key"), (" brings this back · ", "dim")),
        )

    def update_made(self, made: TripMade) -> None:
        self.made = made
        self.follow(self.board)


def help_lines(sections: Sequence[tuple[str, Sequence[tuple[str, str]]]], cells: int) -> list[Line]:
    """The registry's keys, two columns where the width allows."""
    lines: list[Line] = []
    for title, keys in sections:
        lines.append(((title.upper(), "title"),))
        entries: list[Line] = [((f" {fit(key, 9)}", "key"), (text, "")) for key, text in keys]
        lines += entries
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
