"""Moments and spans of time in few characters. UTC throughout; `now` is always given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ")


def clock(moment: datetime | None, now: datetime | None = None) -> str:
    """`03:12`, or `21 Nov 03:12` where it was not within the last day."""
    if moment is None:
        return "?"
    moment = moment.astimezone(UTC)
    if now is not None and abs((now - moment).total_seconds()) > 20 * 3600:
        return moment.strftime("%d %b %H:%M")
    return moment.strftime("%H:%M")


def clock_s(moment: datetime | None) -> str:
    """`03:12:45`."""
    return "?" if moment is None else moment.astimezone(UTC).strftime("%H:%M:%S")


def span(seconds: float) -> str:
    """`8 s`, `4 min`, `3 h`, `12 d`; never negative."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min"
    if seconds < 48 * 3600:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} d"


def ago(moment: datetime | None, now: datetime) -> str:
    return "?" if moment is None else span((now - moment).total_seconds())


def overdue(moment: datetime | None, now: datetime) -> bool:
    """Whether `moment` is set and has come."""
    return moment is not None and now >= moment


def countdown(until: datetime | None, now: datetime) -> str:
    """`0:42` left, `over` once it has come."""
    if until is None:
        return "?"
    left = int((until - now).total_seconds())
    return "over" if left < 0 else f"{left // 60}:{left % 60:02d}"


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment as people write it, UTC: `03:10` (the last one before `now`), `2026-11-21 03:10`, RFC 3339.

    Raises:
        ValueError: none of these; the message says what would be right.
    """
    text = " ".join(text.split())
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        hour = datetime.strptime(f"{text} +0000", "%H:%M %z").time()
    except ValueError:
        raise ValueError("write 03:10 or 2026-11-21 03:10, UTC") from None
    found = datetime.combine(now.astimezone(UTC).date(), hour, UTC)
    return found if found <= now else found - timedelta(days=1)
