"""Everything about one breaker: its document, its epoch, its history, the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.board_entries import Story
from widgets.breaker_rows import breaker_row, state_span
from widgets.line import Line, fit, fold, wrap
from widgets.next_steps import STEP_WORDS, steps
from widgets.size_words import size_why
from widgets.times import clock_s
from widgets.views import LinesDialog

_POSSIBLE: Final[Line] = (("possible", "good"),)


class DetailsView(LinesDialog):
    """Follows the board; the history is handed in once it was read."""

    def __init__(self, breaker_id: str, board: Board) -> None:
        self._history: list[Line] = [(("reading…", "dim"),)]
        super().__init__(
            f"BREAKER {breaker_id}",
            board,
            lambda now, cells: [
                *details_lines(now, breaker_id, cells),
                (("history", "title"),),
                *self._history,
            ],
        )

    def history(self, members: Sequence[Mapping[str, object]]) -> None:
        """Members of the history, newest first."""
        self._history = [history_line(member) for member in members] or [(("none", "dim"),)]
        self.follow(self.board)

    def history_failed(self, why: str) -> None:
        self._history = [((f"unreadable: {clean(why, 200)}", "bad"),)]
        self.follow(self.board)


def details_lines(board: Board, breaker_id: str, cells: int) -> list[Line]:
    reading, row, story = board.reading(breaker_id), breaker_row(board, breaker_id), board.story(breaker_id)
    if not board.redis_readable:
        return [(("Redis is unreadable here; what follows is old", "bad"),)]
    elsewhere = row.halted_by is not None and row.halted_by != breaker_id
    own: Line = (("own       ", "title"), state_span(row.own), (_own_story(story) if elsewhere else "", ""))
    lines: list[Line] = [
        *fold(own, cells, 2),
        (
            ("effective ", "title"),
            state_span(row.effective),
            (f"  by {row.halted_by}" if row.halted_by else "", ""),
        ),
        (
            ("epoch     ", "title"),
            (
                f"{reading.epoch.counter} on server {reading.epoch.run_id}"
                if reading and reading.epoch
                else "unread",
                "",
            ),
        ),
    ]
    if size := size_why(board, breaker_id):
        lines += wrap(f"size      {size}", cells, 4, "limited")
    doubt = reading.doubt if reading else None
    for title, text in (("doubt     ", doubt or ""), ("above     ", row.doubt if elsewhere else "")):
        lines += [((title, "title"), (clean(text, 200), "warn"))] if text else []
    # Of the effective state, as on the row: who imposes it, since when and why.
    why = ": ".join(part for part in (row.reason, row.notes) if part)
    told = board.story(row.halted_by) if row.halted_by else story
    lines += [
        (("since     ", "title"), (f"{told.since:%Y-%m-%d %H:%M:%S} UTC" if told.since else "?", "")),
        (("by        ", "title"), (row.actor or "?", "")),
        *wrap(f"why       {why or '?'}", cells, 3),
    ]
    document = reading.document if reading else None
    if document is not None:
        times = f"issued {clock_s(document.issued_at)}"
        if document.run_deadline:
            times += f", run deadline {clock_s(document.run_deadline)}"
        if document.quiet_until:
            times += f", quiet until {clock_s(document.quiet_until)}, size ×{document.size_share}"
        lines.append(
            (
                ("document  ", "title"),
                (
                    f"{document.state.value} of epoch {document.epoch.counter}, {times}",
                    "",
                ),
            )
        )
        lines.append((("event     ", "title"), (clean(document.event_id, 60), "")))
    blocked = steps(board, breaker_id).blocked
    for step, word in STEP_WORDS.items():
        why_not = blocked.get(step)
        first, *more = wrap(f"not now: {why_not}", cells - 10, 3, "dim") if why_not else [_POSSIBLE]
        lines += [((fit(word, 10), "title"), *first), *(((" " * 10, ""), *each) for each in more)]
    return lines


def _own_story(story: Story) -> str:
    """Since when it is in a state that something else overrules."""
    if story.since is None:
        return ""
    words = f"  since {story.since:%Y-%m-%d %H:%M:%S} UTC by {clean(story.actor, 40) or '?'}"
    return f"{words} · {clean(story.notes, 200)}" if story.notes else words


def history_line(member: Mapping[str, object]) -> Line:
    """`2026-11-21 03:12:45 OPEN epoch 3 operator1 latency: notes · #12 file:///…`. The reason is the trip's:
    a later transition says its own notes."""

    def text(name: str, most: int = 120) -> str:
        value = member.get(name)
        return "" if value is None else clean(str(value), most)

    reason = text("reason") if text("state") == State.OPEN.value else ""
    why = ": ".join(part for part in (reason, text("notes", 200)) if part)
    late = " LATE" if member.get("late") else ""
    seq = f" · #{text('audit_seq')}" if text("audit_seq") else ""
    return (
        (f"{text('at')[:19].replace('T', ' ')} ", "dim"),
        (fit(text("state"), 13), ""),
        (f"epoch {text('epoch')} {text('actor')}{late} ", ""),
        (f"{why}{seq} {text('evidence_link', 300)}", "dim"),
    )
