"""The filter line of a panel: opens over the status line, narrows the list as one types."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from cockpit.screens.panel import Panel
from widgets.symbols import example


class FilterInput(Input):
    """Without a blinking cursor."""

    def __init__(self) -> None:
        shown = example("filter: enter keeps it, esc clears it")
        super().__init__(placeholder=shown, id="filter", compact=True)
        self.cursor_blink = False


class FilteredPanel(Panel):
    """A panel whose list `/` narrows. Subclasses use `matches` and draw in `board_changed`."""

    def matches(self, *texts: str) -> bool:
        wanted = self.filter_text.lower()
        return not wanted or any(wanted in text.lower() for text in texts)

    def action_filter(self) -> None:
        found = self.query("#filter")
        if not found:
            self.mount(FilterInput(), before="#status")
        self.call_after_refresh(self._open_filter)

    def _open_filter(self) -> None:
        field = self.query_one("#filter", FilterInput)
        field.add_class("-open")
        self.set_focus(field)

    def action_back(self) -> None:
        """Esc: out of the filter field, then the filter itself."""
        self.filter_text = ""
        for field in self.query(FilterInput):
            field.value = ""
            field.remove_class("-open")
        self.set_focus(self.rows)
        self.follow(self.host.board)

    @on(Input.Changed, "#filter")
    def filter_typed(self, event: Input.Changed) -> None:
        self.filter_text = event.value.strip()
        self.follow(self.host.board)

    @on(Input.Submitted, "#filter")
    def filter_kept(self, event: Input.Submitted) -> None:
        event.input.remove_class("-open")
        self.set_focus(self.rows)
