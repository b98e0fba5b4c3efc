"""Panel 1: every breaker, why it is where it is, and what happened last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from cockpit.keymap import OVERVIEW_KEYS
from cockpit.screens.filtering import FilteredPanel
from widgets.board import Board
from widgets.breaker_rows import BreakerRow, breaker_row, heading, row_line
from widgets.event_rows import event_lines, events_title
from widgets.keys import Key, bindings
from widgets.line import Line, cut, join
from widgets.line_view import LineView
from widgets.next_steps import steps
from widgets.row_list import RowList

_STEPS: Final = {"trip": "trip", "half-open": "half_open", "probe-run": "probes", "close": "close"}


class Overview(FilteredPanel):
    """The breaker table, the selected breaker in words, the event pane."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(OVERVIEW_KEYS)]
    KEYS = OVERVIEW_KEYS
    LIST = "#breakers"

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="heading")
        yield RowList(id="breakers", empty=" no breaker matches the filter; esc clears it")
        yield LineView(id="detail")
        yield LineView(id="events-title")
        yield LineView(id="events")

    @property
    def selected(self) -> str | None:
        """The breaker under the cursor."""
        return self.rows.key

    def board_changed(self, board: Board, cells: int) -> None:
        self.query_one("#heading", LineView).show([self._heading(cells)])
        keys = board.catalogue.ids
        if self.filter_text:
            keys = tuple(key for key in keys if self._wanted(board, key))
        self.rows.rows(keys, lambda key, room: row_line(breaker_row(board, key), room))
        self._detail(board, cells)
        self.query_one("#events-title", LineView).show([events_title(board)])
        events = self.query_one("#events", LineView)
        events.show(event_lines(board, max(1, events.size.height)))

    def works(self, key: Key, board: Board) -> bool:
        selected = self.selected
        step = _STEPS.get(key.key_id)
        if step is not None:
            return selected is not None and steps(board, selected).why_not(step) is None
        if key.key_id == "approvals":
            return bool(board.waiting())
        if key.key_id == "acknowledge":
            return board.desk is not None and any(row.status == "open" for row in board.desk.incidents)
        if key.key_id == "verify-trip":
            return bool(getattr(self.host, "trip_made", None))
        return True

    def _wanted(self, board: Board, key: str) -> bool:
        effective = board.effective(key)
        label = effective.state.label if effective else ""
        return self.matches(key, label)

    def _heading(self, cells: int) -> Line:
        line = heading(cells - 1)
        if not self.filter_text:
            return line
        found = f"filter: {self.filter_text} ({len(self.rows.keys)}) · esc clears"
        return join([((found, "warn"),), line])

    def _detail(self, board: Board, cells: int) -> None:
        view = self.query_one("#detail", LineView)
        key = self.selected
        if key is None:
            view.show([((" ", ""),)] * max(2, view.size.height))
            return
        row = breaker_row(board, key)
        lines = [cut(line, cells) for line in (_what(board, row), _why(board, row), _next(board, row))]
        view.show(lines if view.size.height >= 3 else [_what(board, row), _why(board, row)])

    @on(RowList.Moved)
    def moved(self) -> None:
        self.follow(self.host.board)


def _what(board: Board, row: BreakerRow) -> Line:
    """Own state, who halts it, epoch, probes: what a narrow table leaves out."""
    own = f"own state {row.own.label}" if row.own else "own state unread"
    parts = [((f" {row.breaker_id}", "strong"),), ((own, ""),)]
    if row.halted_by and row.halted_by != row.breaker_id:
        parts.append(
            (
                (
                    f"{row.effective.meaning.lower() if row.effective else 'halted'} by {row.halted_by}",
                    "halted",
                ),
            )
        )
    parts.append(((f"epoch {row.epoch}", "dim"),))
    if row.probes:
        run = board.run(row.breaker_id)
        parts.append(((f"probes {row.probes} {run.run.status.value if run else ''}", ""),))
    if row.left:
        parts.append(((f"{row.left} left", "warn"),))
    if row.review_due:
        parts.append((("REVIEW DUE", "bad"),))
    return join(parts, " · ")


def _why(board: Board, row: BreakerRow) -> Line:
    words = ": ".join(part for part in (row.reason, row.notes) if part)
    if row.since:
        who = row.actor or "?"
        return ((f" since {row.since} by {who}", ""), (f" · {words}" if words else "", "dim"))
    if row.doubt:
        return ((f" reads OPEN because: {row.doubt}", "warn"),)
    return ((" nothing more is known", "dim"),)


def _next(board: Board, row: BreakerRow) -> Line:
    blocked = steps(board, row.breaker_id)
    parts: list[Line] = [((" next: ", "title"),)]
    words = {
        "half_open": ("h", "half-open"),
        "probes": ("p", "probe run"),
        "close": ("c", "close"),
        "trip": ("t", "trip"),
    }
    for step in blocked.possible:
        key, word = words[step]
        parts.append(((f"{key} ", "key"), (f"{word}  ", "")))
    if not blocked.possible:
        parts.append(((blocked.why_not("trip") or "nothing", "dim"),))
    return join(parts, "")
