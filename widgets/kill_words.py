"""The kill switch in words: what is under way, what is proved, what is left. Pure lines of the board.

FLAT stands here only where the report proves it (I15); what somebody reported is told as their report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import KillRow, KillStepRow, RequestRow
from cockpit.domain.kill import KillReport, Step, StepOutcome, StepState, Verdict
from cockpit.domain.kill_records import finished, standing
from cockpit.domain.permissions import Permission
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.event_rows import details_of
from widgets.line import Line, Span, fit, wrap
from widgets.next_steps import lacks
from widgets.times import ago, clock, clock_s

STEP_WORDS: Final = {
    Step.TRIP: "trip global",
    Step.ACKNOWLEDGED: "gateways enforce it",
    Step.CANCEL: "cancel all orders",
    Step.FLATTEN: "flatten positions",
    Step.VERIFY: "read the venue again",
}
_MARK: Final = {
    StepOutcome.DONE: ("✓", "good"),
    StepOutcome.FLAT: ("✓", "good"),
    StepOutcome.FAILED: ("✗", "bad"),
    StepOutcome.RESIDUAL: ("✗", "bad"),
    StepOutcome.WAITING: ("◌", "warn"),
}
_UNTRIED: Final = ("○", "dim")
MOST_RESIDUALS: Final = 50


def running_here(board: Board) -> bool:
    """Whether this cockpit works on a kill switch at this moment."""
    return board.kill is not None and board.kill.running


def unreviewed(board: Board) -> tuple[KillRow, ...]:
    """Kill switches whose review is not approved, newest first. While Postgres cannot say, also those that
    this machine has kept."""
    rows = board.desk.kills if board.desk is not None else ()
    if board.desk_readable:
        return rows
    known = {row.kill_id for row in rows} | ({board.kill.report.kill_id} if board.kill else set())
    return (*rows, *(row for row in board.kills_kept if row.kill_id not in known))


def review_asked(board: Board, kill_id: str) -> RequestRow | None:
    """The review that waits for the second safety-admin."""
    rows = (row for row in board.waiting() if row.kind == Kind.KILL_REVIEW.value)
    return next((row for row in rows if details_of(row.payload).get("target") == kill_id), None)


def stage(board: Board, row: KillRow) -> str:
    """`UNFINISHED`, `REVIEW DUE`, `REVIEW AWAITS A SECOND SAFETY-ADMIN`."""
    if not finished(row.steps):
        return "UNFINISHED"
    return "REVIEW AWAITS A SECOND SAFETY-ADMIN" if review_asked(board, row.kill_id) else "REVIEW DUE"


def row_title(board: Board, row: KillRow | None) -> str:
    """Of the dialog on one that another cockpit left, as it stands by now; None: its review was approved."""
    return f"KILL SWITCH: {stage(board, row) if row is not None else 'REVIEWED'}"


def view_title(board: Board) -> str:
    """Of the view on this cockpit's own, by its report (I15)."""
    if board.kill is None:
        return "KILL SWITCH"
    proved = "FLAT" if board.kill.report.flat else "NOT FLAT"
    return f"KILL SWITCH: {'RUNNING' if board.kill.running and not board.kill.report.flat else proved}"


def status_words(report: KillReport) -> tuple[str, str]:
    """The status line while it runs, with its style: how it stands, not what it began with."""
    return f"kill switch: {brief(report)}", "good" if report.flat else "bad"


def banner_line(board: Board) -> Line | None:
    """What somebody must know of a kill switch before anything else."""
    if running_here(board) and board.kill is not None:
        text = f" ■ KILL SWITCH RUNNING HERE: {brief(board.kill.report)}{_key(board, 'ctrl+k shows it')}"
        return ((text, "banner-bad"),)
    if _left_here(board) and board.kill is not None:
        text = f" ■ KILL SWITCH NOT FLAT: {brief(board.kill.report)}{_key(board, 'ctrl+k goes on')}"
        return ((text, "banner-bad"),)
    rows = unreviewed(board)
    if not rows:
        return None
    row = next((each for each in rows if stage(board, each) == "UNFINISHED"), rows[0])
    more = f" +{len(rows) - 1} more" if len(rows) > 1 else ""
    who, when = clean(row.login, 40), clock(row.started_at, board.desk_now)
    source = "by this machine's journal" if row in board.kills_kept else "as read last"
    where = f"{source}, Postgres is unreadable here" if not board.desk_readable else ""
    where = f" · {where}" if where else ""
    words = stage(board, row)
    if words == "UNFINISHED":
        text = f" ■ KILL SWITCH UNFINISHED: begun {when} by {who}, not proved FLAT{more}{_key(board)}{where}"
        return ((text, "banner-bad"),)
    key = " · A" if "SECOND" in words else _key(board)
    return ((f" ■ KILL SWITCH of {when} by {who}: {words}{more}{key}{where}", "banner-warn"),)


def _key(board: Board, words: str = "ctrl+k") -> str:
    """The key is named only to whom it serves."""
    return "" if lacks(board, GLOBAL, Permission.KILL_SWITCH) else f" · {words}"


def _left_here(board: Board) -> bool:
    """Ended here without proof, and the desk does not know better: Postgres may be away."""
    if board.kill is None or board.kill.running or board.kill.report.flat:
        return False
    known = next((row for row in unreviewed(board) if row.kill_id == board.kill.report.kill_id), None)
    return known is None or not finished(known.steps)


