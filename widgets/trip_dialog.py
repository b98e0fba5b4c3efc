"""The trip dialog: reason, notes, done. It opens on the reasons; ctrl+s trips from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.reasons import Reason
from cockpit.domain.states import State
from cockpit.domain.text import clean, justification
from widgets.blast_radius import blast_line, blast_radius
from widgets.board import Board
from widgets.breaker_rows import breaker_row, state_span, unreadable_words
from widgets.choice import Choice
from widgets.dialog import Dialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line, fit
from widgets.line_view import LineView
from widgets.row_list import RowList

REASON_KEYS: Final = "1234567890-"
_DIGITS: Final = (*REASON_KEYS[:10], "minus")
_REASONS: Final = tuple(Reason)


@dataclass(frozen=True, slots=True)
class TripWish:
    """What the dialog returns: everything that a trip needs."""

    breaker_id: BreakerId
    reason: Reason
    notes: str


@dataclass(slots=True)
class Draft:
    """What was typed and not sent; kept for each breaker while the screen runs. `proposed` is what the screen
    itself put there: nobody's work until somebody changes it."""

    reason: Reason | None = None
    notes: str = ""
    proposed: tuple[Reason | None, str] = (None, "")

    @classmethod
    def of(cls, reason: Reason, notes: str) -> Draft:
        """A proposal, to be confirmed or changed."""
        return cls(reason, notes, (reason, notes))

    @property
    def edited(self) -> bool:
        return (self.reason, self.notes) != self.proposed


class ReasonList(RowList):
    """Reasons, each on its digit; that or Enter takes one and goes on to the notes."""

    KEEPS_CURSOR = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j,J", "move(1)", show=False),
        Binding("up,k,K", "move(-1)", show=False),
        Binding("enter", "take", show=False),
        Binding("space", "mark", show=False),
        *(Binding(key, f"digit({index})", show=False) for index, key in enumerate(_DIGITS)),
    ]

    def action_move(self, by: int) -> None:
        self.move(by)

    def action_take(self) -> None:
        self._tell(go_on=True)

    def action_mark(self) -> None:
        self._tell(go_on=False)

    def action_digit(self, index: int) -> None:
        self.select(_REASONS[index].value)
        self._tell(go_on=True)

    def _tell(self, go_on: bool) -> None:
        dialog = self.screen
        if isinstance(dialog, TripDialog) and self.key is not None:
            dialog.take(Reason(self.key), go_on)


