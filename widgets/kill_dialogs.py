"""Dialogs of the kill switch: begin it, watch it, go on with it, review it; with Cancel focused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.desk import KillRow
from cockpit.domain.kill import KILL_WORD
from cockpit.domain.permissions import Permission
from cockpit.domain.text import many
from widgets.blast_radius import amount
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, choices
from widgets.form_dialog import FormDialog
from widgets.kill_modes import freed_by, refusing_lines
from widgets.kill_words import (
    report_lines,
    review_asked,
    row_lines,
    row_title,
    running_here,
    unreviewed,
    view_title,
)
from widgets.line import Line, cut, wrap
from widgets.line_view import LineView
from widgets.next_steps import adjusting_blocked, lacks
from widgets.views import LinesDialog


@dataclass(frozen=True, slots=True)
class KillWish:
    notes: str


@dataclass(frozen=True, slots=True)
class ReviewWish:
    kill_id: str
    notes: str


class KillDialog(FormDialog[KillWish]):
    """Says what it will do, asks for notes and the typed word. Nothing that cannot be read holds it up."""

    FIELDS = ("notes", "typed")
    WORD = KILL_WORD
    CONFIRM = "Kill switch"
    DOES = "halts everything, cancels and flattens NOW"
    UNSENT = "NOTHING HALTED"
    TITLE_STYLE = "halted"

    def __init__(self, board: Board) -> None:
        super().__init__("KILL SWITCH · halt, cancel, flatten the whole platform", board, classes="-tighten")

    def lines(self, board: Board) -> list[Line]:
        waits: Line = (("2 no gateway is registered: it cannot be proved FLAT", "bad"),)
        if board.gateways:
            waits = ((f"2 waits until the gateways enforce it: {', '.join(board.gateways)}", ""),)
        lines: list[Line] = [
            (("does   ", "title"), ("1 trips global: all trading halts, at once", "strong")),
            (("       ", ""), *waits),
            (("       ", ""), ("3 cancels ", ""), (_orders(board), "strong")),
            (("       ", ""), ("4 flattens ", ""), (_positions(board), "strong")),
            (("       ", ""), ("5 reads the venue again until both are none: only that is FLAT", "")),
        ]
        if not board.desk_readable:
            lines.append(((f"{board.desk_lost}: the numbers are unknown, the kill switch works", "warn"),))
        lines += refusing_lines(board, self.cells)
        words = "It ends only with a recorded review, approved by a second safety-admin"
        return [*lines, ((words, "dim"),)]

    def barred(self) -> str | None:
        return lacks(self.board, GLOBAL, Permission.KILL_SWITCH)

    def wish(self) -> KillWish:
        return KillWish(self.notes())


def _orders(board: Board) -> str:
    if board.desk is None or not board.desk_readable:
        return "every open order (how many: unknown)"
    found = sum(each.open_orders for each in board.desk.orders)
    return many(found, "open order")


def _positions(board: Board) -> str:
    if board.desk is None or not board.desk_readable:
        return "every position (how many: unknown)"
    held = [row for row in board.desk.positions if row.quantity]
    exposure = amount(sum((row.exposure for row in held), Decimal(0)))
    return f"{many(len(held), 'position')}, exposure {exposure}"


class KillView(LinesDialog):
    """The kill switch that this cockpit runs, live. Leaving it (esc) leaves it running. Returns `go on` or
    `review`, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g,G", "go_on", show=False),
        Binding("r,R", "review", show=False),
    ]
    TITLE_STYLE = "halted"

    def __init__(self, board: Board) -> None:
        super().__init__(view_title(board), board, _view_lines)

    def hint(self) -> None:
        kill = self.board.kill
        if kill is not None and kill.running:
            words = " leaves, it goes on running; ctrl+k brings this back"
            self.foot((("running · ", "bad"), ("esc", "key"), (words, "dim")))
        elif kill is not None and kill.report.flat:
            self.foot((("r", "key"), (" writes its review · ", ""), ("esc", "key"), (" leaves", "dim")))
        else:
            said = (" goes on: cancels and flattens again · ", "")
            self.foot((("g", "key"), said, ("esc", "key"), (" leaves", "dim")))

    def board_changed(self, board: Board) -> None:
        super().board_changed(board)
        self.retitle(view_title(board))
        if self.ready and not self._said:
            self.hint()

    def action_go_on(self) -> None:
        if running_here(self.board):
            self.say("it is running; nothing to go on with")
        elif self.board.kill is not None and self.board.kill.report.flat:
            self.say("it is FLAT; r writes its review")
        else:
            self.dismiss("go on")

    def action_review(self) -> None:
        if running_here(self.board):
            self.say("it is running; its review comes afterwards")
        else:
            self.dismiss("review")


