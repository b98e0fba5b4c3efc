"""A dialog on a list: one row is marked, and ctrl+s does to that row what the dialog is for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from widgets.choice import Choice
from widgets.dialog import NotedDialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line
from widgets.line_view import LineView
from widgets.row_list import RowList

WishT = TypeVar("WishT")


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


class PickDialog(NotedDialog[WishT | None], Generic[WishT]):
    """A list, notes, two buttons. Returns a wish, or None. `_fixed` is the row that is meant. Subclasses list
    their rows, say what stands in the way, make the wish."""

    EMPTY: ClassVar[str]
    """What an empty list says."""
    CONFIRM: ClassVar[str]
    DOES: ClassVar[str]
    UNSENT: ClassVar[str]
    _fixed: str | None = None

    def wish(self) -> WishT | None:
        """What is wished of the marked row; None where it is gone."""
        raise NotImplementedError

    def parts(self) -> Iterable[Widget]:
        yield PickList(id="list", empty=self.EMPTY)
        yield LineView(id="body")
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput()
            yield LineView([self.beside("")], id="count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", f"{self.CONFIRM} (ctrl+s)"), ("cancel", "Cancel"))

    def beside(self, notes: str) -> Line:
        """What stands right of the notes."""
        return notes_count(notes)

    def mark(self, key: str) -> str:
        return "●" if key == self._fixed else " "

    def prepare(self) -> None:
        self._fixed = self.query_one(PickList).key
        self.set_focus(self.query_one("#cancel" if self._fixed is None else "#list"))

    def _typed(self) -> str:
        return self.query_one("#notes", Input).value

    def unsent(self) -> str:
        return f"{self.UNSENT}: the notes that you wrote are lost." if self._typed().strip() else ""

    def missing(self) -> Widget | None:
        picks = self.query_one(PickList)
        if self._fixed not in picks.keys:
            return picks if picks.keys else None
        return self.query_one("#notes") if notes_fault(self._typed()) == self.fault() else None

    def hint(self) -> None:
        fault = self.fault()
        said: Line = (
            (("ctrl+s", "key"), (f" {self.DOES} · ", "")) if fault is None else ((f"{fault} · ", "dim"),)
        )
        self.foot((*said, ("esc", "key"), (" leaves", "dim")))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        fault = self.fault()
        wish = self.wish() if fault is None else None
        if wish is None:
            self.not_yet(str(fault))
        else:
            self.dismiss(wish)

    @on(RowList.Moved)
    def moved(self, event: RowList.Moved) -> None:
        if self.query_one(PickList).has_focus or self._fixed is None:
            self._fixed = event.key
        self.board_changed(self.board)
        self.settle()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        self.query_one("#count", LineView).show([self.beside(event.value)])
        self.settle()
