"""A panel whose rows have a wanted order, and hold still while somebody reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import on
from textual.widget import Widget

from cockpit.screens.filtering import FilteredPanel
from cockpit.screens.panel import Host
from widgets.board import Board
from widgets.held_order import HeldOrder
from widgets.line import Line
from widgets.line_view import LineView
from widgets.row_list import RowList
from widgets.times import clock_s

LIST_SHARE = 0.6


class OrderedPanel(FilteredPanel):
    """Sorted on entry, by `s`, and where the cursor has rested for long. Subclasses name their views and
    draw their lines."""

    WANTED: ClassVar[str] = "worst first"
    NAME: ClassVar[str] = ""
    DETAIL_LEAST: ClassVar[int] = 1
    """Lines below the list that it leaves room for."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.order = HeldOrder()

    def parts(self) -> Sequence[Widget]:
        name = self.NAME
        return (
            LineView(id=f"{name}-status"),
            LineView(id=f"{name}-heading"),
            RowList(id=self.LIST.removeprefix("#"), empty=" nothing to show"),
            LineView(id=f"{name}-detail"),
        )

    def wanted(self, board: Board) -> tuple[str, ...]:
        """The keys of the rows as they should stand by now."""
        return ()

    def ranks(self, board: Board) -> Mapping[str, float]:
        """How much each row belongs to the top."""
        return {}

    def status_lines(self, board: Board, order: Line, cells: int) -> list[Line]:
        return []

    def heading_line(self, cells: int) -> Line:
        return ()

    def row_line(self, board: Board, key: str, cells: int) -> Line:
        return ()

    def detail_lines(self, board: Board, cells: int) -> list[Line]:
        """All about the row under the cursor."""
        return []

    def wants_row(self, board: Board, key: str) -> bool:
        """Whether the filter lets the row through."""
        return self.matches(key)

    def board_changed(self, board: Board, cells: int) -> None:
        wanted = self.wanted(board)
        keys = self.order.of(wanted, board.monotonic, board.now)
        status = self.status_lines(board, self._order_words(self.ranks(board)), cells)
        self.query_one(f"#{self.NAME}-status", LineView).show(status)
        self.query_one(f"#{self.NAME}-heading", LineView).show([self.heading_line(cells - 1)])
        shown = tuple(key for key in keys if self.wants_row(board, key)) if self.filter_text else keys
        self.rows.rows(shown, lambda key, room: self.row_line(board, key, room))
        self.bound_list(len(status) + 1 + self.DETAIL_LEAST, LIST_SHARE)
        view = self.query_one(f"#{self.NAME}-detail", LineView)
        view.show(_head(self.detail_lines(board, cells), view.size.height))

    def _order_words(self, ranks: Mapping[str, float]) -> Line:
        if self.order.holds(ranks):
            return ((self.WANTED, "dim"),)
        at = clock_s(self.order.sorted_at)
        return ((f"order of {at}, no longer {self.WANTED} · ", "warn"), ("s", "key"), (" sorts", "warn"))

    def entered(self) -> None:
        self.order.sort()

    def action_sort(self) -> None:
        self.order.sort()
        self.follow(self.host.board)

    def action_move(self, by: int) -> None:
        self.order.touch(self.host.board.monotonic)
        super().action_move(by)

    def action_back(self) -> None:
        if self.filter_text or self.query("#filter.-open"):
            super().action_back()
        else:
            self.app.switch_mode("overview")

    @on(RowList.Moved)
    def moved(self) -> None:
        self.follow(self.host.board)


def _head(lines: list[Line], room: int) -> list[Line]:
    """As much as there is room for; the last line says that there is more."""
    if len(lines) <= room:
        return lines
    if room <= 0:
        return lines[:1]
    return [*lines[: room - 1], ((f"… {len(lines) - room + 1} more lines: ", "dim"), ("enter", "key"))]
