"""Whether a reading of Redis proves in which state each breaker is. OPEN may be proved as well as CLOSED.

A newer trip than the document, or a probe run past its deadline, leaves no question: OPEN. A missing or
forged document, another server's, a counter that went back or a foreign `circuit_breaker:state` do.
Source: circuit breaker operations runbook, status verification and its staleness metric.
"""

from __future__ import annotations

from collections.abc import Mapping

from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Reading
from cockpit.domain.snapshots import BreakerSnapshot


def unverified(snapshot: BreakerSnapshot, catalogue: Catalogue) -> Mapping[BreakerId, str]:
    """The breakers whose state is not proved, and why; empty where all are."""
    faults: dict[BreakerId, str] = {}
    for name in catalogue.ids:
        reading = snapshot.readings.get(name)
        why = "not read" if reading is None else _fault(name, reading, snapshot.run_id, catalogue)
        if why is None and name == GLOBAL and not snapshot.legacy_ok:
            why = "circuit_breaker:state does not mirror the global document"
        if why is not None:
            faults[name] = why
    return faults


def _fault(name: BreakerId, reading: Reading, run_id: str, catalogue: Catalogue) -> str | None:
    document, epoch = reading.document, reading.epoch
    if epoch is None or document is None:
        return reading.doubt or "no state document"
    if document.breaker_id != name or document.ancestors != catalogue.ancestors(name):
        return reading.doubt or "document is for another place in the hierarchy"
    if document.epoch.run_id != run_id:
        return "document is from another Redis server or from before its restart"
    if document.epoch.counter > epoch.counter:
        return "trip counter is below the document's: trips were lost"
    return None
