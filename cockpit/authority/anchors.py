"""Signed heads of the chain in the evidence store: after every loosening, and at intervals while it grows."""

from __future__ import annotations

import json
from typing import Final

from backends.evidence import EvidenceConflict, EvidenceUnavailable
from backends.signing import canonical
from cockpit.authority.means import Means
from cockpit.domain.audit import ChainBroken, Head
from cockpit.domain.documents import parse_rfc3339, rfc3339
from cockpit.operations.signed_heads import head_key

EVERY_S: Final = 60.0
_ROW: Final = """
INSERT INTO audit_anchors (seq, chain_hash, signed_at, key_id, signature, evidence_key)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (seq) DO NOTHING
"""


class Anchors:
    """Signs only what follows, verified, from the head that was signed last."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._last = means.chain.head if means.chain.head.seq else Head(0, "")
        self._generation = means.chain.generation
        self._at = 0.0

    async def step(self, monotonic: float) -> None:
        """Anchor the head where one is due and no evidence of a trip is outstanding."""
        means = self._means
        due = means.anchor_due or monotonic - self._at >= EVERY_S
        if not due or means.backlog or means.health.chain.fault:
            return
        means.anchor_due = False
        self._at = monotonic
        try:
            async with means.pool.acquire() as connection:
                head = await means.chain.verify_increment(connection)
            if self._generation != means.chain.generation:
                self._last, self._generation = Head(0, ""), means.chain.generation
            if head.seq > self._last.seq:
                await self._sign(head)
        except ChainBroken as broken:
            means.health.changed("chain", str(broken))
        except (EvidenceUnavailable, EvidenceConflict) as error:
            means.anchor_due = True
            means.health.evidence_ok = not isinstance(error, EvidenceUnavailable)
            means.health.changed("anchors", str(error))

    async def _sign(self, head: Head) -> None:
        means = self._means
        async with means.pool.acquire() as connection:
            now = await connection.fetchval("SELECT clock_timestamp()")
        fields: dict[str, object] = {
            "seq": head.seq,
            "chain_hash": head.chain_hash,
            "signed_at": rfc3339(now),
            "key_id": means.key.key_id,
        }
        if self._generation:
            fields["generation"] = self._generation
        signature = means.key.sign(canonical(fields))
        key = head_key(head.seq, self._generation)
        try:
            await means.evidence.put_new(key, canonical(fields | {"signature": signature}))
        except EvidenceConflict:
            # A predecessor died between object and row: its head must be the same one.
            found = json.loads(await means.evidence.get(key) or b"{}")
            if found.get("chain_hash") != head.chain_hash:
                means.health.chain.fault = f"another head {head.seq} was signed before"
                raise ChainBroken(head.seq, "another head was signed before") from None
            fields, signature = found, str(found["signature"])
        async with means.transaction() as connection:
            await connection.execute(
                _ROW,
                head.seq,
                head.chain_hash,
                parse_rfc3339(str(fields["signed_at"])),
                str(fields["key_id"]),
                signature,
                key,
            )
        self._last = head
