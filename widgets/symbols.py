"""Symbols that carry the state without colour, and what stands for them where only ASCII can be shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from cockpit.domain.states import State

STATE_SYMBOL: Final = {
    State.CLOSED: "●",
    State.OPEN: "■",
    State.HALF_OPEN: "◐",
    State.QUIET_PERIOD: "◔",
}
STATE_STYLE: Final = {
    State.CLOSED: "trading",
    State.OPEN: "halted",
    State.HALF_OPEN: "probing",
    State.QUIET_PERIOD: "limited",
}
UNREADABLE: Final = "?"

_ASCII: Final = str.maketrans(
    {
        "●": "o",
        "■": "#",
        "◐": "%",
        "◔": "~",
        "○": ".",
        "◌": "!",
        "×": "x",
        "·": "-",
        "…": "~",
        "│": "|",
        "─": "-",
        "▸": ">",
        "✓": "+",
        "✗": "x",
        "→": ">",
        "—": "-",
        "≥": ">",
        "≤": "<",
        "↑": "^",
        "↓": "v",
        "⊃": ">",
        "▲": "^",
        "◆": "*",
        "◇": "+",
        "‹": "<",
        "›": ">",
        "≠": "!",
        "▁": "_",
        "▂": ".",
        "▃": "-",
        "▅": "=",
        "▆": "+",
        "█": "#",
        "░": ".",
        "\N{REPLACEMENT CHARACTER}": "?",
    }
)


def ascii_only(environ: Mapping[str, str], encoding: str | None) -> bool:
    """Whether the terminal is to be given ASCII: its encoding is not UTF-8, or it is a console that lacks
    the symbols (`linux`, `vt100` and their like)."""
    if environ.get("COCKPIT_ASCII"):
        return True
    if (encoding or "").lower().replace("-", "") != "utf8":
        return True
    term = environ.get("TERM", "")
    return term in {"linux", "ansi", "cons25"} or term.startswith(("vt100", "vt102", "vt220"))


def to_ascii(text: str) -> str:
    """The same text with one ASCII character for each that is not."""
    if text.isascii():
        return text
    return text.translate(_ASCII).encode("ascii", "replace").decode()


class Alphabet:
    """What the terminal can show. Set once, before the first frame."""

    ascii: bool = False

    @classmethod
    def choose(cls, encoding: str | None, environ: Mapping[str, str] | None = None) -> None:
        cls.ascii = ascii_only(os.environ if environ is None else environ, encoding)


def example(text: str) -> str:
    """What an empty field shows: in brackets, so that nobody takes it for what was typed."""
    if not text:
        return ""
    shown = f"‹{text}›"
    return to_ascii(shown) if Alphabet.ascii else shown
