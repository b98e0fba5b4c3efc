"""Whether the audit chain is still what was signed.

The first full verification of a term starts at the beginning and ends at the newest signed head in the
evidence store, which nobody who owns only the database can rewrite; after it each increment is followed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backends.audit_log import entry_of, load_entries, read_head, verify_signatures
from backends.evidence import Evidence
from backends.signing import KeyRing, canonical
from cockpit.authority.batches import apart
from cockpit.authority.keys import every_key
from cockpit.authority.status import ChainHealth
from cockpit.domain.audit import EMPTY, ChainBroken, Entry, Head, derived_mismatch, verify_chain
from cockpit.domain.desk import AnchorRow
from cockpit.domain.limits import Limits
from cockpit.operations.audit_verify import VerifyPorts, verify

STRETCH: Final = 500
# The head as the database says it, the entry that was verified last as it stands, and what follows that one:
# one statement, so one snapshot.
_INCREMENT: Final = """
SELECT clock_timestamp() AS now, h.seq AS end_seq, h.chain_hash AS end_hash, v.chain_hash AS standing, l.*
  FROM audit_head h
  LEFT JOIN audit_log v ON v.seq = $1
  LEFT JOIN LATERAL (
       SELECT seq, event_id, timestamp, action, user_id, role, target, details_text, ip_address, key_id,
              payload, payload_hash, signed_hash, prev_hash, chain_hash, evidence_link, evidence_sha256
         FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2) l ON true
"""


class ChainGuard:
    """Follows the chain from one verified head to the next."""

    def __init__(self, evidence: Evidence, authority_keys: KeyRing, health: ChainHealth) -> None:
        self._evidence = evidence
        self._authority_keys = authority_keys
        self._health = health
        self._keys = authority_keys
        self.head: Head = EMPTY
        self.generation = 0
        self.broken_at: int | None = None

    def ports(self, connection: Any) -> VerifyPorts:
        """How `audit_verify` reads the chain over `connection`."""
        return VerifyPorts(
            _Audit(connection, self._authority_keys),
            self._evidence,
            self._authority_keys,
            lambda keys: KeyRing({**keys, **self._authority_keys}),
            canonical,
        )

    async def verify_full(self, connection: Any) -> Head:
        """Verify from the start, and against the newest signed head outside the database.

        Raises:
            ChainBroken: the chain is not what was signed.
            EvidenceUnavailable: the signed heads cannot be read.
        """
        end = await read_head(connection)
        try:
            found = await verify(self.ports(connection), True, every_head=False)
            if end.seq > found.head.seq:
                raise ChainBroken(found.head.seq + 1, f"the head says that it ends at {end.seq}")
        except ChainBroken as broken:
            self._broken(broken)
            raise
        self.generation = found.generation
        self._health.damaged = [damage.line for damage in found.damaged]
        self._verified(found.head, await _now(connection), full=True)
        return found.head

    async def verify_increment(self, connection: Any) -> Head:
        """Verify what was appended since the last verified head, which must still stand.

        Raises:
            ChainBroken: the chain is not what was signed.
        """
        try:
            head, now = await self._increment(connection, self.head)
        except ChainBroken as broken:
            self._broken(broken)
            raise
        self._verified(head, now, full=False)
        return head

    async def _increment(self, connection: Any, head: Head) -> tuple[Head, datetime]:
        """The new head and the database's time; one round trip unless much was appended."""
        while True:
            rows = await connection.fetch(_INCREMENT, head.seq, STRETCH)
            row = rows[0]
            if head.seq and row["standing"] != head.chain_hash:
                why = "it is no longer the entry that was verified" if row["standing"] else "it is gone"
                raise ChainBroken(head.seq, why)
            entries = [entry_of(each) for each in rows if each["seq"] is not None]
            head = await self._check(connection, entries, head)
            if len(entries) < STRETCH:
                break
        if (row["end_seq"], row["end_hash"]) != (head.seq, head.chain_hash):
            raise ChainBroken(head.seq + 1, f"the head says that it ends at {row['end_seq']}")
        return head, row["now"]

    async def _check(self, connection: Any, entries: Sequence[Entry], head: Head) -> Head:
        if any(entry.key_id not in self._keys for entry in entries):
            self._keys = await every_key(connection, self._authority_keys)
        keys = self._keys
        return await apart(len(entries), lambda: _followed(entries, head, keys))

    def fault(self, now: datetime, limits: Limits) -> str | None:
        """Why a loosening may not rely on the chain at `now`; None where it may."""
        health = self._health
        if health.fault:
            return health.fault
        if health.full_verified_at is None:
            return "it was not verified from its start yet"
        if (now - health.full_verified_at).total_seconds() > limits.full_verification_s:
            return "its last full verification is too old"
        return None

    async def follows(self, connection: Any, head: Head) -> Head:
        """Everything after `head`, which must stand, verified as if nothing were known.

        Raises:
            ChainBroken: it does not hold.
        """
        return (await self._increment(connection, head))[0]

    def _broken(self, broken: ChainBroken) -> None:
        self._health.fault = str(broken)
        self.broken_at = broken.seq if self.broken_at is None else min(self.broken_at, broken.seq)

    def _verified(self, head: Head, now: datetime, full: bool) -> None:
        self.head = head
        self._health.seq, self._health.verified_at = head.seq, now
        if full:
            self._health.full_verified_at, self._health.fault, self.broken_at = now, None, None


def _followed(entries: Sequence[Entry], head: Head, keys: KeyRing) -> Head:
    head = verify_chain(entries, head)
    verify_signatures(entries, keys)
    for entry in entries:
        if column := derived_mismatch(entry):
            raise ChainBroken(entry.seq, f"its {column} is not the signed one")
    return head


@dataclass(frozen=True, slots=True)
class _Audit:
    """The audit tables over one connection, as `audit_verify` reads them."""

    connection: Any
    authority_keys: KeyRing

    async def audit_entries(self, after_seq: int, limit: int) -> Sequence[Entry]:
        return await load_entries(self.connection, after_seq, limit)

    async def audit_anchors(self) -> Sequence[AnchorRow]:
        raise NotImplementedError("the heads outside the database are what counts")

    async def signing_keys(self) -> Mapping[str, bytes]:
        return await every_key(self.connection, self.authority_keys)


async def _now(connection: Any) -> datetime:
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now
