"""The measures from scratch: all samples and a moment in, a verdict out. Slow, and by the definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from cockpit.domain.trigger_samples import Sample
from cockpit.domain.triggers import Condition, Rule


def fraction(value: int | float | Decimal) -> Fraction:
    return Fraction(value)


def breached(rule: Rule, samples: Sequence[Sample], key: str, now: datetime, since: int = 0) -> bool:
    """Whether `key` is over at `now`; events up to the second `since` are left out."""
    second = int(now.timestamp())
    mine = sorted(
        (each for each in samples if each.key == key and each.second <= second), key=lambda s: s.order
    )
    events = [each for each in mine if each.second > since]
    inside = [each for each in events if each.second > second - rule.window_s]
    threshold = fraction(rule.threshold)
    match rule.condition:
        case Condition.CONSECUTIVE:
            last = inside[-rule.min_samples :]
            return len(last) == rule.min_samples and all(fraction(each.value) > threshold for each in last)
        case Condition.RATIO:
            bad, total = (sum(fraction(getattr(each, name)) for each in inside) for name in ("bad", "total"))
            return total >= rule.min_samples and bad > threshold * total
        case Condition.COUNT:
            return sum(fraction(each.bad) for each in inside) > threshold
        case Condition.SUSTAINED:
            return sustained(rule, events, second)
        case Condition.LATEST:
            newest = mine[-1] if mine else None
            fresh = newest is not None and now - newest.at <= timedelta(seconds=rule.fresh_s)
            return fresh and newest is not None and fraction(newest.value) > threshold
        case Condition.AGE:
            if not mine:
                return False
            born = mine[-1].at - timedelta(seconds=max(0.0, float(mine[-1].value)))
            return now - born > timedelta(seconds=float(rule.threshold))
        case Condition.INCREASE:
            begin = max(second - rule.window_s, since)
            rise, level = Fraction(0), Fraction(0)
            for each in mine:
                value = fraction(each.value)
                step = value if value < level else value - level
                rise += step if each.second > begin else 0
                level = value
            return sum(each.second > begin for each in mine) >= rule.min_samples and rise > threshold


def quantile_over(rule: Rule, values: Sequence[Fraction]) -> bool:
    """By nearest rank: the smallest value that at least a share q of the samples do not exceed."""
    rank = math.ceil(fraction(rule.quantile) * len(values))
    return sorted(values)[max(1, rank) - 1] > fraction(rule.threshold)


def sustained(rule: Rule, samples: Sequence[Sample], second: int) -> bool:
    least = max(1, math.ceil(Fraction(rule.min_samples * rule.window_s, rule.for_s)))

    def verdict(moment: int) -> bool | None:
        found = [fraction(s.value) for s in samples if moment - rule.window_s < s.second <= moment]
        return None if len(found) < least else quantile_over(rule, found)

    start = None
    for moment in range(second, second - 2 * rule.for_s - 1, -1):
        said = verdict(moment)
        if said is False:
            break
        start = moment if said else start
    enough = sum(s.second > second - rule.for_s for s in samples) >= rule.min_samples
    return start is not None and second - start >= rule.for_s and enough
