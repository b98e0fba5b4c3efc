"""The points between two steps of a commit, where tests stop, kill or disturb the authority."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

Fault = Callable[[str], Awaitable[None]]

BEFORE_INTENT: Final = "before-intent"
AFTER_INTENT: Final = "after-intent"
AFTER_EVIDENCE: Final = "after-evidence"
AFTER_SET: Final = "after-set"  # the compare-and-set has answered, its outcome is not recorded
AFTER_OUTCOME: Final = "after-outcome"
AFTER_TRIP_AUDIT: Final = "after-trip-audit"  # a trip is audited, its document is not written
BEFORE_INCIDENT: Final = "before-incident"  # its change is decided on, nothing is written
INCIDENT_CHANGED: Final = "incident-changed"  # its row is written, not committed
INCIDENT_AUDITED: Final = "incident-audited"  # its entry and story too, not committed
AFTER_INCIDENT: Final = "after-incident"  # everything of it is committed
RUN_ACK_IN_FILE: Final = "run-ack-in-file"  # an acknowledgement is in a run's file, not on record
INCIDENT_POINTS: Final = (BEFORE_INCIDENT, INCIDENT_CHANGED, INCIDENT_AUDITED, AFTER_INCIDENT)
POINTS: Final = (BEFORE_INTENT, AFTER_INTENT, AFTER_EVIDENCE, AFTER_SET, AFTER_OUTCOME, AFTER_TRIP_AUDIT)


async def no_fault(_point: str) -> None:
    """The default: nothing happens between two steps."""
