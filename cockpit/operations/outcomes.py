"""The outcome object of the contract: what every command that changes something says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cockpit.domain.refusals import EXIT_DONE, EXIT_UNREACHABLE, Refusal

Word = Literal["done", "pending", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`epoch` is the trip counter; `redis` and `postgres` say where the effect or its record is confirmed."""

    breaker_id: str | None
    word: Word
    message: str
    exit_code: int = EXIT_DONE
    state: str | None = None
    epoch: int | None = None
    event_id: str | None = None
    evidence_link: str | None = None
    audit_seq: int | None = None
    redis: bool = False
    postgres: bool = False

    def document(self) -> dict[str, object]:
        """The fields of the contract, ready for JSON."""
        return {
            "breaker_id": self.breaker_id,
            "state": self.state,
            "epoch": self.epoch,
            "event_id": self.event_id,
            "evidence_link": self.evidence_link,
            "audit_seq": self.audit_seq,
            "outcome": self.word,
            "delivered": {"redis": self.redis, "postgres": self.postgres},
            "message": self.message,
        }

    def adding(self, note: str) -> Outcome:
        """The same, with one more sentence."""
        return replace(self, message=f"{self.message} {note}".strip())


def refused(breaker_id: str | None, refusal: Refusal, event_id: str | None = None) -> Outcome:
    """Nothing was changed."""
    return Outcome(breaker_id, "refused", str(refusal), refusal.exit_code, event_id=event_id)


def unknown(breaker_id: str | None, event_id: str, why: str) -> Outcome:
    """Asked, and no answer came: it may still happen. Never shown as done (I25)."""
    return Outcome(
        breaker_id,
        "pending",
        f"Unknown outcome: {why}. Check `cockpit status` before you ask again.",
        EXIT_UNREACHABLE,
        event_id=event_id,
    )


def from_fields(fields: Mapping[str, object], exit_code: int) -> Outcome:
    """An outcome from the object that the authority stored; foreign values become None."""

    def text(name: str) -> str | None:
        value = fields.get(name)
        return value if isinstance(value, str) else None

    def number(name: str) -> int | None:
        value = fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    delivered = fields.get("delivered")
    where = delivered if isinstance(delivered, Mapping) else {}
    words: dict[str | None, Word] = {"done": "done", "pending": "pending"}
    return Outcome(
        breaker_id=text("breaker_id"),
        word=words.get(text("outcome"), "refused"),
        message=text("message") or "",
        exit_code=exit_code,
        state=text("state"),
        epoch=number("epoch"),
        event_id=text("event_id"),
        evidence_link=text("evidence_link"),
        audit_seq=number("audit_seq"),
        redis=where.get("redis") is True,
        postgres=where.get("postgres") is True,
    )
