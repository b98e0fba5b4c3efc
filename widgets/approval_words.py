"""What an approval would allow, in words: a kill switch's review, a switch's release, an exclusion."""

from __future__ import annotations

from typing import Final

from cockpit.domain.adjustments import BadAdjustment, parse_exclusion
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.kill_records import finished
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, wrap
from widgets.times import clock, span

COVERS: Final = {Kind.KILL_REVIEW.value: "this review", Kind.RELEASE.value: "this release"}


def kill_review_words(board: Board, kill_id: object, cells: int) -> list[Line]:
    """What approving a kill switch's review means, and how that kill switch stands."""
    rows = board.desk.kills if board.desk else ()
    row = next((each for each in rows if each.kill_id == kill_id), None)
    words = "REVIEW OF THE KILL SWITCH: approving it lets global be half-opened again"
    lines: list[Line] = [((words, "strong"),)]
    if row is None:
        return [*lines, (("that kill switch is not known here: leave it to be looked at", "bad"),)]
    end = row.steps[-1] if row.steps else None
    proof = "reported FLAT" if finished(row.steps) else "NOT reported FLAT: orders or positions may be left"
    at = f", last step at {clock(end.at, board.desk_now)} by {clean(end.login, 40)}" if end else ""
    words = f"begun {clock(row.started_at, board.desk_now)} by {clean(row.login, 40)}: {proof}{at}"
    return [*lines, *wrap(words, cells, 2, "" if finished(row.steps) else "bad")]


def release_words(row: RequestRow, ticket: object, cells: int) -> list[Line]:
    """What a release would let through."""
    name = row.breaker_id or ""
    scope, _, symbol = name.partition(":")
    ends = {
        "latch": f"RELEASES THE SAFETY LATCH of {symbol}: orders that add risk pass again",
        "cancel_only": f"ENDS CANCEL_ONLY of {symbol}: its mode is NORMAL then",
        "soft_halt": f"ENDS the SOFT_HALT of {symbol}",
        "hard_halt": f"ENDS the HARD_HALT of {symbol}",
        "withdrawals": "RESUMES WITHDRAWALS, of the whole platform",
    }.get(scope, f"releases {name}")
    under = f" · ticket {ticket}" if ticket else ""
    return wrap(f"{ends}{under}", cells, 2, "strong")


def stretch_words(target: object) -> str:
    """What an exclusion leaves out, of the text that was signed."""
    try:
        found = parse_exclusion(str(target))
    except BadAdjustment as bad:
        return f"unreadable: {bad}"
    length = span((found.until_at - found.from_at).total_seconds())
    when = f"{found.from_at:%Y-%m-%d %H:%M:%S} to {found.until_at:%Y-%m-%d %H:%M:%S} UTC ({length})"
    return f"leaves {found.slo}'s events of {when} out of its error budget"
