"""The epoch rule: CLOSED only where a current, well-formed document says so."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import EXECUTION, GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import (
    Document,
    Effective,
    Epoch,
    MalformedDocument,
    Reading,
    effective,
    parse_counter,
    parse_document,
    parse_rfc3339,
    read_breaker,
    rfc3339,
)
from cockpit.domain.states import State

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
BTC = BreakerId("instrument:BTC-USD")
CATALOGUE = Catalogue.build(["execution"], ["BTC-USD"], ["momentum"])
RUN = "a" * 40


def document(state: State = State.CLOSED, counter: int = 7, **changes: object) -> Document:
    made = Document(
        breaker_id=BTC,
        state=state,
        epoch=Epoch(RUN, counter),
        ancestors=(EXECUTION, GLOBAL),
        version=3,
        actor="operator1",
        reason="operational",
        notes="feed is back, probes passed",
        event_id="e-1",
        issued_at=NOW,
        run_deadline=NOW + timedelta(seconds=60) if state is State.HALF_OPEN else None,
        quiet_until=NOW + timedelta(seconds=300) if state is State.QUIET_PERIOD else None,
        size_share=Decimal("0.25") if state is State.QUIET_PERIOD else Decimal(1),
        key_id="k",
        signature="s",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def raw(made: Document, **changes: object) -> bytes:
    return json.dumps({**made.unsigned(), "signature": made.signature, **changes}).encode()


def read(made: Document | MalformedDocument | None, counter: int | None = 7, run_id: str = RUN) -> Reading:
    return read_breaker(BTC, made, counter, run_id, NOW, (EXECUTION, GLOBAL))


@given(st.sampled_from(list(State)))
def test_a_current_document_is_believed(state: State) -> None:
    made = document(state)
    parsed, covered = parse_document(raw(made))
    assert parsed == made
    assert covered == made.unsigned()
    assert read(parsed) == Reading(BTC, state, Epoch(RUN, 7), made)


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (read(document(), counter=None), "counter missing"),
        (read(document(), counter=8), "tripped since"),
        (read(document(), counter=6), "tripped since"),
        (read(document(), run_id="b" * 40), "another Redis server"),
        (read(None), "no state document"),
        (read(MalformedDocument("not JSON")), "refused: not JSON"),
        (read(document(breaker_id=GLOBAL)), "document is for global"),
        (read(document(ancestors=(GLOBAL,))), "hierarchy differs"),
        (read(document(State.HALF_OPEN, run_deadline=NOW)), "past its deadline"),
        (read(document(State.HALF_OPEN, run_deadline=None)), "past its deadline"),
    ],
)
def test_any_doubt_reads_open_and_says_why(reading: Reading, why: str) -> None:  # I2, I4
    assert reading.state is State.OPEN
    assert why in (reading.doubt or "")
    assert reading.size_share == 0


def test_a_quiet_period_past_its_end_is_not_closed_by_a_reader() -> None:  # I11
    assert read(document(State.QUIET_PERIOD, quiet_until=NOW - timedelta(days=1))).state is State.QUIET_PERIOD


GOOD = json.loads(raw(document()))


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"null", b"[]", b"{}", b"\xff", b"{" * 20_000, b"[" * 9_000, b'{"a":1}',
        json.dumps({**GOOD, "extra": 1}).encode(),
        *[json.dumps({key: value for key, value in GOOD.items() if key != gone}).encode() for gone in GOOD],
        *[json.dumps({**GOOD, name: 12.5}).encode() for name in GOOD],
        *[json.dumps({**GOOD, name: True}).encode() for name in GOOD],
        json.dumps({**GOOD, "state": "closed"}).encode(),
        json.dumps({**GOOD, "epoch": 0}).encode(),
        json.dumps({**GOOD, "epoch": 2**53}).encode(),
        json.dumps({**GOOD, "epoch": "7"}).encode(),
        json.dumps({**GOOD, "ancestors": ["component:execution", 1]}).encode(),
        json.dumps({**GOOD, "ancestors": ["nonsense"]}).encode(),
        json.dumps({**GOOD, "issued_at": "yesterday"}).encode(),
        json.dumps({**GOOD, "issued_at": "2026-01-02T03:04:05"}).encode(),
        json.dumps({**GOOD, "issued_at": "0001-01-01T00:00:00+14:00"}).encode(),
        json.dumps({**GOOD, "size_share": "0"}).encode(),
        json.dumps({**GOOD, "size_share": "1.01"}).encode(),
        json.dumps({**GOOD, "size_share": "NaN"}).encode(),
        json.dumps({**GOOD, "size_share": "x"}).encode(),
        json.dumps({**GOOD, "notes": "\ud800"}).encode(),
        json.dumps({**GOOD, "notes": "x" * 20_000}).encode(),
        json.dumps({**GOOD, "state": "HALF_OPEN"}).encode(),
        json.dumps({**GOOD, "state": "QUIET_PERIOD"}).encode(),
    ],
)  # fmt: skip
def test_malformed_documents_are_refused(broken: bytes) -> None:  # I4
    with pytest.raises(MalformedDocument):
        parse_document(broken)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON, max_size=4))
def test_fuzzed_fields_parse_or_are_refused(changes: dict[str, object]) -> None:
    try:
        parsed, _ = parse_document(json.dumps({**GOOD, **changes}).encode())
    except MalformedDocument:
        return
    parsed.notes.encode()


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedDocument):
        parse_document(data)


@pytest.mark.parametrize(
    "value", [None, b"", b"0", b"-5", b"+5", b"05", b"5.0", b" 5", b"x", b"9" * 17, b"9007199254740992"]
)
def test_a_counter_is_what_incr_leaves(value: bytes | None) -> None:  # I4
    assert parse_counter(value) is None


@given(st.integers(1, 2**53 - 1))
def test_every_counter_parses(value: int) -> None:
    assert parse_counter(str(value).encode()) == value


STATES = st.sampled_from(list(State))


@given(STATES, STATES, STATES)
def test_effective_is_never_looser_than_an_ancestor(top: State, middle: State, own: State) -> None:  # I5
    states = {GLOBAL: top, EXECUTION: middle, BTC: own}
    readings = {name: Reading(name, state, Epoch(RUN, 7), document(state)) for name, state in states.items()}
    readings |= {name: Reading(name, State.CLOSED, Epoch(RUN, 7)) for name in CATALOGUE.switches}
    for name in states:
        found = effective(name, readings, CATALOGUE)
        chain = [name, *CATALOGUE.ancestors(name)]
        assert found.state.strictness == max(states[each].strictness for each in chain)
        if found.state is State.CLOSED:
            assert (found.halted_by, found.size_share) == (None, 1)
        else:
            assert found.halted_by in chain
            assert states[found.halted_by] is found.state
            assert all(states[above] is not found.state for above in CATALOGUE.ancestors(found.halted_by))
            assert found.size_share == (Decimal("0.25") if found.state is State.QUIET_PERIOD else 0)


def test_a_breaker_without_a_reading_or_a_place_is_open() -> None:  # I4
    assert effective(BTC, {}, CATALOGUE) == Effective(State.OPEN, GLOBAL, Decimal(0))
    stranger = BreakerId("instrument:DOGE")
    assert effective(stranger, {}, CATALOGUE) == Effective(State.OPEN, stranger, Decimal(0))


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2), timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))])
    )
)
def test_times_round_trip_as_utc(moment: datetime) -> None:
    text = rfc3339(moment)
    assert text.endswith("Z")
    assert parse_rfc3339(text) == moment


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        rfc3339(datetime(2026, 1, 1))


def test_an_epoch_is_shown_short() -> None:
    assert str(Epoch("abcdef1234567890", 7)) == "7@abcdef12"
