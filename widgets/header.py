"""The header: who you are, where, and what each source says of itself. Pure line of the board."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cockpit.domain.text import clean
from widgets.board import STALE_AFTER_S, Board
from widgets.line import Line, Span, cut, fit, width
from widgets.times import span


@dataclass(frozen=True, slots=True)
class Light:
    """One source. `good` None: not known yet. `word` is what a reader without colour goes by."""

    name: str
    good: bool | None
    word: str


_BRIEF: Final = {"postgres": "pg"}
_TINY: Final = {**_BRIEF, "evidence": "ev", "authority": "auth", "withdrawals": "wdrl"}
_SYMBOL: Final = {True: "●", False: "■", None: "?"}
_STYLE: Final = {True: "good", False: "bad", None: "unknown"}


def lights(board: Board) -> tuple[Light, ...]:
    """Redis, Postgres, evidence, authority, chain. What is not fresh is never good (I25)."""
    return (*_alerts(board), _store("redis", board.redis_age_s, board.redis_error), *_behind_postgres(board))


def _alerts(board: Board) -> tuple[Light, ...]:
    """What stands here only while something is wrong: a kill switch, withdrawals, pages."""
    if board.blank:
        return ()
    from widgets.kill_words import light_word as kill_word
    from widgets.page_words import light_word as page_word
    from widgets.switch_words import withdrawals_word

    found = [Light("KILL", False, word)] if (word := kill_word(board)) else []
    if board.redis_readable and (word := withdrawals_word(board)):
        found.append(Light("withdrawals", False, word))
    if (page := page_word(board)) is not None:
        found.append(Light("pages", *page))
    return tuple(found)


def _store(name: str, age: float | None, error: str | None) -> Light:
    if error is not None:
        return Light(name, False, "DOWN")
    if age is None:
        return Light(name, None, "…")
    return Light(name, True, "ok") if age <= STALE_AFTER_S else Light(name, False, f"STALE {span(age)}")


def _behind_postgres(board: Board) -> tuple[Light, ...]:
    postgres = _store("postgres", board.desk_age_s, board.desk_error)
    if postgres.good is not True:
        return (postgres, *(Light(name, None, "unread") for name in ("evidence", "authority", "chain")))
    if not board.authority_alive:
        silent = board.authority_silent_s
        word = "NONE" if silent is None or silent == float("inf") else f"SILENT {span(silent)}"
        return (
            postgres,
            Light("evidence", None, "unread"),
            Light("authority", False, word),
            Light("chain", None, "unread"),
        )
    status = board.authority_status
    return (
        postgres,
        _flag("evidence", status.get("evidence_ok"), "DOWN"),
        Light("authority", True, "ok"),
        _chain(board),
    )


def _flag(name: str, value: object, bad: str) -> Light:
    if value is True:
        return Light(name, True, "ok")
    return Light(name, False, bad) if value is False else Light(name, None, "unread")


def _chain(board: Board) -> Light:
    if board.audit_check.ok is False:
        return Light("chain", False, "BROKEN")
    chain = board.authority_status.get("chain")
    return _flag("chain", chain.get("ok") if isinstance(chain, dict) else None, "BROKEN")


def data_age(board: Board) -> Span:
    ages = [age for age in (board.redis_age_s, board.desk_age_s) if age is not None]
    if not ages:
        return ("no data", "unknown")
    oldest = max(ages)
    if oldest > STALE_AFTER_S:
        return (f"STALE {span(oldest)}", "bad")
    return ("live", "good") if oldest < 1.5 else (f"{oldest:.0f} s old", "")


def header(board: Board, cells: int) -> Line:
    """The widest of several wordings that fits. Where none does, the last lights give way, and neither who
    nor how old."""
    found = lights(board)
    who = _who(board)
    short = who[:2]
    loud = tuple(_light(light, words=True) for light in found)
    calm = tuple(_light(light, words=light.good is not True) for light in found)
    left: tuple[Span, ...]
    terse = tuple(_light(light, words=light.good is False) for light in found)
    brief, tiny = (
        tuple(
            _light(replace(light, name=names.get(light.name, light.name)), light.good is False)
            for light in found
        )
        for names in (_BRIEF, _TINY)
    )
    ailing = tuple(lamp for lamp, light in zip(tiny, found, strict=True) if light.good is not True)
    ailing = ailing or ((("● all ok", "good"),),)
    for left, lamps in (
        (who, loud),
        (who, calm),
        (who, terse),
        (who, brief),
        (who, tiny),
        (short, brief),
        (short, tiny),
        (short, ailing),
        (_cropped(board), ailing),
    ):
        body = _spread(left, lamps, data_age(board), cells)
        if width(body) <= cells:
            return body
    age = data_age(board)
    kept = cut(_spread(left, lamps, ("", ""), 0), cells - width((age,)) - 2)
    return (*kept, (fit("", cells - width((*kept, age)) - 1), ""), age, (" ", ""))


def _who(board: Board) -> tuple[Span, ...]:
    role = board.identity.role.value if board.identity else ("role unread" if board.identity_error else "…")
    return (
        (f" {clean(board.profile, 20)}", "strong"),
        (f" {clean(board.login, 24)}", ""),
        (f" · {role}", "dim"),
    )


def _cropped(board: Board) -> tuple[Span, ...]:
    """Where and who, in the least room that still tells two profiles and two logins apart."""
    return (
        (f" {fit(clean(board.profile, 20), 8).rstrip()}", "strong"),
        (f" {fit(clean(board.login, 24), 10).rstrip()}", ""),
    )


def _light(light: Light, words: bool) -> Line:
    text = f"{_SYMBOL[light.good]} {light.name}" if words else f"{_SYMBOL[light.good]}{light.name}"
    return ((f"{text} {light.word}" if words else text, _STYLE[light.good]),)


def _spread(left: tuple[Span, ...], lamps: tuple[Line, ...], age: Span, cells: int) -> Line:
    middle: list[Span] = []
    for lamp in lamps:
        middle += [(" " if middle else "  ", ""), *lamp]
    gap = cells - width((*left, *middle, age)) - 1
    return (*left, *middle, (fit("", max(2, gap)), ""), age, (" ", ""))
