"""One incident's first five minutes: the triage list, the playbook, who was told, the timeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType
from textual.widget import Widget

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.incident_story import linked
from cockpit.domain.modes import Mode, mode_of
from cockpit.domain.playbooks import Playbook, Step
from cockpit.domain.text import clean
from cockpit.keymap import MINUTES_SCREEN_KEYS
from cockpit.screens.incidents import change_works, trip_works
from cockpit.screens.panel import Host, Panel
from widgets.board import Board
from widgets.incident_rows import found
from widgets.keys import Key, bindings
from widgets.line import Line, cut, fit
from widgets.line_view import LineView
from widgets.minutes_entry import Entry, legend
from widgets.minutes_facts import read_words, title_entries
from widgets.minutes_page import more_lines, page_entries
from widgets.minutes_steps import step_at
from widgets.row_list import RowList

if TYPE_CHECKING:
    from cockpit.domain.desk import IncidentRow
    from widgets.dialog import Dialog


class FirstMinutesPage(Panel):
    """Stands on panel 3; `esc` goes back. Enter on a step of the playbook runs it, each by its own dialog."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(MINUTES_SCREEN_KEYS)]
    KEYS = MINUTES_SCREEN_KEYS
    LEADS = ()  # its own keys have the footer; the panels' digits work as everywhere
    LIST = "#minutes"

    def __init__(self, host: Host, incident_id: str) -> None:
        super().__init__(host)
        self._incident_id = incident_id
        self._turned = 0
        self._offered: Sequence[Playbook] = ()
        self.acting_on: str | None = None
        self._entries: dict[str, Entry] = {}

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="minutes-title")
        yield RowList(id="minutes", empty=" reading…")

    @property
    def incident_id(self) -> str | None:
        return self._incident_id

    @property
    def page(self) -> IncidentPage | None:
        """What was read of this very incident last."""
        page = self.host.board.page
        return page if page is not None and page.incident_id == self._incident_id else None

    @property
    def row(self) -> IncidentRow | None:
        """The incident: as the list has it, which is read oftener, else as the page has."""
        listed = found(self.host.board, self._incident_id)
        return listed or (self.page.minutes.incident.value if self.page is not None else None)

    @property
    def selected(self) -> str | None:
        names = linked(self.row) if self.row is not None else ()
        return next((name for name in names if name in self.host.board.catalogue), None)

    @property
    def symbol(self) -> str | None:
        """The instrument that a step about one opens for."""
        return self.acting_on

    def aim(self, mode: Mode | None) -> str | None:
        """The next instrument that the incident concerns and that is not in `mode` or a stricter one yet;
        None as the mode: the first. What nobody could read is in none."""
        minutes = self.page.minutes if self.page is not None else None
        symbols = minutes.symbols if minutes is not None else ()
        switches = minutes.halts.value.switches if minutes is not None and minutes.halts.value else ()

        def left(symbol: str) -> bool:
            return mode is None or mode_of(symbol, lambda name: name in switches).strictness < mode.strictness

        self.acting_on = next((symbol for symbol in symbols if left(symbol)), None)
        return self.acting_on

    @property
    def playbook(self) -> Playbook | None:
        """The one that fits best, or the one that somebody turned to."""
        offered = self._offer()
        return offered[self._turned % len(offered)] if offered else None

    def _offer(self) -> Sequence[Playbook]:
        """The playbooks, the likeliest first; as they were while the incident cannot be read."""
        page = self.page
        if page is not None and (page.minutes.incident.value is not None or not self._offered):
            self._offered = page.offered()
        return self._offered

    def board_changed(self, board: Board, cells: int) -> None:
        page = self.page
        self.query_one("#minutes-title", LineView).show(self._title(board, page, cells))
        entries = page_entries(board, page, self.playbook, cells - 1) if page is not None else []
        self._entries = {entry.key: entry for entry in entries}

        def draw(key: str, room: int) -> Line:
            entry = self._entries.get(key)
            return cut(entry.line, room) if entry else ((fit("", room), ""),)

        self.rows.rows(tuple(self._entries), draw)

    def _title(self, board: Board, page: IncidentPage | None, cells: int) -> list[Line]:
        head: Line = ((" FIRST FIVE MINUTES ", "title"),)
        if page is None:
            said = (
                (f"UNREADABLE: {board.minutes_error}", "bad") if board.minutes_error else ("reading…", "dim")
            )
            return [cut((*head, said), cells)]
        said = read_words(page, board.monotonic, board.minutes_error)
        lines = [cut((*head, said, (f" · id {page.incident_id}", "dim")), cells)]
        now = page.now(board.monotonic)
        lines += [cut(entry.line, cells) for entry in title_entries(board, page, now, cells)[:1]]
        return [*lines, cut(legend(), cells)]

    def details(self, board: Board) -> Dialog[str | None] | None:
        key = self.rows.key or ""
        if key not in self._entries:
            return None
        from widgets.views import LinesDialog

        kept = self._entries[key]

        def draw(_board: Board, cells: int) -> list[Line]:
            return more_lines(self._entries.get(key, kept), cells)

        return LinesDialog(kept.key.partition("-")[0].partition("+")[0].upper(), board, draw)

    def works(self, key: Key, board: Board) -> bool:
        match key.key_id:
            case "incident.trip":
                return trip_works(self.row, self.selected)
            case "minutes.step":
                return self.step is not None
            case "minutes.playbook":
                return len(self._offer()) > 1
            case "minutes.details":
                return bool(self._entries)
            case _:
                return change_works(key, board, self.row)

    @property
    def step(self) -> Step | None:
        """The step under the cursor, where something of it can be run from here."""
        return step_at(self.playbook, self.rows.key)

    def action_run_step(self) -> None:
        """The step under the cursor; of any other line all that it says."""
        step = self.step
        if step is None or self.playbook is None:
            self.app.action_details()  # type: ignore[attr-defined]
            return
        number = self.playbook.steps.index(step) + 1
        named = f"step {number} of {self.playbook.title}: {step.text}"
        self.app.run_step(step.action, clean(named, 200))  # type: ignore[attr-defined]

    def action_playbook(self) -> None:
        """The next one: its head comes into view, and it is named."""
        self._turned += 1
        self.follow(self.host.board)
        self.rows.lead("playbook")
        if self.playbook is not None:
            count = len(self._offer())
            words = f"playbook {self._turned % count + 1} of {count}: {self.playbook.title}"
            self.app.tell(clean(words, 200))  # type: ignore[attr-defined]

    def chosen_again(self) -> None:
        """Panel 3 is the list that this page stands on."""
        self.action_back()

    def action_back(self) -> None:
        self.app.leave_minutes()  # type: ignore[attr-defined]

    @on(RowList.Moved)
    def moved(self) -> None:
        self.follow(self.host.board)
