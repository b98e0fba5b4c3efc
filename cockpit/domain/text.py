"""The one sanitiser for text from outside, and the rules for a justification.

Nothing that came from outside (notes, titles, symbols, error messages) may act on the terminal: control
characters, escape sequences, bidi overrides and invisible marks are replaced before it is shown, logged
or stored. Markup is not this module's business: widgets show such text as plain content.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MIN_NOTES: Final = 20
MAX_NOTES: Final = 500
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# Cc control, Cf format (bidi, zero width, tags), Cs surrogate, Co private use, Zl/Zp line separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_COMBINING: Final = 4


def clean(text: str, limit: int = 2_000) -> str:
    """One safe line: white space becomes a space, anything that could act becomes U+FFFD.

    At most `limit` characters; a longer text ends in `…`. Long runs of combining marks are cut, since
    they paint over neighbouring lines.
    """
    if len(text) <= limit and text.isprintable() and not any(map(unicodedata.combining, text)):
        return text  # most texts; what follows gives the same at many times the cost
    out: list[str] = []
    combining = 0
    for char in text[: limit + 1]:
        combining = combining + 1 if unicodedata.combining(char) else 0
        if combining <= _MAX_COMBINING:
            out.append(_safe(char))
    safe = "".join(out)
    return safe if len(text) <= limit else safe[: limit - 1] + "…"


def _safe(char: str) -> str:
    if char in "\t\n\r\v\f":
        return " "
    return _REPLACEMENT if unicodedata.category(char) in _UNSAFE else char


def clean_lines(text: str, limit: int = 20_000) -> str:
    """Like `clean`, keeping line breaks."""
    return "\n".join(clean(line) for line in text[:limit].splitlines())


def many(number: int, what: str) -> str:
    """`1 page`, `2 pages`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class BadNotes(ValueError):
    """A justification that does not count; the message says what would be right."""


def justification(text: str) -> str:
    """Notes as they are stored: white space collapsed, at least 20 and at most 500 characters.

    Source: circuit breaker operations runbook, trip and reset steps (minimum 20 characters).

    Raises:
        BadNotes: too short, too long, or with characters that could act on a terminal.
    """
    collapsed = " ".join(text.split())
    if len(collapsed) < MIN_NOTES:
        raise BadNotes(f"notes have {many(len(collapsed), 'character')}; at least {MIN_NOTES} are needed")
    if len(collapsed) > MAX_NOTES:
        raise BadNotes(f"notes have {len(collapsed)} characters; at most {MAX_NOTES} are kept")
    if clean(collapsed) != collapsed:
        raise BadNotes("notes hold a control, bidi or invisible character; write plain text")
    return collapsed
