"""Canonical JSON, keys, and documents that bear no change."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.signing import (
    KeyFileUnsafe,
    KeyFileUnusable,
    KeyRing,
    SigningKey,
    canonical,
    key_id_of,
    read_document,
    sign_document,
    verify,
)
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import (
    MAX_COUNTER,
    Document,
    Epoch,
    MalformedDocument,
    parse_document,
)
from cockpit.domain.states import State

KEY = SigningKey.generate()
RING = KeyRing({KEY.key_id: KEY.public_key})
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
DOCUMENTS = st.builds(
    Document,
    breaker_id=st.sampled_from([BreakerId("global"), BreakerId("instrument:BTC-USD")]),
    state=st.sampled_from(State),
    epoch=st.builds(Epoch, TEXTS, st.integers(1, MAX_COUNTER)),
    ancestors=st.lists(st.just(BreakerId("global")), max_size=2).map(tuple),
    version=st.integers(1, MAX_COUNTER),
    actor=TEXTS,
    reason=TEXTS,
    notes=TEXTS,
    event_id=TEXTS,
    issued_at=MOMENTS,
    run_deadline=MOMENTS,
    quiet_until=MOMENTS,
    size_share=st.decimals("0.01", "1", places=4),
)
SAMPLE = Document(
    breaker_id=BreakerId("instrument:BTC-USD"),
    state=State.CLOSED,
    epoch=Epoch("ab" * 20, 7),
    ancestors=(BreakerId("component:execution"), BreakerId("global")),
    version=3,
    actor="operator1",
    reason="",
    notes="résumé: all probes passed",
    event_id="e",
    issued_at=datetime(2025, 1, 2, tzinfo=UTC),
    size_share=Decimal("0.25"),
)


def test_canonical_form_is_rfc_8785() -> None:
    # The example of RFC 8785 section 3.2.2, without its floating-point numbers.
    fields = {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False], "numbers": [1, 0, -7]}
    assert canonical(fields) == (
        b'{"literals":[null,true,false],"numbers":[1,0,-7],"string":"'
        b'\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    # Section 3.2.3: keys are sorted by UTF-16 code units, not by code points.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", [2**53, float("nan"), "\ud800"])
def test_what_rfc_8785_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        canonical({"value": value})


@given(DOCUMENTS)
def test_a_signed_document_is_read_back_as_it_was(document: Document) -> None:  # I4
    read = read_document(sign_document(document, KEY), RING)
    assert isinstance(read, Document)
    assert replace(read, signature="") == replace(document, key_id=KEY.key_id)
    assert verify(KEY.public_key, canonical(read.unsigned()), read.signature)


@given(st.data())
@settings(max_examples=400)
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:  # I4
    raw = bytearray(sign_document(SAMPLE, KEY))
    place = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete"]))
    byte = data.draw(st.integers(0, 255))
    if kind == "replace":
        raw[place] = byte
    elif kind == "insert":
        raw.insert(place, byte)
    else:
        del raw[place]
    if bytes(raw) != sign_document(SAMPLE, KEY):
        assert isinstance(read_document(bytes(raw), RING), MalformedDocument)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b"\xff\xfe",
        b"9" * 10_000,
        json.dumps(SAMPLE.unsigned() | {"signature": ""}).encode(),
        sign_document(SAMPLE, SigningKey.generate()),
        sign_document(replace(SAMPLE, notes="x" * 20_000), KEY),
        sign_document(SAMPLE, KEY) + b" ",
        b'{"signature":"",' + sign_document(SAMPLE, KEY)[1:],
    ],
    ids=lambda raw: raw[:12].decode("latin-1").encode("unicode_escape").decode(),
)
def test_what_the_authority_did_not_write_is_malformed(raw: bytes) -> None:  # I4
    assert isinstance(read_document(raw, RING), MalformedDocument)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
VALID = SAMPLE.unsigned() | {"signature": "c2ln"}


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_the_parser_raises_nothing_else_on_noise(raw: bytes) -> None:  # I4
    with pytest.raises(MalformedDocument):
        parse_document(raw)


@given(st.sampled_from(sorted(VALID)), JSON)
@example("issued_at", "0001-01-01T00:00:00+23:59")
@example("issued_at", "20250101T000000")
@example("size_share", "sNaN")
@example("size_share", "1e999999999999999999")
@example("state", ["CLOSED"])
@example("epoch", 10**400)
@example("epoch", True)
@example("ancestors", [["global"]])
@example("notes", "\ud800")
@settings(max_examples=400)
def test_the_parser_raises_nothing_else_on_a_wrong_field(name: str, value: object) -> None:  # I4
    raw = json.dumps(VALID | {name: value}).encode()
    with contextlib.suppress(MalformedDocument):
        parse_document(raw)
    assert read_document(raw, RING).__class__ is MalformedDocument


def test_a_signature_has_one_form() -> None:
    signature = KEY.sign(b"data")
    raw = base64.b64decode(signature)
    assert verify(KEY.public_key, b"data", signature)
    for other in (
        signature + "\n",
        signature.rstrip("="),
        " " + signature,
        base64.b16encode(raw).decode(),
        "",
        "é",
    ):
        assert not verify(KEY.public_key, b"data", other)
    assert not verify(b"short", b"data", signature)


@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=100))
def test_verifying_never_raises(public_key: bytes, data: bytes, signature: str) -> None:
    assert not verify(public_key, data, signature)


def test_a_key_ring_trusts_no_chosen_id() -> None:
    other = SigningKey.generate()
    ring = KeyRing({KEY.key_id: other.public_key, other.key_id: other.public_key})
    assert list(ring) == [other.key_id]
    assert not ring.verify(KEY.key_id, b"x", other.sign(b"x"))
    assert key_id_of(other.public_key) == other.key_id
    assert len(other.key_id) == 16


def test_a_key_file_is_private_and_never_overwritten(tmp_path) -> None:  # I27
    path = tmp_path / "key.pem"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public_key == KEY.public_key
    with pytest.raises(FileExistsError):
        SigningKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(KeyFileUnsafe, match="chmod 600"):
        SigningKey.load(path)
    assert "PRIVATE" not in repr(KEY)


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_is_no_key(tmp_path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileUnusable, match=r"key\.pem"):
        SigningKey.load(path)
    with pytest.raises(KeyFileUnusable):
        SigningKey.load(tmp_path / "absent.pem")
    with pytest.raises(KeyFileUnusable):
        SigningKey.load(tmp_path)
