"""Pages: what must be said of an incident goes into the outbox with the change itself, all or nothing.

All rows of an incident share one key, so that a receiver can tell its acknowledgement and its end from
another incident. The pager delivers them; nothing here waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal
from uuid import UUID

from backends.audit_log import storable
from cockpit.domain.incidents import Severity
from cockpit.domain.text import clean

Event = Literal["trigger", "acknowledge", "resolve"]
# The guard pages under a key of its own, which the incident keeps.
_PAGE: Final = """
INSERT INTO outbox (dedup_key, incident_id, event, severity, title, details)
SELECT coalesce((SELECT dedup_key FROM outbox WHERE incident_id = $1 ORDER BY outbox_id LIMIT 1),
                'incident:' || $1::text), $1, $2, $3, $4, $5::jsonb
"""


async def page(
    connection: Any,
    incident_id: str | UUID,
    event: Event,
    severity: Severity | str,
    title: str,
    details: Mapping[str, object] | None = None,
) -> None:
    """Put a page into the outbox, inside the caller's transaction. `details` are JSON values."""
    await connection.execute(
        _PAGE,
        UUID(str(incident_id)),
        event,
        str(severity),
        clean(title, 300),
        json.dumps(storable(dict(details or {}))),
    )
