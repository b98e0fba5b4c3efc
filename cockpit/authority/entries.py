"""Who speaks in an audit entry: the person whose signed command it was, or the authority itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from backends.audit_log import NewEntry, recorded
from backends.signing import SigningKey
from cockpit.domain.audit import Action
from cockpit.domain.documents import Epoch

AUTHORITY: Final = "authority"  # its user and its role


@dataclass(frozen=True, slots=True)
class Author:
    """`payload` is the signed command of a person; empty where the authority acts by itself."""

    user_id: str = AUTHORITY
    role: str = AUTHORITY
    payload: str = ""
    key_id: str = ""
    signature: str = ""
    ip_address: str | None = None

    def context(self) -> dict[str, object]:
        """What a successor needs in order to write the outcome in the same name."""
        return {
            "user_id": self.user_id,
            "role": self.role,
            "payload": self.payload,
            "key_id": self.key_id,
            "signature": self.signature,
            "ip_address": self.ip_address,
        }


ITSELF: Final = Author()


@dataclass(frozen=True, slots=True)
class Proof:
    """Where an entry's evidence lies. Key and SHA-256 are fixed before the row, the object may follow."""

    key: str
    link: str
    sha256: str


def author_of(context: Mapping[str, str | None]) -> Author:
    return Author(
        context["user_id"] or AUTHORITY,
        context["role"] or AUTHORITY,
        context["payload"] or "",
        context["key_id"] or "",
        context["signature"] or "",
        context["ip_address"],
    )


def epoch_details(epoch: Epoch) -> dict[str, object]:
    return {"run_id": epoch.run_id, "epoch": epoch.counter}


def new_entry(
    key: SigningKey,
    author: Author,
    action: Action,
    event_id: str,
    target: str,
    details: Mapping[str, object],
    proof: Proof | None = None,
) -> NewEntry:
    """An entry over the person's signed payload, or one that the authority signs as its recorder."""
    link, sha256 = (proof.link, proof.sha256) if proof else (None, None)
    if not author.payload:
        return recorded(
            key,
            event_id=event_id,
            action=action,
            user_id=author.user_id,
            role=author.role,
            target=target,
            details=details,
            ip_address=author.ip_address,
            evidence_link=link,
            evidence_sha256=sha256,
        )
    return NewEntry(
        event_id=event_id,
        action=action,
        user_id=author.user_id,
        role=author.role,
        target=target,
        details=details,
        payload=author.payload,
        key_id=author.key_id,
        signed_hash=author.signature,
        ip_address=author.ip_address,
        evidence_link=link,
        evidence_sha256=sha256,
    )
