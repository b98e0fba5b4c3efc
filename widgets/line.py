"""Lines of styled text: what every part of the screen is made of, testable without a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from rich.cells import cell_len, set_cell_size

from cockpit.domain.text import clean

Span: TypeAlias = tuple[str, str]
"""Text and the name of its style (one of `STYLES`, or empty)."""
Line: TypeAlias = tuple[Span, ...]

STYLES: Final = (
    "trading",
    "halted",
    "probing",
    "limited",
    "unknown",
    "good",
    "bad",
    "warn",
    "dim",
    "strong",
    "key",
    "title",
    "stale",
    "cursor",
    "banner-good",
    "banner-bad",
    "banner-warn",
    "banner-unknown",
)


def width(line: Line) -> int:
    """Cells that a line takes."""
    return sum(cell_len(text) for text, _ in line)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def fit(text: str, cells: int, ellipsis: str = "…") -> str:
    """`text` in exactly `cells` cells: padded, or cut with an ellipsis."""
    if cells <= 0:
        return ""
    if cell_len(text) <= cells:
        return text + " " * (cells - cell_len(text))
    return set_cell_size(text, cells - 1) + ellipsis if cells > 1 else ellipsis


def cut(line: Line, cells: int, ellipsis: str = "…") -> Line:
    """`line` in at most `cells` cells; one that is cut ends in an ellipsis."""
    if width(line) <= cells:
        return line
    out: list[Span] = []
    room = cells
    for text, style in line:
        if cell_len(text) < room:
            out.append((text, style))
            room -= cell_len(text)
            continue
        out.append((fit(text + " ", room, ellipsis) if cell_len(text) >= room else text, style))
        break
    return tuple(out)


def restyle(line: Line, style: str) -> Line:
    """The same text, all in one style."""
    return tuple((text, style) for text, _ in line)


def plain(text: str, style: str = "") -> Line:
    """One safe line of text from outside."""
    return ((clean(text), style),)


def join(parts: Iterable[Line], between: str = "  ") -> Line:
    """Parts in a row, with `between` them."""
    out: list[Span] = []
    for part in parts:
        if out and part:
            out.append((between, ""))
        out.extend(part)
    return tuple(out)


def fold(line: Line, cells: int, lines: int) -> list[Line]:
    """`line` broken at spaces into at most `lines` lines, styles kept; the last is cut with an ellipsis."""
    if width(line) <= cells:
        return [line]
    out: list[list[Span]] = [[]]
    for text, style in line:
        for piece in re.findall(r"\s*\S+|\s+$", text):
            taken = width(tuple(out[-1]))
            if taken and taken + cell_len(piece) > cells and len(out) < lines:
                out.append([(" " * _indent(line) + piece.lstrip(), style)])
            else:
                out[-1].append((piece, style))
    return [cut(tuple(each), cells) for each in out]


def _indent(line: Line) -> int:
    """Blanks that a line begins with; its continuation has the same."""
    text = text_of(line)
    return len(text) - len(text.lstrip())


def wrap(text: str, cells: int, lines: int, style: str = "") -> list[Line]:
    """`text` broken at spaces, and where a word is longer than a line, into at most `lines` lines; the last
    is cut with an ellipsis."""
    out: list[str] = []
    for word in clean(text).split(" "):
        if out and cell_len(out[-1]) + 1 + cell_len(word) <= cells:
            out[-1] += " " + word
            continue
        rest = word
        while cell_len(rest) > cells > 0:
            head = set_cell_size(rest, cells).rstrip(" ") or rest[0]
            out.append(head)
            rest = rest[len(head) :]
        out.append(rest)
    if len(out) > lines:
        out = [*out[: lines - 1], " ".join(out[lines - 1 :])]
    return [cut(((piece, style),), cells) for piece in out]