def _view_lines(board: Board, cells: int) -> list[Line]:
    if board.kill is None:
        return [(("no kill switch was run from this screen", "dim"),)]
    lines = report_lines(board.kill.report, cells, freed_by(board, board.kill.report, cells))
    if not board.kill.running and not board.kill.report.flat:
        lines.append((("stopped here; the trip of global stays", "warn"),))
    if board.kill.message and not board.kill.running:
        lines += wrap(board.kill.message, cells, 4, "dim")
    return lines


class UnfinishedDialog(Dialog[str | None]):
    """A kill switch that another cockpit left, or runs: go on with it, or review it. Returns `go on`,
    `review` or None. The row is fixed when it opens."""

    TITLE_STYLE = "halted"

    def __init__(self, row: KillRow, board: Board) -> None:
        super().__init__(row_title(board, row), board, classes="-tighten")
        self.kill_id = row.kill_id

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        with Horizontal(id="buttons"):
            yield from choices(("go-on", "Go on"), ("review", "Review"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    def _row(self) -> KillRow | None:
        return next((row for row in unreviewed(self.board) if row.kill_id == self.kill_id), None)

    def board_changed(self, board: Board) -> None:
        row = self._row()
        self.retitle(row_title(board, row))
        lines = (
            row_lines(board, row, self.cells) if row else [(("its review was approved meanwhile", "good"),)]
        )
        room = max(3, self.size.height - 6)
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines[:room]])

    def hint(self) -> None:
        row = self._row()
        self.query_one("#go-on", Choice).dim(row is None)
        self.query_one("#review", Choice).dim(self._no_review() is not None)
        words = "Go on is safe at any time: what was sent is not sent twice · "
        self.foot(((words, "dim"), ("esc", "key"), (" leaves", "dim")))

    def _no_review(self) -> str | None:
        row = self._row()
        if row is None:
            return "its review was approved meanwhile"
        if review_asked(self.board, self.kill_id):
            return "its review waits for a second safety-admin: A approves it"
        return None

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "cancel":
            self.dismiss(None)
        elif event.choice.id == "review" and (why := self._no_review()):
            self.say(why)
        elif event.choice.id == "go-on" and self._row() is None:
            self.say("its review was approved meanwhile: nothing to go on with")
        else:
            self.dismiss("review" if event.choice.id == "review" else "go on")


class ReviewDialog(FormDialog[ReviewWish]):
    """The findings of a kill switch; a second safety-admin approves them (A), and only then may global be
    half-opened."""

    FIELDS = ("notes",)
    CONFIRM = "Record the review"
    DOES = "records it and asks a second safety-admin"
    UNSENT = "NOT REVIEWED"
    TITLE_STYLE = "probing"

    def __init__(self, row: KillRow, board: Board) -> None:
        super().__init__("REVIEW OF THE KILL SWITCH · a second safety-admin approves it", board)
        self.kill_id = row.kill_id

    def _row(self) -> KillRow | None:
        return next((row for row in unreviewed(self.board) if row.kill_id == self.kill_id), None)

    def lines(self, board: Board) -> list[Line]:
        row = self._row()
        if row is None:
            return [(("its review was approved meanwhile: leave (esc)", "good"),)]
        lines = row_lines(board, row, self.cells)
        words = "findings: what happened, what is left at the venue, what made it safe (they are recorded)"
        return [*lines, ((words, "title"),)]

    def barred(self) -> str | None:
        row = self._row()
        if row is None:
            return "its review was approved meanwhile"
        if why := lacks(self.board, GLOBAL, Permission.KILL_SWITCH):
            return why
        if review_asked(self.board, self.kill_id):
            return "its review waits for a second safety-admin already"
        if running_here(self.board):
            return "it is running here; its review comes afterwards"
        return adjusting_blocked(self.board)

    def wish(self) -> ReviewWish:
        return ReviewWish(self.kill_id, self.notes())
