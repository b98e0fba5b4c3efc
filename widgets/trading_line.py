"""The banner's first line: how trading goes on everything, and what is halted, since when and why."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.states import State
from cockpit.domain.text import clean
from widgets.board import Board
from widgets.fired_rule import fired_rule, written_by_rule
from widgets.line import Line
from widgets.symbols import STATE_SYMBOL
from widgets.times import ago, clock, countdown, span


def imposers(board: Board) -> list[BreakerId]:
    """The breakers and switches that impose a state other than CLOSED: `global` first, which concerns
    everything, then the strictest, then in the table's order."""
    if board.breakers is None:
        return []
    found = dict.fromkeys(
        each.halted_by for each in board.breakers.effective.values() if each.halted_by is not None
    )
    order = {name: index for index, name in enumerate(board.catalogue.ids)}

    def rank(name: BreakerId) -> tuple[bool, int, int]:
        return (name != GLOBAL, -_imposes(board, name).strictness, order.get(name, len(order)))

    return sorted(found, key=rank)


def _imposes(board: Board, name: BreakerId) -> State:
    """A switch is under no breaker, and makes OPEN what it stands for."""
    effective = board.effective(name)
    return effective.state if effective else State.OPEN


def imposed(board: Board) -> list[tuple[State, list[BreakerId]]]:
    """The `imposers` by the state that they impose, in their order; `global` alone: what it imposes meets
    everything, and a halt below it shall neither hide it nor be hidden by it."""
    groups: list[tuple[State, list[BreakerId]]] = []
    for name in imposers(board):
        state = _imposes(board, name)
        if groups and groups[-1][0] is state and groups[-1][1][0] != GLOBAL:
            groups[-1][1].append(name)
        else:
            groups.append((state, [name]))
    return groups


def trading_line(board: Board) -> Line:
    if board.connecting:
        return ((" connecting to Redis… nothing read yet", "banner-unknown"),)
    if not board.redis_readable:
        return _unreadable(board)
    groups = imposed(board)
    if not groups:
        return _all_trading(board)
    halted = any(state is State.OPEN for state, _ in groups)
    style = "banner-bad" if halted else "banner-warn"
    said = [_group_words(state, names) for state, names in groups]
    if whole := _whole_size(board):
        said.insert(0, whole)
    state, names = groups[0]
    return ((f" {' · '.join(said)}", style), (f" · {_why(board, names[0], state)}", style))


def _group_words(state: State, names: Sequence[BreakerId]) -> str:
    """`■ HALTED by latch:BTC-USD +2 more`."""
    what = "ALL TRADING " if names[0] == GLOBAL else ""
    return f"{STATE_SYMBOL[state]} {what}{state.meaning} by {names[0]}{others(names[1:])}"


def _whole_size(board: Board) -> str:
    """`◔ ALL TRADING AT 50 % OF SIZE` where `global` is closed and cuts it."""
    from widgets.size_words import own_share, size_percent

    reading, share = board.reading(GLOBAL), own_share(board, GLOBAL)
    if reading is None or reading.state is not State.CLOSED or not 0 < share < 1:
        return ""
    return f"{STATE_SYMBOL[State.QUIET_PERIOD]} ALL TRADING AT {size_percent(share)} OF SIZE"


def _all_trading(board: Board) -> Line:
    """Nobody shall take half size for whole."""
    from widgets.size_words import own_share, size_percent

    read = ((name, board.reading(name)) for name in board.catalogue.ids)
    named = [name for name, reading in read if reading is not None and reading.size_share < 1]
    symbol = STATE_SYMBOL[State.CLOSED]
    if not named:
        return ((f" {symbol} ALL TRADING: {State.CLOSED.label}", "banner-good"),)
    words = ", ".join(f"{name} AT {size_percent(own_share(board, name))} OF SIZE" for name in named[:2])
    return ((f" {symbol} TRADING, {words}{others(named[2:])}", "banner-warn"),)


def others(names: Sequence[BreakerId]) -> str:
    return f" +{len(names)} more" if names else ""


def _why(board: Board, breaker_id: BreakerId, state: State) -> str:
    story, reading = board.story(breaker_id), board.reading(breaker_id)
    parts = []
    rule = fired_rule(story.notes, breaker_id) if state is State.OPEN else None
    if rule is not None:
        automatic = written_by_rule(board, story.event_id)
        parts.append(rule.words if automatic else f"{rule.words} (by {clean(story.actor, 40) or '?'})")
    document = reading.document if reading else None
    if document and state is State.QUIET_PERIOD:
        parts.append(f"size ×{document.size_share}, {countdown(document.quiet_until, board.redis_now)} left")
    if document and state is State.HALF_OPEN:
        parts.append(f"{countdown(document.run_deadline, board.redis_now)} left")
    if story.since:
        parts.append(f"since {clock(story.since, board.now)} ({ago(story.since, board.redis_now)})")
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
