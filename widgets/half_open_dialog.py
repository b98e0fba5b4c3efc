"""The half-open dialog: what fails first, what a person must answer for, what passes in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input

from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import LIVE, VOUCHED, Finding, failing
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Permission
from cockpit.domain.text import MIN_NOTES, clean, justification
from widgets.board import Board
from widgets.choice import Choice
from widgets.dialog import NotedDialog, NotesInput, choices, notes_count, notes_fault
from widgets.line import Line, cut, fold, join, wrap
from widgets.line_view import LineView
from widgets.next_steps import lacks, steps
from widgets.times import clock
from widgets.vouch_item import VouchItem

BUDGETS: Final = "error-budgets"
_FAILING_SHOWN: Final = 3
_TIGHT: Final = 32


@dataclass(frozen=True, slots=True)
class HalfOpenWish:
    """`epoch` is the one that the dialog showed from its first moment to its last; `override` the reason to
    pass over spent or unknown error budgets, "" where none stands in the way."""

    breaker_id: BreakerId
    epoch: Epoch
    notes: str
    checked: tuple[str, ...]
    override: str = ""


class HalfOpenDialog(NotedDialog[HalfOpenWish | None]):
    """Returns a `HalfOpenWish`, or None. Opens with Cancel focused."""

    TITLE_STYLE = "probing"

    def __init__(self, breaker_id: str, board: Board, notes: str = "") -> None:
        approval = breaker_id in board.limits.approval_scopes
        end = "asks a second person, then runs the probes" if approval else "runs the probes at once"
        super().__init__(f"HALF-OPEN {breaker_id} · {end}", board, target=breaker_id, classes="-loosen")
        self._findings: Sequence[Finding] | None = None
        self._notes = notes

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="body")
        for item in VOUCHED:
            yield VouchItem(item.item_id, item.text)
        with Horizontal(classes="field"):
            yield LineView([(("notes", "title"),)], classes="field-label")
            yield NotesInput(self._notes)
            yield LineView([notes_count(self._notes)], id="count", classes="field-count")
        with Horizontal(id="override-field", classes="field"):
            yield LineView([(("override", "bad"),)], classes="field-label override")
            yield NotesInput(id="override")
            yield LineView([notes_count("")], id="override-count", classes="field-count")
        with Horizontal(id="buttons"):
            yield from choices(("confirm", "Half-open and probe (ctrl+s)"), ("cancel", "Cancel"))

    def prepare(self) -> None:
        self.set_focus(self.query_one("#cancel"))

    @property
    def read(self) -> bool:
        """Whether the live items have been read."""
        return self._findings is not None

    def findings(self, found: Sequence[Finding]) -> None:
        """What the live items read just now."""
        self._findings = found
        if self.ready:
            self.follow(self.board)
            if not self._said:
                self.hint()

    def board_changed(self, board: Board) -> None:
        story = board.story(self.target)
        lines: list[Line] = []
        if self.overtaken:
            who = clean(story.actor, 40) or "somebody"
            lines.append(((f"TRIPPED ANEW by {who} since this opened: leave (esc) and look again", "bad"),))
        why = ": ".join(part for part in (clean(story.reason, 40), clean(story.notes, 300)) if part)
        tripped = f"tripped {clock(story.since, board.redis_now)} by {clean(story.actor, 40) or '?'} · {why}"
        lines += fold((("trip   ", "title"), (tripped, "")), self.cells, 2)
        lines += self._live_lines()
        lines += self._override_lines()
        self.query_one("#override-field").set_class(self._overridable, "-open")
        lines.append((("you answer for (space):", "title"),))
        self.query_one("#body", LineView).show([cut(line, self.cells) for line in lines])

    def _live_lines(self) -> list[Line]:
        if self._findings is None:
            return [(("checks ", "title"), ("reading…", "dim"))]
        bad = self._bad()
        room = _FAILING_SHOWN - (1 if self._override_lines() and self.size.height < _TIGHT else 0)
        lines: list[Line] = []
        for finding in bad[:room]:
            text = f"{finding.item_id}: {clean(finding.line, 200)}"
            first, *more = wrap(text, self.cells - 3, 2, "warn")
            lines.append(((" ✗ ", "bad"), *first))
            lines += [(("   ", ""), *line) for line in more]
        if len(bad) > room:
            lines.append(((f"   and {len(bad) - room} more fail", "bad"),))
        failed = {finding.item_id for finding in bad}
        good = [item.item_id for item in LIVE if item.item_id not in failed]
        if good:
            lines.append(((f" ✓ {len(good)} of {len(LIVE)} pass: ", "good"), (", ".join(good), "dim")))
        return lines

    def _typed(self) -> str:
        return self.query_one("#notes", Input).value

    def _bad(self) -> tuple[Finding, ...]:
        """What fails, the error budgets first: they decide whether an override is asked for."""
        found = failing(self._findings or ())
        return tuple(sorted(found, key=lambda each: each.item_id != BUDGETS))

    @property
    def _spent(self) -> bool:
        """Whether the error budgets stand in the way."""
        return self._findings is not None and any(each.item_id == BUDGETS for each in self._bad())

    @property
    def _overridable(self) -> bool:
        """Whether this person may pass over them (I23)."""
        return self._spent and self._override_barred() is None

    def _override_barred(self) -> str | None:
        if self.board.identity is None:
            return "who you are has not been read yet"
        if lacks(self.board, self.target, Permission.OVERRIDE):
            return "only a safety-admin may pass over it (admin:override), with a signed reason"
        rows = self.board.desk.incidents if self.board.desk else ()
        if any(row.source == "override" and row.status == "open" for row in rows):
            return "an earlier override awaits another person's review (a); until then there is no other"
        return None

    def _override_lines(self) -> list[Line]:
        if not self._spent:
            return []
        barred = self._override_barred()
        said = barred or "override is break-glass: a P1 incident opens, another person reviews it"
        return [((f"   {said}", "warn"),)]

    def _override(self) -> str:
        return self.query_one("#override", Input).value if self._overridable else ""

    def _check_fault(self) -> str | None:
        """Why the live items stand in the way; error budgets do not where a reason passes over them."""
        bad = [each for each in self._bad() if not (self._overridable and each.item_id == BUDGETS)]
        if bad:
            return f"{bad[0].item_id} fails" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        if self._overridable and notes_fault(self._override()):
            return f"{BUDGETS} fails; override: say why in {MIN_NOTES} characters or more"
        return None

    def fault(self) -> str | None:
        """What stands in the way, the gravest first; None where ctrl+s would ask for it."""
        if self.overtaken or self.epoch is None:
            return "tripped anew since this opened; leave (esc) and look again"
        if blocked := steps(self.board, self.target).why_not("half_open"):
            return blocked
        if self._findings is None:
            return "the checks are still being read"
        if failed := self._check_fault():
            return failed
        if missing := len(VOUCHED) - len(self._checked()):
            return f"{missing} of {len(VOUCHED)} items not answered for (space on each)"
        return notes_fault(self._typed())

    def missing(self) -> Widget | None:
        if self.overtaken or self.epoch is None or steps(self.board, self.target).why_not("half_open"):
            return None
        if self._findings is None or any(each.item_id != BUDGETS for each in self._bad()):
            return None
        if self._check_fault():
            return self.query_one("#override") if self._overridable else None
        open_item = next((item for item in self.query(VouchItem) if not item.answered), None)
        return open_item or self.query_one("#notes")

    def unsent(self) -> str:
        filled = bool(self._typed().strip() or self._checked() or self._override().strip())
        return f"NOT ASKED: what you filled in for the half-open of {self.target} is lost." if filled else ""

    def hint(self) -> None:
        fault = self.fault()
        if fault is None:
            self.foot(
                (
                    ("ctrl+s", "key"),
                    (" OVERRIDES, half-opens and starts the probe run · ", "bad")
                    if self._overridable
                    else (" half-opens and starts the probe run · ", ""),
                    ("esc", "key"),
                    (" leaves", "dim"),
                )
            )
        else:
            self.foot(join([((fault, "dim"),), (("↓ tab", "key"), (" next", "dim"))], " · "))
        self.query_one("#confirm", Choice).dim(fault is not None)

    def _checked(self) -> tuple[str, ...]:
        """The items answered for, in the checklist's order."""
        return tuple(item.item_id for item in self.query(VouchItem) if item.answered)

    def action_confirm(self) -> None:
        fault = self.fault()
        if fault is not None or self.epoch is None:
            self.not_yet(str(fault))
            return
        notes = justification(self._typed())
        override = justification(self._override()) if self._overridable else ""
        self.dismiss(HalfOpenWish(BreakerId(self.target), self.epoch, notes, self._checked(), override))

    @on(VouchItem.Toggled)
    def toggled(self) -> None:
        self.settle()

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        count = "#override-count" if event.input.id == "override" else "#count"
        self.query_one(count, LineView).show([notes_count(event.value)])
        self.settle()
