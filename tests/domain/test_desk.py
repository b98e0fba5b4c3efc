"""What the desk's rows say of themselves."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cockpit.domain.audit import EMPTY
from cockpit.domain.breakers import BreakerId
from cockpit.domain.desk import OPEN_STATUSES, DeskSnapshot, IncidentRow, RequestRow, RunRow
from cockpit.domain.documents import Epoch
from cockpit.domain.facts import Severity, bad, ok, warn, worst
from cockpit.domain.probes import ProbeName, ProbeResult, ProbeRun
from cockpit.domain.refusals import Code, StoreCannotWrite, StoreUnreachable
from cockpit.domain.trading import PositionRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = Epoch("a" * 40, 2)
BTC = BreakerId("instrument:BTC-USD")
RUN = ProbeRun("r", BTC, EPOCH, "operator1", tuple(ProbeName), 4, NOW, NOW)
INCIDENT = IncidentRow(
    "i", NOW, "P1", "other", "Changed by hand", "open", "authority", None, None, None, None
)
POSITION = PositionRow("BTC-USD", Decimal(-3), Decimal(10), None, Decimal(2), NOW)


def desk(**parts: object) -> DeskSnapshot:
    empty = DeskSnapshot(NOW, NOW, 0.0, 0.0, {}, (), (), (), (), None, (), EMPTY, (), (), ())
    return dataclasses.replace(empty, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "critical"),
    [
        ({}, True),
        ({"severity": "P0"}, True),
        ({"severity": "P2"}, False),
        ({"status": "acknowledged"}, False),
        ({"source": "trip"}, False),
        ({"opened_at": NOW - timedelta(minutes=16)}, False),
    ],
)
def test_a_critical_incident_is_recent_unacknowledged_and_no_persons_own_trip(
    change: dict[str, object], critical: bool
) -> None:
    row = dataclasses.replace(INCIDENT, **change)  # type: ignore[arg-type]
    assert desk(incidents=(row,)).criticals(timedelta(minutes=15)) == ((row,) if critical else ())


def test_a_run_belongs_to_its_epoch_and_counts_its_passes() -> None:
    results = tuple(
        ProbeResult("r", at, RUN.probes[at], EPOCH, "operator1", at < 3, 1.0, "", NOW) for at in range(4)
    )
    row = RunRow(RUN, "q", "person:1", results, None, None)
    assert row.ratio == pytest.approx(0.6)
    found = desk(runs=(row,))
    assert found.run_of(BTC, EPOCH) is row
    assert found.run_of(BTC, Epoch("a" * 40, 3)) is None
    assert found.run_of(BreakerId("global"), EPOCH) is None
    assert found.run_of(BTC, None) is None


def test_exposure_falls_back_to_the_average_price_and_over_is_absolute() -> None:
    assert POSITION.exposure == 30
    assert dataclasses.replace(POSITION, mark_price=Decimal(20)).exposure == 60
    assert dataclasses.replace(POSITION, avg_price=None).exposure == 0
    assert POSITION.over
    assert not dataclasses.replace(POSITION, quantity=Decimal(-2)).over
    assert not dataclasses.replace(POSITION, max_quantity=None).over


@pytest.mark.parametrize(
    "status", ["new", "awaiting_approval", "committing", "done", "refused", "void", "expired"]
)
def test_a_request_is_open_until_it_is_decided(status: str) -> None:
    row = RequestRow("q", "close", "global", "operator1", status, None, None, None, None, NOW, None, None)
    assert row.open is (status in OPEN_STATUSES) is (status in {"new", "awaiting_approval", "committing"})


def test_the_worst_fact_speaks_for_all() -> None:
    facts = (ok("redis", "answers"), warn("postgres", "slow", "look"), bad("evidence", "gone", "mend"))
    assert worst(()) is Severity.OK
    assert [worst(facts[:count]) for count in (1, 2, 3)] == [Severity.OK, Severity.WARN, Severity.BAD]


def test_an_unreachable_store_is_named_and_exits_5() -> None:
    error = StoreCannotWrite("Redis", "its memory is full", maybe_applied=True)
    assert isinstance(error, StoreUnreachable)
    assert (error.store, error.maybe_applied, error.refusal.exit_code) == ("Redis", True, 5)
    assert error.refusal.code is Code.STORE
    assert "Redis is unreachable: its memory is full." in str(error)
