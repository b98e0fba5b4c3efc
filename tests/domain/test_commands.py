"""The signed request survives its own canonical form, and nothing else parses."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, Kind, MalformedCommand, parse_command
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Permission

COMMAND = Command(
    kind=Kind.TRIP,
    request_id="7c9e6679-7425-40de-944b-e07fc1f90ae7",
    breaker_id=BreakerId("instrument:BTC-USD"),
    login="operator1",
    requested_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    epoch=Epoch("a" * 40, 3),
    reason="latency",
    notes="orders take two seconds to fill",
    checked=("root-cause",),
    target="x",
    ttl_s=3600,
)
SAFE = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
COMMANDS = st.builds(
    Command,
    kind=st.sampled_from(list(Kind)),
    request_id=st.uuids().map(str),
    breaker_id=st.just(BreakerId("global")),
    login=SAFE,
    requested_at=st.datetimes(timezones=st.just(UTC)),
    epoch=st.none() | st.builds(Epoch, SAFE, st.integers(0, 2**53 - 1)),
    reason=SAFE,
    notes=SAFE,
    checked=st.lists(SAFE, max_size=3).map(tuple),
    target=st.none() | SAFE,
    ttl_s=st.none() | st.integers(1, 604_800),
)


@given(COMMANDS)
def test_a_command_survives_its_payload(command: Command) -> None:
    assert parse_command(command.payload()) == command


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("v", 2, "v is not 1"),
        ("v", True, "v is not 1"),
        ("kind", "close_all", "close_all"),
        ("kind", 1, "kind is not a string"),
        ("request_id", "7C9E6679-7425-40DE-944B-E07FC1F90AE7", "canonical form"),
        ("request_id", "nonsense", "badly formed"),
        ("breaker_id", "everything", "not a breaker's name"),
        ("epoch", 3, "epoch is neither"),
        ("epoch", {"run_id": "a"}, "epoch is neither"),
        ("epoch", {"run_id": 1, "counter": 1}, "run_id is not a string"),
        ("epoch", {"run_id": "a", "counter": -1}, "epoch.counter"),
        ("epoch", {"run_id": "a", "counter": True}, "epoch.counter"),
        ("epoch", {"run_id": "a", "counter": "1"}, "epoch.counter"),
        ("checked", "all", "checked is not a list"),
        ("checked", [1], "checked is not a list"),
        ("checked", ["\ud800"], "surrogates"),
        ("notes", "\ud800", "surrogates"),
        ("target", 1, "target is not a string"),
        ("ttl_s", 0, "ttl_s"),
        ("ttl_s", "60", "ttl_s"),
        ("ttl_s", True, "ttl_s"),
        ("ttl_s", 604_801, "ttl_s"),
        ("requested_at", "2026-01-02T03:04:05", "no zone"),
    ],
)
def test_a_bad_field_is_named(field: str, value: object, fault: str) -> None:
    with pytest.raises(MalformedCommand, match=fault):
        parse_command({**COMMAND.payload(), field: value})


@pytest.mark.parametrize("fields", [None, [], {}, {**COMMAND.payload(), "more": 1}])
def test_other_shapes_are_refused(fields: object) -> None:
    with pytest.raises(MalformedCommand, match="exactly the contract's fields"):
        parse_command(fields)


def test_every_kind_but_the_record_of_a_denial_needs_a_permission() -> None:
    assert {kind for kind in Kind if kind.permission is None} == {Kind.DENIED}
    assert Kind.TRIP.permission is Permission.TRIP_CIRCUIT
    assert {Kind.HALF_OPEN.permission, Kind.CLOSE.permission, Kind.APPROVE.permission} == {
        Permission.RESET_CIRCUIT
    }


def test_an_override_asks_for_more_than_a_plain_half_open() -> None:
    plain = replace(COMMAND, kind=Kind.HALF_OPEN, reason="")
    assert plain.permission is Permission.RESET_CIRCUIT
    assert replace(plain, reason="the venue confirmed").permission is Permission.OVERRIDE
    assert COMMAND.permission is Permission.TRIP_CIRCUIT
