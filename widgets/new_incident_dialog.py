"""The dialog that opens an incident: severity, class, title, notes, what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.incident_requests import IncidentRequest, Verb
from cockpit.domain.incidents import Classification, Severity
from widgets.board import Board
from widgets.dialog import NotesInput, choices
from widgets.incident_dialogs import DraftedDialog
from widgets.incident_forms import IncidentWish, linked_breakers, loose_notes_fault, text_fault
from widgets.incident_options import CLASS_WORDS, SEVERITY_WORDS, Option
from widgets.incident_steps import recording_blocked
from widgets.line import Line, cut
from widgets.line_view import LineView
from widgets.option_list import OptionList

_SEVERITIES: Final = [
    Option(each.value, f"{each.value}/{each.sev}", SEVERITY_WORDS[each]) for each in Severity
]
_CLASSES: Final = [Option(each.value, each.value, CLASS_WORDS[each]) for each in Classification]
_FIELDS: Final = {
    "headline": "what happens, in one line",
    "linked": "e.g. component:execution",
    "notes": "",
}


@dataclass(slots=True)
class NewDraft:
    """An incident that is being written; `proposed` are the breakers that the screen itself put there."""

    severity: str = ""
    classification: str = ""
    headline: str = ""
    notes: str = ""
    linked: str = ""
    proposed: str = ""

    @property
    def filled(self) -> bool:
        written = self.headline.strip() or self.notes.strip() or self.severity or self.classification
        return bool(written) or self.linked.strip() != self.proposed


class NewIncidentDialog(DraftedDialog):
    """Returns what to open, or None. `draft` is filled in place; who opens the dialog keeps it."""

    NOT_SENT = "NOT OPENED"

    def __init__(self, board: Board, draft: NewDraft) -> None:
        super().__init__("NEW INCIDENT · pages on-call where it is critical", board, "opens it")
        self.draft = draft
        self.sent = False

    def parts(self) -> Iterable[Widget]:
        yield LineView([((" ", ""),)], id="body")
        yield OptionList(partial(self._take, "severity"), id="severity", names=8)
        yield LineView([(("class", "title"),)])
        yield OptionList(partial(self._take, "classification"), id="classification", names=19)
        for name, example in _FIELDS.items():
            with Horizontal(classes="field"):
                label = "title" if name == "headline" else name
                yield LineView([((label, "title"),)], classes="field-label")
                yield NotesInput(getattr(self.draft, name), id=name, shows=example)
                needed = " needed" if name == "headline" else " optional"
                yield LineView([((needed, "dim"),)], classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Open the incident (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#severity" if not self.draft.severity else "#classification"))

    def board_changed(self, board: Board) -> None:
        self.query_one("#severity", OptionList).offer(_SEVERITIES, self.draft.severity)
        self.query_one("#classification", OptionList).offer(_CLASSES, self.draft.classification)
        who = board.identity.login if board.identity else board.login
        line: Line = (
            ("severity", "title"),
            (f" · you open it as {who}; whoever acknowledges it owns it", "dim"),
        )
        self.query_one("#body", LineView).show([cut(line, self.cells)])

    def filled(self) -> bool:
        return self.draft.filled

    def missing(self) -> Widget | None:
        if recording_blocked(self.board):
            return None
        for name in ("severity", "classification"):
            if not getattr(self.draft, name):
                return self.query_one(f"#{name}")
        if text_fault(self._value("headline"), "title"):
            return self.query_one("#headline")
        return self.query_one("#notes" if loose_notes_fault(self._value("notes")) else "#linked")

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def fault(self) -> str | None:
        if why := recording_blocked(self.board):
            return why
        if not self.draft.severity:
            return "choose a severity: its digit, or Enter on it"
        if not self.draft.classification:
            return "choose a class: its digit, or Enter on it"
        if why := text_fault(self._value("headline"), "title"):
            return why
        try:
            linked_breakers(self._value("linked"), self.board)
        except ValueError as error:
            return f"linked: {error}"
        return loose_notes_fault(self._value("notes"))

    def wish(self) -> IncidentWish:
        breakers = linked_breakers(self._value("linked"), self.board)
        request = IncidentRequest(
            Verb.OPEN,
            severity=Severity(self.draft.severity),
            classification=Classification(self.draft.classification),
            title=" ".join(self._value("headline").split()),
            breakers=breakers,
        )
        notes = " ".join(self._value("notes").split())
        named = breakers[0] if breakers else GLOBAL
        return IncidentWish(f"open {self.draft.severity} incident", named, notes, None, request)

    def forget(self) -> None:
        self.sent = True
        self.draft.__init__()  # type: ignore[misc]  # the same object: who opened the dialog keeps it

    def _take(self, name: str, key: str, go_on: bool) -> None:
        setattr(self.draft, name, key)
        self.board_changed(self.board)
        self.settle()
        if go_on:
            self.set_focus(self.query_one("#classification" if name == "severity" else "#headline"))

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        if event.input.id in _FIELDS and not self.sent:
            setattr(self.draft, event.input.id, event.value)
            self.settle()

    @on(Input.Submitted)
    def entered(self, event: Input.Submitted) -> None:
        names = list(_FIELDS)
        at = names.index(event.input.id or "headline")
        if at + 1 < len(names):
            self.set_focus(self.query_one(f"#{names[at + 1]}"))
        elif fault := self.fault():
            self.not_yet(fault)
        else:
            self.set_focus(self.query_one("#confirm"))
