"""What a restoration reads of every breaker, and what it says of what it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cockpit.authority.losses import Known
from cockpit.authority.means import Means
from cockpit.domain.breakers import BreakerId, is_switch
from cockpit.domain.states import State

_ROWS: Final = "SELECT breaker_id, redis_run_id, counter, document, state FROM breakers"


async def all_known(means: Means) -> list[Known]:
    """What was last audited of every breaker and switch, in the order of the hierarchy."""
    async with means.pool.acquire() as connection:
        rows = await connection.fetch(_ROWS)
    by_name = {
        row["breaker_id"]: Known(
            BreakerId(row["breaker_id"]),
            row["redis_run_id"],
            row["counter"],
            row["document"].encode() if row["document"] is not None else None,
            State(row["state"]),
        )
        for row in rows
    }
    return [by_name[name] for name in means.catalogue.everything if name in by_name]


def restored_words(restored: Sequence[BreakerId], left: Sequence[BreakerId]) -> str:
    """The outcome of a restore in words."""
    stay = sum(not is_switch(name) for name in left)
    switches = f" {len(left) - stay} switches stay set." if len(left) > stay else ""
    word = " and switches" if any(map(is_switch, restored)) else ""
    return (
        f"{len(restored)} breakers{word} restored; {stay} stay OPEN and go through the procedure.{switches}"
    )
