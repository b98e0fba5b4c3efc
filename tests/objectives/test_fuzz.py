"""Whatever a file holds, reading it ends soon, with a book or with one line that says what is wrong."""

import time
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.openslo import BadObjective, book_of, read_file
from backends.promql import BadQuery, counter_query, value_query
from tests.objectives.written import LIMIT, RATIO, REFERENCE, SLI, THRESHOLD
from tests.trading_platform import demo_catalogue

CATALOGUE = demo_catalogue()
SHIPPED = [file.read_bytes() for file in files("runbooks").joinpath("slos").iterdir()]
TEXTS = [*SHIPPED, *(text.encode() for text in (RATIO, LIMIT, THRESHOLD, REFERENCE + "---\n" + SLI))]
SPICE = [
    b"&a ",
    b"*a",
    b"!!int ",
    b"<<: ",
    b"- ",
    b"? ",
    b": ",
    b"\n",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b"|\n",
    b">-\n",
]
SPICE += [
    b"---\n",
    b"...\n",
    b"%TAG ! x\n",
    b"'",
    b'"',
    b"#",
    b"\x00",
    b"\xff",
    b"\xe2\x80\xae",
    b"null",
    b"~",
    b"1e999",
]
SPICE += [
    b".nan",
    b"-.inf",
    b"0o17",
    b"9" * 400,
    b"1:2:3",
    b"2026-01-01",
    b"\\x1b",
    b"(" * 200,
    b"[1s]",
    b"@",
    b"\r",
]


def read(data: bytes) -> None:
    """
    Raises:
        AssertionError: it fails in any other way than it should, or takes long.
    """
    started = time.process_time()
    try:
        book = book_of([read_file("a.yaml", data, CATALOGUE)])
        assert all(0 < slo.objective < 1 for slo in book.slos)
        assert all(slo.breaker in CATALOGUE for slo in book.slos)
    except BadObjective as refused:
        message = str(refused)
        assert message.startswith("a.yaml:")
        assert refused.line >= 1
        assert refused.line <= data.count(b"\n") + data.count(b"\r") + 2
        assert message.isprintable() or "\N{REPLACEMENT CHARACTER}" in message
        assert len(message) < 1_200
    assert time.process_time() - started < 5.0


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good file with a few stretches cut, doubled, moved or spiced."""
    data = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(data)))
        last = draw(st.integers(first, min(len(data), first + 60)))
        middle = draw(st.sampled_from([b"", data[first:last] * 2, *SPICE]) | st.binary(max_size=8))
        data = data[:first] + middle + data[last:]
    return data


@given(mutated())
def test_mutated_files(data: bytes) -> None:
    read(data)


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_random_bytes(data: bytes) -> None:
    read(data)


@given(st.sampled_from(TEXTS), st.data())
def test_truncated_files(text: bytes, data: st.DataObject) -> None:
    read(text[: data.draw(st.integers(0, len(text)))])


HUGE = {
    "one long list": b"[" + b"a," * 499_000 + b"]",
    "many documents": b"--- a\n" * 160_000,
    "many keys": b"".join(b"k%d: v\n" % n for n in range(80_000)),
    "one key again and again": b"a: b\n" * 199_000,
    "anchors that multiply": b"a: &a [1]\n"
    + b"".join(b"k%d: &b%d [*a, *a]\n" % (n, n) for n in range(30_000)),
    "flow nesting": b"[" * 999_000,
    "mapping nesting": b"{a: " * 249_000,
    "block nesting": b"".join(b" " * n + b"- \n" for n in range(1_300)),
    "question marks": b"? " * 499_000,
    "one long text": b"a: '" + b"x" * 999_000 + b"'",
    "one long line": b"x" * 999_999,
    "one long key": b"x" * 998_000 + b": y",
    "quotes": b'"' * 999_999,
    "comments": b"# a\n" * 249_000,
    "digits and colons": b"a: " + b"1:" * 499_000,
    "tabs": b"\t" * 999_999,
    "slow queries": b"---\n".join(
        LIMIT.replace("Postgres", "Prometheus")
        .replace("sli: bar_staleness", f"query: {'a' + '+1' * 60}")
        .replace("bar-staleness", f"slo-{n}")
        .encode()
        for n in range(500)
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_files_end_soon(name: str) -> None:
    assert len(HUGE[name]) <= 1_000_000
    read(HUGE[name])


@given(st.text("ab_{}[]()\"'=~!,+-*/%^<>:@ 059smhd.\\#\nosumby", max_size=40))
def test_any_text_for_a_query_is_a_query_or_is_refused(text: str) -> None:
    for check in (counter_query, value_query):
        try:
            assert "\n" not in check(text)
        except BadQuery as refused:
            assert str(refused)
