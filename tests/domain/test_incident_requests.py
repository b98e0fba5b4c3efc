"""What an INCIDENT command asks for: read exactly, or refused with the field's name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import BreakerId
from cockpit.domain.incident_requests import MOST_LINKS, MOST_TITLE, IncidentRequest, Verb, parse_request
from cockpit.domain.incidents import BadIncident, Classification, Severity
from cockpit.domain.text import clean

ID = "0b6a4c1e-7a53-4f0a-9d0e-5f2f0d1c2b3a"
WORDS = st.text("abc xyz-<>[]/ü€", min_size=1, max_size=40).filter(lambda text: text.strip())
IDS = st.uuids().map(str)
BREAKERS = st.lists(
    st.sampled_from(["global", "instrument:BTC-USD", "withdrawals", "latch:ETH-USD", "component:execution"]),
    max_size=4,
).map(lambda names: tuple(BreakerId(name) for name in names))
SLOS = st.lists(st.text("abc-", min_size=1, max_size=20), max_size=4).map(tuple)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@st.composite
def requests(draw: Any) -> IncidentRequest:
    verb = draw(st.sampled_from(Verb))
    incident = None if verb is Verb.OPEN else draw(IDS)
    fields: dict[Verb, dict[str, Any]] = {
        Verb.OPEN: {
            "severity": draw(st.sampled_from(Severity)),
            "classification": draw(st.sampled_from(Classification)),
            "title": draw(WORDS),
            "breakers": draw(BREAKERS),
            "slos": draw(SLOS),
        },
        Verb.ASSIGN: {"owner": draw(WORDS)},
        Verb.CLASSIFY: {"classification": draw(st.sampled_from(Classification))},
        Verb.ESCALATE: {"severity": draw(st.sampled_from(Severity))},
        Verb.SNOOZE: {"until": draw(TIMES)},
        Verb.MERGE: {"into": draw(IDS)},
        Verb.LINK: {"breakers": draw(BREAKERS), "slos": draw(SLOS)},
        Verb.TOLD: {"audience": draw(WORDS)},
        Verb.ACTION: {
            "title": draw(WORDS),
            "owner": draw(st.just("") | WORDS),
            "until": draw(st.none() | TIMES),
        },
        Verb.DONE: {"action_id": draw(IDS)},
    }
    return IncidentRequest(verb, incident, **fields.get(verb, {}))


@given(requests())
def test_what_is_written_is_read_back(request: IncidentRequest) -> None:
    assert parse_request(request.verb.value, request.target()) == request


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | IDS
VALUES = st.recursive(
    LEAVES | st.sampled_from(["P1", "other", "global"]),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=30,
)
NAMES = st.sampled_from(sorted(IncidentRequest.__dataclass_fields__)) | st.text(max_size=8)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6).map(json.dumps)


@given(st.sampled_from([*Verb, "shred", ""]), st.none() | st.text(max_size=40) | OBJECTS)
def test_whatever_comes_is_a_request_or_one_sentence(verb: str, target: str | None) -> None:
    try:
        found = parse_request(verb, target)
    except BadIncident as fault:
        assert str(fault) and str(fault) == clean(str(fault), 2_000)
        return
    texts = (found.title, found.owner, found.audience, *found.slos, *found.breakers)
    assert all(text == clean(text, MOST_TITLE) for text in texts)
    assert len(found.breakers) <= MOST_LINKS and len(found.slos) <= MOST_LINKS
    assert (found.incident_id is None) is (found.verb is Verb.OPEN)
    for each in (found.incident_id, found.into, found.action_id):
        assert not each or str(UUID(each)) == each


@pytest.mark.parametrize(
    ("verb", "fields", "why"),
    [
        ("note", {}, "incident_id is missing"),
        ("note", {"incident_id": ID, "title": "x"}, "title does not belong to note"),
        ("note", {"incident_id": ID.upper()}, "incident_id is not an id"),
        ("note", {"incident_id": "x"}, "incident_id is not an id"),
        ("note", {"incident_id": 7}, "incident_id is not a text"),
        ("assign", {"incident_id": ID, "owner": " "}, "owner is not a text"),
        ("assign", {"incident_id": ID, "owner": "x" * 201}, "over 200 characters"),
        ("assign", {"incident_id": ID, "owner": "a\x1b[2J"}, "act on a terminal"),
        ("classify", {"incident_id": ID}, "classification is missing"),
        ("classify", {"incident_id": ID, "classification": "data-integrity"}, "not one of data_quality"),
        ("classify", {"incident_id": ID, "classification": "other", "severity": "P0"}, "severity does not"),
        ("escalate", {"incident_id": ID, "severity": "P9"}, "neither P0"),
        ("snooze", {"incident_id": ID, "until": "tomorrow"}, "until: "),
        ("snooze", {"incident_id": ID, "until": "2026-01-01T00:00:00"}, "no zone"),
        ("link", {"incident_id": ID, "breakers": "global"}, "breakers is not a list"),
        ("link", {"incident_id": ID, "breakers": [""]}, "breakers is not a list"),
        ("link", {"incident_id": ID, "breakers": ["nothing:x"]}, "breaker"),
        ("link", {"incident_id": ID, "slos": ["x"] * 21}, "more than 20"),
        ("link", {"incident_id": ID, "slos": ["x" * 101]}, "or one that is none"),
        ("link", {"incident_id": ID, "slos": ["a\u202eb"]}, "or one that is none"),
        ("open", {"severity": "P1", "classification": "weather", "title": "x"}, "not one of data_quality"),
    ],
)
def test_each_fault_names_its_field(verb: str, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BadIncident) as fault:
        parse_request(verb, json.dumps(fields))
    assert why in str(fault.value)


@pytest.mark.parametrize(
    ("target", "why"),
    [("[1]", "not a JSON object"), ("{", "not JSON"), ("[" * 100_000, "not JSON"), (None, "missing")],
)
def test_what_is_no_object(target: str | None, why: str) -> None:
    with pytest.raises(BadIncident, match=why):
        parse_request("note", target)
    with pytest.raises(BadIncident, match="nothing to do with an incident"):
        parse_request("shred", target)
