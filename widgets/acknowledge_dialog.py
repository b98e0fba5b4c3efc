"""The dialog that acknowledges an open incident."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.desk import IncidentRow
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.dialog import notes_fault
from widgets.line import Line, cut, fit, wrap
from widgets.line_view import LineView
from widgets.pick_dialog import PickDialog, PickList
from widgets.times import clock


@dataclass(frozen=True, slots=True)
class AcknowledgeWish:
    incident_id: str
    breaker_id: BreakerId
    notes: str


class AcknowledgeDialog(PickDialog[AcknowledgeWish]):
    """Open incidents; ctrl+s acknowledges the marked one."""

    EMPTY = "no open incident"
    CONFIRM = "Acknowledge"
    DOES = "acknowledges the marked incident"
    UNSENT = "NOT ACKNOWLEDGED"

    def __init__(self, board: Board) -> None:
        super().__init__("ACKNOWLEDGE an open incident", board)

    def wish(self) -> AcknowledgeWish | None:
        row = self._row(self._fixed)
        if row is None:
            return None
        named = row.breaker_id or GLOBAL
        breaker_id = BreakerId(named) if named in self.board.catalogue else GLOBAL
        return AcknowledgeWish(row.incident_id, breaker_id, " ".join(self._typed().split()))

    def _open(self) -> tuple[IncidentRow, ...]:
        rows = self.board.desk.incidents if self.board.desk else ()
        return tuple(
            sorted(
                (row for row in rows if row.status == "open"), key=lambda row: (row.severity, row.opened_at)
            )
        )

    def _row(self, incident_id: str | None) -> IncidentRow | None:
        return next((row for row in self._open() if row.incident_id == incident_id), None)

    def board_changed(self, board: Board) -> None:
        picks = self.query_one(PickList)
        picks.rows([row.incident_id for row in self._open()], self._line)
        row = self._row(self._fixed or picks.key)
        lines = wrap(row.title, self.cells, 2, "dim") if row else []
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])

    def fault(self) -> str | None:
        if self._row(self._fixed) is None:
            return (
                "nothing to acknowledge"
                if self._fixed is None
                else "that incident is no longer open; choose anew"
            )
        if not self.board.authority_alive:
            return "no authority answers; it records acknowledgements"
        return notes_fault(self._typed())

    def _line(self, key: str, cells: int) -> Line:
        row = self._row(key)
        if row is None:
            return ((key, "dim"),)
        style = "bad" if row.critical else ""
        when = clock(row.opened_at, self.board.desk_now)
        return (
            (f"{self.mark(key)} {row.severity} ", style),
            (f"{when} {fit(clean(row.breaker_id or '-', 60), 22)} ", ""),
            (clean(row.title, 200), "dim"),
        )
