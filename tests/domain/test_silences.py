"""Silences: what may be asked for. What a matcher matches is proved against Alertmanager itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.silences import (
    MOST_MINUTES,
    BadSilence,
    Matcher,
    Sign,
    gravest,
    parse_matcher,
    parse_matchers,
    parse_minutes,
    silence_target,
)

GRAVE = [{"alertname": "CockpitIncident", "severity": "critical", "priority": each} for each in ("P0", "P1")]


@pytest.mark.parametrize(
    ("labels", "grave"),
    [
        ({"severity": "critical", "priority": "P0"}, True),
        ({"severity": "critical", "priority": "P1"}, False),  # a P1 may be snoozed too
        ({"severity": "critical"}, True),
        ({"severity": "P0"}, True),
        ({"severity": "page"}, False),
        ({"severity": "ticket", "priority": ""}, False),
        ({}, False),
    ],
)
def test_which_alerts_are_of_a_p0(labels: dict[str, str], grave: bool) -> None:
    assert gravest(labels) is grave


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ("a=b", Matcher("a", Sign.EQUAL, "b")),
        (" a = b ", Matcher("a", Sign.EQUAL, "b")),
        ("a!=b", Matcher("a", Sign.UNEQUAL, "b")),
        ("a=~b.*", Matcher("a", Sign.MATCH, "b.*")),
        ("a!~b=c", Matcher("a", Sign.NO_MATCH, "b=c")),
        ("a=b=~c", Matcher("a", Sign.EQUAL, "b=~c")),
        ('a="b c"', Matcher("a", Sign.EQUAL, "b c")),
        ('a="b\\"\\\\"', Matcher("a", Sign.EQUAL, 'b"\\')),
        ('a="', Matcher("a", Sign.EQUAL, '"')),
        ("a=", Matcher("a", Sign.EQUAL, "")),
    ],
)
def test_matchers(text: str, matcher: Matcher) -> None:
    assert parse_matcher(text) == matcher
    assert parse_matcher(str(matcher)) == matcher


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no ="),
        ("alertname", "has no ="),
        ("=x", "does not begin with a label"),
        ("a b=x", "does not begin with a label"),
        ("1a=x", "does not begin with a label"),
        ("a=~(", "write a regular expression"),
        ("a=~[[:alnum:]].*", "read differently by others"),
        ("a=~[[]x", "read differently by others"),
        ("a=~[:x]", "read differently by others"),
        ("a=~" + "x" * 201, "over 200 characters"),
        ("a=x\x1b[31m", "not plain text"),
        ("\x1b]0;x\x07", "has no ="),
    ],
)
def test_what_is_no_matcher(text: str, why: str) -> None:
    with pytest.raises(BadSilence, match=why) as caught:
        parse_matcher(text)
    assert "\x1b" not in str(caught.value)  # I26


@pytest.mark.parametrize(
    "text", ["a=~.*", "a=~.+", "a!=b", "a!~b", "a=", "a=~", "a=~[a-z].+", "a=~(b|)", "a=~[A-Z].*"]
)
def test_a_matcher_that_names_nothing_does_not_narrow(text: str) -> None:
    assert not parse_matcher(text).narrows
    with pytest.raises(BadSilence, match="match everything"):
        parse_matchers([text, "c!=d"])
    assert len(parse_matchers([text, "alertname=FeedLag"])) == 2


@pytest.mark.parametrize("text", ["a=b", "a=~b.*", "a=~.*example.*", "a=~(b|c)"])
def test_a_matcher_that_names_something(text: str) -> None:
    assert parse_matchers([text]) == (parse_matcher(text),)


def test_grave_incidents_come_through() -> None:
    for text in ("severity=critical", "alertname=CockpitIncident", "priority=P0", "alertname=~Cockpit.*"):
        with pytest.raises(BadSilence, match="every grave incident"):
            parse_matchers([text, "incident!=x"], GRAVE)
    assert parse_matchers(["severity=critical", "incident=incident:41"], GRAVE)
    assert parse_matchers(["severity=warning"], GRAVE)


@pytest.mark.parametrize("count", [0, 11])
def test_how_many(count: int) -> None:
    with pytest.raises(BadSilence, match="1 to 10"):
        parse_matchers(["a=b"] * count)


@pytest.mark.parametrize("minutes", [-1, 0, MOST_MINUTES + 1])
def test_how_long(minutes: int) -> None:
    with pytest.raises(BadSilence, match="24 hours"):
        parse_minutes(minutes)


def test_the_target() -> None:
    assert parse_minutes(30) == 30
    assert silence_target(30, parse_matchers(["a=b", "c=~d.*"])) == '30 a="b" c=~"d.*"'


@given(st.dictionaries(st.sampled_from("ab"), st.text("xy", max_size=3)), st.text("xy", max_size=3))
def test_signs_are_each_others_opposites(labels: dict[str, str], value: str) -> None:
    for positive, negative in ((Sign.EQUAL, Sign.UNEQUAL), (Sign.MATCH, Sign.NO_MATCH)):
        assert Matcher("a", positive, value).matches(labels) is not Matcher("a", negative, value).matches(
            labels
        )
    assert Matcher("a", Sign.EQUAL, value).matches(labels) == (labels.get("a", "") == value)
