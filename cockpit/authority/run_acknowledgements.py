"""Acknowledgements that go back into the file of the run that reported the incident, each once."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from backends.jsonl_tail import Unreadable
from backends.run_acks import append_once
from cockpit.authority import faults
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.incident_book import add_event
from cockpit.authority.means import Means
from cockpit.domain.documents import rfc3339

RETRY_S: Final = 10.0
STEP_S: Final = 2.0  # then reading goes on; the rest is written in the next steps
_ACKS: Final = UUID("3d1c1f6e-2f0f-5b8e-9a4c-6c7d5a1f9b20")
_DUE: Final = """
SELECT incident_id, run_id, run_incident, acknowledged_by, acknowledged_at,
       coalesce((SELECT notes FROM incident_events e
                  WHERE e.incident_id = i.incident_id AND kind = 'acknowledged'
                  ORDER BY event_id DESC LIMIT 1), '') AS notes
  FROM incidents i WHERE run_ack_due AND run_id IS NOT NULL AND acknowledged_at IS NOT NULL
   AND incident_id <> ALL ($1::uuid[])
 ORDER BY acknowledged_at LIMIT 50
"""
# Acknowledged anew meanwhile: that acknowledgement is still due.
_WRITTEN: Final = """
UPDATE incidents SET run_ack_due = false WHERE incident_id = $1 AND acknowledged_at = $2
"""


class RunAcknowledgements:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._not_before: dict[UUID, float] = {}

    async def step(self, thread: Executor, results: Path) -> None:
        """Write what is due; what cannot be written now is tried again later."""
        async with self._means.pool.acquire() as connection:
            now = time.monotonic()
            due = await connection.fetch(_DUE, [each for each, at in self._not_before.items() if at > now])
        for row in due:
            await self._write(thread, results, row)
            if time.monotonic() - now > STEP_S:
                return

    async def _write(self, thread: Executor, results: Path, row: Any) -> None:
        """Into the file first, then on record; by the event's id a successor finds what is there already."""
        incident_id: UUID = row["incident_id"]
        event_id = str(uuid5(_ACKS, f"{incident_id} {row['acknowledged_at'].isoformat()}"))
        fields = {
            "event_type": "incident_ack",
            "event_id": event_id,
            "at": rfc3339(row["acknowledged_at"]),
            "run_id": row["run_id"],
            "incident_id": row["run_incident"],
            "ack_by": row["acknowledged_by"],
            "notes": row["notes"],
        }
        try:
            await asyncio.get_running_loop().run_in_executor(
                thread, append_once, results, row["run_id"], fields
            )
        except Unreadable as error:
            self._not_before[incident_id] = time.monotonic() + RETRY_S
            self._means.health.changed(f"acknowledgement of {incident_id}", f"not in its run's file: {error}")
            return
        self._not_before.pop(incident_id, None)
        await self._means.fault(faults.RUN_ACK_IN_FILE)
        async with self._means.transaction() as connection:
            await connection.execute(_WRITTEN, incident_id, row["acknowledged_at"])
            await add_event(
                connection,
                incident_id,
                "run-acknowledged",
                AUTHORITY,
                f"Written into the file of run {row['run_id']}.",
                {"event_id": event_id},
            )
