"""What the keys ask for: the dialog, then the operation, then its outcome in the status line. Never assumed.

The target of a dialog is the breaker under the cursor when the key was pressed; a refresh moves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from textual import events
from textual.screen import Screen
from textual.widgets import Input
from typing_extensions import TypeIs

from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Refused
from cockpit.screens.panel import Panel
from widgets.board import Board

if TYPE_CHECKING:
    from textual.app import App

    from cockpit.config import Credentials
    from cockpit.desk import Desk
    from cockpit.domain.commands import Kind
    from cockpit.operations.outcomes import Outcome
    from widgets.dialog import Dialog
    from widgets.trip_checks import TripMade
    from widgets.trip_dialog import Draft

    Shell = App[int]
else:  # plain classes until `CockpitApp` is made of them: each Textual class costs a millisecond at the start
    Shell = object

ResultT = TypeVar("ResultT")
SPOOL_S = 5.0
REPEATED_S = 0.5
FINDINGS_S = 2.0
_STYLE = {"done": "good", "pending": "warn", "refused": "bad"}
_log = logging.getLogger("cockpit.asking")


def is_dialog(screen: Screen[Any]) -> TypeIs[Dialog[Any]]:
    """Whether the screen is a dialog. Before one was opened their module may not be loaded, or only in part:
    a thread loads it."""
    dialog = getattr(sys.modules.get("widgets.dialog"), "Dialog", None)
    return dialog is not None and isinstance(screen, dialog)


class Asking(Shell):
    """The actions of the screen. The shell below it keeps the board and the feeds."""

    board: Board
    credentials: Credentials
    desk: Desk | None = None
    keys_remapped: Mapping[str, str]
    trip_made: TripMade | None = None

    def __init__(self) -> None:
        super().__init__()
        self._drafts: dict[str, Draft] = {}
        self._own_half_opens: set[str] = set()
        self._half_opening: set[str] = set()
        self._told_runs: set[str] = set()
        self._own_runs: dict[str, asyncio.Task[None]] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._typed_ahead: list[events.Key] = []
        self._panel_key: events.Key | None = None
        self._opening = True

    # What the shell provides.
    def update_board(self, **changes: object) -> None:
        raise NotImplementedError

    def tell(self, text: str, style: str = "") -> None:
        raise NotImplementedError

    def wake_feeds(self) -> None:
        raise NotImplementedError

    # -- dialogs and tasks ----------------------------------------------------------------------------------

    def ask(self, dialog: Dialog[ResultT], answered: Any = None) -> None:
        """Open a dialog, unless one is open: two fast presses stack nothing."""
        if is_dialog(self.screen):
            return

        def done(result: ResultT | None) -> None:
            if answered is not None and result is not None:
                answered(result)

        self.push_screen(dialog, done)

    def do(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Run an operation beside the screen; its fault is told and logged, never swallowed."""

        async def guarded() -> None:
            try:
                await work
            except Refused as error:
                self.tell(f"{what}: {error.refusal}", "bad")
            except Exception as error:  # noqa: BLE001 - told and logged; the screen must outlive it
                _log.exception("%s", what)
                self.tell(
                    f"{what}: internal error ({type(error).__name__}); outcome unknown, look at the state",
                    "bad",
                )

        task = asyncio.create_task(guarded(), name=what)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
        return task

    def _panel(self) -> Panel | None:
        """The panel, where no dialog stands on it."""
        return self.screen if isinstance(self.screen, Panel) else None

    def _target(self, step: str, named: str | None = None) -> tuple[str, Desk] | None:
        """The breaker that is `named`, or under the cursor, where `step` is possible now; else the reason is
        told."""
        from widgets.next_steps import STEP_WORDS, steps

        panel = self._panel()
        breaker_id = named or (panel.selected if panel is not None else None)
        if panel is None or breaker_id is None:
            return None
        if self.desk is None:
            self.tell(f"{STEP_WORDS[step]}: not connected yet", "warn")
            return None
        why = steps(self.board, breaker_id).why_not(step)
        if why is not None:
            self.tell(f"{STEP_WORDS[step]}: {why}", "warn")
            self._record_denied(step, breaker_id, self.desk)
            return None
        return breaker_id, self.desk

    def _record_denied(self, step: str, breaker_id: str, desk: Desk) -> None:
        """An attempt that the role forbids is recorded, also where this side refuses it already."""
        from cockpit.domain.commands import Kind

        kinds = {"trip": Kind.TRIP, "half_open": Kind.HALF_OPEN, "close": Kind.CLOSE}
        if kind := kinds.get(step):
            self._record_kind(kind, breaker_id, desk)

    def _record_kind(self, kind: Kind, breaker_id: str, desk: Desk) -> None:
        from widgets.next_steps import lacks

        identity = self.board.identity
        if kind.permission is None or identity is None:
            return
        if lacks(self.board, breaker_id, kind.permission) and self.board.breakers is not None:
            self.do(
                desk.record_denied(kind, BreakerId(breaker_id), identity, self.board.breakers),
                "denied attempt",
            )

    def _outcome(self, what: str, outcome: Outcome) -> None:
        self.wake_feeds()
        words = outcome.message or outcome.word
        self.tell(words if outcome.word == "done" else f"{what}: {words}", _STYLE[outcome.word])

    # -- keys -----------------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Keys in the order in which they were typed: a key that opens a dialog has opened it before the next
        is looked at, and what is typed until it stands, or until the stores are open, is kept for it."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            if self._opening or self._waits_for_dialog():
                self._typed_ahead.append(event)
                return
            if not isinstance(self.focused, Input) and await self._took(event):
                return
        await super().on_event(event)

    async def _took(self, event: events.Key) -> bool:
        screen = self.screen
        if is_dialog(screen):
            if self._repeats_opening(event) or screen.takes(event):
                return True
        elif not isinstance(screen, Panel):
            return False
        else:
            self._panel_key = event
        return await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)

    def _repeats_opening(self, event: events.Key) -> bool:
        """Whether this is the key that opened the dialog, pressed twice or held: no text for its fields."""
        opening, self._panel_key = self._panel_key, None
        if opening is None or not event.is_printable or event.key != opening.key:
            return False
        repeated = event.time - opening.time < REPEATED_S
        self._panel_key = event if repeated else None
        return repeated

    def _waits_for_dialog(self) -> bool:
        screen = self.screen
        return is_dialog(screen) and not screen.ready

    def take_keys(self) -> None:
        """The stores are open, or cannot be: the keys that waited for them are looked at now."""
        self._opening = False
        self._replay()

    async def on_dialog_ready(self) -> None:
        self._replay()

    def _replay(self) -> None:
        typed, self._typed_ahead = self._typed_ahead, []
        for event in typed:
            self.post_message(event)
