"""The dialog that approves another person's request."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.permissions import Permission
from cockpit.domain.text import MAX_NOTES, clean
from widgets.approval_words import COVERS, kill_review_words, release_words, stretch_words
from widgets.board import Board
from widgets.event_rows import details_of
from widgets.line import Line, fit, wrap
from widgets.line_view import LineView
from widgets.next_steps import lacks
from widgets.pick_dialog import PickDialog, PickList
from widgets.times import ago, countdown


@dataclass(frozen=True, slots=True)
class ApproveWish:
    request_id: str
    breaker_id: BreakerId
    notes: str


class ApproveDialog(PickDialog[ApproveWish]):
    """Requests that wait for a second person. The one under the cursor when ctrl+s is pressed is approved;
    one that appears or goes meanwhile moves no cursor onto another without saying so."""

    TITLE_STYLE = "probing"
    EMPTY = "nothing waits for an approval"
    CONFIRM = "Approve"
    DOES = "approves the marked request"
    UNSENT = "NOT APPROVED"

    def __init__(self, board: Board) -> None:
        super().__init__("APPROVALS · what waits for a second person", board, classes="-loosen")

    def beside(self, notes: str) -> Line:
        return ((" optional", "dim"),)

    def wish(self) -> ApproveWish | None:
        row = self._row(self._fixed)
        if row is None:
            return None
        return ApproveWish(row.request_id, BreakerId(row.breaker_id or ""), " ".join(self._typed().split()))

    def _row(self, request_id: str | None) -> RequestRow | None:
        return next((row for row in self.board.waiting() if row.request_id == request_id), None)

    def board_changed(self, board: Board) -> None:
        picks = self.query_one(PickList)
        picks.rows([row.request_id for row in board.waiting()], self._line)
        row = self._row(self._fixed or picks.key)
        self.query_one("#body", LineView).show([] if row is None else self._asked_lines(row))

    def _asked_lines(self, row: RequestRow) -> list[Line]:
        """What an approval would allow, as it was signed."""
        asked = details_of(row.payload)
        lines = wrap(f"notes: {asked.get('notes') or '-'}", self.cells, 2)
        if row.kind == Kind.EXCLUDE.value:
            return [*wrap(stretch_words(asked.get("target")), self.cells, 2, "strong"), *lines]
        if row.kind == Kind.KILL_REVIEW.value:
            what = kill_review_words(self.board, asked.get("target"), self.cells)
            return [*what, *lines, self._epoch_line(row)]
        if row.kind == Kind.RELEASE.value:
            return [*release_words(row, asked.get("target"), self.cells), *lines, self._epoch_line(row)]
        if asked.get("reason"):
            words = f"BREAK-GLASS over spent or unknown error budgets: {asked['reason']}"
            lines += wrap(words, self.cells, 2, "bad")
        return [*lines, self._epoch_line(row)]

    @staticmethod
    def _asked_at(row: RequestRow) -> object:
        """The epoch that the asker saw, as the request carries it."""
        return details_of(row.payload).get("epoch")

    def _now_at(self, row: RequestRow) -> object:
        epoch = self.board.epoch(row.breaker_id or "")
        return None if epoch is None else epoch.payload()

    def _epoch_line(self, row: RequestRow) -> Line:
        asked, now = self._asked_at(row), self._now_at(row)
        if asked != now:
            words = f"asked for epoch {_counter(asked)}, now it is {_counter(now)}: tripped anew since"
            return ((words, "bad"),)
        covers = COVERS.get(row.kind or "", "its half-open and its close")
        return ((f"epoch {_counter(asked)} · covers {covers}, in it only", "dim"),)

    def fault(self) -> str | None:
        row = self._row(self._fixed)
        if row is None:
            return (
                "nothing to approve" if self._fixed is None else "that request no longer waits; choose anew"
            )
        me, persons = self.board.identity, self.board.desk.persons if self.board.desk else {}
        if me is not None and persons.get(row.login, row.login) == me.person_id:
            return f"{row.login} is you: another person must approve"
        if row.kind == Kind.EXCLUDE.value:
            if lacks(self.board, row.breaker_id or "", Permission.ADJUST_BUDGET):
                return "an exclusion is approved by another safety-admin"
        elif row.kind == Kind.KILL_REVIEW.value and lacks(self.board, GLOBAL, Permission.KILL_SWITCH):
            return "a kill switch's review is approved by another safety-admin"
        elif self._asked_at(row) != self._now_at(row):
            return "tripped anew since it was asked: this request can resume nothing"
        if not self.board.authority_alive:
            return "no authority answers; nothing can be approved"
        if len(self._typed()) > MAX_NOTES:
            return "the notes are too long"
        return None

    def _line(self, key: str, cells: int) -> Line:
        row = self._row(key)
        if row is None:
            return ((key, "dim"),)
        left = countdown(row.expires_at, self.board.desk_now)
        kind = clean((row.kind or "?").replace("_", "-"), 20)
        who = f"asked by {clean(row.login, 40)} {ago(row.submitted_at, self.board.desk_now)} ago"
        return (
            (f"{self.mark(key)} {fit(kind, 10)} {fit(clean(row.breaker_id or '?', 60), 24)} ", "strong"),
            (who, ""),
            (f" · expires in {left}", "dim"),
        )


def _counter(epoch: object) -> str:
    """The counter of an epoch as a request carries it."""
    counter = epoch.get("counter") if isinstance(epoch, dict) else None
    return str(counter) if isinstance(counter, int) else "?"
