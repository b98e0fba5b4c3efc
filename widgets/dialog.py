"""What every dialog has: a frame, a title, live lines, a foot that says what stands in the way.

A dialog's target is fixed when it is made; it follows the board, so that a trip that arrives meanwhile is
told before anything is confirmed (F6). It returns a typed wish and does nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Generic, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.documents import Epoch
from cockpit.domain.text import MAX_NOTES, MIN_NOTES, BadNotes, justification
from widgets.board import Board
from widgets.choice import Choice
from widgets.keys import CONFIRM, LEAVE, bindings
from widgets.line import Line, cut, fold
from widgets.line_view import LINE_CLASSES, LineView
from widgets.symbols import example

ResultT = TypeVar("ResultT")
TYPING_S: Final = 0.5
"""A key that follows text within this time is text as well."""
_MOVES: Final = ("j", "J", "k", "K", "space")


class Dialog(ModalScreen[ResultT], Generic[ResultT]):
    """A modal screen on one target. Subclasses yield their parts from `parts` and draw in `board_changed`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings((CONFIRM, LEAVE)),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = set(LINE_CLASSES)
    AUTO_FOCUS: ClassVar[str | None] = None
    TITLE_STYLE: ClassVar[str] = "strong"

    class Ready(Message):
        """The dialog stands and takes keys."""

    def __init__(self, title: str, board: Board, *, target: str = "", classes: str = "") -> None:
        super().__init__(classes=classes)
        self.board = board
        self.target = target
        self.epoch: Epoch | None = board.epoch(target) if target else None
        self._title = title
        self._said = False
        self._fault: str | None = None
        self._text_at = float("-inf")
        self._led_to: Widget | None = None
        self.asked_by = ""  # what else than a key of its own has opened it, in words
        self.ticket = ""  # of the incident whose step has opened it: proposed where a ticket is asked for
        self.ready = False

    def compose(self) -> ComposeResult:
        with Vertical(id="frame"):
            yield LineView([((self._title, self.TITLE_STYLE),)], id="title")
            if self.asked_by:
                yield LineView([cut(((self.asked_by, "strong"),), self.cells)], id="asked-by")
            yield from self.parts()
            yield LineView([(("", ""),)], id="foot")

    def parts(self) -> Iterable[Widget]:
        return ()

    def on_mount(self) -> None:
        self.board_changed(self.board)
        self.prepare()
        self.hint()
        self._fault = self.fault()
        self.ready = True
        self.app.post_message(self.Ready())

    def prepare(self) -> None:
        """Fill and focus what is there from the start. (Textual calls `on_mount` of every class in turn, so
        subclasses use this.)"""

    def on_resize(self) -> None:
        self.follow(self.board)

    def follow(self, board: Board) -> None:
        """A newer board: draw it."""
        self.board = board
        if self.ready and self.query("#body"):  # a dialog that is going away has no body any more
            self.board_changed(board)
            if self.fault() != self._fault:  # also what was said of the old one is over
                self.settle()

    def board_changed(self, board: Board) -> None:
        """Draw what depends on the board."""

    def retitle(self, title: str) -> None:
        """Where the title says how something stands, it follows the board too."""
        self._title = title
        self.query_one("#title", LineView).show([((title, self.TITLE_STYLE),)])

    @property
    def cells(self) -> int:
        """Width of the lines inside the frame."""
        return max(20, min(self.size.width, 104) - 4)

    @property
    def overtaken(self) -> bool:
        """Whether the target was tripped anew since the dialog was opened."""
        return bool(self.target) and self.board.epoch(self.target) != self.epoch

    def foot(self, line: Line) -> None:
        for foot in self.query("#foot").results(LineView):
            foot.show(fold(line, self.cells, 2))

    def say(self, text: str, style: str = "warn") -> None:
        """A word about what was just pressed; stays until the next change."""
        self._said = True
        self.foot(((text, style),))

    def fault(self) -> str | None:
        """What stands in the way of confirming; None: nothing."""
        return None

    def unsent(self) -> str:
        """What would be lost if the screen went away now, in words; empty: nothing."""
        return ""

    def takes(self, key: events.Key) -> bool:
        """Whether the key ends here. What is typed on a list, a checklist or a button, and is no key of it,
        goes to the first field that is still empty. (A `Choice` that stands by no field says what it is.)"""
        if isinstance(self.focused, Input) or not (key.is_printable and key.character):
            self._text_at = float("-inf")
            return False
        if self._field_for_text() is None:
            return self._within_text(key)
        if key.key in self.active_bindings:
            return False
        self.write(key.character)
        return True

    def _within_text(self, key: events.Key) -> bool:
        """Within text that is typed where no field is no key means anything: its j and k move nothing."""
        if not isinstance(self.focused, Choice):
            return False
        within = key.time - self._text_at < TYPING_S
        if within or key.key not in _MOVES:
            self._text_at = key.time
        if within:
            self.post_message(Choice.TypedAt(self.focused.TYPED_AT))
        return within

    def _field_for_text(self) -> Input | None:
        """The first field that is still empty; where none is, the notes, else the last."""
        fields = [each for each in self.focus_chain if isinstance(each, Input)]
        empty = (each for each in fields if not each.value)
        notes = (each for each in fields if each.id == "notes")
        return next(empty, None) or next(notes, None) or (fields[-1] if fields else None)

    def write(self, text: str) -> bool:
        """Focus the field that text belongs to and put it where its cursor is. False: there is no field, or
        one has the focus, which takes it by itself."""
        field = self._field_for_text()
        if field is None or isinstance(self.focused, Input):
            return False
        self.set_focus(field)
        field.insert_text_at_cursor(text)
        return True

    def missing(self) -> Widget | None:
        """Where what is missing would be filled in; None: nowhere here."""
        return None

    def not_yet(self, fault: str) -> None:
        """It was confirmed and cannot be: say why, and go where that is mended."""
        target = self.missing()
        if target is not None and target is not self.focused:
            self._led_to = target
            self.set_focus(target)
        self.say(f"not yet: {fault}")

    def hint(self) -> None:
        """What the keys do here."""
        self.foot(((f"{LEAVE.display} leaves", "dim"),))

    def settle(self) -> None:
        """Something changed: what was said is over."""
        if self._said:
            self._said = False
        self.hint()
        self._fault = self.fault()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        led, self._led_to = event.widget is self._led_to, None
        if self.ready and not led:  # what was said of it still holds
            self.settle()

    @on(Choice.TypedAt)
    def typed_beside_a_field(self, event: Choice.TypedAt) -> None:
        self.say(f"what you type goes nowhere: this is {event.where}")

    def action_leave(self) -> None:
        self.dismiss(None)

    def action_confirm(self) -> None:
        """Nothing to confirm, unless a subclass says otherwise."""


