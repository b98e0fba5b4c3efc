"""Dialogs on a list: approve another person's request, acknowledge an open incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import IncidentRow, RequestRow
from cockpit.domain.permissions import Permission
from cockpit.domain.text import MAX_NOTES, clean
from widgets.approval_words import COVERS, kill_review_words, release_words
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, NotesInput, choices, notes_count, notes_fault
from widgets.event_rows import details_of
from widgets.exclude_dialog import stretch_words
from widgets.line import Line, cut, fit, wrap
from widgets.line_view import LineView
from widgets.next_steps import lacks
from widgets.row_list import RowList
from widgets.times import ago, clock, countdown

WishT = TypeVar("WishT")


@dataclass(frozen=True, slots=True)
class ApproveWish:
    request_id: str
    breaker_id: BreakerId
    notes: str


@dataclass(frozen=True, slots=True)
class AcknowledgeWish:
    incident_id: str
    breaker_id: BreakerId
    notes: str


class PickList(RowList):
    """The row under the cursor is the one that is meant, marked ●; Enter goes on to the notes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "step(1)", show=False),
        Binding("up,k,K", "step(-1)", show=False),
        Binding("enter", "go_on", show=False),
    ]

    def action_step(self, by: int) -> None:
        self.move(by)

    def action_go_on(self) -> None:
        self.screen.set_focus(self.screen.query_one("#notes"))


class PickDialog(Dialog[WishT | None], Generic[WishT]):
    """A list, notes that nobody must write, two buttons. `_fixed` is the row that is meant."""

    UNSENT: ClassVar[str]
    _fixed: str | None = None

    def prepare(self) -> None:
        self._fixed = self.query_one(PickList).key
        self.set_focus(self.query_one("#cancel" if self._fixed is None else "#list"))

    def _typed(self) -> str:
        return self.query_one("#notes", Input).value

    def unsent(self) -> str:
        return f"{self.UNSENT}: the notes that you wrote are lost." if self._typed().strip() else ""

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        if self.query_one(PickList).has_focus or self._fixed is None:
            self._fixed = event.key
        self.board_changed(self.board)
        self.settle()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        self.settle()

    @on(Input.Submitted)
    def entered(self) -> None:
        self.set_focus(self.query_one("#confirm"))

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "confirm":
            self.action_confirm()
        else:
            self.action_leave()


class ApproveDialog(PickDialog[ApproveWish]):
    """Requests that wait for a second person. The one under the cursor when ctrl+s is pressed is approved;
    one that appears or goes meanwhile moves no cursor onto another without saying so."""

    TITLE_STYLE = "probing"
    UNSENT = "NOT APPROVED"

    def __init__(self, board: Board) -> None:
        super().__init__("APPROVALS · what waits for a second person", board, classes="-loosen")

    def parts(self) -> Iterable[Widget]:
        yield PickList(id="list", empty="nothing waits for an approval")
        yield LineView(id="body")
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput()
            yield LineView([((" optional", "dim"),)], id="count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Approve (ctrl+s)"), ("cancel", "Cancel"))

    def _row(self, request_id: str | None) -> RequestRow | None:
        return next((row for row in self.board.waiting() if row.request_id == request_id), None)

    def board_changed(self, board: Board) -> None:
        picks = self.query_one(PickList)
        picks.rows([row.request_id for row in board.waiting()], self._line)
        row = self._row(self._fixed or picks.key)
        self.query_one("#body", LineView).show([] if row is None else self._asked_lines(row))

    def _asked_lines(self, row: RequestRow) -> list[Line]:
        """What an approval would allow, as it was signed."""
        asked = details_of(row.payload)
        lines = wrap(f"notes: {asked.get('notes') or '-'}", self.cells, 2)
        if row.kind == Kind.EXCLUDE.value:
            return [*wrap(stretch_words(asked.get("target")), self.cells, 2, "strong"), *lines]
        if row.kind == Kind.KILL_REVIEW.value:
            what = kill_review_words(self.board, asked.get("target"), self.cells)
            return [*what, *lines, self._epoch_line(row)]
        if row.kind == Kind.RELEASE.value:
            return [*release_words(row, asked.get("target"), self.cells), *lines, self._epoch_line(row)]
        if asked.get("reason"):
            words = f"BREAK-GLASS over spent or unknown error budgets: {asked['reason']}"
            lines += wrap(words, self.cells, 2, "bad")
        return [*lines, self._epoch_line(row)]

    @staticmethod
    def _asked_at(row: RequestRow) -> object:
        """The epoch that the asker saw, as the request carries it."""
        return details_of(row.payload).get("epoch")

    def _now_at(self, row: RequestRow) -> object:
        epoch = self.board.epoch(row.breaker_id or "")
        return None if epoch is None else epoch.payload()

    def _epoch_line(self, row: RequestRow) -> Line:
        asked, now = self._asked_at(row), self._now_at(row)
        if asked != now:
            words = f"asked for epoch {_counter(asked)}, now it is {_counter(now)}: tripped anew since"
            return ((words, "bad"),)
        covers = COVERS.get(row.kind or "", "its half-open and its close")
        return ((f"epoch {_counter(asked)} · covers {covers}, in it only", "dim"),)

    def fault(self) -> str | None:
        row = self._row(self._fixed)
        if row is None:
            return (
                "nothing to approve" if self._fixed is None else "that request no longer waits; choose anew"
            )
        me, persons = self.board.identity, self.board.desk.persons if self.board.desk else {}
        if me is not None and persons.get(row.login, row.login) == me.person_id:
            return f"{row.login} is you: another person must approve"
        if row.kind == Kind.EXCLUDE.value:
            if lacks(self.board, row.breaker_id or "", Permission.ADJUST_BUDGET):
                return "an exclusion is approved by another safety-admin"
        elif row.kind == Kind.KILL_REVIEW.value and lacks(self.board, GLOBAL, Permission.KILL_SWITCH):
            return "a kill switch's review is approved by another safety-admin"
        elif self._asked_at(row) != self._now_at(row):
            return "tripped anew since it was asked: this request can resume nothing"
        if not self.board.authority_alive:
            return "no authority answers; nothing can be approved"
        if len(self._typed()) > MAX_NOTES:
            return "the notes are too long"
        return None

    def hint(self) -> None:
        fault = self.fault()
        text: Line = (
            (("ctrl+s", "key"), (" approves the marked request · ", ""))
            if fault is None
            else ((f"{fault} · ", "dim"),)
        )
        self.foot((*text, ("esc", "key"), (" leaves", "dim")))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        row = self._row(self._fixed)
        fault = self.fault()
        if fault is not None or row is None:
            self.say(f"not yet: {fault}")
            return
        self.dismiss(
            ApproveWish(row.request_id, BreakerId(row.breaker_id or ""), " ".join(self._typed().split()))
        )

    def _line(self, key: str, cells: int) -> Line:
        row = self._row(key)
        if row is None:
            return ((key, "dim"),)
        left = countdown(row.expires_at, self.board.desk_now)
        kind = clean((row.kind or "?").replace("_", "-"), 20)
        mark = "●" if key == self._fixed else " "
        who = f"asked by {clean(row.login, 40)} {ago(row.submitted_at, self.board.desk_now)} ago"
        return (
            (f"{mark} {fit(kind, 10)} {fit(clean(row.breaker_id or '?', 60), 24)} ", "strong"),
            (who, ""),
            (f" · expires in {left}", "dim"),
        )


