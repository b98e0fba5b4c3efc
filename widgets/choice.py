"""A button of one line that shows without colour that it has the focus."""

from __future__ import annotations

from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from widgets.line import Line
from widgets.line_view import LineView

SAFE: Final = ("cancel", "no")
"""Ids of the buttons that leave everything as it is."""


class Choice(LineView, can_focus=True):
    """Pressed by Enter or a click, only; what leaves everything as it is by space as well."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "press", show=False),
        Binding("space", "press_safe", show=False),
        Binding("left,k,K", "app.focus_previous", show=False),
        Binding("right,j,J", "app.focus_next", show=False),
    ]

    TYPED_AT: ClassVar[str] = "a button; ↓ or tab goes on"

    class Pressed(Message):
        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

        @property
        def control(self) -> Choice:
            return self.choice

    class TypedAt(Message):
        """Somebody types here as if it were a field; `where` says what it is."""

        def __init__(self, where: str) -> None:
            super().__init__()
            self.where = where

    def __init__(self, label: str, *, id: str) -> None:
        super().__init__(id=id)
        self.label = label
        self.dimmed = False

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return len(self.label) + 4

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1

    def line_at(self, y: int, cells: int) -> Line:
        if self.has_focus:
            return ((f"[▸{self.label} ]", "cursor strong"),)
        return ((f"[ {self.label} ]", "dim" if self.dimmed else ""),)

    def dim(self, dimmed: bool) -> None:
        """Show whether it would do anything; pressing it still says why not."""
        if dimmed != self.dimmed:
            self.dimmed = dimmed
            self.refresh()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        """Text typed at a button would be lost in silence: say so."""
        if event.is_printable and event.character and event.key not in ("j", "J", "k", "K"):
            self.post_message(self.TypedAt(self.TYPED_AT))

    def action_press(self) -> None:
        self.post_message(self.Pressed(self))

    def action_press_safe(self) -> None:
        if self.id in SAFE:
            self.action_press()
        else:
            self.post_message(self.TypedAt("a button; Enter presses it"))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_press()
