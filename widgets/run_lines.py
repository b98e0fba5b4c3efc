"""The probe run as it stands: each probe, the ratio, what remains of the time. Pure lines of the board."""

from __future__ import annotations

from cockpit.domain.desk import RunRow
from cockpit.domain.probes import RunStatus
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, fit, wrap
from widgets.times import clock_s, countdown

_STYLE = {
    RunStatus.RUNNING: "probing",
    RunStatus.PASSED: "trading",
    RunStatus.FAILED: "halted",
    RunStatus.ABANDONED: "halted",
}


def run_lines(board: Board, breaker_id: str, row: RunRow | None, cells: int) -> list[Line]:
    """Lines of the run view; `row` None: no run of this breaker is known yet."""
    if row is None:
        return [(("no probe run of the present epoch is known yet; waiting for the authority…", "dim"),)]
    run = row.run
    lines: list[Line] = [
        (
            ("run     ", "title"),
            (f"by {clean(run.login, 40)} · epoch {run.epoch.counter} · from {clock_s(run.started_at)}", ""),
        ),
        _ratio(board, row),
        (("", ""),),
    ]
    by_ordinal = {result.ordinal: result for result in row.results}
    for ordinal, name in enumerate(run.probes):
        result = by_ordinal.get(ordinal)
        label = fit(clean(name, 40), 20)
        if result is None:
            word = "running…" if run.status is RunStatus.RUNNING else "absent"
            lines.append(((f" ○ {label} ", "dim"), (word, "dim")))
            continue
        mark, style = ("✓", "good") if result.passed else ("✗", "bad")
        time = f"{result.latency_ms:,.0f} ms".rjust(9)
        lines.append(
            (
                (f" {mark} {label} ", style),
                (time + "  ", ""),
                (clean(result.detail, 300), "" if not result.passed else "dim"),
            )
        )
    lines.append((("", ""),))
    lines += _verdict(board, breaker_id, row, cells)
    return lines


def _ratio(board: Board, row: RunRow) -> Line:
    run = row.run
    passed = sum(result.passed for result in row.results)
    left = (
        f"{countdown(run.deadline, board.desk_now)} left (server time)"
        if run.status is RunStatus.RUNNING
        else run.status.value.upper()
    )
    return (
        ("passed  ", "title"),
        (f"{passed}/{len(run.probes)}", "strong"),
        (f" · needed {run.required} · ", "dim"),
        (left, _STYLE[run.status]),
    )


def _verdict(board: Board, breaker_id: str, row: RunRow, cells: int) -> list[Line]:
    run = row.run
    reading = board.reading(breaker_id)
    current = reading is not None and reading.epoch == run.epoch
    if run.status is RunStatus.RUNNING:
        words = (
            "all probes must report; what is absent at the deadline fails the run"
            if current
            else ("tripped anew since: this run closes nothing")
        )
        return [((words, "dim" if current else "bad"),)]
    verdict = clean(run.verdict, 300)
    if run.status is RunStatus.PASSED:
        if not current:
            return [(("PASSED, but tripped anew since: it closes nothing", "bad"),)]
        if row.used_by is not None:
            return [((f"PASSED: {verdict}; used by a close", "trading"),)]
        return [
            ((f"PASSED: {verdict}", "trading"),),
            (("press ", ""), ("c", "key"), (f" to close; possible until {clock_s(run.close_until)}", "")),
        ]
    back = reading is not None and reading.state is State.OPEN
    state = "back to OPEN · HALTED" if back else "goes back to OPEN"
    return wrap(
        f"{run.status.value.upper()}: {verdict}. {breaker_id} {state}; mend the cause, then h again.",
        cells,
        3,
        "halted",
    )
