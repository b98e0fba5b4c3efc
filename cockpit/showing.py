"""What the screen shows on request, and how it is left."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand
from textual.screen import Screen

from cockpit.asking import is_dialog
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Refused
from cockpit.keymap import PANELS
from cockpit.killing import Killing
from cockpit.responding import Responding
from cockpit.screens.overview import Overview
from cockpit.screens.panel import Panel
from widgets.board import AuditCheck
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
            words = f"intact from {reach} to entry {found.head.seq}, {found.anchors} signed head(s) met"
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
        from cockpit.keymap import help_sections
        from widgets.views import LinesDialog, help_lines

        sections = help_sections(self.keys_remapped)
        self.ask(LinesDialog("HELP", self.board, lambda _board, cells: help_lines(sections, cells)))

    def standing_line(self) -> Line:
        """The status line while nothing was said."""
        rows = self.board.desk.incidents if self.board.desk and self.board.desk_readable else ()
        critical = [row for row in rows if row.critical]
        overrides = [row for row in rows if row.severity == "P1" and row.source == "override"]
        overrides = [row for row in overrides if row.status != "resolved"]
        said = [f"{len(critical)} unacknowledged critical incident(s)"] if critical else []
        said += [f"{len(overrides)} unresolved override(s) (P1)"] if overrides else []
        if not said:
            return ((" ", ""),)
        head: Line = ((f" {' · '.join(said)}", "warn"),)
        if not any(row.status == "open" for row in (*critical, *overrides)):
            return head
        return (*head, (" · ", "warn"), ("a", "key"), (" acknowledges", ""))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette: the registry's commands and the themes."""
        from cockpit.keymap import ALL, shown_key

        for key in ALL:
            if key.footer or key in PANELS:
                words = f"{key.help} ({shown_key(key, self.keys_remapped)})"
                yield SystemCommand(key.label, words, lambda action=key.action: self._run_on_panel(action))
        yield SystemCommand("theme", "Choose another theme", self.action_change_theme)

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
