"""Verifying the audit chain: links, hashes, signatures, derived columns, and the signed heads outside.

A chain alone can be cut or rewritten by whoever owns the database; the heads in the evidence store cannot be
by the same hand. An incremental verification starts at the newest of them that bears a good signature, never
at something that this machine remembers; a full one starts at the first entry and meets every head.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cockpit.domain.audit import EMPTY, ChainBroken, Entry, Head, derived_mismatch, verify_chain
from cockpit.operations.ports import AuditReader, EvidenceReader
from cockpit.operations.signed_heads import (
    HEADS,
    Damage,
    SignedHead,
    Verifier,
    digest_of,
    generation_of,
    signed_head,
)

__all__ = ["HEADS", "Verification", "Verifier", "VerifyPorts", "verify"]

_PAGE: Final = 1_000
_AT_ONCE: Final = 16
_BREATH: Final = 100
_RECORDED: Final = ("event_id", "action", "user_id", "role", "target")


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
    """What was verified: from after `start` up to `head`, against how many signed heads outside. `damaged` is
    what two safety-admins have accepted as damage; all else holds. `generation` is that of the heads."""

    full: bool
    start: Head
    head: Head
    anchors: int
    damaged: tuple[Damage, ...] = ()
    generation: int = 0

    @property
    def entries(self) -> int:
        return self.head.seq - self.start.seq


async def verify(ports: VerifyPorts, full: bool, *, every_head: bool = True) -> Verification:
    """Verify the chain from the newest signed head, or `full` from its first entry; then against every
    signed head, or with `every_head` False the newest alone.

    Raises:
        ChainBroken: an edit, a gap, a cut, a forged signature, or a head outside that does not fit.
        Refused, StoreUnreachable: the chain or the heads could not be read, so nothing is known.
    """
    names = sorted(name for name in await ports.evidence.list(HEADS) if name.endswith(".json"))
    found = await _read_heads(names if full and every_head else _telling(names), ports)
    damaged = _damaged(found)
    heads = [each.head for each in binding(found)]
    keys = ports.keyring(await ports.audit.signing_keys())
    walk = _Walk(ports.audit, keys, {head.seq: head for head in heads})
    start = head = EMPTY
    if full:
        for damage in _outermost(damaged):
            head = await walk.over(await walk.follow(head, damage.first - 1), damage)
    elif heads:
        start = head = heads[-1]
        await must_stand(head, ports.audit)
    head = await walk.follow(head, None)
    if heads and head.seq < heads[-1].seq:
        raise ChainBroken(
            head.seq + 1, f"the chain ends here, and entry {heads[-1].seq} was signed: it was cut"
        )
    return Verification(full, start, head, len(heads), damaged, found[-1].generation if found else 0)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Follows the chain. `heads` are the signed ones, by number."""

    audit: AuditReader
    keys: Verifier
    heads: Mapping[int, Head]

    async def follow(self, head: Head, last: int | None) -> Head:
        """Up to entry `last`, which must be reached; to the chain's end where None."""
        while last is None or head.seq < last:
            limit = _PAGE if last is None else min(_PAGE, last - head.seq)
            page = await self.audit.audit_entries(head.seq, limit)
            if not page:
                break
            head = verify_chain(page, head)
            for place, entry in enumerate(page):
                _check_entry(entry, self.keys, self.heads)
                if place % _BREATH == _BREATH - 1:
                    await asyncio.sleep(0)  # a screen or the authority has other things to do as well
        if last is not None and head.seq < last:
            raise ChainBroken(head.seq + 1, f"the chain ends here, before the damage from {last + 1} on")
        return head

    async def over(self, head: Head, damage: Damage) -> Head:
        """Pass known damage, which must be as it was when it was accepted."""
        if await stretch_digest(self.audit, damage.first, damage.at.seq) != damage.stretch:
            raise ChainBroken(damage.first, f"the known damage up to {damage.at.seq} was changed since")
        if damage.at.seq >= damage.first:
            await must_stand(damage.at, self.audit)
        elif damage.at != head:
            raise ChainBroken(damage.first - 1, "it is not the head that two safety-admins accepted")
        return damage.at


async def stretch_digest(audit: AuditReader, first: int, last: int) -> str:
    """The digest of the entries from `first` to `last` as they stand."""
    digest, after = digest_of(()), first - 1
    while after < last and (page := await audit.audit_entries(after, min(_PAGE, last - after))):
        digest = digest_of([entry for entry in page if entry.seq <= last], digest)
        after = page[-1].seq
    return str(digest.hexdigest())


async def every_head(ports: VerifyPorts) -> list[SignedHead]:
    """All signed heads, by generation and number.

    Raises:
        ChainBroken: one of them cannot be trusted.
    """
    names = sorted(name for name in await ports.evidence.list(HEADS) if name.endswith(".json"))
    return await _read_heads(names, ports)


def binding(found: Sequence[SignedHead]) -> list[SignedHead]:
    """The heads that no later re-anchoring has set aside."""
    return [
        each
        for each in found
        if not any(
            other.damage and other.generation > each.generation and other.damage.first <= each.head.seq
            for other in found
        )
    ]


def _telling(names: Sequence[str]) -> list[str]:
    """The newest head, and the object that begins each generation."""
    firsts = {generation_of(name): name for name in reversed(names)}
    return [*(name for generation, name in sorted(firsts.items()) if generation), *names[-1:]]


def _damaged(found: Sequence[SignedHead]) -> tuple[Damage, ...]:
    begun = {each.generation: each.damage for each in found if each.damage}
    newest = found[-1].generation if found else 0
    if set(begun) != set(range(1, newest + 1)):
        raise ChainBroken(0, "a generation of signed heads lacks the re-anchoring that begins it")
    return tuple(begun[generation] for generation in range(1, newest + 1))


def _outermost(damaged: Sequence[Damage]) -> list[Damage]:
    """In the chain's order, without what a later damage covers."""
    kept: list[Damage] = []
    for damage in reversed(damaged):
        if not kept or damage.at.seq < kept[-1].first:
            kept.append(damage)
    return kept[::-1]


async def _read_heads(names: Sequence[str], ports: VerifyPorts) -> list[SignedHead]:
    heads: dict[str, SignedHead] = {}
    for first in range(0, len(names), _AT_ONCE):
        some = names[first : first + _AT_ONCE]
        raws = await asyncio.gather(*(ports.evidence.get(name) for name in some))
        heads |= {name: signed_head(name, raw, ports) for name, raw in zip(some, raws, strict=True)}
    return sorted(heads.values(), key=lambda each: (each.generation, each.head.seq))


async def must_stand(head: Head, audit: AuditReader) -> None:
    """
    Raises:
        ChainBroken: the entry of that number is gone or another one.
    """
    entries = await audit.audit_entries(head.seq - 1, 1)
    if not entries or entries[0].seq != head.seq:
        raise ChainBroken(head.seq, "this entry was signed and is gone: the chain was cut")
    if entries[0].chain_hash != head.chain_hash:
        raise ChainBroken(head.seq, "it differs from the head that was signed: the chain was rewritten")


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