class TripDialog(Dialog[TripWish | None]):
    """Returns a `TripWish`, or None. A trip waits for nothing: stale data is said, and no bar."""

    TITLE_STYLE = "halted"

    def __init__(
        self, breaker_id: str, board: Board, drafts: MutableMapping[str, Draft], proposed_by: str = ""
    ) -> None:
        super().__init__(
            f"TRIP {breaker_id} · halts it at once", board, target=breaker_id, classes="-tighten"
        )
        self._draft = drafts.setdefault(breaker_id, Draft())
        self._drafts = drafts
        self._proposed_by = proposed_by
        self._asked_to_leave = False

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        yield ReasonList(id="reasons")
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput(self._draft.notes)
            yield LineView([notes_count(self._draft.notes)], id="count", classes="field-count")
        if self.target == GLOBAL:
            with Horizontal(classes="field"):
                yield LineView([(("type", "title"),)], classes="field-label")
                yield NotesInput(id="typed", shows="type global")
                yield LineView([((" to halt everything", "dim"),)], classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("trip", "Trip (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        reasons = self.query_one(ReasonList)
        reasons.styles.height = len(_REASONS)
        reasons.rows([reason.value for reason in _REASONS], self._reason_line)
        if self._draft.reason:
            reasons.select(self._draft.reason.value)
        self.set_focus(reasons)

    def board_changed(self, board: Board) -> None:
        row = breaker_row(board, self.target)
        now: Line
        if not board.redis_readable:
            now = ((unreadable_words(row, self.cells - 7), "unknown"),)
        else:
            effective = board.effective(self.target)
            own = (state_span(row.own), (f" · epoch {row.epoch}", "dim"))
            by = effective.halted_by if effective else None
            now = (*own, (f" · halted by {by}", "") if by and by != self.target else ("", ""))
        lines: list[Line] = [(("now    ", "title"), *now), blast_line(blast_radius(board, self.target))]
        lines.append(self._notice(row.own))
        self.query_one("#body", LineView).show(lines)

    def _notice(self, own: State | None) -> Line:
        if self.overtaken:
            story = self.board.story(self.target)
            who = clean(story.actor, 40) or "somebody"
            return ((f"tripped meanwhile by {who}; confirming trips it once more", "warn"),)
        if own is State.OPEN and self.board.redis_readable:
            return (
                ("already OPEN; tripping again raises its epoch, so that nothing older can resume it", "dim"),
            )
        if own is State.HALF_OPEN:
            return (("a probe run is on; a trip ends it", "warn"),)
        if self._proposed_by:
            return ((f"proposed: {self._proposed_by}. What you confirm is yours: read it first", "warn"),)
        return (("", ""),)

    def take(self, reason: Reason, go_on: bool) -> None:
        """A reason was chosen."""
        self._draft.reason = reason
        self.settle()
        self.query_one(ReasonList).rows([each.value for each in _REASONS], self._reason_line)
        if go_on:
            self.set_focus(self.query_one("#notes"))

    def unsent(self) -> str:
        draft = self._draft
        filled = draft.edited and (draft.reason is not None or bool(draft.notes.strip()))
        return f"NOT TRIPPED: what you wrote for the trip of {self.target} is lost." if filled else ""

    def _typed(self) -> str:
        """The notes as they stand, not as they were when the last change was told."""
        return self.query_one("#notes", Input).value

    def fault(self) -> str | None:
        """What is still missing, in words; None where ctrl+s would trip."""
        if self._draft.reason is None:
            return "choose a reason: its digit, or Enter on it"
        if why := notes_fault(self._typed()):
            return why
        if self.target == GLOBAL and self.query_one("#typed", Input).value.strip() != GLOBAL:
            return "type global to halt everything"
        return None

    def missing(self) -> Widget | None:
        if self._draft.reason is None:
            return self.query_one(ReasonList)
        return self.query_one("#notes" if notes_fault(self._typed()) else "#typed")

    def hint(self) -> None:
        fault = self.fault()
        if fault is None:
            self.foot(
                (
                    ("ctrl+s", "key"),
                    (" trips now · ", ""),
                    ("esc", "key"),
                    (" leaves, the draft is kept", "dim"),
                )
            )
        else:
            self.foot(((f"{fault} · ", "dim"), ("esc", "key"), (" leaves", "dim")))
        self.query_one("#trip", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        if fault := self.fault():
            self.not_yet(fault)
            return
        assert self._draft.reason is not None  # noqa: S101 - fault() has said so
        wish = TripWish(BreakerId(self.target), self._draft.reason, justification(self._typed()))
        self._drafts.pop(self.target, None)
        self.dismiss(wish)

    def action_leave(self) -> None:
        if self.unsent() and not self._asked_to_leave:
            self._asked_to_leave = True
            self.say("NOT TRIPPED. esc again leaves and keeps the draft; ctrl+s trips; any other key goes on")
            return
        self.dismiss(None)

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        if event.input.id == "notes":
            self._draft.notes = event.value
            self.query_one("#count", LineView).show([notes_count(event.value)])
        self.settle()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        """Enter goes on; it never leaves and never trips by itself."""
        if event.input.id == "notes" and self.target == GLOBAL and not notes_fault(self._typed()):
            self.set_focus(self.query_one("#typed"))
        elif fault := self.fault():
            self.not_yet(fault)
        else:
            self.set_focus(self.query_one("#trip"))

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "trip":
            self.action_confirm()
        else:
            self.action_leave()

    @on(RowList.Moved)
    def moved(self) -> None:
        self.settle()

    def settle(self) -> None:
        self._asked_to_leave = False
        super().settle()

    def _reason_line(self, key: str, cells: int) -> Line:
        reason = Reason(key)
        digit = REASON_KEYS[_REASONS.index(reason)]
        chosen = reason is self._draft.reason
        mark = "●" if chosen else " "
        return (
            (f"{digit} ", "key"),
            (f"{mark} {fit(reason.value, 16)} ", "strong" if chosen else ""),
            (reason.words, "dim"),
        )
