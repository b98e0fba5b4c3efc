"""The banner: within a glance, what is halted and why. Pure lines of the board."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cockpit.domain.breakers import BreakerId
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.line import Line, width
from widgets.times import clock, span
from widgets.trading_line import imposed, others, trading_line

MOST: Final = 5
_TITLE: Final = 12  # of a title stand there whatever the room
_OVERRIDDEN: Final = "Error budgets overridden on "


def banner(board: Board, cells: int = 120) -> list[Line]:
    """One line on the state of trading, and one for each thing that somebody must know now: the gravest
    first, what is halted before what is merely wrong, at most `MOST`. `cells`: the room, where a line would
    else lose its end."""
    lines = [trading_line(board)]
    if (kill := _kill(board)) is not None:
        lines.append(kill)
    if board.pending:
        lines.append(_pending(board))
    services = (_authority(board), _paging(board), *_alarms(board), _waiting(board))
    halts = (_switches(board, cells), _halt_due(board, cells))
    for line in (*halts, *services, _guard(board), _left_out(board)):
        if line is not None:
            lines.append(line)
    return lines[:MOST]


def _kill(board: Board) -> Line | None:
    if board.kill is None and not board.kills_kept and (board.desk is None or not board.desk.kills):
        return None
    from widgets.kill_words import banner_line

    return banner_line(board)


def _paging(board: Board) -> Line | None:
    if board.desk is None or board.desk.paging is None:
        return None
    from widgets.page_words import banner_line

    return banner_line(board)


def _switches(board: Board, cells: int) -> Line | None:
    """Which switches are set; one that the first line names already needs no second one. As many by name as
    there is room for: what is left over is counted, and not cut."""
    if not board.redis_readable:
        return None
    from widgets.switch_words import in_doubt, switches_set

    found, doubts = switches_set(board), in_doubt(board)
    named = {names[0] for _, names in imposed(board)}
    if not doubts and named.issuperset(found):
        return None
    brief = f"{doubts} switch{'' if doubts == 1 else 'es'} IN DOUBT"
    # What a switch in doubt does, and what ends the doubt.
    cures = (f"{brief}, which halt as if set: release with m, r (panel 4), w", f"{brief}: m, r (panel 4), w")
    lines: list[Line] = [
        ((f" ■ {' · '.join([*_set_words(found, most), *cure])}", "banner-warn"),)
        for most in (4, 3, 2, 1)
        for cure in ([(each,) for each in (*cures, brief)] if doubts else [()])
    ]
    return next((line for line in lines if width(line) <= cells), lines[-1])


def _set_words(found: Sequence[BreakerId], most: int) -> list[str]:
    from widgets.switch_words import switch_words

    words = ", ".join(clean(switch_words(each), 80) for each in found[:most])
    return [f"SET: {words}{others(found[most:])}"] if found else []


def _pending(board: Board) -> Line:
    names = ", ".join(dict.fromkeys(clean(trip.breaker_id, 80) for trip in board.pending))
    note = clean(board.pending[0].note, 120)
    return ((f" ◌ PENDING · NOT HALTED YET: {names} · {note}", "banner-bad"),)


def _halt_due(board: Board, cells: int) -> Line | None:
    """A spent error budget never trips by itself: it proposes the halt. Where a safety-admin has resumed in
    spite of it, it only says so."""
    if board.slos is None:
        return None
    from widgets.halts_due import due, overridden, words

    reports = due(board)
    if not reports:
        return None
    first = reports[0]
    more = others([each.breaker for each in reports[1:]])
    if (override := overridden(board, first.breaker)) is not None:
        head, tail = f" ! RED {clean(first.name, 60)}: resumed by override (", f") · b halts again{more}"
        title = _short(clean(override.title, 200), max(_TITLE, cells - len(head) - len(tail)))
        return ((f"{head}{title}{tail}", "banner-warn"),)
    said = f" ■ HALT DUE (b): {words(first)}{more} · {first.breaker} is not halted"
    return ((said, "banner-bad"),)


def _short(text: str, most: int) -> str:
    """At most so many characters; the standing words that every override's title begins with go first."""
    if len(text) > most:
        text = text.removeprefix(_OVERRIDDEN)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _guard(board: Board) -> Line | None:
    """Without an acting guard people must see for themselves what the rules would have seen."""
    if not board.desk_readable or board.desk is None or board.guard_alive:
        return None  # the line on Postgres has said so
    if board.guard is None:
        return ((" ! NOTHING TRIPS BY ITSELF: no guard has ever run here · trip by hand (t)", "banner-warn"),)
    silent = board.guard_age_s or 0.0
    since = clock(board.desk_now - timedelta(seconds=silent), board.desk_now)
    words = f" ! NOTHING TRIPS BY ITSELF: guard silent since {since} ({span(silent)}) · trip by hand (t)"
    return ((words, "banner-warn"),)


def _authority(board: Board) -> Line | None:
    if board.desk is None and board.desk_error:
        return ((" ! NOTHING CAN RESUME: Postgres unreadable here · trips work", "banner-warn"),)
    silent = board.authority_silent_s
    if silent is None or (board.desk_readable and board.authority_alive):
        return None
    if not board.desk_readable:
        age = span(board.desk_age_s or 0)
        return ((f" ! NOTHING CAN RESUME: Postgres unreadable here for {age} · trips work", "banner-warn"),)
    lease = board.desk.lease if board.desk else None
    if lease is None:
        return ((" ! NOTHING CAN RESUME: no authority has ever run here · trips work", "banner-warn"),)
    return (
        (
            f" ! NOTHING CAN RESUME: authority silent since {clock(lease.renewed_at, board.desk_now)}"
            f" ({span(silent)}) · trips work",
            "banner-warn",
        ),
    )


def _left_out(board: Board) -> Line | None:
    faults = board.desk.faults if board.desk_readable and board.desk is not None else ()
    if not faults:
        return None
    more = f" (+{len(faults) - 1} more)" if len(faults) > 1 else ""
    return ((f" ! NOT ALL OF POSTGRES IS SHOWN{more}: {clean(faults[0], 200)}", "banner-warn"),)


def _alarms(board: Board) -> list[Line]:
    alarms = board.authority_status.get("alarms")
    if not board.desk_readable or not isinstance(alarms, list):
        return []
    lines: list[Line] = []
    for alarm in alarms[-1:]:  # the authority appends: the newest is the last
        if isinstance(alarm, dict):
            kind, name, text = (
                clean(str(alarm.get(field) or ""), 160) for field in ("kind", "breaker_id", "message")
            )
            head = f" ! {len(alarms)} ALARMS, the last: " if len(alarms) > 1 else " ! ALARM: "
            lines.append(((f"{head}{kind}: {name}: {text}", "banner-warn"),))
    return lines


def _waiting(board: Board) -> Line | None:
    rows = board.waiting()
    if not rows:
        return None
    first = rows[0]
    more = f" (+{len(rows) - 1} more)" if len(rows) > 1 else ""
    what, who = clean(first.breaker_id or "?", 80), clean(first.login, 40)
    what = {
        "exclude": f"exclusion from an error budget of {what}",
        "kill_review": "the review of the kill switch",
        "release": f"release of {what}",
    }.get(first.kind or "", what)
    words = f" ▸ waits for a second person's approval: {what}, asked by {who}{more} · A"
    return ((words, "banner-warn"),)
