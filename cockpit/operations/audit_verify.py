"""Verifying the audit chain: links, hashes, signatures, derived columns, and the signed heads outside.

A chain alone can be cut or rewritten by whoever owns the database; the heads in the evidence store cannot be
by the same hand. An incremental verification starts at the newest of them that bears a good signature, never
at something that this machine remembers; a full one starts at the first entry and meets every head.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cockpit.domain.audit import EMPTY, ChainBroken, Entry, Head, derived_mismatch, verify_chain
from cockpit.operations.ports import AuditReader, EvidenceReader

HEADS: Final = "heads/"
_PAGE: Final = 1_000
_AT_ONCE: Final = 16
_RECORDED: Final = ("event_id", "action", "user_id", "role", "target")


class Verifier(Protocol):
    """Ed25519 over known keys; never raises."""

    def verify(self, key_id: str, data: bytes, signature: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class VerifyPorts:
    """`authorities` knows the keys of the settings, which the database's owner cannot change; `keyring` makes
    a verifier of those and the registered ones. `canonical` is RFC 8785."""

    audit: AuditReader
    evidence: EvidenceReader
    authorities: Verifier
    keyring: Callable[[Mapping[str, bytes]], Verifier]
    canonical: Callable[[Mapping[str, object]], bytes]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified: from after `start` up to `head`, against how many signed heads outside."""

    full: bool
    start: Head
    head: Head
    anchors: int

    @property
    def entries(self) -> int:
        return self.head.seq - self.start.seq


async def verify(ports: VerifyPorts, full: bool) -> Verification:
    """Verify the chain from the newest signed head, or `full` from its first entry.

    Raises:
        ChainBroken: an edit, a gap, a cut, a forged signature, or a head outside that does not fit.
        Refused, StoreUnreachable: the chain or the heads could not be read, so nothing is known.
    """
    names = [name for name in await ports.evidence.list(HEADS) if name.endswith(".json")]
    heads = await _read_heads(names if full else names[-1:], ports)
    start = EMPTY if full or not heads else heads[-1]
    if start.seq:
        await _must_stand(start, ports)
    keys = ports.keyring(await ports.audit.signing_keys())
    by_seq = {head.seq: head for head in heads}
    head = start
    async for page in _pages(start.seq, ports.audit):
        head = verify_chain(page, head)
        for entry in page:
            _check_entry(entry, keys, by_seq)
    if heads and head.seq < heads[-1].seq:
        raise ChainBroken(
            head.seq + 1, f"the chain ends here, and entry {heads[-1].seq} was signed: it was cut"
        )
    return Verification(full, start, head, len(heads))


def signed_head(name: str, raw: bytes | None, ports: VerifyPorts) -> Head:
    """The head in one object of the evidence store: `{"seq","chain_hash","signed_at","key_id","signature"}`,
    the signature over the canonical bytes of the rest, the number also in its name.

    Raises:
        ChainBroken: malformed, misplaced or not signed by an authority that the settings trust.
    """
    try:
        fields = json.loads(raw or b"")
        signature, key_id = str(fields.pop("signature")), str(fields["key_id"])
        head = Head(int(fields["seq"]), str(fields["chain_hash"]))
        signed = ports.authorities.verify(key_id, ports.canonical(fields), signature)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChainBroken(0, f"the signed head {name[:80]} is unreadable") from error
    if not signed or name != f"{HEADS}{head.seq:012d}.json":
        raise ChainBroken(
            head.seq, f"the head {name[:80]} is not signed by an authority that this config trusts"
        )
    return head


async def _read_heads(names: Sequence[str], ports: VerifyPorts) -> list[Head]:
    heads: list[Head] = []
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        raws = await asyncio.gather(*(ports.evidence.get(name) for name in some))
        heads += [signed_head(name, raw, ports) for name, raw in zip(some, raws, strict=True)]
    return sorted(heads, key=lambda head: head.seq)


async def _must_stand(head: Head, ports: VerifyPorts) -> None:
    entries = await ports.audit.audit_entries(head.seq - 1, 1)
    if not entries or entries[0].seq != head.seq:
        raise ChainBroken(head.seq, "this entry was signed and is gone: the chain was cut")
    if entries[0].chain_hash != head.chain_hash:
        raise ChainBroken(head.seq, "it differs from the head that was signed: the chain was rewritten")


async def _pages(after_seq: int, audit: AuditReader) -> AsyncIterator[Sequence[Entry]]:
    while page := await audit.audit_entries(after_seq, _PAGE):
        yield page
        after_seq = page[-1].seq


def _check_entry(entry: Entry, keys: Verifier, heads: Mapping[int, Head]) -> None:
    if not keys.verify(entry.key_id, entry.payload.encode(), entry.signed_hash):
        raise ChainBroken(entry.seq, f"its signature is not by the registered key {entry.key_id[:16]}")
    column = derived_mismatch(entry) or _recorded_mismatch(entry)
    if column:
        raise ChainBroken(entry.seq, f"its column {column} is not what was signed")
    outside = heads.get(entry.seq)
    if outside is not None and outside.chain_hash != entry.chain_hash:
        raise ChainBroken(entry.seq, "it differs from the head that was signed: the chain was rewritten")


def _recorded_mismatch(entry: Entry) -> str | None:
    """The same for what a recorder signed in place of an actor: its payload repeats the columns."""
    payload = json.loads(entry.payload)
    if not isinstance(payload, dict) or "recorded_by" not in payload:
        return None
    return next(
        (name for name in _RECORDED if name in payload and payload[name] != getattr(entry, name)), None
    )
