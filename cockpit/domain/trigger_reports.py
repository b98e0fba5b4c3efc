"""How near each automatic trigger is to its threshold, as the acting guard publishes it.

A report travels as JSON in `guard_lease.status`; what reads it trusts nothing in it but shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.domain.text import clean


class TriggerState(StrEnum):
    """By the distance to the threshold; MISSING where there are no samples, or too few."""

    CLEAR = "CLEAR"
    NEAR_50 = "NEAR 50%"
    NEAR_75 = "NEAR 75%"
    NEAR_90 = "NEAR 90%"
    BREACHED = "BREACHED"
    MISSING = "MISSING"


@dataclass(frozen=True, slots=True)
class SampleRef:
    """One sample that a verdict rests on: which, when, how much."""

    sample_id: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class TriggerReport:
    """One rule at one moment. `subject` is the instrument (or other key) that is nearest to the threshold,
    "" where the rule looks at the whole platform. `fraction` is how much of the way to the threshold is
    gone (1 = at it), None where MISSING. `breach_in_s` extrapolates the last minutes, None where it does
    not approach. `samples` of `min_samples` are in the window. `evidence` are those that did it, newest
    first, at most 10."""

    rule: str
    title: str
    mode: str
    effect: str
    aim: str
    unit: str
    threshold: float
    state: TriggerState
    subject: str = ""
    value: float | None = None
    fraction: float | None = None
    breach_in_s: float | None = None
    samples: int = 0
    min_samples: int = 1
    newest_at: datetime | None = None
    evidence: tuple[SampleRef, ...] = ()
    fired_at: datetime | None = None
    fired_on: str = ""
    why: str = ""

    def payload(self) -> dict[str, object]:
        """As JSON values, which know neither NaN nor infinity: these become null, and so does what Postgres
        would write out as a whole number that is longer than its readers take."""
        fields: dict[str, object] = {name: _finite(getattr(self, name)) for name in _PLAIN}
        fields |= {name: _time(getattr(self, name)) for name in _TIMES}
        fields["state"] = self.state.value
        fields["evidence"] = [
            [each.sample_id, rfc3339(each.at), each.value] for each in self.evidence if _sayable(each.value)
        ]
        return fields


_PLAIN = (
    "rule title mode effect aim unit threshold subject value fraction breach_in_s samples min_samples "
    "fired_on why".split()
)
_COUNTS = ("samples", "min_samples")
_MOST = 1e300  # beyond it lies no figure; NaN is no number either
_MOST_SAID = 1e28  # `jsonb` writes whole numbers out, and a desk reads 30 characters of one
_TIMES = ("newest_at", "fired_at")
_TEXTS = frozenset("rule title mode effect aim unit subject fired_on why".split())


class MalformedReport(ValueError):
    """Not what a guard publishes; the message names the field."""


def parse_report(fields: object) -> TriggerReport:
    """
    Raises:
        MalformedReport: a field is missing or of the wrong kind. Foreign fields are ignored.
    """
    if not isinstance(fields, Mapping):
        raise MalformedReport("a trigger report is no object")
    try:
        values: dict[str, object] = {}
        for name in _PLAIN:
            read = _text if name in _TEXTS else _count if name in _COUNTS else _number
            values[name] = read(name, fields[name])
        if values["threshold"] is None:
            raise MalformedReport("threshold is no number")
        for name in _TIMES:
            values[name] = None if fields[name] is None else parse_rfc3339(_text(name, fields[name]))
        values["state"] = TriggerState(_text("state", fields["state"]))
        values["evidence"] = tuple(_sample(each) for each in _list(fields["evidence"]))
        return TriggerReport(**values)  # type: ignore[arg-type]
    except KeyError as error:
        raise MalformedReport(f"{error.args[0]} is missing") from None
    except ValueError as error:
        raise MalformedReport(str(error)) from None


@dataclass(frozen=True, slots=True)
class GuardSnapshot:
    """What the acting guard last published. `age_s` by the database's clock; not `alive`: its lease has run
    out, so nothing trips by itself."""

    holder: str
    term: int
    age_s: float
    alive: bool
    reports: tuple[TriggerReport, ...]
    faults: tuple[str, ...] = ()


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise MalformedReport(f"{name} is no text")
    return clean(value, 300)


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST <= value <= _MOST:
        raise MalformedReport(f"{name} is no number")
    return float(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise MalformedReport(f"{name} is no count")
    return value


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not _sayable(value) else value


def _sayable(value: float) -> bool:
    return abs(value) <= _MOST_SAID  # no NaN is


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise MalformedReport("evidence is no list")
    return value[:10]


def _sample(value: object) -> SampleRef:
    if not isinstance(value, list) or len(value) != 3:
        raise MalformedReport("evidence holds something that is no sample")
    number = _number("evidence", value[2])
    if number is None:
        raise MalformedReport("evidence holds a sample without a value")
    return SampleRef(_text("evidence", value[0]), parse_rfc3339(_text("evidence", value[1])), number)
