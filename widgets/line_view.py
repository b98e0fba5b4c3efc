"""Widgets that show lines and send the terminal only the lines that changed.

A repaint of a whole table at each refresh costs some 14 KB; here an unchanged screen costs nothing and a
changed line costs that line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from cockpit.domain.text import clean
from widgets.line import STYLES, Line, cut, width
from widgets.symbols import Alphabet, to_ascii

LINE_CLASSES: Final = frozenset(f"line--{name}" for name in STYLES)
"""Component classes of every screen that holds a `LineView`: kept there once, since a style sheet is matched
against each of them at each restyling of the widget that has them, which with one set a widget is most of the
time to the first frame."""


class LineView(Widget, can_focus=False):
    """Shows `lines`, one a row. Its height follows them where the style sheet says `height: auto`.

    Its screen has `LINE_CLASSES` among its component classes.
    """

    def __init__(
        self, lines: Sequence[Line] = (), *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = tuple(lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; what is equal to what stands there is not sent again."""
        old, new = self._lines, tuple(lines)
        if old == new:
            return
        self._lines = new
        if len(old) != len(new):
            if self.styles.height is not None and self.styles.height.is_auto:
                self.refresh(layout=True)
            else:
                self.refresh()
            return
        self.refresh(
            *(
                changed_region(y, *pair)
                for y, pair in enumerate(zip(old, new, strict=True))
                if pair[0] != pair[1]
            )
        )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return container.width

    def line_at(self, y: int, cells: int) -> Line:
        """What row `y` of the widget shows."""
        return self._lines[y] if y < len(self._lines) else ()

    def render_line(self, y: int) -> Strip:
        cells = self.size.width
        base = self.rich_style
        line = cut(self.line_at(y, cells), cells)
        strip = Strip([Segment(safe(text), self.style_named(style, base)) for text, style in line])
        return strip.adjust_cell_length(cells, base)

    def style_named(self, name: str, base: Style) -> Style:
        if not name:
            return base
        style = base
        for part in name.split():
            style += self.screen.get_component_rich_style(f"line--{part}", partial=True)
        return style


def safe(text: str) -> str:
    """The last door before the terminal (I26): whatever slipped past the others is made harmless here."""
    safe = text if text.isascii() and text.isprintable() else clean(text)
    return to_ascii(safe) if Alphabet.ascii else safe


def changed_region(y: int, old: Line, new: Line) -> Region:
    """The part of row `y` from the first span that differs to the end; equal tails of equal length stay."""
    start = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        start += width((after,))
    tail = 0
    if width(old) == width(new):
        for before, after in zip(reversed(old), reversed(new), strict=False):
            if before != after or start + tail >= width(new):
                break
            tail += width((after,))
    end = max(width(old), width(new)) - tail
    return Region(start, y, max(1, end - start), 1)
