"""One line of the first-five-minutes page, and what Enter shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cockpit.domain.text import clean
from widgets.line import Line, Span, fold, wrap
from widgets.times import span

LABEL: Final = 9
MARKS: Final = {True: ("✓", "good"), False: ("✗", "bad"), None: ("?", "unknown")}
"""Readable without colour: it holds, it does not, nobody can tell."""
READ_S: Final = 8.0
"""The page is read every two seconds: what is older than a few readings says nothing of now."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`key` is the same from reading to reading; `more` is all of it, a paragraph each."""

    key: str
    line: Line
    more: tuple[str, ...] = ()


def fact(
    key: str, label: str, mark: bool | str | None, spans: Sequence[Span], cells: int, more: Sequence[str] = ()
) -> list[Entry]:
    """A labelled fact of one or two lines. `mark` "" for what is neither good nor bad."""
    sign = ("· ", "dim") if isinstance(mark, str) else (f"{MARKS[mark][0]} ", MARKS[mark][1])
    line: Line = ((f" {label:<{LABEL}}", "title"), sign, *spans)
    lines = fold(line, cells, 2)
    lines = [lines[0], *(((" " * (LABEL + 3), ""), *_stripped(each)) for each in lines[1:])]
    return [
        Entry(key if not index else f"{key}+{index}", each, tuple(more)) for index, each in enumerate(lines)
    ]


def _stripped(line: Line) -> Line:
    """A folded line without the blank that it begins with: its label stands over it."""
    first, *rest = line
    return ((first[0].lstrip(), first[1]), *rest)


def unreadable(key: str, label: str, why: str, cells: int) -> list[Entry]:
    """A part that could not be read proves nothing, and says so."""
    return fact(key, label, None, [(f"UNREADABLE: {clean(why, 300)}", "unknown")], cells, (why,))


def heading(key: str, title: str, words: str = "", style: str = "dim") -> Entry:
    return Entry(key, ((f" {title} ", "strong"), (clean(words, 400), style)), (words,))


def paragraph(
    key: str, before: Line, text: str, style: str, cells: int, more: Sequence[str] = (), most: int = 3
) -> list[Entry]:
    """`text` after `before`, wrapped below itself."""
    taken = sum(len(each) for each, _ in before)
    lines = wrap(text[: cells * (most + 1)], max(10, cells - taken), most, style)
    blank: Line = ((" " * taken, ""),)
    return [
        Entry(f"{key}+{index}" if index else key, (*(blank if index else before), *line), tuple(more))
        for index, line in enumerate(lines)
    ]


def aged(seconds: float | None, stale_s: float | None = None) -> Span:
    """` · 12 s ago`, and `STALE` in words where that is too long to say anything of now."""
    if seconds is None:
        return ("", "")
    if stale_s is not None and seconds > stale_s:
        return (f" · STALE, {span(seconds)} old", "bad")
    return (f" · {span(seconds)} ago", "dim")
