"""Panel 5: the audit log's tail, and whether the chain holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from cockpit.domain.desk import AuditRow
from cockpit.domain.text import clean
from cockpit.keymap import AUDIT_SCREEN_KEYS
from cockpit.screens.filtering import FilteredPanel
from widgets.board import Board
from widgets.event_rows import audit_line, details_of
from widgets.keys import bindings
from widgets.line import Line, wrap
from widgets.line_view import LineView
from widgets.row_list import RowList
from widgets.times import ago, clock_s


class AuditPanel(FilteredPanel):
    """The newest entries first; `v` verifies what is new since the last signed head."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(AUDIT_SCREEN_KEYS)]
    KEYS = AUDIT_SCREEN_KEYS
    LIST = "#audit"

    def parts(self) -> Iterable[Widget]:
        yield LineView(id="audit-status")
        yield RowList(id="audit", empty=" no entry read")

    @property
    def entry(self) -> AuditRow | None:
        """The entry under the cursor."""
        rows = self.host.board.desk.audit if self.host.board.desk else ()
        return next((row for row in rows if str(row.seq) == self.rows.key), None)

    def board_changed(self, board: Board, cells: int) -> None:
        self.query_one("#audit-status", LineView).show(chain_lines(board))
        entries = {
            str(row.seq): row
            for row in (board.desk.audit if board.desk else ())
            if self.matches(row.action, row.target, row.user_id, row.details)
        }
        self.rows.rows(tuple(entries), lambda key, _cells: audit_line(entries[key], exact=True))

    def action_back(self) -> None:
        if self.filter_text or self.query("#filter.-open"):
            super().action_back()
        else:
            self.app.switch_mode("overview")


def chain_lines(board: Board) -> list[Line]:
    """What the authority says of the chain, and what this cockpit found itself."""
    chain = board.authority_status.get("chain")
    fields = chain if isinstance(chain, dict) else {}
    said: Line
    if not board.desk_readable:
        said = (("authority: unread, Postgres does not answer here", "unknown"),)
    elif fields.get("ok") is True:
        full = str(fields.get("full_verified_at") or "never")[:19]
        said = (
            ("authority: ● intact", "good"),
            (f" up to entry {fields.get('seq')}, from its start {clean(full)}", "dim"),
        )
    elif fields.get("ok") is False:
        said = (("authority: ■ BROKEN", "bad"), (f" {clean(str(fields.get('why') or ''), 200)}", ""))
    else:
        said = (("authority: has not said", "unknown"),)
    check = board.audit_check
    mark = {True: ("● ", "good"), False: ("■ ", "bad"), None: ("○ ", "dim")}[check.ok]
    when = f" · {ago(check.at, board.now)} ago" if check.at else ""
    words = "verifying…" if check.running else clean(check.text, 300) + when
    head = board.desk.head.seq if board.desk else 0
    return [
        (("AUDIT LOG ", "title"), (f"{head} entries · times are UTC · ", "dim"), *said),
        ((" here: ", "title"), mark, (words, "" if check.ok is not False else "bad")),
    ]


def entry_lines(row: AuditRow, cells: int) -> list[Line]:
    """One entry whole."""
    facts = (
        ("entry", f"{row.seq} · {row.timestamp:%Y-%m-%d} {clock_s(row.timestamp)} UTC (database's clock)"),
        ("action", row.action),
        ("by", f"{row.user_id} ({row.role})"),
        ("target", row.target),
        ("event", row.event_id),
        ("chain", row.chain_hash),
        ("evidence", row.evidence_link or "none"),
        ("sha-256", row.evidence_sha256 or "none"),
    )
    lines: list[Line] = [((f"{name:<9}", "title"), (clean(text, 300), "")) for name, text in facts]
    lines.append((("details", "title"),))
    for name, value in sorted(details_of(row.details).items()):
        lines += wrap(f"  {clean(str(name), 40)}: {value}", cells, 4)
    return lines
