"""Size limits and budget exclusions as a signed command names them.

A limit's target is its share of normal order size (`0.5`), an exclusion's is `SLO FROM/UNTIL` (RFC 3339).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.slos import Slo

LONGEST: Final = timedelta(days=7)
_SHARE: Final = re.compile(r"0\.\d{1,6}", re.ASCII)
_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)


class BadAdjustment(ValueError):
    """A target that names no limit or exclusion; the message says what would be right."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The events of `slo` in (from_at, until_at]."""

    slo: str
    from_at: datetime
    until_at: datetime


def share_text(share: Decimal) -> str:
    """The share as a limit's target has it.

    Raises:
        BadAdjustment: it is no limit's.
    """
    text = f"{share.normalize():f}"
    parse_share(text)
    return text


def parse_share(text: str) -> Decimal:
    """A limit's share, 0 < share < 1, with at most six decimals.

    Raises:
        BadAdjustment: anything else.
    """
    share = Decimal(text) if _SHARE.fullmatch(text) else Decimal(0)
    if not 0 < share < 1:
        raise BadAdjustment(f"share {text[:40]!r} is not over 0 and under 1; write 0.5 for a half")
    return share.normalize()


def parse_token(text: str) -> str:
    """Why a limit was set, in one word: a trip's reason, or the name of the guard's rule; "" for none.

    Raises:
        BadAdjustment: no such word.
    """
    if text and not _TOKEN.fullmatch(text):
        raise BadAdjustment(f"reason {text[:40]!r} is no token of lower-case letters, digits and -")
    return text


def exclusion_target(slo: str, from_at: datetime, until_at: datetime) -> str:
    """The target that `parse_exclusion` reads."""
    return f"{slo} {rfc3339(from_at)}/{rfc3339(until_at)}"


def parse_exclusion(text: str) -> Stretch:
    """
    Raises:
        BadAdjustment: not `SLO FROM/UNTIL`, or it ends before it begins.
    """
    name, _, times = text.partition(" ")
    begins, _, ends = times.partition("/")
    try:
        found = Stretch(name, parse_rfc3339(begins), parse_rfc3339(ends))
    except ValueError as error:
        raise BadAdjustment("target is not SLO FROM/UNTIL with two times of RFC 3339") from error
    if not name or found.until_at <= found.from_at:
        raise BadAdjustment("the exclusion does not end after it begins")
    return found


def exclusion_fault(
    stretch: Stretch, breaker_id: BreakerId, snapshot: SloSnapshot, now: datetime
) -> str | None:
    """Why this stretch cannot be excluded, or None. `now` is the database's clock."""
    slo = next((each for each in snapshot.book.slos if each.name == stretch.slo), None)
    if slo is None:
        return f"no SLO is named {stretch.slo[:80]!r}; plain thresholds have no budget to adjust"
    if slo.breaker != breaker_id:
        return f"{slo.name} is about {slo.breaker}, not {breaker_id}"
    return _bounds_fault(stretch, slo, now) or _overlap(stretch, snapshot)


def _bounds_fault(stretch: Stretch, slo: Slo, now: datetime) -> str | None:
    if stretch.until_at > now:
        return "the exclusion ends in the future: only what has happened can be excluded"
    if stretch.until_at - stretch.from_at > LONGEST:
        return f"the exclusion is longer than {LONGEST.days} days"
    if stretch.from_at < now - timedelta(seconds=slo.window_s):
        return (
            f"the exclusion begins before the window of {slo.name}, which has {slo.window_s / 86_400:g} days"
        )
    return None


def _overlap(stretch: Stretch, snapshot: SloSnapshot) -> str | None:
    """Two exclusions never take the same event out twice."""
    for each in snapshot.exclusions:
        same = each.slo == stretch.slo and each.in_force
        if same and each.from_at < stretch.until_at and stretch.from_at < each.until_at:
            return f"it overlaps with exclusion {each.exclusion_id}, which is in force"
    return None
