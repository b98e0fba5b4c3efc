"""An event of a story says what was linked, added, tripped; all of it is told, and nothing acts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.event_words import MOST_WORDS, event_line, event_words
from cockpit.domain.incident_story import StoryEvent
from cockpit.domain.text import clean

NOW = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
BTC = "instrument:BTC-USD"
SLO = {"slo": "order-success", "level": "P1", "state": "spent", "why": "87 % failed", "remaining": "-0.0150"}
LEFT = "order-success: spent; as grave as P1; 87 % failed; -0.0150 of its budget left"
LINE = {"line": "e3b0c442", "place": "incident_events.jsonl:120", "said_at": "2026-03-02T03:00:00Z"}
PLACE = "place incident_events.jsonl:120; said at 2026-03-02T03:00:00Z"


def event(kind: str, details: dict[str, object], notes: str = "") -> StoryEvent:
    return StoryEvent(1, NOW, kind, "operator1", notes, details, 7)


@pytest.mark.parametrize(
    ("kind", "details", "words"),
    [
        ("opened", {"severity": "P1", "classification": "other", "source": "manual", "breaker_id": BTC,
                    "breakers": ["component:execution"], "slos": ["order-success"]},
         f"P1 other; from manual; about {BTC}, component:execution, SLO order-success"),
        ("opened", {"severity": "P0", "breaker_id": None, "event_id": "e", "run_id": "r-1", "counter": 4},
         "P0; epoch 4 of run r-1"),
        ("opened", {"source": "run", **LINE}, f"from run; {PLACE}"),
        ("opened", {"source": "slo", **SLO}, f"from slo; {LEFT}"),
        ("opened", {"used": False, "run_id": "r-1"}, "run r-1; used no"),
        ("fired", {"rule": "feed-gap", "firing_id": "f", "subject": "BTC-USD", "value": "61",
                   "threshold": "30"},
         "rule feed-gap of BTC-USD; value 61 against 30"),
        ("tripped", {"breaker_id": BTC, "what": f"{BTC} tripped by operator1: manual", "event_id": "e",
                     "run_id": "r-1", "epoch": 3},
         f"{BTC} tripped by operator1: manual; epoch 3 of run r-1"),
        ("tripped", {"breaker_id": "latch:BTC-USD", "what": "safety latch of BTC-USD set"},
         "latch:BTC-USD: safety latch of BTC-USD set"),
        ("tripped", {"event_id": "e", "run_id": "r-1", "epoch": 3}, "epoch 3 of run r-1"),
        ("acknowledged", {"title": "books drift"}, ""),
        ("ack-expired", {"incident_id": "i", "title": "t", "acknowledged_by": "operator2", "after_s": 3600},
         "acknowledged by operator2; and nothing for 3600 s"),
        ("escalated", {"severity": "P1", "before": "P2"}, "from P2 to P1"),
        ("escalated", {"severity": "P1", "before": "P3", **SLO, "level": None},
         "from P3 to P1; order-success: spent; 87 % failed; -0.0150 of its budget left"),
        ("assigned", {"owner": "operator2", "before": None}, "to operator2"),
        ("assigned", {"owner": "operator2", "before": "operator1"}, "from operator1 to operator2"),
        ("classified", {"classification": "security", "before": "other"}, "from other to security"),
        ("snoozed", {"until": "2026-03-02T04:00:00Z"}, "until 2026-03-02T04:00:00Z"),
        ("linked", {"breakers": [BTC], "slos": ["order-success", "latency"]},
         f"to {BTC}, SLO order-success, latency"),
        ("linked", {}, ""),
        ("told", {"audience": "team"}, "team"),
        ("action", {"action_id": "a", "what": "check postings", "owner": "operator2", "due_at": "2026-03-09"},
         "check postings; for operator2; due 2026-03-09"),
        ("done", {"action_id": "a", "what": "check postings"}, "check postings"),
        ("merged", {"into": "m-1", "title": "books drift"}, "into books drift (m-1)"),
        ("took-over", {"from": "m-2", "title": "late bars", "breakers": [BTC], "slos": []},
         f"late bars (m-2); with {BTC}"),
        ("took-over", {"from": "m-2", "title": "late bars"}, "late bars (m-2)"),
        ("slo-breach", SLO, LEFT),
        ("slo-recovered", {**SLO, "level": None, "state": "", "remaining": None},
         "order-success; 87 % failed"),
        ("paged-again", {"receivers": ["sms", "slack"]}, "to sms, slack"),
        ("kill-switch-reviewed", {"approved_by": "admin2"}, "approved by admin2"),
        ("breached-again", {**LINE, "event_id": "e-9"}, PLACE),
        ("noted", {}, ""),
        ("new-kind", {"seen": True, "by_whom": {"team": "risk"}, "none": None},
         "seen yes; by whom team risk"),
    ],
)  # fmt: skip
def test_every_kind_says_what_was_recorded(kind: str, details: dict[str, object], words: str) -> None:
    assert event_words(event(kind, details)) == words
    assert event_line(event(kind, details, "seen at the venue")).endswith("seen at the venue")


def test_what_the_notes_say_is_not_said_twice() -> None:
    resolved = event("resolved", {"root_cause": "an expired key"}, "an expired key")
    assert (event_words(resolved), event_line(resolved)) == ("", "an expired key")
    assert event_words(event("resolved", {"root_cause": "an expired key"})) == "an expired key"
    raised = event("escalated", {"severity": "P0", "why": "87 % failed"}, "order-success: 87 % failed")
    assert event_line(raised) == "to P0; order-success: 87 % failed"
    assert event_line(event("told", {"audience": "team"}, "the team is here")) == "team; the team is here"


def test_long_lists_say_how_many_more() -> None:
    told = event_words(event("linked", {"breakers": [f"b{number}" for number in range(25)]}))
    assert told.endswith("b19, 5 more")
    assert len(event_words(event("new-kind", {f"x{number}": "y" * 300 for number in range(9)}))) == MOST_WORDS


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=9), each, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["breakers", "title", "what", "severity", "slo", "why"]) | st.text(max_size=9)


@given(
    st.sampled_from(["opened", "linked", "tripped", "action", "escalated", "took-over", "resolved", "new"]),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.text(max_size=60),
)
def test_nothing_acts_whatever_was_recorded(kind: str, details: dict[str, object], notes: str) -> None:  # I26
    line = event_line(event(kind, details, notes))
    assert clean(line) == line
