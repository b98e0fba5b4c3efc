"""Panel 6: how near each automatic trigger is to its threshold, as the acting guard publishes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from cockpit.domain.trigger_reports import TriggerReport
from cockpit.keymap import TRIGGER_SCREEN_KEYS
from cockpit.screens.ordered import OrderedPanel
from widgets.board import Board
from widgets.keys import Key, bindings
from widgets.line import Line, fit
from widgets.trigger_rows import (
    rank,
    reports,
    status_lines,
    trigger_details,
    trigger_heading,
    trigger_line,
    wanted_order,
)

if TYPE_CHECKING:
    from widgets.dialog import Dialog


class TriggerPanel(OrderedPanel):
    """A rule a row, the selected one and its samples below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(TRIGGER_SCREEN_KEYS)]
    KEYS = TRIGGER_SCREEN_KEYS
    LIST = "#triggers"
    NAME = "trigger"
    WANTED = "nearest first"

    @property
    def selected(self) -> str | None:
        """What the rule is aimed at, where it is a breaker: a trip is possible without any guard."""
        report = _report(self.host.board, self.rows.key)
        if report is None:
            return None
        aim = f"instrument:{report.subject}" if report.aim == "instrument" else report.aim
        return aim if aim in self.host.board.catalogue else None

    def details(self, board: Board) -> Dialog[str | None] | None:
        key = self.rows.key
        if _report(board, key) is None:
            return None
        from widgets.views import LinesDialog

        def draw(now: Board, cells: int) -> list[Line]:
            found = _report(now, key)
            return trigger_details(now, found, cells) if found else [(("no longer published", "unknown"),)]

        return LinesDialog("TRIGGER", board, draw)

    def wanted(self, board: Board) -> tuple[str, ...]:
        return wanted_order(board)

    def ranks(self, board: Board) -> Mapping[str, float]:
        return {report.rule: rank(report) for report in reports(board)}

    def status_lines(self, board: Board, order: Line, cells: int) -> list[Line]:
        return status_lines(board, order, cells)

    def heading_line(self, cells: int) -> Line:
        return trigger_heading(cells)

    def row_line(self, board: Board, key: str, cells: int) -> Line:
        report = _report(board, key)
        return trigger_line(board, report, cells) if report is not None else ((fit(key, cells), "dim"),)

    def wants_row(self, board: Board, key: str) -> bool:
        report = _report(board, key)
        if report is None:
            return self.matches(key)
        return self.matches(key, report.title, report.state.value, report.aim, report.mode, report.subject)

    def detail_lines(self, board: Board, cells: int) -> list[Line]:
        report = _report(board, self.rows.key)
        return trigger_details(board, report, cells - 1) if report is not None else []

    def works(self, key: Key, board: Board) -> bool:
        match key.key_id:
            case "trigger.trip":
                return self.selected is not None
            case "trigger.details":
                return _report(board, self.rows.key) is not None
            case _:
                return True


def _report(board: Board, key: str | None) -> TriggerReport | None:
    return next((report for report in reports(board) if report.rule == key), None)
