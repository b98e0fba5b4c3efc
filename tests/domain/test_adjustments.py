"""Targets of limits and exclusions: what they say, and every way in which they can be wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.adjustments import (
    BadAdjustment,
    Stretch,
    exclusion_fault,
    exclusion_target,
    parse_exclusion,
    parse_share,
    parse_token,
    share_text,
)
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.slos import Budgeting, Exclusion, Op, Slo, SloBook, Source, SourceKind
from cockpit.domain.slos import Limit as Bound

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SLO = Slo(
    "order-success",
    "",
    "",
    Decimal("0.995"),
    30 * 86_400,
    Bound(Source(SourceKind.POSTGRES, "x"), Op.LTE, 1.0),
    Budgeting.OCCURRENCES,
    None,
    EXECUTION,
)
EXCLUDED = Exclusion(
    "e-1", SLO.name, NOW - timedelta(hours=3), NOW - timedelta(hours=2), "agreed", "a", "b", 7
)
SNAPSHOT = SloSnapshot(NOW, 0.0, SloBook((SLO,)), exclusions=(EXCLUDED,))


def stretch(from_h: float, until_h: float) -> Stretch:
    """So many hours before now."""
    return Stretch(SLO.name, NOW - timedelta(hours=from_h), NOW - timedelta(hours=until_h))


@given(st.integers(1, 999_999))
def test_a_share_survives_its_text(millionths: int) -> None:
    share = Decimal(millionths) / 1_000_000
    assert parse_share(share_text(share)) == share


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "1", "1.0", "1.5", "-0.5", ".5", "0.1234567", "NaN", "0,5", "0.５"]
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(BadAdjustment, match=r"write 0\.5 for a half"):
        parse_share(text)


@pytest.mark.parametrize("share", [Decimal(1), Decimal(0), Decimal("0.1234567")])
def test_no_text_of_what_is_no_share(share: Decimal) -> None:
    with pytest.raises(BadAdjustment):
        share_text(share)


def test_a_token() -> None:
    assert parse_token("") == ""
    assert parse_token("settlement-slow") == "settlement-slow"
    for text in ("Upper", "-x", "a b", "a" * 65, "é"):
        with pytest.raises(BadAdjustment, match="no token"):
            parse_token(text)


def test_an_exclusion_survives_its_target() -> None:
    found = stretch(3, 2)
    assert parse_exclusion(exclusion_target(found.slo, found.from_at, found.until_at)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "RFC 3339"),
        ("order-success", "RFC 3339"),
        ("order-success 2026-01-31T10:00:00/2026-01-31T11:00:00Z", "RFC 3339"),
        (" 2026-01-31T10:00:00Z/2026-01-31T11:00:00Z", "does not end"),
        ("order-success 2026-01-31T10:00:00Z/2026-01-31T10:00:00Z", "does not end"),
        ("order-success 2026-01-31T11:00:00Z/2026-01-31T10:00:00Z", "does not end"),
    ],
)
def test_what_is_no_exclusion(text: str, why: str) -> None:
    with pytest.raises(BadAdjustment, match=why):
        parse_exclusion(text)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (stretch(1, 0), None),
        (stretch(2, 1), None),  # beside the one in force, which ends where it begins
        (stretch(4, 3), None),
        (stretch(1, -0.001), "ends in the future"),
        (stretch(169, 0.5), "longer than 7 days"),
        (stretch(24 * 30 + 0.001, 24 * 30 - 1), "begins before the window"),
        (stretch(24 * 30, 24 * 30 - 1), None),
        (stretch(2.5, 1), "overlaps with exclusion e-1"),
        (stretch(4, 1), "overlaps with exclusion e-1"),
    ],
)
def test_what_may_be_excluded(found: Stretch, why: str | None) -> None:
    fault = exclusion_fault(found, EXECUTION, SNAPSHOT, NOW)
    assert (fault is None) if why is None else (fault is not None and why in fault)


def test_an_exclusion_is_of_a_known_slo_and_its_own_breaker() -> None:
    unknown = replace(stretch(1, 0), slo="other")
    assert "no SLO is named 'other'" in str(exclusion_fault(unknown, EXECUTION, SNAPSHOT, NOW))
    assert "not global" in str(exclusion_fault(stretch(1, 0), GLOBAL, SNAPSHOT, NOW))


def test_a_reverted_exclusion_and_another_slos_stand_in_nobodys_way() -> None:
    reverted = replace(EXCLUDED, reverted_at=NOW, reverted_by="a")
    for each in (reverted, replace(EXCLUDED, slo="other")):
        assert exclusion_fault(stretch(3, 2), EXECUTION, replace(SNAPSHOT, exclusions=(each,)), NOW) is None
