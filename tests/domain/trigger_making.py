"""Rules and samples for the tests of the triggers. T0 is a whole second; times are seconds after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cockpit.domain.breakers import Catalogue
from cockpit.domain.reasons import Reason
from cockpit.domain.trigger_samples import Amount, Number, Sample, second_of
from cockpit.domain.triggers import Condition, Figure, Rule, Stream, StreamKind

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CATALOGUE = Catalogue.build(["execution", "ingest"], ["BTC-USD", "ETH-USD"], ["momentum"])


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def rule(condition: Condition, threshold: str = "10", **changes: Any) -> Rule:
    windowed = condition not in (Condition.LATEST, Condition.AGE)
    fields: dict[str, Any] = {
        "name": "some-rule",
        "title": "Some rule",
        "stream": Stream(StreamKind.ORDERS),
        "figure": Figure.REJECTED if condition in (Condition.RATIO, Condition.COUNT) else Figure.VALUE,
        "condition": condition,
        "threshold": Decimal(threshold),
        "unit": "things",
        "min_samples": 1,
        "aim": "component:execution",
        "reason": Reason.OTHER,
        "severity": "P2",
        "window_s": 60 if windowed else 0,
        "fresh_s": 60 if condition is Condition.LATEST else 0,
        "for_s": 20 if condition is Condition.SUSTAINED else 0,
        "quantile": Decimal("0.95") if condition is Condition.SUSTAINED else Decimal(0),
    }
    return Rule(**fields | changes)


def level(seconds: float, value: Number, name: str = "", key: str = "") -> Sample:
    return Sample(name or f"{seconds:012.6f}", key, at(seconds), second_of(at(seconds)), value)


def events(seconds: float, bad: Amount, total: Amount, name: str = "", key: str = "") -> Sample:
    return Sample(name or f"{seconds:012.6f}", key, at(seconds), second_of(at(seconds)), 0, bad, total)
