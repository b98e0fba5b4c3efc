"""Acknowledging an incident: a signed request like any other."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from backends.audit_log import append
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.override import check_reviewer
from cockpit.domain.audit import Action
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity
from cockpit.domain.refusals import Code, Refused

_ACKNOWLEDGE: Final = """
UPDATE incidents SET status = 'acknowledged', acknowledged_at = clock_timestamp(), acknowledged_by = $2
 WHERE incident_id = $1 AND status = 'open' RETURNING title
"""
_EVENT: Final = """
INSERT INTO incident_events (incident_id, kind, actor, notes) VALUES ($1, 'acknowledged', $2, $3)
"""


async def acknowledge(means: Means, asked: Asked, command: Command, identity: Identity) -> None:
    """Acknowledge the incident in `command.target`.

    Raises:
        Refused: there is none, it is not open, or it is of one's own override.
    """
    try:
        incident_id = UUID(command.target or "")
    except ValueError:
        raise Refused(
            Code.MALFORMED, "target is not an incident's id.", "The incidents panel lists them."
        ) from None
    async with means.transaction() as connection:
        await check_reviewer(connection, incident_id, identity.person_id)
        title = await connection.fetchval(_ACKNOWLEDGE, incident_id, identity.login)
        if title is None:
            raise Refused(
                Code.WRONG_STATE, "No open incident has that id.", "It may be acknowledged already."
            )
        await connection.execute(_EVENT, incident_id, identity.login, command.notes)
        entry = await append(
            connection,
            new_entry(
                means.key,
                asked.author(identity.role.value),
                Action.ACKNOWLEDGED,
                asked.request_id,
                command.breaker_id,
                {"incident_id": str(incident_id), "title": title, "notes": command.notes},
            ),
        )
        outcome = done(command.breaker_id, f"Acknowledged: {title}", asked.request_id, entry.seq)
        await record_outcome(
            connection, asked.request_id, "done", outcome, entry.seq, kind=command.kind.value
        )
        await tell(connection, CHANGE)
