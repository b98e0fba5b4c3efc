"""The screen's shell: starts before it connects, keeps one board, hands it to the panels.

Data comes in through the feeds only; what a person asks goes out through `cockpit.asking`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from cockpit.config import Credentials, Settings
from cockpit.connecting import Connecting, OpenDesk
from cockpit.feeds import BreakersRead, DeskRead, IdentityRead, SlosRead, SourceFailed
from cockpit.keymap import APP_KEYS, PANELS, remapping_faults
from cockpit.screens.overview import Overview
from cockpit.screens.panel import Panel
from cockpit.style_sheet import SteadySheet
from cockpit.terminal import EndWatch, unusable
from cockpit.typed_ahead import is_dialog
from themes import STYLE_SHEET, THEMES
from widgets.board import Board
from widgets.keys import bindings
from widgets.line import Line
from widgets.symbols import Alphabet

if TYPE_CHECKING:
    from backends.redis_store import RedisStore
    from cockpit.desk import Desk

TICK_S = 1.0
FIRST_FRAME_S = 0.5
SETTLED_S = 3.0
STATUS_S = 12.0
_ERROR_OF = {
    "redis": "redis_error",
    "postgres": "desk_error",
    "objectives": "slos_error",
    "incidents": "incidents_error",
    "reconciliation": "recon_error",
    "first minutes": "minutes_error",
}


class CockpitApp(Connecting, App[int]):
    """One login's screen. `open_desk` makes the stores; it is called after the first frame."""

    TITLE = "cockpit"
    CSS_PATH = STYLE_SHEET
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "overview"
    MODES: ClassVar[dict[str, Callable[[], Screen[None]]]] = {}  # type: ignore[assignment]
    BINDINGS: ClassVar[list[BindingType]] = [*bindings((*PANELS, *APP_KEYS))]

    def __init__(self, settings: Settings, credentials: Credentials, open_desk: OpenDesk) -> None:
        self.keys_remapped = {} if remapping_faults(settings.keymap) else dict(settings.keymap)
        super().__init__()
        self.settings = settings
        self.credentials = credentials
        self._open_desk = open_desk
        self._status: Line = ()
        self._status_until = 0.0
        self._refusal_told = False
        self._drawn_at = 0.0
        self._connecting = False
        self.board = Board(
            settings.profile,
            credentials.name,
            settings.catalogue,
            settings.limits,
            monotonic=time.monotonic(),
            now=datetime.now(UTC),
            gateways=settings.gateways,
            objectives=settings.shipped_slos or bool(settings.slo_folders),
        )
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = THEMES[0].name
        self.stylesheet = SteadySheet(variables=self.get_css_variables())
        self.add_mode("overview", lambda: Overview(self))
        self.add_mode("audit", self._audit_panel)
        self.add_mode("slos", self._slo_panel)
        self.add_mode("triggers", self._trigger_panel)
        self.add_mode("incidents", self._incident_panel)
        self.add_mode("reconciliation", self._reconciliation_panel)
        self.set_keymap(self.keys_remapped)

    def _audit_panel(self) -> Screen[None]:
        from cockpit.screens.audit import AuditPanel

        return AuditPanel(self)

    def _slo_panel(self) -> Screen[None]:
        from cockpit.screens.slos import SloPanel

        return SloPanel(self)

    def _trigger_panel(self) -> Screen[None]:
        from cockpit.screens.triggers import TriggerPanel

        return TriggerPanel(self)

    def _incident_panel(self) -> Screen[None]:
        from cockpit.screens.incidents import IncidentPanel

        return IncidentPanel(self)

    def _reconciliation_panel(self) -> Screen[None]:
        from cockpit.screens.reconciliation import ReconciliationPanel

        return ReconciliationPanel(self)

    # -- life ---------------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        await self.switch_mode("overview")
        for fault in (*remapping_faults(self.settings.keymap)[:1], *self.settings.warnings[:1]):
            self.tell(fault, "warn")
        self.set_timer(FIRST_FRAME_S, self._connect)
        self.set_timer(SETTLED_S, _collect_from_now)
        self.set_interval(TICK_S, self._tick)

    def post_display_hook(self) -> None:
        """A frame is out, unless within a batch. The first one with rows in it is what the stores' import has
        waited for: neither `call_after_refresh` waits for a first frame to be drawn."""
        if (
            not self._connecting
            and not self._batch_count
            and isinstance(self.screen, Panel)
            and self.screen.rows.drawn
        ):
            self.call_later(self._connect)

    def _connect(self) -> None:
        """After the first frame, or a moment after a start that drew none: import the stores, start one loop
        for each."""
        if self._connecting:
            return
        self._connecting = True
        self.run_worker(self._start_feeds(), name="connect", exit_on_error=True)

    # -- data in ------------------------------------------------------------------------------------------

    @on(BreakersRead)
    def breakers_read(self, message: BreakersRead) -> None:
        self.update_board(breakers=message.snapshot, redis_error=None)
        self.data_changed()

    @on(DeskRead)
    def desk_read(self, message: DeskRead) -> None:
        self.update_board(desk=message.snapshot, desk_error=None)
        self.wake_for_adjustments(message.snapshot)
        self.wake_for_incidents(message.snapshot)
        self.data_changed()

    @on(SlosRead)
    def slos_read(self, message: SlosRead) -> None:
        self.update_board(slos=message.snapshot, slos_error=None)

    @on(IdentityRead)
    def identity_read(self, message: IdentityRead) -> None:
        self.update_board(identity=message.identity, identity_error=message.why)

    @on(SourceFailed)
    def source_failed(self, message: SourceFailed) -> None:
        self.update_board(**{_ERROR_OF[message.source]: message.why})

    def update_board(self, **changes: object) -> None:
        """A board with these changes, at this moment, handed to every screen that shows one."""
        changes |= {"monotonic": time.monotonic(), "now": datetime.now(UTC)}
        self.board = replace(self.board, **changes)  # type: ignore[arg-type]
        self._draw()

    def _tick(self) -> None:
        if time.monotonic() - self._drawn_at >= TICK_S * 0.9:
            self.update_board()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        if not self.is_running or self._exit:
            return
        for screen in self.screen_stack:
            if isinstance(screen, Panel) or is_dialog(screen):
                screen.follow(self.board)

    # -- status -------------------------------------------------------------------------------------------

    @property
    def status_line(self) -> Line:
        if self._status and time.monotonic() < self._status_until:
            return self._status
        return self.standing_line()

    def tell(self, text: str, style: str = "", until_next_key: bool = False) -> None:
        """A line in the status bar, for some seconds; a refused key's no longer than until the next one."""
        from widgets.line import plain

        self._status, self._refusal_told = plain(f" {text}", style), until_next_key
        self._status_until = time.monotonic() + STATUS_S
        self._draw()

    def forget_refusal(self) -> None:
        """What a refused key was told may not be true any more."""
        if self._refusal_told:
            self._status, self._refusal_told = (), False
            self._draw()

    # -- keys ---------------------------------------------------------------------------------------------

    def action_panel(self, name: str) -> None:
        if not is_dialog(self.screen):
            other = name != self.current_mode
            self.switch_mode(name)
            if isinstance(self.screen, Panel):
                (self.screen.entered if other else self.screen.chosen_again)()
            self.incidents_shown()
            self.recon_shown()

    def action_help_quit(self) -> None:
        from widgets.line import text_of

        self.tell("ctrl+c does nothing here; ctrl+q quits", "warn")
        screen = self.screen
        if is_dialog(screen):
            screen.say(text_of(self._status).strip())

    # -- the worst case -----------------------------------------------------------------------------------

    def _fatal_error(self) -> None:
        """One line and a log without local variables: these would hold passwords (I27)."""
        from rich.text import Text

        from cockpit.crash import record

        error = sys.exc_info()[1] or self._exception
        self._exit_renderables.append(Text(record(error, self.credentials)))
        self._close_messages_no_wait()


