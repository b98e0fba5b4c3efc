"""A kill switch of this machine's journal as the desk would list it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockpit.domain.desk import KillRow, KillStepRow
from cockpit.domain.documents import Epoch
from cockpit.domain.kill import Fact
from cockpit.domain.kill_proof import KillState


def row_of(
    kill_id: str, login: str, notes: str, begun_at: datetime, facts: Sequence[Fact], gateways: tuple[str, ...]
) -> KillRow:
    """`begun_at` by this machine's clock. What was read of the venue then is no proof of now: the last step
    is left out."""
    report = KillState(kill_id, gateways, tuple(facts)).report()
    steps = tuple(
        KillStepRow(each.step.value, each.outcome.value, {"line": each.line}, login, begun_at)
        for each in report.steps[:-1]
        if each.outcome is not None
    )
    return KillRow(kill_id, report.epoch or Epoch("", 0), login, notes, begun_at, steps)
