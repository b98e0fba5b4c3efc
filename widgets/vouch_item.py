"""One item of the checklist that a person answers for: it has the focus by itself, so none is passed over."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from widgets.line import Line
from widgets.line_view import LineView


class VouchItem(LineView, can_focus=True):
    """Space answers for this item and takes the answer back; Enter only goes on. No key answers for all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "vouch", show=False, id="dialog.toggle"),
        Binding("enter,j,J", "app.focus_next", show=False),
        Binding("k,K", "app.focus_previous", show=False),
    ]

    class Toggled(Message):
        """Answered for, or taken back."""

    def __init__(self, item_id: str, text: str) -> None:
        super().__init__(id=f"vouch-{item_id}", classes="vouch")
        self.item_id = item_id
        self.text = text
        self.answered = False

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1

    def line_at(self, y: int, cells: int) -> Line:
        focused = self.has_focus
        row = " cursor" if focused else ""
        box = ("[x] ", f"good{row}") if self.answered else ("[ ] ", f"key{row}")
        return (("▸" if focused else " ", f"key{row}"), box, (self.text, row.strip()))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def action_vouch(self) -> None:
        self.answered = not self.answered
        self.refresh()
        self.post_message(self.Toggled())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_vouch()
