"""The verification after a trip, without a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import LeaseRow
from tests.screen.test_paging_shown import LIVES, board
from tests.screen.test_rows import NOW
from widgets.board import Board
from widgets.trip_checks import TripMade, trip_checks


def acknowledged(shown: Board, seconds: float, counter: int = 7) -> Board:
    """The gateway renewed its acknowledgement so long after `NOW`."""
    assert shown.desk is not None
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    status = {"gateways": {"paper": {"epochs": {"global": {"counter": counter}}, "acked_at": at}}}
    lease = LeaseRow("a", 1, NOW, NOW, 0.0, True, status)
    return replace(shown, desk=replace(shown.desk, lease=lease))


def test_the_moment_of_enforcement_is_the_first_that_was_seen() -> None:
    """A gateway acknowledges anew each second; the halt has been in force since the first time."""
    made = TripMade(BreakerId("global"), "e", 7, NOW)
    shown = board(LIVES)
    assert made.seen_by(acknowledged(shown, 1, counter=6)).enforced == ()
    first = made.seen_by(acknowledged(shown, 2))
    assert first.enforced == (("paper", NOW + timedelta(seconds=2)),)
    again = first.seen_by(acknowledged(shown, 9))
    assert again is first
    assert trip_checks(acknowledged(shown, 9), first) == trip_checks(acknowledged(shown, 30), again)
