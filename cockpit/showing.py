"""What the screen shows on request, and how it is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.screen import Screen

from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Refused
from cockpit.domain.text import many
from cockpit.keymap import PANELS
from cockpit.killing import Killing
from cockpit.responding import Responding
from cockpit.screens.overview import Overview
from cockpit.screens.panel import Panel
from cockpit.typed_ahead import is_dialog
from widgets.board import Board
from widgets.board_entries import AuditCheck
from widgets.line import Line

if TYPE_CHECKING:
    from cockpit.desk import Desk


class Showing(Killing, Responding):
    """Details, help, the audit chain, the palette, quitting."""

    def action_details(self) -> None:
        from cockpit.screens.audit import AuditPanel

        panel = self.screen
        if isinstance(panel, AuditPanel) and panel.entry is not None:
            from cockpit.screens.audit import entry_lines
            from widgets.views import LinesDialog

            entry = panel.entry
            self.ask(
                LinesDialog(
                    f"AUDIT ENTRY {entry.seq}", self.board, lambda _board, cells: entry_lines(entry, cells)
                )
            )
        elif isinstance(panel, Overview) and panel.selected is not None:
            self._breaker_details(panel.selected)
        elif isinstance(panel, Panel) and (dialog := panel.details(self.board)) is not None:
            self.ask(dialog)

    def _breaker_details(self, breaker_id: str) -> None:
        from widgets.details import DetailsView

        view = DetailsView(breaker_id, self.board)
        self.ask(view)
        if self.desk is not None:
            self.do(self._history(view, breaker_id, self.desk), "history")

    async def _history(self, view: Any, breaker_id: str, desk: Desk) -> None:
        try:
            view.history(await desk.history(BreakerId(breaker_id)))
        except Refused as error:
            view.history_failed(error.refusal.message)

    def action_verify_audit(self) -> None:
        if self.desk is None:
            self.tell("verify: not connected yet", "warn")
        elif not self.board.audit_check.running:
            self.update_board(audit_check=AuditCheck(self.board.audit_check.ok, running=True))
            self.do(self._verify_audit(self.desk), "verify")

    async def _verify_audit(self, desk: Desk) -> None:
        from cockpit.domain.audit import ChainBroken

        try:
            found = await desk.verify_audit()
            reach = "the first entry" if found.start.seq == 0 else f"the signed head {found.start.seq}"
            words = f"intact from {reach} to entry {found.head.seq}, {many(found.anchors, 'signed head')} met"
            check = AuditCheck(True, words, datetime.now(UTC))
        except ChainBroken as broken:
            check = AuditCheck(
                False, f"{broken}. Resume is blocked: call security, change nothing", datetime.now(UTC)
            )
        except Refused as error:
            check = AuditCheck(
                None, f"could not be read, which proves nothing: {error.refusal.message}", datetime.now(UTC)
            )
        self.update_board(audit_check=check)

    def action_help(self) -> None:
        from cockpit.keymap import OVERVIEW_KEYS, help_sections
        from widgets.views import LinesDialog, help_lines

        panel = self._panel()
        sections = help_sections(self.keys_remapped, panel.KEYS if panel is not None else OVERVIEW_KEYS)
        self.ask(LinesDialog("HELP", self.board, lambda _board, cells: help_lines(sections, cells)))

    def standing_line(self) -> Line:
        """The status line while nothing was said."""
        rows = self.board.desk.incidents if self.board.desk and self.board.desk_readable else ()
        critical = [row for row in rows if row.critical]
        overrides = [row for row in rows if row.severity == "P1" and row.source == "override"]
        overrides = [row for row in overrides if row.status != "resolved"]
        said = [many(len(critical), "unacknowledged critical incident")] if critical else []
        said += [f"{many(len(overrides), 'unresolved override')} (P1)"] if overrides else []
        if not said:
            return ((" ", ""),)
        head: Line = ((f" {' · '.join(said)}", "warn"),)
        if not any(row.status == "open" for row in (*critical, *overrides)):
            return head
        panel = next((each for each in reversed(self.screen_stack) if isinstance(each, Panel)), None)
        return (*head, (" · ", "warn"), *_acknowledges(panel, self.board, self.keys_remapped))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: what the keys of the panel do, as far as they work now, the panels, the themes."""
        from cockpit.keymap import APP_KEYS, own_keys, shown_key

        if isinstance(screen, Panel):
            own = [key for key in own_keys(screen.KEYS) if screen.works(key, self.board)]
            everywhere = [key for key in APP_KEYS if key.key_id in self._in_palette()]
            for key in (*own, *PANELS, *everywhere):
                words = f"{key.label}: {shown_key(key, self.keys_remapped)}"
                yield SystemCommand(key.help, words, lambda action=key.action: self._run_on_panel(action))
        yield SystemCommand("Choose another theme", "theme", self.action_change_theme)

    def _in_palette(self) -> tuple[str, ...]:
        """What works everywhere, for this login."""
        from cockpit.domain.breakers import GLOBAL
        from cockpit.domain.permissions import Permission
        from widgets.next_steps import lacks

        return (
            ("help", "quit")
            if lacks(self.board, GLOBAL, Permission.KILL_SWITCH)
            else ("kill", "help", "quit")
        )

    def on_command_palette_opened(self) -> None:
        """Nothing blinks: it would draw the eye from what has changed, and cost bytes at rest."""
        from textual.widgets import Input

        for field in self.screen.query(Input):
            field.cursor_blink = False

    def _run_on_panel(self, action: str) -> None:
        async def run() -> None:
            await self.run_action(action, self.screen if isinstance(self.screen, Panel) else self)

        self.call_next(run)

    async def action_quit(self) -> None:
        """Also from within a dialog; what quitting would cause is named and asked for first."""
        from widgets.left_behind import left_behind
        from widgets.views import AskDialog

        screen = self.screen
        lines = left_behind(self.board, self._own_half_opens, self._half_opening)
        if is_dialog(screen) and (unsent := screen.unsent()):
            lines.insert(0, ((unsent, "warn"),))
        if isinstance(screen, AskDialog):
            screen.say("tab, then Enter on Quit, quits")
        elif lines:
            dialog = AskDialog("QUIT? This is what it causes:", lines, self.board, "Quit", "Stay")
            self.push_screen(dialog, lambda yes: self.exit(0) if yes else None)
        else:
            self.exit(0)

    def leave_at_once(self, code: int) -> None:
        """From a signal handler or another thread: end now."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(lambda: self.exit(code, return_code=code))


def _acknowledges(panel: Panel | None, board: Board, keymap: Mapping[str, str]) -> Line:
    """The key that does it here. Panel 3 and its page acknowledge the incident that they are on, the others
    ask which one."""
    from cockpit.incident_keymap import ACKNOWLEDGE_THIS
    from cockpit.keymap import shown_key
    from cockpit.panel_keymap import ACKNOWLEDGE

    if panel is None or panel.incident_id is None:
        return ((shown_key(ACKNOWLEDGE, keymap), "key"), (" acknowledges", ""))
    if panel.works(ACKNOWLEDGE_THIS, board):
        return ((shown_key(ACKNOWLEDGE_THIS, keymap), "key"), (" acknowledges this one", ""))
    way = ", then ".join(shown_key(key, keymap) for key in (PANELS[0], ACKNOWLEDGE))
    return ((way, "key"), (" acknowledges", ""))
