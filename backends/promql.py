"""Checks of PromQL before a server sees it: what the cockpit puts around a query must still be a query."""

from __future__ import annotations

import re
from typing import Any, Final

import promql_parser

MAX_QUERY: Final = 1_000
MAX_STEPS: Final = 60  # what the parser takes for its tree grows faster than these
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"|' r"'(?:\\.|[^'\\])*'|`[^`]*`", re.DOTALL)
_STEPS: Final = re.compile(r"[-+*/%^<>=!,({]|\b(?:and|or|unless|by|without|on|ignoring)\b", re.IGNORECASE)
_OR_INSIDE: Final = re.compile(r"\{[^}]*\bor\b", re.IGNORECASE)
_STRAY: Final = re.compile(r"[^\x20-\x7e\s]")


class BadQuery(ValueError):
    """A query that cannot be used: the fault, and what would be right."""


def counter_query(text: str) -> str:
    """A plain vector selector, on one line: the cockpit takes `increase(…[window])` or `sum_over_time(…)`.

    Raises:
        BadQuery: it is anything else, an expression with a range, an offset or an @ of its own included.
    """
    query, expression = _parsed(text)
    right = 'write a plain selector such as orders_total{result="ok"}; windows and sums are put around it'
    if not isinstance(expression, promql_parser.VectorSelector):
        raise BadQuery(f"{_kind(expression)}, of which no increase over a window can be taken; {right}")
    if expression.offset is not None or expression.at is not None:
        raise BadQuery(f"has an offset or @ of its own; {right}")
    return query


def value_query(text: str) -> str:
    """An instant expression that gives a number for each moment, on one line.

    Raises:
        BadQuery: a range, a text, or a number that no series is behind.
    """
    query, expression = _parsed(text)
    right = "write an expression with one value at each moment, such as max(bar_age_seconds)"
    inner = expression
    while isinstance(inner, promql_parser.ParenExpr):
        inner = inner.expr
    ranged = (promql_parser.MatrixSelector, promql_parser.SubqueryExpr, promql_parser.StringLiteral)
    if isinstance(inner, ranged):
        raise BadQuery(f"{_kind(inner)}, not a value; {right}")
    if not _has_series(expression):
        raise BadQuery(f"no series stands in it; {right}")
    return query


def _has_series(expression: Any) -> bool:
    """Whether any selector stands in it. The parser's own `walk` takes a hundred times as long."""
    match expression:
        case promql_parser.VectorSelector() | promql_parser.MatrixSelector():
            return True
        case promql_parser.BinaryExpr():
            return _has_series(expression.rhs) or _has_series(expression.lhs)
        case promql_parser.Call():
            return any(_has_series(argument) for argument in expression.args)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return False
        case _:  # an aggregation, brackets, a sign, a subquery
            return _has_series(expression.expr)


def _parsed(text: str) -> tuple[str, Any]:
    if len(text) > MAX_QUERY:
        raise BadQuery(f"{len(text):,} characters; at most {MAX_QUERY:,} are taken, so record it as a rule")
    bare = _QUOTED.sub('""', text)
    if "#" in bare:
        raise BadQuery("holds a comment, which would hide what is put behind it; take it out")
    if _STRAY.search(bare):
        raise BadQuery("holds a character that is not ASCII outside of quotes; write plain PromQL")
    if len(_STEPS.findall(bare)) > MAX_STEPS:
        raise BadQuery(f"over {MAX_STEPS} operators and brackets; record it as a rule and name that")
    if _OR_INSIDE.search(bare):
        raise BadQuery("`or` inside of braces is no PromQL; write a pattern (=~) or two queries")
    if any("\n" in part or "\r" in part for part in _QUOTED.findall(text)):
        raise BadQuery("a quoted text runs over a line's end; write it on one line")
    query = " ".join(text.splitlines()).strip()
    try:
        return query, promql_parser.parse(query)
    except (ValueError, RecursionError) as error:
        raise BadQuery(f"not PromQL: {error}; try it in Prometheus first") from None


_KINDS: Final = {
    "MatrixSelector": "a selector with a range of its own",
    "SubqueryExpr": "a subquery with a range of its own",
    "Call": "a function call",
    "AggregateExpr": "an aggregation",
    "BinaryExpr": "a calculation",
    "UnaryExpr": "a calculation",
    "ParenExpr": "an expression in brackets",
    "NumberLiteral": "a number",
    "StringLiteral": "a text",
}


def _kind(expression: Any) -> str:
    return _KINDS.get(type(expression).__name__, "another expression")
