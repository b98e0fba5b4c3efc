"""Dialogs that end a size limit, or an exclusion from an error budget: with Cancel focused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cockpit.domain.breakers import BreakerId
from cockpit.domain.permissions import Permission
from cockpit.domain.slo_reports import SloReport
from cockpit.domain.text import clean, justification
from widgets.board import Board
from widgets.dialog import notes_fault
from widgets.line import Line, cut, wrap
from widgets.line_view import LineView
from widgets.next_steps import adjusting_blocked, lacks
from widgets.pick_dialog import PickDialog, PickList
from widgets.size_words import limit_words, limits_about
from widgets.slo_details import exclusion_words


@dataclass(frozen=True, slots=True)
class PickWish:
    """End what bears this id: a size limit, an exclusion."""

    picked: str
    breaker_id: BreakerId
    notes: str


class EndDialog(PickDialog[PickWish]):
    """A list of what may be ended, notes that must be written; the first row is marked, Cancel focused.
    Subclasses say what is listed."""

    TITLE_STYLE = "probing"
    EMPTY = "nothing is in force"
    CONFIRM = "End it"
    DOES = "ends the marked one"
    GONE = "that one is no longer in force; choose anew"
    SIDE = ""
    """What follows from it, in words."""

    def __init__(self, title: str, board: Board) -> None:
        super().__init__(title, board, classes="-loosen")

    def wish(self) -> PickWish | None:
        picked = self.listed(self.board).get(self._fixed or "")
        if picked is None or self._fixed is None:
            return None
        return PickWish(self._fixed, picked[0], justification(self._typed()))

    def prepare(self) -> None:
        super().prepare()
        self.set_focus(self.query_one("#cancel"))

    def listed(self, board: Board) -> Mapping[str, tuple[BreakerId, str]]:
        """Id → breaker and words, in the order in which they are listed."""
        return {}

    def barred(self, breaker_id: BreakerId) -> str | None:
        """Why this login may not end it."""
        return None

    def board_changed(self, board: Board) -> None:
        found = self.listed(board)
        picks = self.query_one(PickList)
        picks.rows(list(found), self._line)
        picked = found.get(self._fixed or picks.key or "")
        lines = wrap(picked[1], self.cells, 3) if picked else []
        self.query_one("#body", LineView).show([*lines, *wrap(self.SIDE, self.cells, 2, "dim")])

    def _line(self, key: str, cells: int) -> Line:
        found = self.listed(self.board).get(key)
        if found is None:
            return ((key, "dim"),)
        return cut(((f"{self.mark(key)} ", "strong"), (clean(found[1], 300), "")), cells)

    def fault(self) -> str | None:
        picked = self.listed(self.board).get(self._fixed or "")
        if picked is None:
            return self.EMPTY if self._fixed is None else self.GONE
        if why := self.barred(picked[0]):
            return why
        return adjusting_blocked(self.board) or notes_fault(self._typed())


class LiftDialog(EndDialog):
    """Size limits in force that concern one breaker: its own and those above and below it."""

    CONFIRM = "Lift the limit"
    UNSENT = "NOT LIFTED"
    GONE = "that limit is no longer in force; choose anew"
    SIDE = "Orders grow back to what the other limits, budgets and breakers allow; nothing else changes."

    def __init__(self, breaker_id: str, board: Board) -> None:
        self._about = breaker_id
        super().__init__(f"LIFT a size limit · {breaker_id} and what stands above and below it", board)

    def listed(self, board: Board) -> Mapping[str, tuple[BreakerId, str]]:
        return {row.limit_id: (row.breaker_id, limit_words(row)) for row in limits_about(board, self._about)}

    def barred(self, breaker_id: BreakerId) -> str | None:
        return lacks(self.board, breaker_id, Permission.RESET_CIRCUIT)


class IncludeDialog(EndDialog):
    """Exclusions of one SLO that are in force."""

    CONFIRM = "Take it back"
    UNSENT = "NOT TAKEN BACK"
    GONE = "that exclusion is no longer in force; choose anew"
    SIDE = "The events count again. It may turn the budget RED; it resumes nothing."

    def __init__(self, slo: str, board: Board) -> None:
        self._slo = slo
        super().__init__(f"TAKE BACK an exclusion of {clean(slo, 60)}", board)

    def listed(self, board: Board) -> Mapping[str, tuple[BreakerId, str]]:
        report = board.slos.report(self._slo) if board.slos else None
        rows = report.exclusions if isinstance(report, SloReport) else ()
        breaker = report.breaker if report else BreakerId("global")
        return {row.exclusion_id: (breaker, exclusion_words(row)) for row in rows if row.in_force}

    def barred(self, breaker_id: BreakerId) -> str | None:
        return lacks(self.board, breaker_id, Permission.ADJUST_BUDGET)
