"""A kill switch from the signed trip of `global` that begins it until its review. Meanwhile nothing loosens
`global`, under which everything else stands (I17).
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Epoch
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.text import clean

_KILL: Final = """
INSERT INTO kill_switches (kill_id, redis_run_id, counter, login, notes) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (kill_id) DO NOTHING
"""
_UNREVIEWED: Final = """
SELECT kill_id::text, login FROM kill_switches WHERE reviewed_at IS NULL ORDER BY started_at DESC LIMIT 1
"""


async def record_kill(connection: Any, kill_id: str, epoch: Epoch, login: str, notes: str) -> None:
    """Record one, in the transaction that records its trip: from then on it awaits its review."""
    await connection.execute(_KILL, UUID(kill_id), epoch.run_id, epoch.counter, login, clean(notes, 1_000))


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
