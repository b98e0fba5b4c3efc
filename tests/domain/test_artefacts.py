"""Lines of a run folder: what is an event, and that no text of it acts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.artefacts import BadLine, FileView, RunLine, RunView, is_run_id, parse_line
from cockpit.domain.text import clean
from tests.domain.triage_making import AT

GOOD = {"event_type": "x", "at": "2026-01-31T12:00:00Z"}


def raw(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b"{}", "no event_type"),
        (raw(event_type=""), "no event_type"),
        (raw(event_type=["x"]), "no event_type"),
        (raw(event_id=7), "event_id is not a text"),
        (raw(at=None), "at is not a time"),
        (raw(at="noon"), "at is not a time"),
        (raw(at="2026-01-31T12:00:00"), "at is not a time"),
    ],
)
def test_what_is_no_event_is_said(data: bytes, why: str) -> None:
    with pytest.raises(BadLine, match=why):
        parse_line(data)


def test_fields_by_kind() -> None:
    line = parse_line(raw(a=" b\x1b ", n=7, flag=True, names=["x", 1], deep={"k": 1}, none=None), "f:0")
    assert (line.at, line.event_id, line.place) == (AT, "", "f:0")
    assert line.text("a") == " b\N{REPLACEMENT CHARACTER} " and line.text("n") == "7"
    assert line.text("names") == line.text("deep") == line.text("none") == line.text("missing") == ""
    assert (line.whole("n"), line.whole("flag"), line.whole("a")) == (7, None, None)
    assert line.names("names") == ("x",) and line.names("a") == ()


def test_depth_and_width_are_bounded() -> None:
    deep: Any = "bottom"
    for _ in range(20):
        deep = {"k": [deep]}
    line = parse_line(raw(deep=deep, wide=list(range(1_000)), **{f"k{n}": n for n in range(1_000)}))
    assert "bottom" not in json.dumps(line.fields) and "…" in str(line.fields)
    assert len(line.fields) == 100 and len(line.names("wide")) == 0 and len(line.fields["wide"]) == 100  # type: ignore[arg-type]


@given(
    st.dictionaries(st.text(), st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=9))
)
def test_no_text_of_a_line_acts_on_a_terminal(fields: dict[str, Any]) -> None:  # I26
    try:
        line = parse_line(raw(**fields))
    except BadLine:
        return

    def texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [*value, *(text for each in value.values() for text in texts(each))]
        if isinstance(value, list):
            return [text for each in value for text in texts(each)]
        return [value] if isinstance(value, str) else []

    assert all(clean(text, 500) == text for text in texts(dict(line.fields)))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_bad_line(data: bytes) -> None:
    try:
        parse_line(data)
    except BadLine as error:
        assert str(error)


def test_names_of_runs() -> None:
    for good in ("2026-01-31", "r", "a.b_c-d", "x" * 128):
        assert is_run_id(good)
    for bad in ("", ".", "..", ".x", "a/b", "a\n", "x" * 129, "é"):
        assert not is_run_id(bad)


def test_views() -> None:
    one, two = RunLine("a", AT, "", {}), RunLine("b", AT, "", {})
    file = FileView("f", lines=(one, two), bad=2)
    assert file.latest is two and file.last("a") is one and file.last("c") is None
    assert FileView("f").latest is None
    view = RunView("r", AT, {"f": file}, (FileView("log", bad=1),))
    assert view.bad == 3 and view.file("f") is file and view.file("g") == FileView("g")
