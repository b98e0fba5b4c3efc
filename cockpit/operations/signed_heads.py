"""Signed heads of the audit chain in the evidence store, and the re-anchorings among them.

A head is `{"seq","chain_hash","signed_at","key_id","signature"}`, signed by an authority. After damage that
two safety-admins accept, a new *generation* of heads begins with an object that carries both signed commands:
what the chain was from `broken_from` up to its `seq` is then known damage, and older heads from there on bind
no more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cockpit.domain.audit import ChainBroken, Entry, Head, chain_hash

HEADS: Final = "heads/"
_NAME: Final = re.compile(r"heads/(?:r(\d{4})-)?(\d{12})\.json")
_BOTH: Final = 2


class Verifier(Protocol):
    """Ed25519 over known keys; never raises."""

    def verify(self, key_id: str, data: bytes, signature: str) -> bool: ...


class HeadPorts(Protocol):
    """See `audit_verify.VerifyPorts`."""

    @property
    def authorities(self) -> Verifier: ...
    @property
    def keyring(self) -> Callable[[Mapping[str, bytes]], Verifier]: ...
    @property
    def canonical(self) -> Callable[[Mapping[str, object]], bytes]: ...


@dataclass(frozen=True, slots=True)
class Damage:
    """Entries `first` to `at.seq` do not hold, and two safety-admins accepted it. `stretch` is the digest of
    these entries as they stood then: what is edited there later shows all the same."""

    first: int
    at: Head
    stretch: str
    by: tuple[str, ...]
    signed_at: str

    @property
    def line(self) -> str:
        return (
            f"known damage: entries {self.first} to {self.at.seq} do not hold; "
            f"accepted by {' and '.join(self.by)} at {self.signed_at}"
        )


@dataclass(frozen=True, slots=True)
class SignedHead:
    """`damage` where the object begins its generation."""

    head: Head
    generation: int
    damage: Damage | None = None


def head_key(seq: int, generation: int = 0) -> str:
    """Names sort by generation, then by number."""
    return f"{HEADS}r{generation:04d}-{seq:012d}.json" if generation else f"{HEADS}{seq:012d}.json"


def generation_of(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[1] or 0) if found else 0


def target_of(head: Head) -> str:
    """How a REANCHOR command names the head that it accepts."""
    return f"{head.seq}:{head.chain_hash}"


def parse_target(text: str) -> Head:
    """
    Raises:
        ValueError: it is not `<seq>:<64 hex digits>`.
    """
    seq, _, digest = text.partition(":")
    if not seq.isascii() or not seq.isdigit() or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
        raise ValueError("target is not <seq>:<chain_hash>")
    return Head(int(seq), digest)


def signed_head(name: str, raw: bytes | None, ports: HeadPorts) -> SignedHead:
    """The head in one object, its number and generation also in its name.

    Raises:
        ChainBroken: malformed, misplaced, not signed by an authority that the settings trust, or a
            re-anchoring without the signatures of two persons.
    """
    try:
        fields = json.loads(raw or b"")
        signature, key_id = str(fields.pop("signature")), str(fields["key_id"])
        head = Head(int(fields["seq"]), str(fields["chain_hash"]))
        generation = int(fields.get("generation", 0))
        signed = ports.authorities.verify(key_id, ports.canonical(fields), signature)
        damage = _damage(fields, head, ports) if fields.get("reanchors") else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ChainBroken(0, f"the signed head {name[:80]} is unreadable") from error
    if not signed or name != head_key(head.seq, generation):
        raise ChainBroken(
            head.seq, f"the head {name[:80]} is not signed by an authority that this config trusts"
        )
    return SignedHead(head, generation, damage)


def digest_of(entries: Sequence[Entry], so_far: Any = None) -> Any:
    """SHA-256 over what the rows say and what they hash to, whether that agrees or not."""
    digest = so_far or hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.seq} {entry.chain_hash} {chain_hash(entry)}\n".encode())
    return digest


def _damage(fields: Mapping[str, Any], head: Head, ports: HeadPorts) -> Damage:
    by = list(fields["by"])
    for name in ("login", "person_id", "public_key"):
        if len(by) != _BOTH or len({str(each[name]) for each in by}) != _BOTH:
            raise ValueError("a re-anchoring takes two persons")
    for each in by:
        _must_accept(each, head, ports)
    logins = tuple(str(each["login"]) for each in by)
    return Damage(int(fields["broken_from"]), head, str(fields["stretch"]), logins, str(fields["signed_at"]))


def _must_accept(each: Mapping[str, Any], head: Head, ports: HeadPorts) -> None:
    payload, key_id = str(each["payload"]), str(each["key_id"])
    public_key = base64.b64decode(str(each["public_key"]), validate=True)
    command = json.loads(payload)
    meant = (command["kind"], command["login"], command["target"])
    if meant != ("reanchor", each["login"], target_of(head)):
        raise ValueError("a command in it is about something else")
    if hashlib.sha256(public_key).hexdigest()[:16] != key_id:
        raise ValueError("a key in it has another id")
    if not ports.keyring({key_id: public_key}).verify(key_id, payload.encode(), str(each["signature"])):
        raise ValueError("a command in it is not signed")