def light_word(board: Board) -> str:
    """For the header: empty where nothing is under way."""
    if running_here(board):
        return "RUNNING"
    if _left_here(board) or any(not finished(row.steps) for row in unreviewed(board)):
        return "UNFINISHED"
    return "REVIEW" if unreviewed(board) else ""


def brief(report: KillReport) -> str:
    """The verdict and the step that it is at, in few words."""
    if report.flat:
        return "FLAT, proved"
    if report.verdict is Verdict.RESIDUAL:
        return f"{len(report.residuals)} left at the venue"
    open_step = next((each for each in report.steps if each.outcome not in _DONE), None)
    if open_step is None:
        return "not proved yet"
    words = clean(open_step.line, 80)
    return f"{STEP_WORDS[open_step.step]}{f' ({words})' if words else ''}"


_DONE: Final = (StepOutcome.DONE, StepOutcome.FLAT)


def report_lines(report: KillReport, cells: int, advice: Sequence[Line] = ()) -> list[Line]:
    """Each step with its state and confirmation, then what is left and why, then `advice` on that, then the
    verdict. What the verdict says is not said by the last step too."""
    lines: list[Line] = []
    below = f"{len(report.residuals)} left, listed below" if report.residuals else "none left"
    for number, each in enumerate(report.steps, 1):
        listed = each.step is Step.VERIFY and (report.residuals or report.flat)
        shown = replace(each, line=below) if listed else each
        lines += _step(number, shown, cells)
    if report.residuals:
        many = f"{len(report.residuals)} LEFT AT THE VENUE, each with the reason"
        lines.append(((many, "bad"),))
        for residual in report.residuals[:MOST_RESIDUALS]:
            lines += wrap(f"  {clean(residual.line, 300)}", cells, 2, "bad")
        if len(report.residuals) > MOST_RESIDUALS:
            lines.append(((f"  and {len(report.residuals) - MOST_RESIDUALS} more", "bad"),))
    return [*lines, *advice, *verdict_lines(report, cells)]


def verdict_lines(report: KillReport, cells: int) -> list[Line]:
    if report.flat:
        words = "FLAT: no open order and no position, read after every gateway acknowledged the trip"
        return wrap(words, cells, 2, "good")
    lacking = "; ".join(report.unproved)
    words = f"NOT FLAT{f': {lacking}' if lacking else ''}"
    return wrap(words, cells, 4, "bad" if report.residuals else "warn")


def _step(number: int, state: StepState, cells: int) -> list[Line]:
    mark, style = _MARK.get(state.outcome, _UNTRIED) if state.outcome else _UNTRIED
    tries = f" (try {state.round})" if state.round > 1 else ""
    words = clean(state.line, 400) or "not begun"
    return _row(f"{mark} {number} {STEP_WORDS[state.step]}", f"{words}{tries}", style, cells)


def _row(head: str, words: str, style: str, cells: int) -> list[Line]:
    name = fit(head, 25) + " "
    first, *more = wrap(words, max(20, cells - len(name)), 3)
    lines: list[Line] = [((name, style), *first)]
    return [*lines, *(((" " * len(name), ""), *each) for each in more)]


def row_lines(board: Board, row: KillRow, cells: int) -> list[Line]:
    """What was reported of a kill switch that another cockpit runs, or ran."""
    now = board.desk_now
    head: list[Span] = [("begun  ", "title"), (f"{clock(row.started_at, now)} UTC ", "")]
    head.append(
        (f"({ago(row.started_at, now)} ago) by {clean(row.login, 40)} · epoch {row.epoch.counter}", "")
    )
    lines: list[Line] = [tuple(head), *wrap(f"notes  {row.notes}", cells, 2, "dim")]
    for number, step in enumerate(Step, 1):
        lines += _reported(number, step, standing(row.steps, step), cells)
    if finished(row.steps):
        last = [each for each in row.steps if each.step == Step.VERIFY][-1]
        words = f"reported FLAT at {clock_s(last.at)} UTC by {clean(last.login, 40)}: {stage(board, row)}"
        return [*lines, *wrap(words, cells, 2, "warn")]
    words = "NOT FLAT as far as was reported. Going on cancels and flattens what is left, under the same keys"
    return [*lines, *wrap(words, cells, 2, "bad")]


def _reported(
    number: int, step: Step, told: tuple[KillStepRow, KillStepRow] | None, cells: int
) -> list[Line]:
    """One step with when and by whom it was confirmed; again, where somebody went on."""
    if told is None:
        return _row(f"{_UNTRIED[0]} {number} {STEP_WORDS[step]}", "nothing reported", "dim", cells)
    row, newest = told
    outcome = next((each for each in StepOutcome if each.value == row.outcome), None)
    mark, style = _MARK[outcome] if outcome else _UNTRIED
    said = row.details.get("line") or row.details.get("why") or row.outcome
    words = f"{clean(str(said), 300)} · {clock_s(row.at)} by {clean(row.login, 40)}"
    if newest is not row:
        words += f", again {clock(newest.at)}"
        words += f" by {clean(newest.login, 40)}" if newest.login != row.login else ""
    return _row(f"{mark} {number} {STEP_WORDS[step]}", words, style, cells)
