"""What a hand-over reads besides the desk and the incidents: what changed lately, and what is still owed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from backends.postgres_session import Session
from cockpit.domain.handover import Debt, Happened, Lately

MOST: Final = 200
# Steps of the same thing are one change: intents and terms say nothing that their outcomes do not. What first
# made each breaker known is none at all.
_CHANGES: Final = r"""
SELECT seq, timestamp, action, user_id, target, count(*) OVER () AS found,
       left(coalesce(nullif(details ->> 'notes', ''), details ->> 'why'), 300) AS notes
  FROM audit_log
 WHERE timestamp > clock_timestamp() - $1::interval
   AND action NOT IN ('AUTHORITY_TERM', 'CIRCUIT_BREAKER_GENESIS')
   AND action NOT LIKE '%\_INTENT'
 ORDER BY seq DESC LIMIT $2
"""
_ACTIONS: Final = """
SELECT a.what, a.owner, a.due_at, i.title, i.incident_id::text AS incident_id
  FROM incident_actions a JOIN incidents i USING (incident_id)
 WHERE a.done_at IS NULL ORDER BY a.due_at NULLS LAST, a.added_at LIMIT $1
"""
_POSTMORTEMS: Final = """
SELECT i.incident_id::text AS incident_id, i.title, coalesce(i.owner, '') AS owner,
       coalesce(i.resolved_at, i.opened_at) + interval '48 hours' AS due_at
  FROM incidents i
 WHERE i.severity IN ('P0', 'P1') AND i.status <> 'merged'
   AND i.opened_at > clock_timestamp() - interval '30 days'
   AND NOT EXISTS (SELECT FROM incident_events e WHERE e.incident_id = i.incident_id AND e.kind = 'told'
                      AND e.details ->> 'audience' = 'postmortem')
 ORDER BY due_at LIMIT $1
"""


class HandoverStore:
    """Postgres with a person's login. Close it."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, command_timeout_s=10, application_name="cockpit handover")

    async def close(self) -> None:
        await self._session.close()

    async def lately(self, within: timedelta) -> Lately:
        """
        Raises:
            Refused: Postgres is away, or refuses the login.
        """
        async with self._session.use() as connection:
            changes = await connection.fetch(_CHANGES, within, MOST)
            actions = await connection.fetch(_ACTIONS, MOST)
            postmortems = await connection.fetch(_POSTMORTEMS, MOST)
            now = await connection.fetchval("SELECT clock_timestamp()")
        return Lately(
            now,
            tuple(_happened(row) for row in changes),
            changes[0]["found"] if changes else 0,
            tuple(
                Debt(row["incident_id"], row["what"], row["owner"], row["due_at"], row["title"])
                for row in actions
            ),
            tuple(
                Debt(row["incident_id"], "postmortem", row["owner"], row["due_at"], row["title"])
                for row in postmortems
            ),
        )


def _happened(row: Mapping[str, Any]) -> Happened:
    notes = row["notes"] or ""
    return Happened(row["timestamp"], row["action"], row["user_id"], row["target"], notes, row["seq"])
