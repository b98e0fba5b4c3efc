"""Text from outside never acts on the terminal; a justification says something."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.reasons import BadReason, Reason, parse_reason
from cockpit.domain.text import BadNotes, clean, clean_lines, justification, many


@given(st.text(max_size=200))
def test_nothing_that_acts_survives(text: str) -> None:  # I26
    safe = clean(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for char in safe)
    assert clean(safe) == safe


@pytest.mark.parametrize(
    "evil",
    ["\x1b[2J", "\x00", "\x9b31m", "\u202e", "\u2066", "\u200b", "\U000e0041", "\x7f", "\ud800", "\u2028"],
)
def test_known_attacks_are_replaced(evil: str) -> None:  # I26
    assert evil[0] not in clean(f"a{evil}b")


def test_white_space_becomes_a_space_and_length_is_bounded() -> None:
    assert clean("a\tb\nc") == "a b c"
    assert clean("x" * 50, limit=10) == "x" * 9 + "…"
    assert clean_lines("one\ntwo\x1b") == "one\ntwo\ufffd"


def test_combining_marks_cannot_pile_up() -> None:
    assert clean("a" + "\u0301" * 40 + "b") == "a" + "\u0301" * 4 + "b"


@given(st.text("abc ", max_size=60))
def test_notes_count_after_white_space_is_collapsed(text: str) -> None:
    collapsed = " ".join(text.split())
    if len(collapsed) < 20:
        with pytest.raises(BadNotes, match=f"notes have {many(len(collapsed), 'character')}; at least 20"):
            justification(text)
    else:
        assert justification(text) == collapsed


def test_notes_are_bounded_and_plain() -> None:
    with pytest.raises(BadNotes, match="at most 500"):
        justification("x" * 501)
    with pytest.raises(BadNotes, match="control, bidi or invisible"):
        justification("looks harmless but hides \u202e something")
    assert len(justification("x" * 500)) == 500
    assert len(justification("x" * 20)) == 20


def test_reasons_are_the_contracts_tokens() -> None:
    assert [reason.value for reason in Reason] == (
        "slippage latency rejection-rate daily-loss data-integrity security governance market-anomaly "
        "operational drill other"
    ).split()
    assert all(parse_reason(reason.value) is reason and reason.words for reason in Reason)
    with pytest.raises(BadReason, match="'because' is not one of slippage, latency"):
        parse_reason("because")
