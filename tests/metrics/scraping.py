"""Scrape an exporter as Prometheus would, and read what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import httpx
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

# What Prometheus 2.42 asks with.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
Labels = frozenset[tuple[str, str]]


class Samples:
    """The values of one scrape, by name and labels."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        for family in families:
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._values, f"{key} occurs twice"
                self._values[key] = sample.value

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self._values}

    def get(self, name: str, **labels: str) -> float | None:
        """The value of one series; None where it is absent."""
        return self._values.get((name, frozenset(labels.items())))

    def all(self, name: str) -> list[float]:
        return [value for (each, _), value in self._values.items() if each == name]

    def labels(self, name: str) -> list[Mapping[str, str]]:
        return [dict(labels) for each, labels in self._values if each == name]


async def scrape(url: str, accept: str = PROMETHEUS) -> Samples:
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        reply = await client.get(url, headers={"Accept": accept})
    assert reply.status_code == 200, reply.text
    return samples(reply)


def samples(reply: httpx.Response) -> Samples:
    if reply.headers["content-type"].startswith("application/openmetrics-text"):
        return Samples(openmetrics(reply.text))
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Samples(classic(reply.text))
