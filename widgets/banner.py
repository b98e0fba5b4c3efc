"""The banner: within a glance, what is halted and why. Pure lines of the board."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.fired_rule import fired_rule, written_by_rule
from widgets.line import Line
from widgets.symbols import STATE_SYMBOL
from widgets.times import ago, clock, countdown, span

MOST: Final = 5
_TITLE: Final = 12  # of a title stand there whatever the room
_OVERRIDDEN: Final = "Error budgets overridden on "


def banner(board: Board, cells: int = 120) -> list[Line]:
    """One line on the state of trading, and one for each thing that somebody must know now: the gravest
    first, at most `MOST`. `cells`: the room, where a line would else lose its end."""
    lines = [_trading(board)]
    if (kill := _kill(board)) is not None:
        lines.append(kill)
    if board.pending:
        lines.append(_pending(board))
    services = (_authority(board), _paging(board), *_alarms(board), _switches(board), _waiting(board))
    for line in (_halt_due(board, cells), *services, _guard(board), _left_out(board)):
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


def _switches(board: Board) -> Line | None:
    """Which switches are set; one that the first line names already needs no second one."""
    if not board.redis_readable:
        return None
    from widgets.switch_words import in_doubt, switch_words, switches_set

    found, doubts = switches_set(board), in_doubt(board)
    if not doubts and (not found or found == tuple(imposers(board))):
        return None
    words = ", ".join(clean(switch_words(each), 80) for each in found[:4])
    said = [f"SET: {words}{_others(found[4:])}"] if found else []
    said += [_doubt_words(doubts)] if doubts else []
    return ((f" ■ {' · '.join(said)}", "banner-warn"),)


def _doubt_words(doubts: int) -> str:
    """What a switch in doubt does, and what ends the doubt."""
    cure = "m, r (panel 4), w; cockpit switches"
    return f"{doubts} switch(es) IN DOUBT, which halt as if set: release with {cure}"


def imposers(board: Board) -> list[BreakerId]:
    """The breakers that impose a state other than CLOSED: strictest first, then in the table's order."""
    if board.breakers is None:
        return []
    found = dict.fromkeys(
        each.halted_by for each in board.breakers.effective.values() if each.halted_by is not None
    )
    order = {name: index for index, name in enumerate(board.catalogue.ids)}

    def rank(name: BreakerId) -> tuple[int, int]:
        effective = board.effective(name)
        return (-(effective.state.strictness if effective else 3), order.get(name, len(order)))

    return sorted(found, key=rank)


def _trading(board: Board) -> Line:
    if board.connecting:
        return ((" connecting to Redis… nothing read yet", "banner-unknown"),)
    if not board.redis_readable:
        return _unreadable(board)
    halting = imposers(board)
    if not halting:
        return _all_trading(board)
    first = halting[0]
    state = board.effective(first)
    worst = state.state if state else State.OPEN
    what = "ALL TRADING " if first == GLOBAL else ""
    symbol, style = STATE_SYMBOL[worst], "banner-bad" if worst is State.OPEN else "banner-warn"
    others = _others(halting[1:])
    head = f" {symbol} {what}{worst.meaning} by {first}{others}"
    return ((head, style), (f" · {_why(board, first, worst)}", style))


def _all_trading(board: Board) -> Line:
    """Nobody shall take half size for whole."""
    from widgets.size_words import imposed_by, own_share, size_percent

    named = [name for name in board.catalogue.ids if name in imposed_by(board, name)]
    symbol = STATE_SYMBOL[State.CLOSED]
    if not named:
        return ((f" {symbol} ALL TRADING: {State.CLOSED.label}", "banner-good"),)
    words = ", ".join(f"{name} AT {size_percent(own_share(board, name))} OF SIZE" for name in named[:2])
    return ((f" {symbol} TRADING, {words}{_others(named[2:])}", "banner-warn"),)


def _others(names: Sequence[BreakerId]) -> str:
    return f" +{len(names)} more" if names else ""


def _why(board: Board, breaker_id: BreakerId, state: State) -> str:
    story, reading = board.story(breaker_id), board.reading(breaker_id)
    parts = []
    rule = fired_rule(story.notes, breaker_id) if state is State.OPEN else None
    if rule is not None:
        automatic = written_by_rule(board, story.event_id)
        parts.append(rule.words if automatic else f"{rule.words} (by {clean(story.actor, 40) or '?'})")
    if story.since:
        parts.append(f"since {clock(story.since, board.now)} ({ago(story.since, board.redis_now)})")
    document = reading.document if reading else None
    if document and state is State.QUIET_PERIOD:
        parts.append(f"size ×{document.size_share}, {countdown(document.quiet_until, board.redis_now)} left")
    if document and state is State.HALF_OPEN:
        parts.append(f"{countdown(document.run_deadline, board.redis_now)} left")
    if rule is not None:
        parts.append(rule.rest)
        return " · ".join(parts)
    if story.actor:
        parts.append(clean(story.actor, 40))
    why = ": ".join(part for part in (clean(story.reason, 40), clean(story.notes, 200)) if part)
    if why:
        parts.append(why)
    elif reading and reading.doubt:
        parts.append(clean(reading.doubt, 200))
    return " · ".join(parts)


def _unreadable(board: Board) -> Line:
    why = clean(board.redis_error or "no answer", 80)
    if board.breakers is None:
        return ((f" ? UNREADABLE HERE · TRADING MAY CONTINUE · Redis: {why}", "banner-unknown"),)
    worst = board.effective(GLOBAL)
    last = worst.state.value if worst else "unread"
    age = span(board.redis_age_s or 0)
    return (
        (
            f" ? UNREADABLE HERE · last {last} {age} ago · TRADING MAY CONTINUE · Redis: {why}",
            "banner-unknown",
        ),
    )


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
    more = _others([each.breaker for each in reports[1:]])
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
