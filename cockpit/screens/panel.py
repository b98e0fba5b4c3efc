"""What every panel has: the header, the banner, a list, a status line and the keys that work now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget

from cockpit.domain.breakers import GLOBAL
from cockpit.keymap import APP_KEYS, KILL, PANELS, shown_key
from widgets.banner import banner
from widgets.board import Board
from widgets.header import header
from widgets.keys import Key
from widgets.line import Line, cut, fit, fold, width
from widgets.line_view import LINE_CLASSES, LineView
from widgets.row_list import RowList

if TYPE_CHECKING:
    from cockpit.domain.slo_reports import SloReport
    from widgets.dialog import Dialog


class Banner(LineView):
    """Lines that fill the width with their last colour."""

    def line_at(self, y: int, cells: int) -> Line:
        line = cut(super().line_at(y, cells), cells)
        pad = cells - width(line)
        return (*line, (fit("", pad), line[-1][1])) if line and pad > 0 else line


_GIVES_WAY: Final = (
    "palette",
    *("incident.item", "incident.sort", "incident.snooze", "incident.merge", "incident.escalate"),
    *("incident.told", "incident.assign", "incident.classify", "minutes.details", "incident.note"),
    *("filter", "slo.filter", "trigger.filter", "incident.filter", "recon.filter"),
    *("withdrawals", "cancel-all", "mode", "recon.sort", "recon.mode"),
    *(
        "details",
        "panel.audit",
        "panel.triggers",
        "panel.reconciliation",
        "lift",
        "acknowledge",
        "verify-trip",
        "panel.slos",
    ),
    *("slo.approvals", "slo.include"),
    *("quit", "panel.incidents", "slo.sort", "minutes.playbook", "probe-run"),
)
"""Keys that the footer leaves out first where it is too narrow; `?` lists them all. What halts and resumes
stays, and the kill switch for those whom it serves."""


def footer_line(
    keys: Sequence[Key], working: Sequence[Key], cells: int, keymap: Mapping[str, str] | None = None
) -> Line:
    """The keys that work now, as far as the width reaches; what is refused now is left out where it would
    push out what works."""

    def words(those: Sequence[Key]) -> Line:
        spans: list[tuple[str, str]] = []
        for key in those:
            works = key in working
            spans.append((f" [{shown_key(key, keymap or {})}]", "key" if works else "dim"))
            spans.append((f" {key.label}", "" if works else "dim"))
        return tuple(spans)

    line, left, spare = words(keys), list(working), ["", *_GIVES_WAY]
    while width(line) > cells and spare:
        gone = spare.pop(0)
        left = [key for key in left if key.key_id != gone]
        line = words(left)
    return cut(line, cells)


def pinned(board: Board) -> tuple[Key, ...]:
    """What stands first in the footer however narrow it is, for those whom it serves: the kill switch."""
    if board.identity is None:
        return ()
    from cockpit.domain.permissions import Permission
    from widgets.next_steps import lacks

    return () if lacks(board, GLOBAL, Permission.KILL_SWITCH) else (KILL,)


class Host(Protocol):
    """What a panel asks of the app."""

    board: Board
    keys_remapped: Mapping[str, str]

    @property
    def status_line(self) -> Line: ...


class Panel(Screen[None]):
    """One panel. Subclasses name their list's id, their own keys, and draw in `board_changed`."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (112, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-tight"), (32, "-roomy")]  # noqa: RUF012
    COMPONENT_CLASSES: ClassVar[set[str]] = set(LINE_CLASSES)
    AUTO_FOCUS: ClassVar[str | None] = None
    LIST: ClassVar[str] = "#list"
    KEYS: ClassVar[Sequence[Key]] = ()
    LEADS: ClassVar[Sequence[Key]] = PANELS

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.filter_text = ""
        self._list_most = 0

    def compose(self) -> ComposeResult:
        yield LineView(id="header")
        yield Banner(id="banner")
        yield from self.parts()
        yield LineView(id="status")
        yield LineView(id="keys")

    def parts(self) -> Iterable[Widget]:
        return ()

    def on_mount(self) -> None:
        self.set_focus(self.query_one(self.LIST))
        self.follow(self.host.board)

    def on_resize(self) -> None:
        self.follow(self.host.board)

    def on_screen_resume(self) -> None:
        self.follow(self.host.board)

    def follow(self, board: Board) -> None:
        """Draw this board. Only what differs from what stands there reaches the terminal."""
        if not self.is_mounted or not self.size.width:
            return
        cells = self.size.width
        self.query_one("#header", LineView).show([header(board, cells)])
        self.query_one("#banner", LineView).show(banner(board, cells))
        self.board_changed(board, cells)
        self.query_one("#status", LineView).show(fold(self.status(), cells, 2))
        self.query_one("#keys", LineView).show([self._footer(board, cells)])

    def board_changed(self, board: Board, cells: int) -> None:
        """Draw the panel's own part."""

    def status(self) -> Line:
        """The status line."""
        return self.host.status_line

    @property
    def selected(self) -> str | None:
        """The breaker that the row under the cursor is about."""
        return None

    @property
    def incident_id(self) -> str | None:
        """The incident that the row under the cursor, or the page, is about."""
        return None

    @property
    def symbol(self) -> str | None:
        """The instrument that the row under the cursor is about."""
        selected = self.selected or ""
        return selected.removeprefix("instrument:") if selected.startswith("instrument:") else None

    def entered(self) -> None:
        """Somebody came here from another panel."""

    def chosen_again(self) -> None:
        """Somebody pressed the panel's digit while it was shown."""

    def details(self, board: Board) -> Dialog[str | None] | None:
        """The dialog that shows all of the row under the cursor, where it needs nothing but the board."""
        return None

    def asks_for_halt(self, board: Board) -> SloReport | None:
        """The objective under the cursor, where its spent budget asks for the halt of its breaker."""
        return None

    def bound_list(self, besides: int, share: float) -> None:
        """Keep the list so low that it leaves `besides` rows of the panel's own, and the keys, on the screen
        whatever the banner says; at most `share` of the screen."""
        shown = sum(len(self.query_one(name, LineView).lines) for name in ("#banner", "#status"))
        most = max(3, min(int(self.size.height * share), self.size.height - 2 - shown - besides))
        if most != self._list_most:
            self._list_most = most
            self.rows.styles.max_height = most

    def works(self, key: Key, board: Board) -> bool:
        """Whether a key would do something now; the footer dims the others."""
        return True

    @property
    def rows(self) -> RowList:
        return self.query_one(self.LIST, RowList)

    def _footer(self, board: Board, cells: int) -> Line:
        here = f"panel('{self.app.current_mode}')" if self.app.screen_stack[0] is self else ""
        shown = [key for key in (*self.KEYS, *self.LEADS, *APP_KEYS) if key.footer and key.action != here]
        working = [key for key in shown if self.works(key, board)]
        first = pinned(board)
        return footer_line([*first, *shown], [*first, *working], cells, self.host.keys_remapped)

    def action_move(self, by: int) -> None:
        self.rows.move(by)

    def action_page(self, pages: int) -> None:
        self.rows.move(pages * self.rows.page())

    def action_edge(self, end: int) -> None:
        self.rows.move(end * 1_000_000)
