"""What quitting would cause: what this cockpit alone keeps going, in words. Pure lines of a board."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from cockpit.domain.commands import Kind
from cockpit.domain.probes import RunStatus
from widgets.board import Board
from widgets.line import Line, wrap
from widgets.times import clock

_CELLS: Final = 74


def left_behind(board: Board, own_requests: Collection[str], half_opening: Collection[str]) -> list[Line]:
    """`own_requests`: ids of half-opens that were asked for here; `half_opening`: breakers whose half-open
    is being asked for. Empty where quitting causes nothing."""
    lines: list[Line] = []
    if board.kill is not None and board.kill.running:
        text = "The KILL SWITCH runs in this cockpit. Without you it stops where it is: the trip of global"
        rest = "stays, orders and positions may be left. ctrl+k on any cockpit goes on."
        lines += wrap(f"{text} {rest}", _CELLS, 3, "bad")
    running = {
        row.run.breaker_id
        for row in (board.desk.runs if board.desk else ())
        if row.request_id in own_requests and row.run.status is RunStatus.RUNNING
    }
    for name in sorted({*running, *half_opening}):
        text = f"Your probe run of {name} is on. Without you it fails, and the breaker is tripped again:"
        lines += wrap(f"{text} OPEN · HALTED, new epoch.", _CELLS, 3, "warn")
    for row in board.waiting():
        if row.login == board.login and row.kind in (None, Kind.HALF_OPEN.value):
            text = (
                f"Your request for {row.breaker_id} waits for approval. Approved while you are away, nobody"
            )
            lines += wrap(f"{text} nobody runs its probes until you are back and press p.", _CELLS, 3, "warn")
    for trip in board.local_pending:
        text = f"NOT HALTED YET: the trip of {trip.breaker_id} at {clock(trip.at)} is not delivered."
        lines += wrap(text, _CELLS, 2, "bad")
    if board.local_pending:
        lines.append((("It waits in this machine's spool until a cockpit runs here again.", "bad"),))
    return lines
