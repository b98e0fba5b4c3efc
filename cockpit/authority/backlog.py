"""Evidence of trips and limits: never waited for, written as soon as the evidence store takes it."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from backends.audit_log import entry_of
from backends.evidence import EvidenceConflict, EvidenceUnavailable
from cockpit.authority.entries import Author
from cockpit.authority.loosening import loosening_evidence
from cockpit.authority.means import Means
from cockpit.authority.trip_records import trip_evidence
from cockpit.domain.audit import sha256_hex

TIMEOUT_S: Final = 5.0
_SINCE_ANCHOR: Final = """
SELECT seq, event_id, timestamp, action, user_id, role, target, details_text, ip_address, key_id, payload,
       payload_hash, signed_hash, prev_hash, chain_hash, evidence_link, evidence_sha256, document
  FROM audit_log LEFT JOIN commits ON intent_seq = seq
 WHERE action IN ('CIRCUIT_BREAKER_TRIP', 'CIRCUIT_BREAKER_LIMIT_INTENT')
   AND seq > (SELECT coalesce(max(seq), 0) FROM audit_anchors)
 ORDER BY seq
"""


async def rebuild_backlog(means: Means) -> None:
    """What a predecessor may have left unwritten: all trips and limits since the last anchor, which waits for
    them."""
    async with means.pool.acquire() as connection:
        rows = await connection.fetch(_SINCE_ANCHOR)
    for row in rows:
        entry = entry_of(row)
        author = Author(entry.user_id, entry.role, entry.payload, entry.key_id, entry.signed_hash)
        if "recorded_by" in json.loads(entry.payload):
            author = Author(entry.user_id, entry.role)
        details = json.loads(entry.details)
        if row["document"] is None:
            data = trip_evidence(author, entry.event_id, entry.target, details)
        else:
            data = loosening_evidence(entry.event_id, entry.target, row["document"], author, details)
        if sha256_hex(data) == entry.evidence_sha256:
            means.backlog[f"transitions/{entry.event_id}-{details['state']}.json"] = data
        else:
            means.health.changed(f"evidence of {entry.event_id}", "cannot be made again from its entry")


class Backlog:
    """Writes what waits, beside the loop."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def step(self, check: bool) -> None:
        """Write what waits; with `check`, also ask whether the store takes objects at all."""
        means = self._means
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for key, data in list(means.backlog.items()):
                    await self._put(key, data)
                if check:
                    await means.evidence.check()
        except (EvidenceUnavailable, TimeoutError) as error:
            means.health.evidence_ok = False
            means.health.changed("evidence", str(error) or "no answer in time")
        else:
            means.health.evidence_ok = True
            means.health.changed("evidence", "takes objects")
        means.health.evidence_backlog = len(means.backlog)

    async def _put(self, key: str, data: bytes) -> None:
        try:
            await self._means.evidence.put_new(key, data)
        except EvidenceConflict as error:
            self._means.health.changed(f"evidence {key}", str(error))
        self._means.backlog.pop(key, None)
