"""The dialog that leaves an agreed stretch of time out of an error budget. It loosens: Cancel is focused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from textual.widget import Widget

from cockpit.domain.adjustments import Stretch, exclusion_fault
from cockpit.domain.breakers import BreakerId
from cockpit.domain.slo_reports import SloReport
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.dialog import notes_fault
from widgets.form_dialog import FormDialog
from widgets.line import Line, wrap
from widgets.next_steps import adjusting_blocked
from widgets.slo_signs import percent, shown_state, state_words
from widgets.times import parse_moment, span


@dataclass(frozen=True, slots=True)
class ExcludeWish:
    """Leave the events of `slo` in (from_at, until_at] out of its budget."""

    breaker_id: BreakerId
    slo: str
    from_at: datetime
    until_at: datetime
    notes: str


class ExcludeDialog(FormDialog[ExcludeWish]):
    """Returns an `ExcludeWish`, or None. `report` is the SLO that was under the cursor."""

    TITLE_STYLE = "probing"
    FIELDS = ("from", "until", "notes")
    CONFIRM = "Ask for the exclusion"
    UNSENT = "NOT ASKED"

    def __init__(self, report: SloReport, board: Board) -> None:
        super().__init__(
            f"EXCLUDE from the budget of {clean(report.name, 60)} · asks a second safety-admin", board
        )
        self.slo = report.slo

    def does(self) -> str:
        stretch = self._stretch()
        long = span((stretch.until_at - stretch.from_at).total_seconds())
        return f"asks to leave out {stretch.from_at:%d %b %H:%M}-{stretch.until_at:%d %b %H:%M} ({long})"

    def example(self, name: str) -> str:
        return "" if name == "notes" else "03:10 or 2026-11-21 03:10"

    def note(self, name: str) -> str:
        return {"from": "UTC, exclusive", "until": "UTC, inclusive"}[name]

    def lines(self, board: Board) -> list[Line]:
        report = board.slos.report(self.slo.name) if board.slos else None
        lines: list[Line] = []
        if isinstance(report, SloReport):
            left = "" if report.remaining is None else f", {percent(report.remaining)} of the budget left"
            lines.append(
                (("now    ", "title"), (f"{state_words(report, shown_state(board, report))}{left}", ""))
            )
        lines += wrap(
            "Only what was agreed not to count: maintenance, a venue's announced outage. The events stay; "
            "the budget omits them once another safety-admin approves (A); u takes it back.",
            self.cells,
            3,
            "dim",
        )
        return lines

    def _stretch(self) -> Stretch:
        """
        Raises:
            ValueError: a time that is none; the message names the field.
        """
        times = []
        for name in ("from", "until"):
            try:
                times.append(parse_moment(self.typed(name), self.board.desk_now))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return Stretch(self.slo.name, times[0], times[1])

    def fault(self) -> str | None:
        if blocked := adjusting_blocked(self.board):
            return blocked
        if self.board.slos is None:
            return "the objectives have not been read"
        try:
            stretch = self._stretch()
        except ValueError as error:
            return str(error)
        if stretch.until_at <= stretch.from_at:
            return "until: it does not lie after from"
        wrong = exclusion_fault(stretch, self.slo.breaker, self.board.slos, self.board.desk_now)
        return wrong or notes_fault(self.typed("notes"))

    def missing(self) -> Widget | None:
        if adjusting_blocked(self.board) or self.board.slos is None:
            return None
        name = (self.fault() or "").partition(":")[0]  # each fault of a time begins with its field's name
        return self.query_one(f"#{name}" if name in self.FIELDS else "#notes")

    def wish(self) -> ExcludeWish:
        asked = self._stretch()
        return ExcludeWish(self.slo.breaker, asked.slo, asked.from_at, asked.until_at, self.notes())

    def unsent(self) -> str:
        lost = f"{self.unsent_word}: the exclusion from {self.slo.name} that you wrote is lost."
        return lost if super().unsent() else ""

    def action_leave(self) -> None:
        """At once: a draft that is lost here holds up no halt and no resume."""
        self.dismiss(None)
