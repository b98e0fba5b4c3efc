"""Panel 1: every breaker, why it is where it is, and what happened last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from cockpit.domain.breakers import GLOBAL, BreakerId, Scope, is_switch, scope_of
from cockpit.domain.text import clean
from cockpit.keymap import OVERVIEW_KEYS
from cockpit.screens.filtering import FilteredPanel
from widgets.board import Board
from widgets.columns import heading, unread_line
from widgets.event_rows import event_lines, events_title, without_actor
from widgets.keys import Key, bindings
from widgets.line import Line, cut, join
from widgets.line_view import LineView
from widgets.row_list import RowList

if TYPE_CHECKING:
    from cockpit.domain.desk import DeskSnapshot
    from widgets.breaker_rows import BreakerRow

LIST_SHARE: Final = 0.55
_STEPS: Final = {"trip": "trip", "half-open": "half_open", "probe-run": "probes", "close": "close"}
_NOTHING: Final[Line] = ((" nothing more is known", "dim"),)


class Overview(FilteredPanel):
    """The breaker table, the selected breaker in words, the event pane."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(OVERVIEW_KEYS)]
    KEYS = OVERVIEW_KEYS
    LIST = "#breakers"

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="slos-strip")
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
        strip = _strip(board, cells)
        self.query_one("#slos-strip", LineView).show(strip)
        keys = board.catalogue.ids
        if self.filter_text:
            keys = tuple(key for key in keys if self._wanted(board, key))
        self.rows.rows(keys, lambda key, room: _row(board, key, room))
        self._detail(board, cells)
        self.query_one("#events-title", LineView).show([events_title(board)])
        events = self.query_one("#events", LineView)
        events.show(event_lines(board, max(1, events.size.height)))
        self.bound_list(len(strip) + 3 + self.query_one("#detail", LineView).size.height, LIST_SHARE)
        self._heading()

    def works(self, key: Key, board: Board) -> bool:
        selected = self.selected
        step = _STEPS.get(key.key_id)
        if step is not None:
            return selected is not None and step in _possible(board, selected)
        if key.key_id == "approvals":
            return bool(board.waiting())
        if key.key_id == "acknowledge":
            return board.desk is not None and _may_acknowledge(board, board.desk)
        if key.key_id == "verify-trip":
            return bool(getattr(self.host, "trip_made", None))
        if key.key_id == "halt-due":
            return halt_due(board)
        if key.key_id in ("mode", "cancel-all"):
            return self.symbol is not None
        if key.key_id == "lift":
            return selected is not None and _limited(board, selected)
        return True

    def _wanted(self, board: Board, key: str) -> bool:
        effective = board.effective(key)
        label = effective.state.label if effective else ""
        return self.matches(key, label)

    def status(self) -> Line:
        """With the filter before it: beside the columns' titles it would shift them."""
        line = super().status()
        if not self.filter_text:
            return line
        found = f" filter: {clean(self.filter_text, 30)} ({len(self.rows.keys)}) · esc clears"
        return join([((found, "warn"),), line])

    def _detail(self, board: Board, cells: int) -> None:
        view = self.query_one("#detail", LineView)
        key = self.selected
        if key is None:
            view.show([((" ", ""),)] * max(2, view.size.height))
            return
        lines = [cut(line, cells) for line in _words(board, key)]
        view.show(lines if view.size.height >= 3 else lines[:2])

    @on(RowList.Resized)
    def _heading(self) -> None:
        """It says how many rows the list does not show, so that no halt is missed below its last line."""
        self.query_one("#heading", LineView).show([heading(self.size.width - 1, *self.rows.hidden)])

    @on(RowList.Moved)
    def moved(self) -> None:
        self.follow(self.host.board)


# Before anything was read the rows need none of the modules that judge a reading: they load after the frame.
def _row(board: Board, key: str, cells: int) -> Line:
    if board.blank:
        return unread_line(key, len(board.catalogue.ancestors(BreakerId(key))), cells)
    from widgets.breaker_rows import breaker_row, row_line

    return row_line(breaker_row(board, key), cells)


def _strip(board: Board, cells: int) -> list[Line]:
    if not board.objectives:
        return []
    if board.slos is None and board.slos_error is None:
        return [((" SLO ", "title"), ("reading…", "dim"))]
    from widgets.slo_strip import strip

    return [strip(board, cells)]


def halt_due(board: Board) -> bool:
    """Whether a spent error budget asks for a halt that has not come."""
    if board.slos is None:
        return False
    from widgets.halts_due import due

    return bool(due(board))


def _limited(board: Board, key: str) -> bool:
    if board.desk is None or not board.desk.size_limits:
        return False
    from widgets.size_words import limits_about

    return bool(limits_about(board, key))


