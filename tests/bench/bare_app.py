"""The yardstick of the screen: a bare Textual app with one DataTable."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import DataTable


class BareApp(App[None]):
    def compose(self) -> ComposeResult:
        yield DataTable()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("Breaker", "State", "Halted by", "Since", "By", "Reason", "Epoch", "Next")
        for number in range(12):
            table.add_row(f"instrument:{number}", "CLOSED", "", "", "", "", "1", "t")


if __name__ == "__main__":
    BareApp().run()