class NotedDialog(Dialog[ResultT], Generic[ResultT]):
    """One with notes, a button `confirm` and one that leaves. Enter in the notes goes on to the former."""

    @on(Input.Submitted)
    def entered(self) -> None:
        if fault := self.fault():
            self.not_yet(fault)
        else:
            self.set_focus(self.query_one("#confirm"))

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "confirm":
            self.action_confirm()
        else:
            self.action_leave()


class NotesInput(Input):
    """One line of justification. `shows`: what it shows while it is empty. No blinking cursor: it would cost
    2.5 KB/s."""

    def __init__(self, value: str = "", *, id: str = "notes", shows: str = "") -> None:
        super().__init__(
            value,
            placeholder=example(shows),
            id=id,
            max_length=MAX_NOTES + 100,
            compact=True,
            select_on_focus=False,
        )
        self.cursor_blink = False


def notes_fault(text: str) -> str | None:
    """Why the notes do not count yet."""
    try:
        justification(text)
    except BadNotes as error:
        return str(error)
    return None


def notes_count(text: str) -> Line:
    """`12/20` until they are enough, then what is left."""
    length = len(" ".join(text.split()))
    if length < MIN_NOTES:
        return ((f" {length}/{MIN_NOTES} needed", "warn"),)
    if length > MAX_NOTES:
        return ((f" {length - MAX_NOTES} too many", "bad"),)
    return ((f" {length} of {MAX_NOTES} ✓", "good"),)


def choices(*pairs: tuple[str, str]) -> Iterable[Choice]:
    """Buttons of (id, label)."""
    return [Choice(label, id=name) for name, label in pairs]
