"""What Redis has answered to a trip; a module of its own, since `cockpit trip` loads little else."""

from __future__ import annotations

from dataclasses import dataclass

from cockpit.domain.documents import Epoch


@dataclass(frozen=True, slots=True)
class TripReceipt:
    """A trip that Redis has applied. `note` is for people: why the event was not delivered, for one."""

    epoch: Epoch
    event_delivered: bool
    note: str | None = None
