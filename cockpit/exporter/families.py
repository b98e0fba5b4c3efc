"""The samples of one scrape as metric families: only known names, cleaned labels, no series twice.

A series that occurs twice would make Prometheus refuse the whole scrape, and with it what matters most; so
texts from outside (a rule's name, an objective's title) can neither collide nor break a line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from cockpit.domain.text import clean
from cockpit.exporter.metric_names import METRICS

LABEL_LIMIT: Final = 120
Value = float | Decimal | None


class Families:
    """Gathers samples; what `prometheus_client` calls a collector."""

    def __init__(self) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        self._seen: set[tuple[str, ...]] = set()

    def add(self, name: str, value: Value, **labels: str) -> None:
        """One sample. None and NaN are not known, and stay away; of equal label sets the first counts.

        Raises:
            KeyError: `name` or a label is not one of `metric_names`.
        """
        if value is None or math.isnan(value):
            return
        metric = METRICS[name]
        if labels.keys() != set(metric.labels):
            raise KeyError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
        texts = [_cleaned(labels[label]) for label in metric.labels]
        if (name, *texts) in self._seen:
            return
        self._seen.add((name, *texts))
        if name not in self._families:
            kind = CounterMetricFamily if metric.counts else GaugeMetricFamily
            self._families[name] = kind(name, metric.help, labels=metric.labels)
        self._families[name].add_metric(texts, float(value))

    def one_hot(self, name: str, states: Iterable[str], current: str, **labels: str) -> None:
        """A sample for each state: 1 for the current one, 0 for the others."""
        for state in states:
            self.add(name, float(state == current), state=state, **labels)

    def collect(self) -> Iterable[Metric]:
        """In the order of `metric_names`."""
        return [self._families[name] for name in METRICS if name in self._families]


@lru_cache(maxsize=20_000)  # the same few names at each scrape, looked at character by character
def _cleaned(text: str) -> str:
    return clean(text, LABEL_LIMIT)
