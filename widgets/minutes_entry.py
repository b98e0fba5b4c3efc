"""One line of the first-five-minutes page, and what Enter shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cockpit.domain.text import clean
from widgets.line import Line, Span, fold, wrap
from widgets.times import span

LABEL: Final = 9
Mark = bool | Literal[""] | None
MARKS: Final[dict[Mark, tuple[str, str]]] = {
    True: ("✓", "good"),
    False: ("✗", "bad"),
    "": ("·", "dim"),
    None: ("?", "unknown"),
}
"""Readable without colour, and of one meaning on the whole page; `legend` says which."""
_MEANINGS: Final[dict[Mark, str]] = {
    True: "good or done",
    False: "needs you",
    "": "nothing to do, or not judged",
    None: "not known",
}
READ_S: Final = 8.0
"""The page is read every two seconds: what is older than a few readings says nothing of now."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`key` is the same from reading to reading; `more` is all of it, a paragraph each."""

    key: str
    line: Line
    more: tuple[str, ...] = ()


def fact(
    key: str, label: str, mark: Mark, spans: Sequence[Span], cells: int, more: Sequence[str] = ()
) -> list[Entry]:
    """A labelled fact of one or two lines."""
    sign, style = MARKS[mark]
    line: Line = ((f" {label:<{LABEL}}", "title"), (f"{sign} ", style), *spans)
    lines = fold(line, cells, 2)
    lines = [lines[0], *(((" " * (LABEL + 3), ""), *_stripped(each)) for each in lines[1:])]
    return [
        Entry(key if not index else f"{key}+{index}", each, tuple(more)) for index, each in enumerate(lines)
    ]


def legend() -> Line:
    """What the page's marks mean."""
    line: Line = ()
    for mark, words in _MEANINGS.items():
        sign, style = MARKS[mark]
        line = (*line, (f"{'  ' if line else ' '}{sign} ", style), (words, "dim"))
    return line


def good_while_fresh(good: bool, seconds: float | None, stale_s: float) -> Mark:
    """What was good too long ago to say anything of now is not known to be."""
    return None if good and seconds is not None and seconds > stale_s else good


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
