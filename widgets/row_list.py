"""A list of rows of which only the visible ones are drawn, with a cursor that stays on its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.geometry import Region, Size
from textual.message import Message

from widgets.line import Line, fit, width
from widgets.line_view import LineView, changed_region

DrawRow = Callable[[str, int], Line]
"""Key and width in cells → what the row shows, right of the cell that marks the cursor."""


class RowList(LineView, can_focus=True):
    """Rows by key. The cursor follows its key through inserts, removals and sorting; where the key goes,
    the cursor stays at its place in the list. A thousand rows cost what the visible ones cost."""

    KEEPS_CURSOR: ClassVar[bool] = True
    """Whether the cursor's row stays marked while something else has the focus."""

    class Moved(Message):
        """The cursor is on another key."""

        def __init__(self, row_list: RowList, key: str | None) -> None:
            super().__init__()
            self.row_list = row_list
            self.key = key

        @property
        def control(self) -> RowList:
            return self.row_list

    class Resized(Message):
        """It shows more or fewer rows than before."""

    def __init__(self, *, id: str | None = None, empty: str = "") -> None:
        super().__init__(id=id)
        self._draw: DrawRow = lambda key, _cells: ((key, ""),)
        self._keys: tuple[str, ...] = ()
        self._index: dict[str, int] = {}
        self._shown: dict[int, Line] = {}
        self._top = 0
        self._empty = empty
        self.key: str | None = None
        self.drawn = False  # whether a row has been rendered for the terminal

    @property
    def keys(self) -> tuple[str, ...]:
        return self._keys

    @property
    def hidden(self) -> tuple[int, int]:
        """How many rows are above and below the visible ones."""
        height = self.size.height
        return (self._top, max(0, len(self._keys) - self._top - height)) if height else (0, 0)

    def rows(self, keys: Sequence[str], draw: DrawRow) -> None:
        """Show these rows; of the visible ones, what changed is drawn."""
        self._draw = draw
        fresh = tuple(keys)
        if fresh != self._keys:
            before = self._at()
            resized = len(fresh) != len(self._keys)
            self._keys = fresh
            self._index = {key: index for index, key in enumerate(fresh)}
            if self.key not in self._index:
                self._set_key(fresh[min(before, len(fresh) - 1)] if fresh else None)
            self._scroll_to_cursor()
            if resized:
                self.refresh(layout=True)
        self._repaint()

    def move(self, by: int) -> None:
        if self._keys:
            self.select(self._keys[max(0, min(len(self._keys) - 1, self._at() + by))])

    def select(self, key: str) -> None:
        """Put the cursor on `key`, where it is in the list."""
        if key in self._index and key != self.key:
            self._set_key(key)
            self._scroll_to_cursor()
            self._repaint()

    def lead(self, key: str) -> None:
        """Put the cursor on `key`, and its row at the top as far as there are rows below it."""
        if key in self._index:
            self.select(key)
            self._top = self._at()
            self._scroll_to_cursor()
            self._repaint()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._keys))

    def on_focus(self) -> None:
        self.call_next(self._repaint)  # once Textual has noted the focus

    def on_blur(self) -> None:
        self.call_next(self._repaint)

    def has_key(self, key: str) -> bool:
        """Whether the list itself does something on this key."""
        return key in self._bindings.key_to_bindings

    def page(self) -> int:
        """How far a page key moves."""
        return max(1, self.size.height - 1)

    def line_at(self, y: int, cells: int) -> Line:
        self.drawn = True
        if y not in self._shown:
            self._shown[y] = self._compose_line(y, cells)
        return self._shown[y]

    def _compose_line(self, y: int, cells: int) -> Line:
        index = self._top + y
        if not self._keys and y == 0:
            return ((self._empty, "dim"),)
        if index >= len(self._keys):
            return ()
        key = self._keys[index]
        line = self._draw(key, cells - 1)
        if key != self.key or not (self.has_focus or self.KEEPS_CURSOR):
            return ((" ", ""), *line)
        line = (("▸" if self.has_focus else " ", "key"), *line)
        pad = max(0, cells - width(line))
        return (*((text, f"{style} cursor".strip()) for text, style in line), (fit("", pad), "cursor"))

    def _repaint(self) -> None:
        cells = self.size.width
        fresh = {y: self._compose_line(y, cells) for y in range(self.size.height)}
        old, self._shown = self._shown, fresh
        regions: list[Region] = [
            changed_region(y, old[y], line) if y in old else Region(0, y, cells, 1)
            for y, line in fresh.items()
            if y not in old or old[y] != line
        ]
        if regions:
            self.refresh(*regions)

    def _at(self) -> int:
        return self._index.get(self.key or "", 0)

    def _set_key(self, key: str | None) -> None:
        self.key = key
        self.post_message(self.Moved(self, key))

    def _scroll_to_cursor(self) -> None:
        height = max(1, self.size.height)
        top = min(self._top, max(0, len(self._keys) - height))
        self._top = max(min(top, self._at()), self._at() - height + 1)

    def on_resize(self, event: events.Resize) -> None:
        self._shown.clear()
        self._scroll_to_cursor()
        self.refresh()
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        index = self._top + event.y
        if index < len(self._keys):
            self.select(self._keys[index])

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)