def _possible(board: Board, key: str) -> tuple[str, ...]:
    if board.blank:
        return ("trip",)
    from widgets.next_steps import steps

    return steps(board, key).possible


def _may_acknowledge(board: Board, desk: DeskSnapshot) -> bool:
    open_ones = any(row.status == "open" for row in desk.incidents)
    return open_ones and may_acknowledge(board) is None


def _words(board: Board, key: str) -> list[Line]:
    """The breaker under the cursor: what it is, why, and what leads on."""
    if board.blank:
        return [
            join([((f" {key}", "strong"),), (("unread", "unknown"),)], " · "),
            _NOTHING,
            _next(board, key),
        ]
    from widgets.breaker_rows import breaker_row

    row = breaker_row(board, key)
    return [_what(board, row), _why(board, row), _next(board, key)]


def row_symbol(key: str) -> str:
    """The instrument of a row; empty where it is none's."""
    return key.removeprefix("instrument:") if key.startswith("instrument:") else ""


def may_acknowledge(board: Board) -> str | None:
    """None, or why this login may not acknowledge an incident."""
    from cockpit.domain.permissions import Permission
    from widgets.next_steps import lacks

    return lacks(board, GLOBAL, Permission.ACK_INCIDENT)


def _what(board: Board, row: BreakerRow) -> Line:
    """Own state, who halts it, epoch, probes: what a narrow table leaves out. What is not fresh is called old
    and shown as such (I25)."""
    if not row.readable:
        old = f"last read {row.last_seen} ago: own state {row.own.label}" if row.own else "never read here"
        epoch = f", epoch {row.epoch}" if row.own else ""
        return ((f" {row.breaker_id}", "strong"), (f" · {old}{epoch}", "stale"))
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
    if row.switches and row.readable:
        parts.append(((row.switches, "halted"),))
    if row.probes:
        run = board.run(row.breaker_id)
        parts.append(((f"probes {row.probes} {run.run.status.value if run else ''}", ""),))
    if row.left:
        parts.append(((f"{row.left} left", "warn"),))
    if row.review_due:
        parts.append((("REVIEW DUE", "bad"),))
    return join(parts, " · ")


def _why(board: Board, row: BreakerRow) -> Line:
    from widgets.size_words import size_why

    if row.readable and (size := size_why(board, row.breaker_id)):
        return ((f" {size}", "limited"),)
    if row.readable and row.halted_by and is_switch(BreakerId(row.halted_by)):
        from widgets.switch_words import story_words, switch_words

        switch = BreakerId(row.halted_by)
        return ((f" {switch_words(switch)} {story_words(board, switch)}", ""),)
    words = ": ".join(part for part in (row.reason, row.notes) if part)
    whose = f" {row.halted_by}" if row.halted_by and row.halted_by != row.breaker_id else ""
    if row.since:
        who = row.actor or "?"
        return ((f"{whose} since {row.since} by {who}", ""), (f" · {words}" if words else "", "dim"))
    if row.doubt:
        return ((f"{whose} reads OPEN because: {row.doubt}", "warn"),)
    return _NOTHING


def _next(board: Board, key: str) -> Line:
    possible = _possible(board, key)
    parts: list[Line] = [((" next: ", "title"),)]
    words = {
        "half_open": ("h", "half-open"),
        "probes": ("p", "probe run"),
        "close": ("c", "close"),
        "trip": ("t", "trip"),
    }
    for step in possible:
        pressed, word = words[step]
        parts.append(((f"{pressed} ", "key"), (f"{word}  ", "")))
    parts += [] if board.blank else _released(board, key)
    if row_symbol(key):
        parts.append((("m ", "key"), ("mode  ", ""), ("x ", "key"), ("cancel all  ", "")))
    if not possible:
        from widgets.next_steps import steps

        why = steps(board, key).why_not("trip") or "nothing"
        parts.append(((without_actor(why, board.login, key), "dim"),))
    return join(parts, "")


def _released(board: Board, key: str) -> list[Line]:
    """What ends a halt that is not the row's own: another breaker's, or a latch's."""
    from cockpit.domain.permissions import Permission
    from widgets.next_steps import lacks, switches_to_release, way_out

    effective = board.effective(key)
    by = effective.halted_by if effective else None
    parts: list[Line] = []
    if by and by != key and not is_switch(by) and not lacks(board, by, Permission.RESET_CIRCUIT):
        press, _, rest = way_out(board, by).partition(" ")
        parts.append(((f"{press} ", "key"), (f"{rest}  ", "")))
    if any(scope_of(name) is Scope.LATCH for name in switches_to_release(board, key)):
        parts.append((("4 r ", "key"), ("release latch  ", "")))
    return parts