def _collect_from_now() -> None:
    """End what `cockpit.cli.services` began: modules and classes are never looked at again, the rest is."""
    gc.freeze()
    gc.enable()


def open_desk(settings: Settings, credentials: Credentials, redis: RedisStore | None = None) -> Desk:
    """This login's stores. Nothing is connected yet; each connects at its first use.

    Raises:
        BadSettings: an address or the signing key cannot be used.
    """
    from cockpit.cli import screen_stores

    return screen_stores.open_desk(settings, credentials, redis)


def run(settings: Settings, login: str | None) -> int:
    """Open the screen as `login` (None: the default one) and stay until it is left. Returns the exit code.

    Raises:
        BadSettings: no such login.
    """
    import os

    credentials = settings.credentials(login)
    is_tty = bool(sys.__stdin__ and sys.__stdin__.isatty() and sys.__stdout__ and sys.__stdout__.isatty())
    if why := unusable(os.environ, is_tty):
        print(f"cockpit: {why}", file=sys.stderr)  # noqa: T201
        return 2
    Alphabet.choose(getattr(sys.__stdout__, "encoding", None))
    app = CockpitApp(settings, credentials, open_desk)
    if not (sys.__stderr__ and sys.__stderr__.isatty()):
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # Textual draws there, and `2>log` took it away
    with EndWatch(app.leave_at_once):
        code = app.run()
    return code if code is not None else (app.return_code or 0)
