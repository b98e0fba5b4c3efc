"""The dialog that leaves an agreed stretch of time out of an error budget. It loosens: Cancel is focused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.adjustments import BadAdjustment, Stretch, exclusion_fault, parse_exclusion
from cockpit.domain.breakers import BreakerId
from cockpit.domain.slo_reports import SloReport
from cockpit.domain.text import clean, justification
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import Dialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line, cut, join, wrap
from widgets.line_view import LineView
from widgets.slo_signs import percent, shown_state, state_words
from widgets.times import span

_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ")


@dataclass(frozen=True, slots=True)
class ExcludeWish:
    """Leave the events of `slo` in (from_at, until_at] out of its budget."""

    breaker_id: BreakerId
    slo: str
    from_at: datetime
    until_at: datetime
    notes: str


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment as people write it, UTC: `03:10` (the last one before `now`), `2026-11-21 03:10`, RFC 3339.

    Raises:
        ValueError: none of these; the message says what would be right.
    """
    text = " ".join(text.split())
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        hour = datetime.strptime(f"{text} +0000", "%H:%M %z").time()
    except ValueError:
        raise ValueError("write 03:10 or 2026-11-21 03:10, UTC") from None
    found = datetime.combine(now.astimezone(UTC).date(), hour, UTC)
    return found if found <= now else found - timedelta(days=1)


def adjusting_blocked(board: Board) -> str | None:
    """What stops every adjustment: it goes through the authority."""
    if not board.desk_readable:
        return f"{board.desk_lost}; adjustments need it"
    if not board.authority_alive:
        return "no authority answers; nothing can be adjusted until one runs (`cockpit authority`)"
    return None


class ExcludeDialog(Dialog[ExcludeWish | None]):
    """Returns an `ExcludeWish`, or None. `report` is the SLO that was under the cursor."""

    TITLE_STYLE = "probing"

    def __init__(self, report: SloReport, board: Board) -> None:
        super().__init__(
            f"EXCLUDE from the budget of {clean(report.name, 60)} · asks a second safety-admin",
            board,
            classes="-loosen",
        )
        self.slo = report.slo

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        for name, said in (("from", " UTC, exclusive"), ("until", " UTC, inclusive"), ("notes", "")):
            with Horizontal(classes="field"):
                yield LineView([((name, "title"),)], classes="field-label")
                field = NotesInput(id=name)
                field.placeholder = "" if name == "notes" else "03:10 or 2026-11-21 03:10"
                yield field
                line: Line = notes_count("") if name == "notes" else ((said, "dim"),)
                yield LineView([line], id=f"{name}-count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Ask for the exclusion (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    def board_changed(self, board: Board) -> None:
        report = board.slos.report(self.slo.name) if board.slos else None
        lines: list[Line] = []
        if isinstance(report, SloReport):
            left = "" if report.remaining is None else f", {percent(report.remaining)} of the budget left"
            lines.append(
                (("now    ", "title"), (f"{state_words(report, shown_state(board, report))}{left}", ""))
            )
        lines += wrap(
            "Only what was agreed not to count: maintenance, a venue's announced outage. The events stay; "
            "the budget omits them once another safety-admin approves (A); u takes it back.",
            self.cells,
            3,
            "dim",
        )
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])

    def _typed(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def _stretch(self) -> Stretch:
        """
        Raises:
            ValueError: a time that is none; the message names the field.
        """
        times = []
        for name in ("from", "until"):
            try:
                times.append(parse_moment(self._typed(name), self.board.desk_now))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return Stretch(self.slo.name, times[0], times[1])

    def fault(self) -> str | None:
        if blocked := adjusting_blocked(self.board):
            return blocked
        if self.board.slos is None:
            return "the objectives have not been read"
        try:
            stretch = self._stretch()
        except ValueError as error:
            return str(error)
        if stretch.until_at <= stretch.from_at:
            return "until: it does not lie after from"
        wrong = exclusion_fault(stretch, self.slo.breaker, self.board.slos, self.board.desk_now)
        return wrong or notes_fault(self._typed("notes"))

    def unsent(self) -> str:
        filled = any(self._typed(name).strip() for name in ("from", "until", "notes"))
        return f"NOT ASKED: the exclusion from {self.slo.name} that you wrote is lost." if filled else ""

    def hint(self) -> None:
        fault = self.fault()
        if fault is None:
            stretch = self._stretch()
            long = span((stretch.until_at - stretch.from_at).total_seconds())
            said = (
                f" asks to leave out {stretch.from_at:%d %b %H:%M}-{stretch.until_at:%d %b %H:%M} ({long}) · "
            )
            self.foot((("ctrl+s", "key"), (said, ""), ("esc", "key"), (" leaves", "dim")))
        else:
            self.foot(join([((fault, "dim"),), (("tab", "key"), (" next field", "dim"))], " · "))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def action_confirm(self) -> None:
        if fault := self.fault():
            self.say(f"not yet: {fault}")
            return
        asked = self._stretch()
        notes = justification(self._typed("notes"))
        self.dismiss(ExcludeWish(self.slo.breaker, asked.slo, asked.from_at, asked.until_at, notes))

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        if event.input.id == "notes":
            self.query_one("#notes-count", LineView).show([notes_count(event.value)])
        self.settle()

    @on(Input.Submitted)
    def entered(self) -> None:
        if fault := self.fault():
            self.say(f"not yet: {fault}")
            self.focus_next()
        else:
            self.set_focus(self.query_one("#confirm"))

    @on(Choice.Pressed)
    def pressed(self, event: Choice.Pressed) -> None:
        if event.choice.id == "confirm":
            self.action_confirm()
        else:
            self.action_leave()


def stretch_words(target: object) -> str:
    """What an exclusion leaves out, of the text that was signed."""
    try:
        found = parse_exclusion(str(target))
    except BadAdjustment as bad:
        return f"unreadable: {bad}"
    length = span((found.until_at - found.from_at).total_seconds())
    when = f"{found.from_at:%Y-%m-%d %H:%M:%S} to {found.until_at:%Y-%m-%d %H:%M:%S} UTC ({length})"
    return f"leaves {found.slo}'s events of {when} out of its error budget"
