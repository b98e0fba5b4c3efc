"""A dialog of lines, a few fields and two buttons: it opens with Cancel focused, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Generic, TypeVar

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.text import justification
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line, cut
from widgets.line_view import LineView

WishT = TypeVar("WishT")
NEEDED: Final = "needed"
LABELS: Final = {"ticket": "ticket", "notes": "notes", "typed": "type"}


class FormDialog(Dialog[WishT | None], Generic[WishT]):
    """Returns a wish, or None. Subclasses draw their lines, say what stands in the way, make the wish."""

    FIELDS: ClassVar[tuple[str, ...]] = ("notes",)
    WORD: ClassVar[str] = ""
    """What must be typed whole in the field `typed`."""
    CONFIRM: ClassVar[str] = "Do it"
    CANCEL: ClassVar[str] = "Cancel"
    DOES: ClassVar[str] = "does it"
    UNSENT: ClassVar[str] = "NOT DONE"

    def __init__(self, title: str, board: Board, *, target: str = "", classes: str = "-loosen") -> None:
        super().__init__(title, board, target=target, classes=classes)
        self.confirm_word, self.unsent_word = self.CONFIRM, self.UNSENT
        self._asked_to_leave = False

    def does(self) -> str:
        """What ctrl+s does, in words."""
        return self.DOES

    def lines(self, board: Board) -> list[Line]:
        return []

    def before(self) -> Iterable[Widget]:
        """Widgets above the fields."""
        return ()

    def barred(self) -> str | None:
        """What stands in the way, whatever was typed."""
        return None

    def wish(self) -> WishT:
        raise NotImplementedError

    def field_fault(self, name: str) -> str | None:
        if name == "notes":
            return notes_fault(self.typed("notes"))
        if name == "typed" and self.typed("typed").strip() != self.WORD:
            return f"type {self.WORD} to confirm"
        return None

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        yield from self.before()
        for name in self.FIELDS:
            with Horizontal(classes="field"):
                yield LineView([((LABELS.get(name, name), "title"),)], classes="field-label")
                yield NotesInput(self.proposal(name), id=name, shows=self.example(name))
                yield LineView([self.beside(name)], id=f"{name}-count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", f"{self.confirm_word} (ctrl+s)"), ("cancel", self.CANCEL))

    def proposal(self, name: str) -> str:
        return self.ticket if name == "ticket" else ""

    def example(self, name: str) -> str:
        """What an empty field shows."""
        return f"type {self.WORD}" if name == "typed" else ""

    def beside(self, name: str) -> Line:
        """What stands right of a field."""
        if name == "notes":
            return notes_count(self._value(name))
        note = self.note(name)
        if note == NEEDED and self._value(name).strip():
            return ((" ✓", "good"),) if self.field_fault(name) is None else ((" not valid", "warn"),)
        return ((f" {note}", "dim"),)

    def note(self, name: str) -> str:
        return {"ticket": NEEDED, "typed": "to confirm"}.get(name, "")

    def prepare(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    def board_changed(self, board: Board) -> None:
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in self.lines(board)])
        if self.ready and not self._said:
            self.hint()

    def typed(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def _value(self, name: str) -> str:
        return "".join(field.value for field in self.query(f"#{name}").results(Input))

    def notes(self) -> str:
        return justification(self.typed("notes"))

    def unsent(self) -> str:
        filled = any(self._value(name).strip() not in ("", self.proposal(name)) for name in self.FIELDS)
        return f"{self.unsent_word}: what you wrote is lost." if filled else ""

    def fault(self) -> str | None:
        if why := self.barred():
            return why
        return next((why for name in self.FIELDS if (why := self.field_fault(name)) is not None), None)

    def missing(self) -> Widget | None:
        if self.barred():
            return None
        return next((self.query_one(f"#{name}") for name in self.FIELDS if self.field_fault(name)), None)

    def hint(self) -> None:
        fault = self.fault()
        said: Line
        if fault is None:
            said = (("ctrl+s", "key"), (f" {self.does()} · ", ""), ("esc", "key"), (" leaves", "dim"))
        else:
            said = ((f"{fault} · ", "dim"), ("tab", "key"), (" next field · ", "dim"), ("esc", "key"))
            said = (*said, (" leaves", "dim"))
        self.foot(said)
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        if fault := self.fault():
            self.not_yet(fault)
        else:
            self.dismiss(self.wish())

    def action_leave(self) -> None:
        if self.unsent() and not self._asked_to_leave:
            self._asked_to_leave = True
            self.say(f"{self.unsent_word}. esc again leaves; ctrl+s {self.does()}; any other key goes on")
            return
        self.dismiss(None)

    def settle(self) -> None:
        self._asked_to_leave = False
        super().settle()

    @on(Input.Changed)
    def changed(self, event: Input.Changed) -> None:
        name = event.input.id or ""
        for beside in self.query(f"#{name}-count").results(LineView):
            beside.show([self.beside(name)])
        self.settle()

    @on(Input.Submitted)
    def entered(self) -> None:
        if fault := self.fault():
            if self.missing() is None:
                self.focus_next()
            self.not_yet(fault)
        else:
            self.set_focus(self.query_one("#confirm"))

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "confirm":
            self.action_confirm()
        else:
            self.dismiss(None)
