"""The newest value of a Prometheus query that answers with exactly one series."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from backends.prometheus_line import PrometheusLine, QueryRefused
from cockpit.domain.text import clean
from cockpit.domain.trigger_rows import Gauge

TIMEOUT_S: Final = 2.0


class BadGauge(ValueError):
    """The query's answer is not one number; the message says what it is."""


class PrometheusGauges:
    """Instant queries at `url`, one after the other, each within two seconds."""

    def __init__(self, url: str) -> None:
        self._line = PrometheusLine(url, TIMEOUT_S)

    def close(self) -> None:
        self._line.close()

    async def value(self, query: str) -> Gauge:
        """The value and its age: Prometheus repeats what it last scraped for minutes. Only of a plain series
        it knows the age; what it calculates is as of now.

        Raises:
            BadGauge: no series, several, no number, or a query that the server does not take.
            StoreUnreachable: no server, or one that is too slow.
        """
        try:
            return await asyncio.to_thread(self._value, query)
        except QueryRefused as error:
            raise BadGauge(f"the query is refused: {error}") from error

    def _value(self, query: str) -> Gauge:
        deadline = time.monotonic() + TIMEOUT_S
        found: list[object] = list(self._line.query(query, None, deadline))
        asked_s, value = _one(found)
        if not isinstance(found[0], dict):
            return Gauge(value, 0.0)
        times = self._line.query(f"timestamp({query}\n)", asked_s, deadline)  # \n: it may end in a comment
        return Gauge(value, max(0.0, asked_s - _one(list(times))[1]))


def _one(series: list[object]) -> tuple[float, float]:
    """When it was asked, in Unix seconds, and the number."""
    match series:
        case [int() | float() as asked_s, str(text)]:
            pass
        case [{"value": [int() | float() as asked_s, str(text)]}]:
            pass
        case []:
            raise BadGauge("no series")
        case _:
            raise BadGauge(f"{len(series)} series, where one is needed")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadGauge(f"the value is {clean(text, 20)}")
    return asked_s, value
