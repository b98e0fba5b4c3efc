"""Trips that Postgres has and Redis lacks: nothing they concern is loosened meanwhile (I1, I18).

A new term has not read the inbox yet, so each of these asks Postgres.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from backends.signing import canonical
from cockpit.authority.compare_and_set import BatchCheck, Held
from cockpit.authority.entries import ITSELF
from cockpit.authority.scenes import standing_and_pending
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.commands import Kind
from cockpit.domain.refusals import Code, Refusal, Refused
from cockpit.domain.snapshots import StreamEvent

MOST_LOOKS: Final = 50
# The same requests as `standing_and_pending` looks at; oldest first.
_OF_BREAKER: Final = """
SELECT q.request_id::text, q.login, q.payload, q.key_id, q.signature, q.submitted_at FROM requests q
  JOIN signing_keys k ON k.key_id = q.key_id AND k.login = q.login
 WHERE q.status = 'new' AND position('"kind":"trip"' in q.payload) > 0 AND position($1 in q.payload) > 0
 ORDER BY q.arrival LIMIT 5
"""


async def concerned(connection: Any, names: Iterable[BreakerId], catalogue: Catalogue) -> set[BreakerId]:
    """Those of `names` that a valid trip waits for, their own or one of what stands above them."""
    found: set[BreakerId] = set()
    wanted = list(names)
    asked = list(dict.fromkeys(each for name in wanted for each in (*catalogue.ancestors(name), name)))
    for _ in range(MOST_LOOKS):
        _, waits = await standing_and_pending(connection, ITSELF.user_id, asked)
        if waits is None:
            return found
        found |= {name for name in wanted if waits == name or waits in catalogue.ancestors(name)}
        asked = [name for name in asked if name != waits and name not in found]
    return set(wanted)  # more than can be looked at: doubt holds them all


def unopposed(catalogue: Catalogue) -> BatchCheck:
    """A check just before the compare-and-sets that no trip which concerns one of them waits."""

    async def check(connection: Any, names: Sequence[BreakerId]) -> Held:
        return refused_for(await concerned(connection, names, catalogue)), None

    return check


def refused_for(waited: Iterable[BreakerId]) -> Mapping[BreakerId, Refusal]:
    """The refusals of those that a trip waits for."""
    return {
        name: Refusal(Code.PENDING_TRIP, f"A trip that concerns {name} came in meanwhile.", "It comes first.")
        for name in waited
    }


def stop_for(waits: BreakerId | None) -> None:
    """
    Raises:
        Refused: a trip of it waits.
    """
    if waits is not None:
        raise Refused(Code.PENDING_TRIP, f"A trip of {waits} came in meanwhile.", "It comes first.")


async def recorded_trips(connection: Any, name: BreakerId) -> Sequence[StreamEvent]:
    """Trips of `name` in the inbox that are not decided, as the events that their increments may lack: Redis
    counts a trip also where its stream takes no event, and its cockpit then records it here."""
    rows = await connection.fetch(_OF_BREAKER, canonical({"breaker_id": name}).decode()[1:-1])
    return [
        StreamEvent(
            entry_id=f"{int(row['submitted_at'].timestamp() * 1_000)}-0",
            event_id=row["request_id"],
            breaker_id=name,
            kind=Kind.TRIP.value.upper(),
            login=row["login"],
            at="",
            payload=row["payload"].encode(),
            key_id=row["key_id"],
            signature=row["signature"],
        )
        for row in rows
    ]
