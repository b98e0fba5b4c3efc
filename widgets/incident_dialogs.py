"""One dialog for each change of an incident: it is fixed on the incident that was under the cursor, keeps its
draft through Esc, and returns what to ask the authority for."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.desk import IncidentRow
from cockpit.domain.incidents import Change
from cockpit.domain.text import MIN_NOTES, clean
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, NotesInput, choices, notes_count
from widgets.incident_clocks import clock_words, severity_words
from widgets.incident_forms import FORMS, ChangeDraft, IncidentWish, change_wish, form_fault
from widgets.incident_rows import found, moment
from widgets.incident_steps import WORDS, why_not
from widgets.line import Line, cut, wrap
from widgets.line_view import LineView
from widgets.option_list import OptionList

Drafts = MutableMapping[str, ChangeDraft]
FILLED: Final = "x" * MIN_NOTES
"""Notes in which nothing is amiss: what is still amiss with them is so elsewhere."""


class DraftedDialog(Dialog[IncidentWish | None]):
    """A form whose draft survives Esc; Esc on a filled one asks first."""

    NOT_SENT = "NOT SENT"

    def __init__(self, title: str, board: Board, does: str) -> None:
        super().__init__(title, board)
        self._does = does
        self._asked_to_leave = False

    def filled(self) -> bool:
        """Whether somebody wrote anything."""
        return False

    def wish(self) -> IncidentWish:
        """What the filled form asks for.

        Raises:
            ValueError: it is not filled.
        """
        raise NotImplementedError

    def unsent(self) -> str:
        return f"{self.NOT_SENT}: {self._title} is lost." if self.filled() else ""

    def hint(self) -> None:
        fault = self.fault()
        if fault is None:
            said: Line = (("ctrl+s", "key"), (f" {self._does} · ", ""), ("esc", "key"), (" leaves", "dim"))
            self.foot((*said, (", the draft is kept", "dim")))
        else:
            self.foot(((f"{clean(fault, 300)} · ", "dim"), ("esc", "key"), (" leaves", "dim")))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        if fault := self.fault():
            self.not_yet(fault)
            return
        wish = self.wish()
        self.forget()
        self.dismiss(wish)

    def forget(self) -> None:
        """The draft is sent."""

    def action_leave(self) -> None:
        if self.filled() and not self._asked_to_leave:
            self._asked_to_leave = True
            self.say(f"{self.NOT_SENT}. esc again leaves and keeps the draft; ctrl+s {self._does}")
            return
        self.dismiss(None)

    def settle(self) -> None:
        self._asked_to_leave = False
        super().settle()

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "confirm":
            self.action_confirm()
        else:
            self.action_leave()


class ChangeDialog(DraftedDialog):
    """One change of one incident."""

    def __init__(self, change: Change, row: IncidentRow, board: Board, drafts: Drafts) -> None:
        form = FORMS[change]
        super().__init__(f"{form.title} {severity_words(row)} · {clean(row.title, 200)}", board, form.does)
        self.form = form
        self.row = row
        self._key = f"{change.value} {row.incident_id}"
        self._drafts = drafts
        self.draft = drafts.setdefault(self._key, ChangeDraft())

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        if self.form.picks:
            yield OptionList(self._take, id="options", empty="nothing to choose from", names=self.form.names)
        if self.form.text_label:
            with Horizontal(classes="field"):
                yield LineView([((self.form.text_label, "title"),)], classes="field-label")
                yield NotesInput(self.draft.text, id="text", shows=self.form.example)
                yield LineView([((" ", ""),)], classes="field-count")
        with Horizontal(classes="field"):
            yield LineView([((self.form.notes_label, "title"),)], classes="field-label")
            yield NotesInput(self.draft.notes)
            yield LineView([self._count()], id="count", classes="field-count")
        with Horizontal(id="buttons"):
            word = WORDS[self.form.change].capitalize()
            yield from choices(("confirm", f"{word} (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        first = "#options" if self.form.picks else "#text" if self.form.text_label else "#notes"
        self.set_focus(self.query_one(first))

    def board_changed(self, board: Board) -> None:
        if (now := found(board, self.row.incident_id)) is not None:
            self.row = now
        if self.form.picks:
            options = self.query_one(OptionList)
            options.offer(self.form.options(board, self.row), self.draft.picked)
        at = moment(board)
        lines: list[Line] = [((clock_words(self.row, at, board.limits.acknowledgement_expiry_s)),)]
        lines += wrap(self.form.help, self.cells, 2, "dim") if self.form.help else []
        if told := self.form.told(self.row, self.draft.picked):
            lines += wrap(told, self.cells, 6)
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])

    def filled(self) -> bool:
        return bool(self.draft.notes.strip() or self.draft.text.strip())

    def fault(self) -> str | None:
        if why := why_not(self.board, found(self.board, self.row.incident_id), self.form.change):
            return why
        if self.form.picks and self.draft.picked:  # what went meanwhile leaves no other one chosen
            offered = {each.key for each in self.form.options(self.board, self.row)}
            if self.draft.picked not in offered:
                return "what you chose is no longer there; choose anew"
        return form_fault(self.form, self._typed(), self.row, self.board, moment(self.board))

    def missing(self) -> Widget | None:
        if why_not(self.board, found(self.board, self.row.incident_id), self.form.change):
            return None
        if self.form.picks:
            offered = {each.key for each in self.form.options(self.board, self.row)}
            if self.draft.picked not in offered:
                return self.query_one("#options") if offered else None
        typed = self._typed()
        if self.form.text_label and not typed.text.strip():
            return self.query_one("#text")
        filled = replace(typed, notes=FILLED)
        if not form_fault(self.form, filled, self.row, self.board, moment(self.board)):
            return self.query_one("#notes")
        return self.query_one("#options" if self.form.picks else "#text")

    def _typed(self) -> ChangeDraft:
        """The fields as they stand, not as they were when the last change was told."""
        text = self.query_one("#text", Input).value if self.form.text_label else ""
        return ChangeDraft(self.draft.picked, text, self.query_one("#notes", Input).value)

    def wish(self) -> IncidentWish:
        return change_wish(self.form, self._typed(), self.row, self.board, moment(self.board))

    def forget(self) -> None:
        self._drafts.pop(self._key, None)

    def _count(self) -> Line:
        if self.form.needs_notes:
            return notes_count(self.draft.notes)
        return ((" needed" if self.form.change is Change.NOTE else " optional", "dim"),)

    def _take(self, key: str, go_on: bool) -> None:
        self.draft.picked = key
        self.board_changed(self.board)
        self.settle()
        if go_on:
            self.set_focus(self.query_one("#notes"))

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        if event.input.id == "notes":
            self.draft.notes = event.value
            self.query_one("#count", LineView).show([self._count()])
        else:
            self.draft.text = event.value
        self.settle()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        if event.input.id == "text":
            self.set_focus(self.query_one("#notes"))
        elif fault := self.fault():
            self.not_yet(fault)
        else:
            self.set_focus(self.query_one("#confirm"))
