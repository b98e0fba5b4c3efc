"""What may be done with a breaker now, and in words why the rest may not. The stores enforce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cockpit.domain.breakers import GLOBAL, BreakerId, Scope, is_switch, scope_of
from cockpit.domain.documents import Reading
from cockpit.domain.permissions import Permission, denial
from cockpit.domain.probes import RunStatus
from cockpit.domain.states import State
from cockpit.domain.switches import surely_set
from widgets.board import Board
from widgets.times import clock, overdue

STEP_WORDS: Final = {"trip": "trip", "half_open": "half-open", "probes": "probe run", "close": "close"}


@dataclass(frozen=True, slots=True)
class Steps:
    """`blocked` maps each step to why it is not possible; a step that is absent is possible."""

    blocked: Mapping[str, str]

    def why_not(self, step: str) -> str | None:
        return self.blocked.get(step)

    @property
    def possible(self) -> tuple[str, ...]:
        return tuple(step for step in STEP_WORDS if step not in self.blocked)


def steps(board: Board, breaker_id: str) -> Steps:
    """The steps of one breaker. A trip is refused here only for lack of the right (I6)."""
    checks = {
        "trip": lacks(board, breaker_id, Permission.TRIP_CIRCUIT),
        "half_open": _half_open(board, breaker_id),
        "probes": _probes(board, breaker_id),
        "close": _close(board, breaker_id),
    }
    return Steps({step: why for step, why in checks.items() if why is not None})


def lacks(board: Board, breaker_id: str, permission: Permission) -> str | None:
    """The refusal where this login has not the right; None also while nobody knows who it is."""
    if board.identity is None:
        return None
    refusal = denial(board.identity, permission, BreakerId(breaker_id))
    return None if refusal is None else str(refusal)


def resume_blocked(board: Board, breaker_id: str) -> str | None:
    """What stops every loosening."""
    if why := lacks(board, breaker_id, Permission.RESET_CIRCUIT):
        return why
    if not board.redis_readable:
        return "Redis is unreadable here; nothing can resume until it answers"
    if not board.desk_readable:
        return f"{board.desk_lost}; a resume needs it. Trips still work"
    if not board.authority_alive:
        return "no authority answers; nothing can resume until one runs (`cockpit authority`)"
    if board.pending_trip(breaker_id):
        return "a trip of this breaker is not yet in Redis; it comes first"
    return None


def adjusting_blocked(board: Board) -> str | None:
    """What stops every adjustment: it goes through the authority."""
    if not board.desk_readable:
        return f"{board.desk_lost}; adjustments need it"
    if not board.authority_alive:
        return "no authority answers; nothing can be adjusted until one runs (`cockpit authority`)"
    return None


def _own(board: Board, breaker_id: str) -> Reading | None:
    return board.reading(breaker_id)


def _half_open(board: Board, breaker_id: str) -> str | None:
    if why := resume_blocked(board, breaker_id):
        return why
    reading = _own(board, breaker_id)
    if reading is None or reading.epoch is None:
        return f"{breaker_id} has no readable trip counter; trip it (t) to give it one, then resume"
    if reading.state is not State.OPEN:
        more = {
            State.CLOSED: "nothing to resume",
            State.HALF_OPEN: "its probe run is on (p)",
            State.QUIET_PERIOD: "it closes by itself",
        }[reading.state]
        return _through(board, breaker_id) or f"{breaker_id} is {reading.state.label}; {more}"
    if breaker_id == GLOBAL and board.desk is not None and board.desk.kills:
        begun = clock(board.desk.kills[0].started_at, board.desk_now)
        return f"the kill switch of {begun} has no approved review yet: ctrl+k reviews it"
    for ancestor in reversed(board.catalogue.ancestors(BreakerId(breaker_id))):
        above = board.reading(ancestor)
        if above is None or above.state is not State.CLOSED:
            label = above.state.label if above else "unread"
            return f"{ancestor} above it is {label}; that one comes first: {way_out(board, ancestor)}"
    for row in board.waiting():
        if row.breaker_id == breaker_id and row.kind == "half_open":
            return f"the request of {row.login} waits for a second person's approval (A)"
    run = board.run(breaker_id)
    if run is not None:
        return (
            f"its probe run {run.run.status.value}; this epoch had its one run, trip again (t) to start anew"
        )
    return None


def _through(board: Board, breaker_id: str) -> str | None:
    """A CLOSED breaker that is halted from above, or by a switch: say who to resume, and by which key."""
    effective = board.effective(breaker_id)
    if effective is None or effective.halted_by is None or effective.halted_by == breaker_id:
        return None
    by, what = effective.halted_by, effective.state.meaning
    return f"{breaker_id} itself is CLOSED; {what} by {by}: {way_out(board, by)}"


def way_out(board: Board, name: BreakerId) -> str:
    """What ends the state that `name` imposes, with the key to press: `h on global resumes it`."""
    if is_switch(name):
        return "4, then r releases it" if scope_of(name) is Scope.LATCH else "m releases it"
    reading = board.reading(name)
    match reading.state if reading else State.OPEN:
        case State.HALF_OPEN:
            return f"p on {name} shows its probe run, c closes it"
        case State.QUIET_PERIOD:
            return "it closes by itself"
        case _:
            return f"h on {name} resumes it"


def switches_to_release(board: Board, breaker_id: str) -> tuple[BreakerId, ...]:
    """An instrument's switches that are known to be set, or that alone halt it, as far as this login may
    release them."""
    effective = board.effective(breaker_id)
    by = effective.halted_by if effective else None
    return tuple(
        name
        for name in board.catalogue.switches_of(BreakerId(breaker_id))
        if (name == by or surely_set(board.reading(name)))
        and lacks(board, name, Permission.RESET_CIRCUIT) is None
    )


def _probes(board: Board, breaker_id: str) -> str | None:
    if board.last_run(breaker_id) is None:
        return f"{breaker_id} has had no probe run lately; h starts one"
    return None


def _close(board: Board, breaker_id: str) -> str | None:
    if why := resume_blocked(board, breaker_id):
        return why
    reading = _own(board, breaker_id)
    if reading is None or reading.state is not State.HALF_OPEN:
        label = reading.state.label if reading else "unread"
        return f"{breaker_id} is {label}; only a HALF_OPEN breaker with a passed probe run closes"
    run = board.run(breaker_id)
    if run is None or run.run.status is RunStatus.RUNNING:
        return "its probe run has not ended yet (p shows it)"
    if run.run.status is not RunStatus.PASSED:
        return f"its probe run {run.run.status.value}: {run.run.verdict}"
    if run.used_by is not None:
        return "its passed run was used by another close"
    if overdue(run.run.close_until, board.desk_now):
        return f"its passed run counted until {clock(run.run.close_until)}; trip and probe again"
    return None
