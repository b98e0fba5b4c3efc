"""Silences of Alertmanager's alerts: what a person may ask for. Pure.

A silence keeps alerts from people, so it is bounded: it names what it is about, ends within a day, and never
covers what nobody has seen yet, neither every alert nor every grave incident of the cockpit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cockpit.domain.text import clean

MOST_MINUTES: Final = 24 * 60
MOST_MATCHERS: Final = 10
_MOST_VALUE: Final = 200
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}", re.ASCII)
_SIGNS: Final = re.compile(r"(?P<name>[^=!~]*)(?P<sign>=~|!~|!=|=)(?P<value>.*)", re.DOTALL)
_STRANGERS: Final = ("", "zq7-unseen-4k", "Qx/Unseen_Vw", "907")
"""Values that no alert has: a pattern that takes one of them takes what nobody meant. The first is that of a
label which an alert lacks."""

_GRAVEST: Final = ("critical", "P0")


class BadSilence(ValueError):
    """A matcher or a length that cannot be used; the message says what would be right."""


class Sign(StrEnum):
    EQUAL = "="
    UNEQUAL = "!="
    MATCH = "=~"
    NO_MATCH = "!~"

    @property
    def positive(self) -> bool:
        return self in (Sign.EQUAL, Sign.MATCH)

    @property
    def regex(self) -> bool:
        return self in (Sign.MATCH, Sign.NO_MATCH)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; a label that an alert lacks counts as empty."""

    name: str
    sign: Sign
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.name, "")
        same = re.fullmatch(self.value, found) is not None if self.sign.regex else found == self.value
        return same is self.sign.positive

    @property
    def narrows(self) -> bool:
        """Whether it says what the silence is about, rather than what it is not."""
        return self.sign.positive and not any(self.matches({self.name: each}) for each in _STRANGERS)

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.sign.value}"{value}"'


def parse_matcher(text: str) -> Matcher:
    """`k=v`, `k!=v`, `k=~regex` or `k!~regex`; quotes around the value may be left out.

    Raises:
        BadSilence: it is none of these.
    """
    found = _SIGNS.fullmatch(text)
    if found is None:
        raise BadSilence(f"matcher {clean(text, 60)!r} has no =, !=, =~ or !~; write label=value")
    name, sign, value = found["name"].strip(), Sign(found["sign"]), found["value"].strip()
    if not _NAME.fullmatch(name):
        raise BadSilence(f"matcher {clean(text, 60)!r} does not begin with a label's name")
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r'\\(["\\])', r"\1", value[1:-1])
    if len(value) > _MOST_VALUE or clean(value, _MOST_VALUE) != value:
        raise BadSilence(f"matcher {name}: its value is over {_MOST_VALUE} characters, or not plain text")
    if sign.regex:
        if "[[" in value or "[:" in value:  # a class of its own to RE2, a set of characters to us
            raise BadSilence(f"matcher {name}: its value holds [[ or [:, which is read differently by others")
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise BadSilence(f"matcher {name}: {clean(str(error), 80)}; write a regular expression") from None
    return Matcher(name, sign, value)


def parse_matchers(texts: Sequence[str], grave: Iterable[Mapping[str, str]] = ()) -> tuple[Matcher, ...]:
    """Matchers that are narrow enough. `grave` are labels of alerts that nobody has seen yet and that must
    come through whatever is silenced.

    Raises:
        BadSilence: one cannot be used, or together they match everything, or all of what is grave.
    """
    matchers = tuple(parse_matcher(text) for text in texts)
    if not matchers or len(matchers) > MOST_MATCHERS:
        raise BadSilence(f"a silence has 1 to {MOST_MATCHERS} matchers")
    if not any(each.narrows for each in matchers):
        raise BadSilence(
            "these match everything; name at least one label's value, such as breaker_id=instrument:BTC-USD"
        )
    if any(all(each.matches(labels) for each in matchers) for labels in grave):
        raise BadSilence(
            "these would keep every grave incident of the cockpit silent; add incident=… or breaker_id=…"
        )
    return matchers


def parse_minutes(minutes: int) -> int:
    """
    Raises:
        BadSilence: under a minute or over a day.
    """
    if not 1 <= minutes <= MOST_MINUTES:
        raise BadSilence(f"minutes: {minutes} is not from 1 to {MOST_MINUTES} (24 hours)")
    return minutes


def silence_target(minutes: int, matchers: Sequence[Matcher]) -> str:
    """The command's target: `30 breaker_id="instrument:BTC-USD" severity=~"warn.*"`."""
    return " ".join([str(minutes), *(str(each) for each in matchers)])


def gravest(labels: Mapping[str, str]) -> bool:
    """Whether an alert is of a P0, by its labels: the cockpit's own say so in `priority`; one of somebody
    else's that has none, in `severity`."""
    priority = labels.get("priority")
    return priority == "P0" if priority else labels.get("severity", "") in _GRAVEST
