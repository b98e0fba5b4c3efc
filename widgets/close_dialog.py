"""The close dialog: what will be checked once more, how long and how large trading is limited afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.text import clean, justification
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import NotedDialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line, cut
from widgets.line_view import LineView
from widgets.next_steps import steps
from widgets.times import countdown, span


@dataclass(frozen=True, slots=True)
class CloseWish:
    breaker_id: BreakerId
    epoch: Epoch
    notes: str


class CloseDialog(NotedDialog[CloseWish | None]):
    """Returns a `CloseWish`, or None. Opens with Cancel focused."""

    TITLE_STYLE = "probing"

    def __init__(self, breaker_id: str, board: Board) -> None:
        super().__init__(
            f"CLOSE {breaker_id} · trading resumes, limited first",
            board,
            target=breaker_id,
            classes="-loosen",
        )

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput()
            yield LineView([notes_count("")], id="count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Close (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    def board_changed(self, board: Board) -> None:
        row, limits = board.run(self.target), board.limits
        lines: list[Line] = []
        if self.overtaken:
            lines.append((("TRIPPED ANEW since this opened: leave (esc) and look again", "bad"),))
        if row is not None:
            left = countdown(row.run.close_until, board.desk_now)
            lines.append(
                (
                    ("proof  ", "title"),
                    (f"{clean(row.run.verdict, 120)} by {clean(row.run.login, 40)}", ""),
                    (f" · counts for {left}", "dim"),
                )
            )
        lines.append(
            (
                ("checks ", "title"),
                ("the authority probes once more itself and reads the checklist again;", ""),
            )
        )
        lines.append((("       audit chain, evidence store and epoch must be intact", ""),))
        lines.append(
            (
                ("then   ", "title"),
                (f"QUIET_PERIOD · LIMITED for {span(limits.quiet_period_s)}, orders up to ", "limited"),
                (f"{limits.size_share:.0%}", "strong"),
                (" of size; then CLOSED", "limited"),
            )
        )
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])
        if not self._said:
            self.hint()

    def _typed(self) -> str:
        return self.query_one("#notes", Input).value

    def fault(self) -> str | None:
        if self.overtaken or self.epoch is None:
            return "tripped anew since this opened; leave (esc) and look again"
        return steps(self.board, self.target).why_not("close") or notes_fault(self._typed())

    def missing(self) -> Widget | None:
        if self.overtaken or self.epoch is None or steps(self.board, self.target).why_not("close"):
            return None
        return self.query_one("#notes")

    def unsent(self) -> str:
        filled = bool(self._typed().strip())
        return f"NOT CLOSED: what you wrote for the close of {self.target} is lost." if filled else ""

    def hint(self) -> None:
        fault = self.fault()
        if fault is None:
            self.foot((("ctrl+s", "key"), (" closes · ", ""), ("esc", "key"), (" leaves", "dim")))
        else:
            self.foot(((fault, "dim"), (" · ", "dim"), ("tab", "key"), (" next field", "dim")))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        fault = self.fault()
        if fault is not None or self.epoch is None:
            self.not_yet(str(fault))
            return
        self.dismiss(CloseWish(BreakerId(self.target), self.epoch, justification(self._typed())))

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        self.query_one("#count", LineView).show([notes_count(event.value)])
        self.settle()
