"""What the keys ask for: the dialog, then the operation, then its outcome in the status line. Never assumed.

The target of a dialog is the breaker under the cursor when the key was pressed; a refresh moves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
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
    from textual.widget import Widget

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
SETTLES_S = 1.0
BURST_S = 0.8
"""What is typed on after a refused key, with no longer pause than this, was meant for its dialog."""
_OF_TEXT = ("enter", "tab", "shift+tab", "backspace")
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
        self._typed_ahead: list[events.Key | events.Paste] = []
        self._settles_until = 0.0
        self._panel_key: events.Key | None = None
        self._opening = True
        self._key_at = float("-inf")
        self._refused = ""
        self._refused_until = float("-inf")
        self._not_taken = ""
        self._asked_by = ""

    # What the shell provides.
    def update_board(self, **changes: object) -> None:
        raise NotImplementedError

    def tell(self, text: str, style: str = "") -> None:
        raise NotImplementedError

    def wake_feeds(self) -> None:
        raise NotImplementedError

    def refuse(self, text: str) -> None:
        """Tell why a key opens no dialog. What is typed on in the same burst was meant for that dialog: it
        means nothing here, until a pause, Esc or a key with ctrl."""
        self.tell(text, "warn")
        self._refused, self._not_taken = text, ""
        self._refused_until = self._key_at + BURST_S

    # -- dialogs and tasks ----------------------------------------------------------------------------------

    def ask(self, dialog: Dialog[ResultT], answered: Any = None) -> None:
        """Open a dialog, unless one is open: two fast presses stack nothing."""
        if is_dialog(self.screen):
            return
        dialog.asked_by = self._asked_by

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
            self.refuse(f"{STEP_WORDS[step]}: not connected yet")
            return None
        why = steps(self.board, breaker_id).why_not(step)
        if why is not None:
            self.refuse(f"{STEP_WORDS[step]}: {why}")
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
        is looked at, one that leaves a field has left it, and what is typed until then, or until the stores
        are open, is kept."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._typed_ahead.append(event)
            await self._look()
            return
        await super().on_event(event)

    async def _look(self) -> None:
        """Look at the keys that wait, the oldest first, until one must be waited for."""
        while self._typed_ahead and not self._waits():
            await self._look_at(self._typed_ahead.pop(0))

    def _waits(self) -> bool:
        return self._opening or self._waits_for_dialog() or time.monotonic() < self._settles_until

    async def _look_at(self, event: events.Key | events.Paste) -> None:
        self._key_at = event.time
        if self._drops(event):
            return
        screen, focused = self.screen, self.focused
        taken = isinstance(event, events.Key) and not isinstance(focused, Input) and await self._took(event)
        if not taken:
            await super().on_event(event)
        is_text = isinstance(event, events.Paste) or bool(event.is_printable and event.character)
        if focused is not None and not is_text and (isinstance(focused, Input) or is_dialog(screen)):
            await self._settle(focused)

    def _drops(self, event: events.Key | events.Paste) -> bool:
        """Whether this was typed into a dialog that was refused; it is told, and ends here."""
        if event.time >= self._refused_until or is_dialog(self.screen) or isinstance(self.focused, Input):
            self._refused_until = float("-inf")
            return False
        if isinstance(event, events.Paste):
            text = event.text
        elif event.is_printable and event.character:
            text = event.character
        elif event.key in _OF_TEXT:
            text = " "
        else:
            if event.key == "escape" or event.key.startswith("ctrl+"):
                self._refused_until = float("-inf")
            return False
        from cockpit.domain.text import clean

        self._refused_until = event.time + BURST_S
        self._not_taken = (self._not_taken + text)[:200]
        self.tell(f"not taken: {clean(self._not_taken, 40)} · {self._refused}", "warn")
        return True

    async def _settle(self, focused: Widget) -> None:
        """Wait until a key that is no text has done all that it does. A field takes it in its own time, after
        the text before it, and hands it up to the app; and what comes of it (Enter submits, a button is
        pressed) goes up once more. A field that never answers does not keep the keyboard."""
        way = [*(each for each in focused.ancestors_with_self if each is not self), self] * 2
        until = self._settles_until = time.monotonic() + SETTLES_S

        async def up(index: int) -> None:
            if index == len(way):
                if self._settles_until == until:
                    self._settles_until = 0.0
                await self._look()
            elif not way[index].call_later(up, index + 1):  # it is gone, and nothing comes of it any more
                self.call_later(up, index + 1)

        await up(0)

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
        self.call_later(self._look)

    async def on_dialog_ready(self) -> None:
        await self._look()
