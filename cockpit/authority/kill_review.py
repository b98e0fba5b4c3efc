"""A kill switch from the signed trip of `global` that begins it until its review. Meanwhile nothing loosens
`global`, under which everything else stands (I17). A signed step of one is enough: the event of its trip is
only a hint, which whoever may write the stream can also cut off.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from cockpit.authority.incident_book import NewIncident, record_incident
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.kill import Tripped
from cockpit.domain.kill_records import BadKillRecord, StepRecord, fact_of
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.text import clean

UNSEEN: Final = "Known from its steps: the event of its trip was lost, or is late."
_KILL: Final = """
INSERT INTO kill_switches (kill_id, redis_run_id, counter, login, notes) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kill_id) DO NOTHING
"""
_KNOWN: Final = "SELECT true FROM kill_switches WHERE kill_id = $1"
_EPOCH: Final = "SELECT coalesce(redis_run_id, '') AS run_id, counter FROM breakers WHERE breaker_id = $1"
_UNREVIEWED: Final = """
SELECT kill_id::text, login FROM kill_switches WHERE reviewed_at IS NULL ORDER BY started_at DESC LIMIT 1
"""


async def record_kill(connection: Any, kill_id: str, epoch: Epoch, login: str, notes: str) -> bool:
    """Record one, in the transaction that records its trip: from then on it awaits its review. False where
    it is recorded already."""
    done = await connection.execute(
        _KILL, UUID(kill_id), clean(epoch.run_id, 100), epoch.counter, login, clean(notes, 1_000)
    )
    return bool(done == "INSERT 0 1")


async def known_kill(connection: Any, kill_id: str) -> bool:
    """Whether it is recorded, reviewed or not."""
    return bool(await connection.fetchval(_KNOWN, UUID(kill_id)))


async def record_unseen_kill(connection: Any, step: StepRecord, login: str, audit_seq: int) -> bool:
    """Record one whose trip the log does not have as such, from a step that is entry `audit_seq`, with its
    incident and page. Where its event comes after all, this record stands. False where it is recorded
    already."""
    epoch = _told_epoch(step) or await _newest_epoch(connection)
    if not await record_kill(connection, step.kill_id, epoch, login, UNSEEN):
        return False
    new = NewIncident(
        Severity.P0,
        Classification.OTHER.value,
        f"Kill switch of {login}",
        "kill",
        f"kill:{step.kill_id}",
        breaker_id=GLOBAL,
        opened_by=login,
        notes=UNSEEN,
        details={"event_id": step.kill_id, "run_id": epoch.run_id, "counter": epoch.counter},
    )
    await record_incident(connection, new, audit_seq)
    return True


def _told_epoch(step: StepRecord) -> Epoch | None:
    try:
        fact = fact_of(step.step, step.details)
    except BadKillRecord:
        return None
    return fact.epoch if isinstance(fact, Tripped) else None


async def _newest_epoch(connection: Any) -> Epoch:
    """The newest trip of `global` that the log has."""
    row = await connection.fetchrow(_EPOCH, GLOBAL)
    return Epoch(row["run_id"], row["counter"]) if row is not None else Epoch("", 0)


async def unreviewed_kill(connection: Any, breaker_id: BreakerId) -> Refusal | None:
    """Why `global` may not be loosened, asked when it is wanted and again at its commit. What stands under it
    is held by its state."""
    if breaker_id != GLOBAL:
        return None
    row = await connection.fetchrow(_UNREVIEWED)
    if row is None:
        return None
    return Refusal(
        Code.KILL_UNREVIEWED,
        f"Kill switch {row['kill_id']} of {row['login']} has not been reviewed.",
        f"A safety-admin reviews it with `cockpit kill-switch review {row['kill_id']} --notes … --yes`, and"
        " another one approves.",
    )
