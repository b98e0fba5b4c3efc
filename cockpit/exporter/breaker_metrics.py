"""What Redis says of the breakers and switches, as metrics. What cannot be read counts as OPEN, as set."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import Catalogue
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State
from cockpit.domain.switches import is_set
from cockpit.exporter.families import Families
from cockpit.exporter.verification import unverified

VERIFIED: Final = 0.0
FAILED: Final = 999_999.0


def add_breakers(families: Families, snapshot: BreakerSnapshot | None, catalogue: Catalogue) -> None:
    """`snapshot` is what was read in this scrape, None where nothing was."""
    if snapshot is None:
        families.add("cb_staleness_seconds", FAILED)
        for name in catalogue.ids:
            families.add("breaker_state", State.OPEN.metric, breaker_id=name)
            families.add("breaker_own_state", State.OPEN.metric, breaker_id=name)
            families.add("breaker_doubt", 1.0, breaker_id=name)
            families.add("breaker_size_share", 0.0, breaker_id=name)
        for name in catalogue.switches:
            families.add("switch_set", 1.0, switch=name)
        return
    families.add("cb_staleness_seconds", FAILED if unverified(snapshot, catalogue) else VERIFIED)
    for name in catalogue.ids:
        reading, effective = snapshot.readings[name], snapshot.effective[name]
        families.add("breaker_state", effective.state.metric, breaker_id=name)
        families.add("breaker_own_state", reading.state.metric, breaker_id=name)
        families.add("breaker_doubt", float(reading.doubt is not None), breaker_id=name)
        families.add("breaker_size_share", effective.size_share, breaker_id=name)
        counter = None if reading.epoch is None else float(reading.epoch.counter)
        families.add("breaker_epoch", counter, breaker_id=name)
        families.add("breaker_trips_total", counter, breaker_id=name)
    for name in catalogue.switches:
        families.add("switch_set", float(is_set(snapshot.readings.get(name))), switch=name)
