"""Panel 3: what is wrong, who has it, and how long until somebody must have it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_story import linked
from cockpit.domain.incidents import Change
from cockpit.domain.text import clean
from cockpit.keymap import INCIDENT_SCREEN_KEYS
from cockpit.screens.filtering import FilteredPanel
from cockpit.screens.panel import Host
from widgets.board import Board
from widgets.incident_clocks import over
from widgets.incident_rows import (
    ORDERS,
    all_rows,
    incident_details,
    incident_heading,
    incident_line,
    linked_words,
    moment,
    ordered,
    status_lines,
)
from widgets.incident_steps import recording_blocked, why_not
from widgets.keys import Key, bindings
from widgets.line import Line, cut, fit, join
from widgets.line_view import LineView
from widgets.row_list import RowList

LIST_SHARE: Final = 0.6
_CHANGES: Final = {
    "incident.acknowledge": Change.ACKNOWLEDGE,
    "incident.note": Change.NOTE,
    "incident.assign": Change.ASSIGN,
    "incident.classify": Change.CLASSIFY,
    "incident.escalate": Change.ESCALATE,
    "incident.snooze": Change.SNOOZE,
    "incident.merge": Change.MERGE,
    "incident.resolve": Change.RESOLVE,
    "incident.told": Change.TOLD,
    "incident.item": Change.ACTION,
}


def change_works(key: Key, board: Board, row: IncidentRow | None) -> bool:
    """Whether a key of an incident would do something now."""
    if key.key_id == "incident.new":
        return recording_blocked(board) is None
    if change := _CHANGES.get(key.key_id):
        return row is not None and why_not(board, row, change) is None
    return True


def trip_works(row: IncidentRow | None, linked_to: str | None) -> bool:
    """Whether the trip opens: an incident that is over proposes none."""
    return row is not None and (linked_to is not None or not over(row))


class IncidentPanel(FilteredPanel):
    """An incident a row, the selected one in words below."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(INCIDENT_SCREEN_KEYS)]
    KEYS = INCIDENT_SCREEN_KEYS
    LIST = "#incidents"

    class Narrowed(Message):
        """The filter says something else: the database is to be asked with it."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._order = 0
        self._rows: dict[str, IncidentRow] = {}
        self._read: object = None
        self._keys: tuple[str, ...] = ()

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="incident-status")
        yield LineView(id="incident-heading")
        yield RowList(id="incidents", empty=" no incident here")
        yield LineView(id="incident-detail")

    @property
    def incident_id(self) -> str | None:
        return self.rows.key

    @property
    def row(self) -> IncidentRow | None:
        """The incident under the cursor, as it was read last."""
        return self._rows.get(self.rows.key or "")

    @property
    def selected(self) -> str | None:
        """What it is linked to, where that is a breaker."""
        names = linked(self.row) if self.row is not None else ()
        return next((name for name in names if name in self.host.board.catalogue), None)

    def board_changed(self, board: Board, cells: int) -> None:
        at, expiry_s = moment(board), board.limits.acknowledgement_expiry_s
        self._take(board)
        shown = len(self._keys) if self.filter_text else None
        status = status_lines(board, ORDERS[self._order], cells, shown)
        self.query_one("#incident-status", LineView).show(status)
        self.query_one("#incident-heading", LineView).show([incident_heading(cells - 1)])

        def draw(key: str, room: int) -> Line:
            row = self._rows.get(key)
            return incident_line(row, at, expiry_s, room) if row else ((fit(key, room), "dim"),)

        self.rows.rows(self._keys, draw)
        self.bound_list(len(status) + 2, LIST_SHARE)
        view = self.query_one("#incident-detail", LineView)
        lines = incident_details(board, self.row, at, cells - 1) if self.row is not None else []
        room = view.size.height
        if len(lines) > room > 0:
            more = (f"… {len(lines) - room + 1} more lines: ", "dim")
            lines = [*lines[: room - 1], (more, ("enter", "key"))]
        view.show([cut(line, cells) for line in lines])

    def _take(self, board: Board) -> None:
        """Sort and filter anew only where something else was read or asked for."""
        wanted = (board.incidents or (board.desk and board.desk.incidents), self._order, self.filter_text)
        if self._read is not None and _same(self._read, wanted):
            return
        if not isinstance(self._read, tuple) or self._read[2] != self.filter_text:
            self.post_message(self.Narrowed(self.filter_text))
        self._read = wanted
        rows = all_rows(board)
        self._rows = {row.incident_id: row for row in rows}
        self._keys = ordered([row for row in rows if self._wants(row)], ORDERS[self._order])

    def _wants(self, row: IncidentRow) -> bool:
        if not self.filter_text:
            return True
        said = (row.incident_id, row.severity, row.classification, row.title, row.status, row.source)
        people = (row.owner or "", row.acknowledged_by or "", row.run_id or "", row.run_incident or "")
        return self.matches(*said, *people, linked_words(row))

    def works(self, key: Key, board: Board) -> bool:
        if key.key_id == "incident.trip":
            return trip_works(self.row, self.selected)
        if key.key_id == "incident.minutes":
            return self.row is not None
        return change_works(key, board, self.row)

    def status(self) -> Line:
        line = super().status()
        if not self.filter_text:
            return line
        words = f" filter: {clean(self.filter_text, 30)} ({len(self.rows.keys)}) · esc clears"
        return join([((words, "warn"),), line])

    def action_sort(self) -> None:
        self._order = (self._order + 1) % len(ORDERS)
        self.follow(self.host.board)

    def action_back(self) -> None:
        if self.filter_text or self.query("#filter.-open"):
            super().action_back()
        else:
            self.app.switch_mode("overview")

    @on(RowList.Moved)
    def moved(self) -> None:
        self.follow(self.host.board)


def _same(before: object, now: tuple[object, int, str]) -> bool:
    """The snapshots themselves are compared by identity: they are large, and never changed."""
    return isinstance(before, tuple) and before[0] is now[0] and before[1:] == now[1:]
