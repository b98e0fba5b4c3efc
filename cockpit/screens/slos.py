"""Panel 2: how healthy the platform is by its own objectives, and what that allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from cockpit.domain.permissions import Permission
from cockpit.domain.slo_reports import Report, SloReport, SloSnapshot
from cockpit.keymap import SLO_SCREEN_KEYS
from cockpit.screens.ordered import OrderedPanel
from cockpit.screens.overview import halt_due
from cockpit.screens.panel import Host
from widgets.board import Board
from widgets.halts_due import due
from widgets.keys import Key, bindings
from widgets.line import Line, fit
from widgets.slo_details import report_lines
from widgets.slo_rows import slo_heading, slo_line, status_lines, wanted_order
from widgets.slo_signs import shown_state, state_words

if TYPE_CHECKING:
    from widgets.dialog import Dialog


class SloPanel(OrderedPanel):
    """An objective a row, the selected one in words below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(SLO_SCREEN_KEYS)]
    KEYS = SLO_SCREEN_KEYS
    LIST = "#slos"
    NAME = "slo"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._named: tuple[SloSnapshot | None, dict[str, Report]] = (None, {})

    @property
    def report(self) -> Report | None:
        """The objective under the cursor."""
        return self._report(self.host.board, self.rows.key)

    def _report(self, board: Board, key: str | None) -> Report | None:
        if self._named[0] is not board.slos:
            found = board.slos.reports if board.slos else ()
            self._named = (board.slos, {each.name: each for each in found})
        return self._named[1].get(key or "")

    @property
    def selected(self) -> str | None:
        return self.report.breaker if self.report is not None else None

    def asks_for_halt(self, board: Board) -> SloReport | None:
        return next((each for each in due(board) if each.name == self.rows.key), None)

    def details(self, board: Board) -> Dialog[str | None] | None:
        report = self.report
        if report is None:
            return None
        from widgets.views import LinesDialog

        name = report.name

        def draw(now: Board, cells: int) -> list[Line]:
            found = now.slos.report(name) if now.slos else None
            return report_lines(now, found, cells) if found else [(("no longer loaded", "unknown"),)]

        return LinesDialog("OBJECTIVE", board, draw)

    def wanted(self, board: Board) -> tuple[str, ...]:
        return wanted_order(board)

    def ranks(self, board: Board) -> Mapping[str, float]:
        return {each.name: each.state.severity for each in (board.slos.reports if board.slos else ())}

    def status_lines(self, board: Board, order: Line, cells: int) -> list[Line]:
        return status_lines(board, order, cells)

    def heading_line(self, cells: int) -> Line:
        return slo_heading(cells)

    def row_line(self, board: Board, key: str, cells: int) -> Line:
        report = self._report(board, key)
        return slo_line(board, report, cells) if report is not None else ((fit(key, cells), "dim"),)

    def wants_row(self, board: Board, key: str) -> bool:
        report = self._report(board, key)
        if report is None:
            return self.matches(key)
        return self.matches(key, report.breaker, state_words(report, shown_state(board, report)))

    def detail_lines(self, board: Board, cells: int) -> list[Line]:
        report = self.report
        return report_lines(board, report, cells - 1) if report is not None else []

    def works(self, key: Key, board: Board) -> bool:
        report = self.report
        match key.key_id:
            case "slo.trip" | "slo.details":
                return report is not None
            case "slo.halt-due":
                return halt_due(board)
            case "slo.exclude":
                return isinstance(report, SloReport) and _may_adjust(board, report)
            case "slo.include":
                return isinstance(report, SloReport) and any(each.in_force for each in report.exclusions)
            case "slo.approvals":
                return bool(board.waiting())
            case _:
                return True


def _may_adjust(board: Board, report: SloReport) -> bool:
    from widgets.next_steps import lacks

    return lacks(board, report.breaker, Permission.ADJUST_BUDGET) is None
