"""What the keys ask for: the dialog, then the operation, then its outcome in the status line. Never assumed.

The target of a dialog is the breaker under the cursor when the key was pressed; a refresh moves nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Refused
from cockpit.screens.panel import Panel
from cockpit.typed_ahead import TypedAhead, is_dialog
from widgets.board import Board

if TYPE_CHECKING:
    from cockpit.config import Credentials
    from cockpit.desk import Desk
    from cockpit.domain.commands import Kind
    from cockpit.operations.outcomes import Outcome
    from widgets.dialog import Dialog
    from widgets.trip_checks import TripMade
    from widgets.trip_dialog import Draft

__all__ = ["Asking", "is_dialog"]
ResultT = TypeVar("ResultT")
_STYLE = {"done": "good", "pending": "warn", "refused": "bad"}
_log = logging.getLogger("cockpit.asking")


class Asking(TypedAhead):
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
        self._half_opening: dict[str, str] = {}  # breaker to request, "" before it is answered
        self._told_runs: set[str] = set()
        self._own_runs: dict[str, asyncio.Task[None]] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._asked_by = ""
        self._ticket = ""

    # What the shell provides.
    def update_board(self, **changes: object) -> None:
        raise NotImplementedError

    def wake_feeds(self) -> None:
        raise NotImplementedError

    # -- dialogs and tasks ----------------------------------------------------------------------------------

    def ask(self, dialog: Dialog[ResultT], answered: Any = None) -> None:
        """Open a dialog, unless one is open: two fast presses stack nothing."""
        if is_dialog(self.screen):
            return
        dialog.asked_by, dialog.ticket = self._asked_by, self._ticket

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
        from widgets.outcome_words import by_keys

        words = by_keys(outcome.message) or outcome.word
        self.tell(words if outcome.word == "done" else f"{what}: {words}", _STYLE[outcome.word])
