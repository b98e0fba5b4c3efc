"""Automatic triggers out of a decoded TOML file; whatever is wrong in it is one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from cockpit.domain.adjustments import BadAdjustment, share_text
from cockpit.domain.breakers import (
    EXECUTION,
    GLOBAL,
    Catalogue,
    InvalidBreakerId,
    is_switch,
    parse_breaker_id,
)
from cockpit.domain.incidents import Classification
from cockpit.domain.permissions import Permission, Role, permitted
from cockpit.domain.reasons import Reason
from cockpit.domain.text import clean
from cockpit.domain.triggers import OWN_INSTRUMENT, Condition, Effect, Figure, Mode, Rule, Stream, StreamKind

MOST_RULES: Final = 100
_DAY_S: Final = 86_400
_HIGHEST: Final = Decimal(10) ** 15
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_SLI: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}", re.ASCII)


class BadRule(ValueError):
    """A rule that cannot be used; one line: `rule NAME: field: fault; what would be right`."""


_EVENTS: Final = frozenset({Figure.REJECTED, Figure.FAILURES})
_FIGURES: Final[Mapping[StreamKind, frozenset[Figure]]] = {
    StreamKind.ORDERS: frozenset({Figure.SLIPPAGE, Figure.LATENCY, Figure.REJECTED}),
    StreamKind.POSITIONS: frozenset({Figure.LIMIT_SHARE}),
    StreamKind.SLI: frozenset({Figure.VALUE, Figure.LOSS, Figure.FAILURES}),
    StreamKind.PROMETHEUS: frozenset({Figure.VALUE, Figure.LOSS}),
}
_EVENT_CONDITIONS: Final = frozenset({Condition.RATIO, Condition.COUNT})
# A position has no history in the store, a Prometheus query none that a successor could read back.
_ONLY_LATEST: Final = frozenset({StreamKind.POSITIONS, StreamKind.PROMETHEUS})
_WINDOWED: Final = frozenset(Condition) - {Condition.LATEST, Condition.AGE}
_ALWAYS: Final = frozenset(
    "name title stream figure condition threshold unit min_samples aim effect reason severity mode".split()
)
_OPTIONAL: Final[Mapping[str, frozenset[Condition]]] = {
    "window_s": _WINDOWED,
    "for_s": frozenset({Condition.SUSTAINED}),
    "quantile": frozenset({Condition.SUSTAINED}),
    "fresh_s": frozenset({Condition.LATEST}),
    "while_incident": _EVENT_CONDITIONS,
}
_FIELDS: Final = _ALWAYS | _OPTIONAL.keys() | {"per", "share", "classification"}


def parse_rules(values: Mapping[str, object], catalogue: Catalogue) -> tuple[Rule, ...]:
    """The rules in a decoded file: `[[rule]]` tables, numbers with a point decoded as Decimal.

    Raises:
        BadRule: an unknown or missing field, a bad value, a name that stands there twice, no rule at all.
    """
    for key in values:
        if key != "rule":
            raise BadRule(f"{clean(key, 60)}: no such table; every rule is a [[rule]]")
    listed = values.get("rule")
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_RULES:
        raise BadRule(f"rule: not a list of 1 to {MOST_RULES} rules; write each as [[rule]]")
    rules: dict[str, Rule] = {}
    for place, fields in enumerate(listed, 1):
        rule = _parse(_Fields(place, fields), catalogue)
        if rule.name in rules:
            raise BadRule(f"rule {rule.name}: name: stands there twice; name each rule once")
        rules[rule.name] = rule
    return tuple(rules.values())


E = TypeVar("E", bound=StrEnum)


class _Fields:
    """One rule's table, which knows how to name itself in a complaint."""

    def __init__(self, place: int, values: object) -> None:
        if not isinstance(values, dict):
            raise BadRule(f"rule number {place}: not a table; write [[rule]]")
        self.values: dict[str, object] = values
        name = values.get("name")
        named = isinstance(name, str) and _NAME.fullmatch(name) is not None
        self.label = f"rule {name}" if named else f"rule number {place}"

    def bad(self, key: str, fault: str, right: str) -> BadRule:
        return BadRule(f"{self.label}: {clean(key, 60)}: {fault}; {right}")

    def text(self, key: str, most: int = 120) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value or clean(value, most) != value:
            fault = "missing" if value is None else f"{_shown(value)} is not plain text"
            raise self.bad(key, fault, f"write 1 to {most} characters in quotes")
        return value

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        if default is not None and key not in self.values:
            return default
        text = self.text(key, 1_000)
        known = ", ".join(each.value for each in kind)
        try:
            return kind(text)
        except ValueError:
            raise self.bad(key, f"{_shown(text)} is none of them", f"write one of {known}") from None

    def whole(self, key: str, default: int, most: int) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            fault = "missing" if key not in self.values else f"{_shown(value)} is not right"
            raise self.bad(key, fault, f"write a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, right: str, high: Decimal, zero: bool) -> Decimal:
        """Above 0 (or 0 itself, with `zero`) and below `high`."""
        value = self.values.get(key)
        found = Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(found, Decimal) or not (
            found.is_finite() and 0 <= found < high and (found or zero)
        ):
            fault = "missing" if value is None else f"{_shown(value)} is not right"
            raise self.bad(key, fault, right)
        return found


def _parse(fields: _Fields, catalogue: Catalogue) -> Rule:
    name = fields.text("name", 63)
    if not _NAME.fullmatch(name):
        raise fields.bad(
            "name", f"{_shown(name)} is not a rule's name", "write a-z, 0-9 and -, like slow-fills"
        )
    for key in fields.values:
        if key not in _FIELDS:
            raise fields.bad(key, "no such field", f"known are {', '.join(sorted(_FIELDS))}")
    condition = fields.choice("condition", Condition)
    for key, users in _OPTIONAL.items():
        if key in fields.values and condition not in users:
            raise fields.bad(key, f"means nothing to {condition.value}", "leave it out")
    stream, figure = _stream(fields), fields.choice("figure", Figure)
    _fits(fields, stream, figure, condition)
    effect, mode = fields.choice("effect", Effect, Effect.TRIP), fields.choice("mode", Mode, Mode.LIVE)
    keyed = _keyed(fields, stream)
    window_s = fields.whole("window_s", 0, _DAY_S) if condition in _WINDOWED else 0
    sustained = condition is Condition.SUSTAINED
    reason = fields.choice("reason", Reason)
    return Rule(
        name=name,
        title=fields.text("title"),
        stream=stream,
        figure=figure,
        condition=condition,
        threshold=fields.number("threshold", "write a number from 0 up", _HIGHEST, zero=True),
        unit=fields.text("unit", 20),
        min_samples=fields.whole("min_samples", 0, 1_000_000),
        aim=_aim(fields, keyed, catalogue),
        reason=reason,
        severity=_severity(fields),
        effect=effect,
        mode=mode,
        keyed=keyed,
        window_s=window_s,
        for_s=fields.whole("for_s", 0, _DAY_S // 4) if sustained else 0,
        fresh_s=_fresh_s(fields, stream, condition),
        quantile=_part(fields, "quantile") if sustained else Decimal(0),
        share=_limit_share(fields, effect),
        while_incident=_while_incident(fields),
        classification=fields.choice("classification", Classification, reason.classification),
    )


def _stream(fields: _Fields) -> Stream:
    text = fields.text("stream", 1_000)
    kind, _, query = text.partition(":")
    right = "write orders, positions, sli:NAME or prometheus:QUERY"
    if kind not in {each.value for each in StreamKind}:
        raise fields.bad("stream", f"{_shown(text)} is no stream", right)
    stream = Stream(StreamKind(kind), query.strip())
    named = stream.kind in (StreamKind.SLI, StreamKind.PROMETHEUS)
    if named != bool(stream.query) or (stream.kind is StreamKind.SLI and not _SLI.fullmatch(stream.query)):
        raise fields.bad("stream", f"{_shown(text)} is no stream", right)
    return stream


def _fits(fields: _Fields, stream: Stream, figure: Figure, condition: Condition) -> None:
    able = _FIGURES[stream.kind]
    if figure not in able:
        known = ", ".join(sorted(each.value for each in able))
        raise fields.bad("figure", f"{stream.kind.value} has no {figure.value}", f"write one of {known}")
    if (figure in _EVENTS) != (condition in _EVENT_CONDITIONS):
        fitting = "ratio or count" if figure in _EVENTS else "another condition than ratio or count"
        raise fields.bad("condition", f"{condition.value} does not fit {figure.value}", f"write {fitting}")
    if stream.kind in _ONLY_LATEST and condition is not Condition.LATEST:
        raise fields.bad("condition", f"{stream.kind.value} keeps no history", "write latest")
    if condition in (Condition.AGE, Condition.INCREASE) and (stream.kind, figure) != (
        StreamKind.SLI,
        Figure.VALUE,
    ):
        raise fields.bad(
            "figure", f"{condition.value} is of an sli's value", "write stream sli:NAME, figure value"
        )


def _keyed(fields: _Fields, stream: Stream) -> bool:
    per = fields.values.get("per", "platform")
    able = (
        ("platform", "instrument")
        if stream.kind in (StreamKind.ORDERS, StreamKind.POSITIONS)
        else ("platform",)
    )
    if per not in able:
        raise fields.bad(
            "per", f"{_shown(per)} is not right for {stream.kind.value}", f"write {' or '.join(able)}"
        )
    if stream.kind is StreamKind.POSITIONS and per != "instrument":
        raise fields.bad("per", "positions are judged each by itself", "write instrument")
    return per == "instrument"


def _aim(fields: _Fields, keyed: bool, catalogue: Catalogue) -> str:
    aim = fields.text("aim")
    if aim == OWN_INSTRUMENT and not keyed:
        raise fields.bad("aim", "the rule does not look at single instruments", 'add per = "instrument"')
    if EXECUTION not in catalogue:
        raise fields.bad(
            "aim", f"the catalogue has no {EXECUTION}", "it is what an automatic trip halts; add it"
        )
    if aim in (GLOBAL, OWN_INSTRUMENT):
        return aim
    try:
        name = parse_breaker_id(aim)
        able = permitted(Role.AUTOMATION_ROLE, Permission.TRIP_CIRCUIT, name) and not is_switch(name)
    except InvalidBreakerId:
        able = False
    if not able or aim not in catalogue:
        raise fields.bad(
            "aim",
            f"{_shown(aim)} is nothing that a rule may halt",
            "write global, component:execution, instrument, or the name of an instrument or strategy",
        )
    return aim


def _fresh_s(fields: _Fields, stream: Stream, condition: Condition) -> int:
    """A position is what its row says, however long ago it was written."""
    if stream.kind is StreamKind.POSITIONS:
        if "fresh_s" in fields.values:
            raise fields.bad("fresh_s", "means nothing to positions", "leave it out")
        return 0
    return fields.whole("fresh_s", 60, _DAY_S) if condition is Condition.LATEST else 0


def _severity(fields: _Fields) -> str:
    severity = fields.text("severity", 2)
    if severity not in ("P0", "P1", "P2", "P3"):
        raise fields.bad("severity", f"{_shown(severity)} is none", "write P0, P1, P2 or P3")
    if fields.values.get("aim") == GLOBAL and severity != "P0":
        raise fields.bad("severity", "what is aimed at global escalates", "write P0")
    return severity


def _while_incident(fields: _Fields) -> str:
    """One of the words that incidents have: by any other the rule would never be armed."""
    return fields.choice("while_incident", Classification).value if "while_incident" in fields.values else ""


def _limit_share(fields: _Fields, effect: Effect) -> Decimal | None:
    if effect is Effect.LIMIT:
        share = _part(fields, "share")
        try:
            share_text(share)
        except BadAdjustment:
            raise fields.bad("share", f"{share} has too many decimals", "write at most six") from None
        return share
    if "share" in fields.values:
        raise fields.bad("share", "a trip leaves no size", 'leave it out, or write effect = "limit"')
    return None


def _part(fields: _Fields, key: str) -> Decimal:
    return fields.number(key, "write a number above 0 and below 1", Decimal(1), zero=False)


def _shown(value: object) -> str:
    return clean(repr(value), 60)
