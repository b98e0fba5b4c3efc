"""What a query must be, so that what the cockpit puts around it is a query too."""

import time

import promql_parser
import pytest

from backends.promql import MAX_QUERY, BadQuery, counter_query, value_query

SELECTORS = [
    "orders_total",
    'orders_total{result="ok",code=~"2..|3.."}',
    '{__name__="orders_total"}',
    "job:orders:sum",
    'orders_total{text="# no comment"}',
    "orders_total{text='\\'#'}",
]


@pytest.mark.parametrize("query", SELECTORS)
def test_a_selector_is_a_counter_and_a_value(query: str) -> None:
    assert counter_query(query) == value_query(query) == query
    promql_parser.parse(f"sum(increase({counter_query(query)}[30d])) + sum(sum_over_time({query}[5m]))")


@pytest.mark.parametrize(
    "query",
    [
        "max(bar_age_seconds)",
        "histogram_quantile(0.99, sum by (le) (rate(bar_seconds_bucket[5m])))",
        "(a - b) / a",
        "a offset 5m",
        "max_over_time(a[5m])",
        "a or vector(0)",
        "-a",
        "((a))",
    ],
)
def test_an_expression_is_a_value_and_no_counter(query: str) -> None:
    assert value_query(query) == query
    promql_parser.parse(f"sum_over_time((({value_query(query)}) <= bool 1)[30d:1m])")
    with pytest.raises(BadQuery, match="plain selector such as"):
        counter_query(query)


@pytest.mark.parametrize(
    "query", ["a[5m]", "(a[5m])", "a[5m:1m]", "'text'", "1", "time()", "vector(1)", "1 + 2"]
)
def test_what_has_no_value_at_each_moment_is_neither(query: str) -> None:
    with pytest.raises(BadQuery, match="one value at each moment"):
        value_query(query)
    with pytest.raises(BadQuery, match="plain selector"):
        counter_query(query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "not PromQL"),
        ("a{", "not PromQL"),
        ("a b", "not PromQL"),
        ("nosuch(a)", "not PromQL"),
        ('a{b=~"["}', "not PromQL"),
        ("{}", "not PromQL"),
        ("a) or (b", "not PromQL"),
        ("a # [5m]", "comment"),
        ("a\n# and\n{b='c'}", "comment"),
        ("a{b='c\nd'}", "over a line's end"),
        ("a{b='1' or b='2'}", "no PromQL"),
        ("prix_élevé", "not ASCII"),
        ("a\x00", "not ASCII"),
        ("a\u202e", "not ASCII"),
        ("a" * (MAX_QUERY + 1), "at most 1,000"),
        ("-" * 500 + "a", "operators and brackets"),
        ("(" * 300 + "a" + ")" * 300, "operators and brackets"),
    ],
)
def test_what_is_no_query_is_refused_by_both(query: str, said: str) -> None:
    for check in (counter_query, value_query):
        with pytest.raises(BadQuery, match=said) as refused:
            check(query)
        assert "\n" not in str(refused.value)


def test_the_hardest_query_that_is_taken_is_read_at_once() -> None:
    started = time.process_time()
    for query in ("-" * 60 + "a", "(" * 60 + "a" + ")" * 60, "+".join(["a"] * 61), "a" + "+1" * 60):
        assert value_query(query) == query
    assert time.process_time() - started < 0.5
