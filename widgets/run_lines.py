"""The probe run as it stands: each probe, the ratio, what remains of the time. Pure lines of the board."""

from __future__ import annotations

from cockpit.domain.desk import RunRow
from cockpit.domain.probes import ProbeResult, RunStatus, judge
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, cut, fit, width, wrap
from widgets.times import clock_s, countdown

_DETAIL_LINES = 3
_LATE = " · not counted: the run had ended"
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
    late = _not_counted(row)
    for ordinal, name in enumerate(run.probes):
        result = by_ordinal.get(ordinal)
        label = fit(clean(name, 40), 20)
        if result is None:
            word = "running…" if run.status is RunStatus.RUNNING else "no result"
            lines.append(((f" ○ {label} ", "dim"), (word, "dim")))
            continue
        lines += _result_lines(result, label, cells)
        if result in late:
            lines[-1] = (*cut(lines[-1], max(1, cells - len(_LATE))), (_LATE, "warn"))
    lines.append((("", ""),))
    lines += _verdict(board, breaker_id, row, cells)
    return lines


def _not_counted(row: RunRow) -> tuple[ProbeResult, ...]:
    """Results that came after the run had been judged: those beyond what gives its verdict."""
    run = row.run
    if run.status is not RunStatus.FAILED:
        return ()
    came = sorted(row.results, key=lambda result: (result.received_at, result.ordinal))
    for count in range(len(came), 0, -1):
        judged = judge(run, came[:count], row.decided_at or came[-1].received_at)
        if judged.status is run.status and judged.reason == run.verdict:
            return tuple(came[count:])
    return ()


def _result_lines(result: ProbeResult, label: str, cells: int) -> list[Line]:
    """One line; what failed has room to say what was read and what is wanted."""
    mark, style = ("✓", "good") if result.passed else ("✗", "bad")
    head: Line = ((f" {mark} {label} ", style), (f"{result.latency_ms:,.0f} ms".rjust(9) + "  ", ""))
    if result.passed:
        return [(*head, (clean(result.detail, 300), "dim"))]
    first, *more = wrap(clean(result.detail, 300), cells - width(head), _DETAIL_LINES)
    return [(*head, *first), *(((" " * width(head), ""), *line) for line in more)]


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


def ended(board: Board, row: RunRow) -> tuple[str, str]:
    """What a run that has ended came to, in one line, and the style of it."""
    run = row.run
    verdict = clean(run.verdict, 200)
    if run.status is RunStatus.PASSED:
        return f"probe run of {run.breaker_id} PASSED: {verdict}; c closes", "good"
    reading = board.reading(run.breaker_id)
    back = "back to OPEN · HALTED" if reading and reading.state is State.OPEN else "goes back to OPEN"
    return f"probe run of {run.breaker_id} {run.status.value.upper()}, {back}: {verdict}", "bad"


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
    return [
        *wrap(f"{run.status.value.upper()}: {verdict}.", cells, 3, "halted"),
        *wrap(f"{breaker_id} {state}; mend the cause, then h again.", cells, 2, "halted"),
    ]