def _counter(epoch: object) -> str:
    """The counter of an epoch as a request carries it."""
    counter = epoch.get("counter") if isinstance(epoch, dict) else None
    return str(counter) if isinstance(counter, int) else "?"


class AcknowledgeDialog(PickDialog[AcknowledgeWish]):
    """Open incidents; ctrl+s acknowledges the marked one."""

    UNSENT = "NOT ACKNOWLEDGED"

    def __init__(self, board: Board) -> None:
        super().__init__("ACKNOWLEDGE an open incident", board)

    def parts(self) -> Iterable[Widget]:
        yield PickList(id="list", empty="no open incident")
        yield LineView(id="body")
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput()
            yield LineView([notes_count("")], id="count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Acknowledge (ctrl+s)"), ("cancel", "Cancel"))

    def _open(self) -> tuple[IncidentRow, ...]:
        rows = self.board.desk.incidents if self.board.desk else ()
        return tuple(
            sorted(
                (row for row in rows if row.status == "open"), key=lambda row: (row.severity, row.opened_at)
            )
        )

    def _row(self, incident_id: str | None) -> IncidentRow | None:
        return next((row for row in self._open() if row.incident_id == incident_id), None)

    def board_changed(self, board: Board) -> None:
        picks = self.query_one(PickList)
        picks.rows([row.incident_id for row in self._open()], self._line)
        row = self._row(self._fixed or picks.key)
        lines = wrap(row.title, self.cells, 2, "dim") if row else []
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])

    def fault(self) -> str | None:
        if self._row(self._fixed) is None:
            return (
                "nothing to acknowledge"
                if self._fixed is None
                else "that incident is no longer open; choose anew"
            )
        if not self.board.authority_alive:
            return "no authority answers; it records acknowledgements"
        return notes_fault(self._typed())

    def hint(self) -> None:
        self.query_one("#count", LineView).show([notes_count(self._typed())])
        fault = self.fault()
        text: Line = (
            (("ctrl+s", "key"), (" acknowledges the marked incident · ", ""))
            if fault is None
            else ((f"{fault} · ", "dim"),)
        )
        self.foot((*text, ("esc", "key"), (" leaves", "dim")))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        row = self._row(self._fixed)
        fault = self.fault()
        if fault is not None or row is None:
            self.say(f"not yet: {fault}")
            return
        named = row.breaker_id or GLOBAL
        breaker_id = BreakerId(named) if named in self.board.catalogue else GLOBAL
        self.dismiss(AcknowledgeWish(row.incident_id, breaker_id, " ".join(self._typed().split())))

    def _line(self, key: str, cells: int) -> Line:
        row = self._row(key)
        if row is None:
            return ((key, "dim"),)
        mark = "●" if key == self._fixed else " "
        style = "bad" if row.critical else ""
        when = clock(row.opened_at, self.board.desk_now)
        return (
            (f"{mark} {row.severity} ", style),
            (f"{when} {fit(clean(row.breaker_id or '-', 60), 22)} ", ""),
            (clean(row.title, 200), "dim"),
        )
