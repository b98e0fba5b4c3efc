"""The newest value of a Prometheus query that answers with exactly one series."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from backends.prometheus_line import PrometheusLine, QueryRefused
from cockpit.domain.text import clean

TIMEOUT_S: Final = 2.0


class BadGauge(ValueError):
    """The query's answer is not one number; the message says what it is."""


class PrometheusGauges:
    """Instant queries at `url`, one after the other, each within two seconds."""

    def __init__(self, url: str) -> None:
        self._line = PrometheusLine(url, TIMEOUT_S)

    def close(self) -> None:
        self._line.close()

    async def value(self, query: str) -> float:
        """
        Raises:
            BadGauge: no series, several, no number, or a query that the server does not take.
            StoreUnreachable: no server, or one that is too slow.
        """
        try:
            found = await asyncio.to_thread(self._line.query, query, None, time.monotonic() + TIMEOUT_S)
        except QueryRefused as error:
            raise BadGauge(f"the query is refused: {error}") from error
        return _one(list(found))


def _one(series: list[object]) -> float:
    match series:
        case [int() | float(), str(text)]:
            pass
        case [{"value": [_, str(text)]}]:
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
    return value
