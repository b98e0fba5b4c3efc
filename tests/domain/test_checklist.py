"""What stands in the way of a resume, and limits in time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.checklist import (
    ITEMS,
    LIVE,
    VOUCHED,
    BadChecked,
    Finding,
    failing,
    missing_vouchers,
    parse_checked,
)
from cockpit.domain.limits import Limits, clocks_differ, reset_wait

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_all_names_every_item_that_a_person_can_vouch_for_and_no_other() -> None:
    assert parse_checked("all") == tuple(item.item_id for item in VOUCHED)
    assert missing_vouchers(parse_checked("all")) == ()
    assert missing_vouchers(parse_checked("")) == VOUCHED
    assert parse_checked("notified, root-cause") == ("root-cause", "notified")
    assert len({item.item_id for item in ITEMS}) == len(ITEMS)


@pytest.mark.parametrize("item", LIVE)
def test_what_the_cockpit_reads_cannot_be_vouched_for(item: object) -> None:
    with pytest.raises(BadChecked, match="cannot be vouched for"):
        parse_checked(f"root-cause,{item.item_id}")  # type: ignore[attr-defined]


def test_an_unknown_item_is_refused_with_the_list() -> None:
    with pytest.raises(BadChecked, match="the items are root-cause, reviewed"):
        parse_checked("everything")


@given(
    st.lists(st.sampled_from([True, False, None]), min_size=len(LIVE), max_size=len(LIVE)), st.integers(0, 2)
)
def test_failed_unreadable_and_unread_items_stand_in_the_way(
    readings: list[bool | None], unread: int
) -> None:
    findings = [Finding(item.item_id, ok, "x", "y") for item, ok in zip(LIVE, readings, strict=True)]
    kept = findings[: len(findings) - unread]
    blocked = {finding.item_id for finding in failing(kept)}
    passed = {finding.item_id for finding in kept if finding.ok is True}
    assert blocked == {item.item_id for item in LIVE} - passed


def test_a_line_says_what_was_read_and_what_is_wanted() -> None:
    assert (
        Finding("latency", False, "p95 812 ms", "at most 300 ms").line == "p95 812 ms (wanted at most 300 ms)"
    )
    assert Finding("latency", None, "no answer", "x").line == "unreadable: no answer (wanted x)"


@given(st.floats(-1000, 1000))
def test_a_reset_waits_out_the_interval_whatever_the_clock_did(elapsed_s: float) -> None:  # I12, I13
    wait = reset_wait(NOW, NOW + timedelta(seconds=elapsed_s), 60)
    assert wait >= timedelta(0)
    assert (wait == timedelta(0)) is (timedelta(seconds=elapsed_s) >= timedelta(seconds=60))


def test_the_first_reset_waits_for_nothing() -> None:
    assert reset_wait(None, NOW, 60) == timedelta(0)


@pytest.mark.parametrize(
    ("skew_s", "differ"), [(0, False), (2, False), (-2, False), (2.1, True), (-2.1, True)]
)
def test_clocks_more_than_two_seconds_apart_are_no_clocks(skew_s: float, differ: bool) -> None:  # I13
    assert clocks_differ(NOW + timedelta(seconds=skew_s), NOW, Limits().max_clock_skew_s) is differ


def test_defaults_are_the_runbooks_values() -> None:
    limits = Limits()
    assert (limits.quiet_period_s, limits.probes, limits.probes_required, limits.reset_interval_s) == (
        300,
        5,
        4,
        60,
    )
    assert (limits.close_window_s, limits.critical_window_s, limits.latency_bound_ms) == (600, 900, 300)
