"""Whether the audit chain is still what was signed.

The first full verification of a term starts at the beginning and ends at the newest signed head in the
evidence store, which nobody who owns only the database can rewrite; after it each increment is followed.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from backends.audit_log import load_entries, read_head, verify_signatures
from backends.evidence import Evidence
from backends.signing import KeyRing, canonical
from cockpit.authority.keys import every_key
from cockpit.authority.status import ChainHealth
from cockpit.domain.audit import EMPTY, ChainBroken, Head, derived_mismatch, verify_chain
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.limits import Limits

STRETCH: Final = 500
HEADS: Final = "heads/"


def head_key(seq: int) -> str:
    return f"{HEADS}{seq:012d}.json"


class ChainGuard:
    """Follows the chain from one verified head to the next."""

    def __init__(self, evidence: Evidence, authority_keys: KeyRing, health: ChainHealth) -> None:
        self._evidence = evidence
        self._authority_keys = authority_keys
        self._health = health
        self.head: Head = EMPTY

    async def verify_full(self, connection: Any) -> Head:
        """Verify from the start, and against the newest signed head outside the database.

        Raises:
            ChainBroken: the chain is not what was signed.
            EvidenceUnavailable: the signed heads cannot be read.
        """
        self._health.fault = self._health.fault or None
        signed = await self._newest_signed_head()
        try:
            head = await self._follow(connection, EMPTY, signed)
            if signed and signed.seq > head.seq:
                raise ChainBroken(head.seq + 1, f"the signed head {signed.seq} lies beyond its end")
        except ChainBroken as broken:
            self._health.fault = str(broken)
            raise
        self._verified(head, await _now(connection), full=True)
        return head

    async def verify_increment(self, connection: Any) -> Head:
        """Verify what was appended since the last verified head, which must still stand.

        Raises:
            ChainBroken: the chain is not what was signed.
        """
        try:
            head = await self._follow(connection, self.head, None)
        except ChainBroken as broken:
            self._health.fault = str(broken)
            raise
        self._verified(head, await _now(connection), full=False)
        return head

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

    def _verified(self, head: Head, now: datetime, full: bool) -> None:
        self.head = head
        self._health.seq, self._health.verified_at = head.seq, now
        if full:
            self._health.full_verified_at, self._health.fault = now, None

    async def _follow(self, connection: Any, start: Head, signed: Head | None) -> Head:
        if start.seq:
            await _still_stands(connection, start)
        keys = await every_key(connection, self._authority_keys)
        end = await read_head(connection)
        head = start
        while entries := await load_entries(connection, head.seq, STRETCH):
            head = verify_chain(entries, head)
            verify_signatures(entries, keys)
            for entry in entries:
                if column := derived_mismatch(entry):
                    raise ChainBroken(entry.seq, f"its {column} is not the signed one")
                if signed and entry.seq == signed.seq and entry.chain_hash != signed.chain_hash:
                    raise ChainBroken(entry.seq, "it differs from the head that was signed")
        if end.seq > head.seq or (end.seq == head.seq and end != head):
            raise ChainBroken(head.seq + 1, f"the head says that it ends at {end.seq}")
        return head

    async def _newest_signed_head(self) -> Head | None:
        keys = sorted(key for key in await self._evidence.list(HEADS) if key.endswith(".json"))
        if not keys:
            return None
        name = keys[-1]
        raw = await self._evidence.get(name)
        try:
            fields = json.loads(raw or b"")
            signature = str(fields.pop("signature"))
            head = Head(int(fields["seq"]), str(fields["chain_hash"]))
            parse_rfc3339(str(fields["signed_at"]))
            signed = self._authority_keys.verify(str(fields["key_id"]), canonical(fields), signature)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ChainBroken(0, f"the head object {name[:80]} is unreadable") from error
        if not signed or name != head_key(head.seq):
            raise ChainBroken(head.seq, f"the head object {name[:80]} is not signed by the authority")
        return head


async def _still_stands(connection: Any, head: Head) -> None:
    found = await connection.fetchval("SELECT chain_hash FROM audit_log WHERE seq = $1", head.seq)
    if found != head.chain_hash:
        raise ChainBroken(head.seq, "it is no longer the entry that was verified" if found else "it is gone")


async def _now(connection: Any) -> datetime:
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now
