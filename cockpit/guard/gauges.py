"""Prometheus beside the store: the queries that rules look at, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Final

from backends.prometheus_gauge import BadGauge, PrometheusGauges
from cockpit.domain.lookout import Lookout
from cockpit.domain.refusals import Refused
from cockpit.domain.triggers import StreamKind, streams_of
from cockpit.guard.rule_file import RuleFile

GAUGES_S: Final = 2.0


async def watch_gauges(
    url: str | None, file: RuleFile, lookout: Callable[[], Lookout], faults: MutableMapping[str, str]
) -> None:
    """Feed the current `lookout` for ever; what goes wrong stands in `faults` by its query."""
    if url is None:
        if streams_of(file.rules, StreamKind.PROMETHEUS):
            faults["prometheus"] = "prometheus_url is not set: rules on it see nothing"
        await asyncio.Event().wait()
        return
    gauges = PrometheusGauges(url)
    try:
        while True:
            for query in streams_of(file.rules, StreamKind.PROMETHEUS):
                try:
                    gauge = await gauges.value(query)
                except (BadGauge, Refused) as error:
                    faults[query] = f"prometheus {query}: {error}"
                    continue
                faults.pop(query, None)
                current = lookout()
                if current.now is not None:
                    current.feed_gauge(query, current.now, gauge)
            await asyncio.sleep(GAUGES_S)
    finally:
        gauges.close()
