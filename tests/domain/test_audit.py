"""The hash chain finds any edit, cut, gap or swap; the legacy key only agrees with its own document."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.audit import (
    EMPTY,
    ChainBroken,
    Entry,
    Head,
    chain_hash,
    derived_mismatch,
    sha256_hex,
    verify_chain,
)
from cockpit.domain.legacy import legacy_agrees, legacy_fields
from cockpit.domain.states import State
from tests.domain.test_documents import NOW, document

EDITS = {field.name: "edited" for field in dataclasses.fields(Entry)} | {
    "seq": 99,
    "timestamp": datetime(2020, 1, 1, tzinfo=UTC),
}


def entries(count: int) -> list[Entry]:
    made: list[Entry] = []
    head = EMPTY
    for seq in range(1, count + 1):
        payload = json.dumps({"request_id": f"e{seq}", "login": "op", "breaker_id": "global"})
        entry = Entry(
            seq=seq,
            event_id=f"e{seq}",
            timestamp=NOW + timedelta(seconds=seq),
            action="CIRCUIT_BREAKER_TRIP",
            user_id="op",
            role="safety-admin",
            target="global",
            details="{}",
            ip_address=None,
            key_id="k",
            payload=payload,
            payload_hash=sha256_hex(payload.encode()),
            signed_hash="sig",
            prev_hash=head.chain_hash,
            evidence_link=None,
            evidence_sha256=None,
        )
        entry = dataclasses.replace(entry, chain_hash=chain_hash(entry))
        head = Head(seq, entry.chain_hash)
        made.append(entry)
    return made


CHAIN = entries(6)


def test_a_good_chain_leads_to_its_head_from_any_start() -> None:
    assert verify_chain([]) == EMPTY
    assert verify_chain(CHAIN) == Head(6, CHAIN[-1].chain_hash)
    assert verify_chain(CHAIN[3:], Head(3, CHAIN[2].chain_hash)) == Head(6, CHAIN[-1].chain_hash)


@given(st.integers(0, 5), st.sampled_from(sorted(EDITS)))
def test_an_edit_of_any_column_of_any_entry_is_found(at: int, column: str) -> None:  # I24
    edited = [*CHAIN]
    edited[at] = dataclasses.replace(edited[at], **{column: EDITS[column]})  # type: ignore[arg-type]
    with pytest.raises(ChainBroken):
        verify_chain(edited)


@given(st.integers(0, 4))
def test_a_gap_a_swap_and_a_repeat_are_found(at: int) -> None:  # I24
    swapped = [*CHAIN]
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    for broken in ([*CHAIN[:at], *CHAIN[at + 1 :]], swapped, [*CHAIN[: at + 1], *CHAIN[at:]]):
        with pytest.raises(ChainBroken) as error:
            verify_chain(broken)
        assert error.value.seq in (at + 1, at + 2)


def test_a_rewrite_that_recomputes_one_hash_breaks_the_next_link() -> None:  # I24
    forged = dataclasses.replace(CHAIN[2], user_id="someone else")
    forged = dataclasses.replace(forged, chain_hash=chain_hash(forged))
    with pytest.raises(ChainBroken, match="entry 4"):
        verify_chain([*CHAIN[:2], forged, *CHAIN[3:]])


@pytest.mark.parametrize("column", ["event_id", "user_id", "target"])
def test_a_column_that_contradicts_the_payload_is_named(column: str) -> None:  # I24
    assert derived_mismatch(CHAIN[0]) is None
    assert derived_mismatch(dataclasses.replace(CHAIN[0], **{column: "x"})) == column  # type: ignore[arg-type]


def test_payloads_of_the_recorder_have_no_derived_columns() -> None:
    assert derived_mismatch(dataclasses.replace(CHAIN[0], payload="{not json")) == "payload"
    assert derived_mismatch(dataclasses.replace(CHAIN[0], payload="[]")) is None
    assert derived_mismatch(dataclasses.replace(CHAIN[0], payload='{"note":1}')) is None
    assert derived_mismatch(dataclasses.replace(CHAIN[0], payload='{"request_id":"e1"}')) is None


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.CLOSED, "OPEN"),
        (State.OPEN, "TRIPPED"),
        (State.HALF_OPEN, "TRIPPED"),
        (State.QUIET_PERIOD, "QUIET_PERIOD"),
    ],
)
def test_the_legacy_key_speaks_the_older_words(state: State, word: str) -> None:
    made = document(state)
    fields = legacy_fields(made, NOW)
    assert fields["state"] == word
    assert fields["tripped_at"] == "2026-01-02T03:04:05.678901Z"
    assert legacy_fields(made, None)["tripped_at"] is None
    assert legacy_agrees(json.dumps(fields).encode(), made)


GOOD = legacy_fields(document(), NOW)


@pytest.mark.parametrize(
    "raw",
    [
        None, b"", b"null", b"[]", b"\xff", b"[" * 9_000, b" " * 70_000,
        b'{"state":"OPEN"}',
        b'{"state":"TRIPPED","tripped_at":"2025-01-15T10:00:00Z","trip_reason":"EMERGENCY_MANUAL"}',
        *[json.dumps({**GOOD, name: value}).encode() for name, value in
          [("state", "TRIPPED"), ("state", "CLOSED"), ("event_id", "other"), ("epoch", 8), ("epoch", True),
           ("epoch", "7"), ("epoch", 7.0)]],
    ],
)  # fmt: skip
def test_any_other_legacy_value_halts(raw: bytes | None) -> None:  # I4
    assert not legacy_agrees(raw, document())
    assert not legacy_agrees(json.dumps(GOOD).encode(), None)
