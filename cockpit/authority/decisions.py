"""What a request comes to: its row, its audit entry, and the notice that wakes its asker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import append, storable
from backends.signing import SigningKey
from cockpit.authority.entries import AUTHORITY, Author, new_entry
from cockpit.authority.means import CHANGE, OUTCOME, Means, tell
from cockpit.domain.audit import Action, sha256_hex
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.text import clean
from cockpit.operations.outcomes import Outcome, refused

# A decided request stays decided: only an open one takes an outcome.
_DECIDE: Final = """
UPDATE requests
   SET status = $2, kind = coalesce($3, kind), breaker_id = coalesce($4, breaker_id), code = $5, message = $6,
       outcome = $7, audit_seq = $8, decided_at = clock_timestamp()
 WHERE request_id = $1 AND status IN ('new', 'awaiting_approval', 'committing')
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One row of the inbox as it came. `login` is the session's, `payload` the bytes that were signed."""

    request_id: str
    payload: bytes
    key_id: str
    signature: str
    login: str
    client_addr: str | None
    submitted_at: Any
    age_s: float

    def author(self, role: str) -> Author:
        return Author(self.login, role, self.payload.decode(), self.key_id, self.signature, self.client_addr)


async def record_outcome(
    connection: Any,
    request_id: str,
    status: str,
    outcome: Outcome,
    audit_seq: int | None,
    code: Code | None = None,
    kind: str | None = None,
) -> None:
    """Decide a request and tell whoever waits for it."""
    await connection.execute(
        _DECIDE,
        request_id,
        status,
        kind,
        outcome.breaker_id,
        code.value if code else None,
        str(storable(outcome.message)),
        json.dumps(storable({**outcome.document(), "exit_code": outcome.exit_code})),
        audit_seq,
    )
    await tell(connection, OUTCOME, request_id)


async def refuse(
    means: Means,
    asked: Asked,
    command: Command,
    role: str,
    refusal: Refusal,
    details: Mapping[str, object] | None = None,
) -> None:
    """Record a denial (a right is missing) or a refusal (a safety rule stands in the way)."""
    denied = refusal.code in (Code.DENIED, Code.REVOKED, Code.SELF_APPROVAL)
    action, status = (Action.DENIED, "denied") if denied else (Action.REFUSED, "refused")
    async with means.transaction() as connection:
        entry = await append(
            connection,
            new_entry(
                means.key,
                asked.author(role),
                action,
                asked.request_id,
                command.breaker_id,
                {
                    "kind": command.kind.value,
                    "code": refusal.code.value,
                    "why": refusal.message,
                    **(details or {}),
                },
            ),
        )
        outcome = refused(command.breaker_id, refusal, asked.request_id)
        await record_outcome(
            connection, asked.request_id, status, outcome, entry.seq, refusal.code, command.kind.value
        )
        await tell(connection, CHANGE)


async def reject(means: Means, asked: Asked, refusal: Refusal) -> None:
    """Record what is no request of its login. The authority signs the entry: nobody else did."""
    async with means.transaction() as connection:
        entry = await append(connection, _rejection(means.key, asked, refusal))
        outcome = refused(None, refusal, asked.request_id)
        await record_outcome(connection, asked.request_id, "rejected", outcome, entry.seq, refusal.code)


def _rejection(key: SigningKey, asked: Asked, refusal: Refusal) -> Any:
    details = {
        "login": asked.login,
        "code": refusal.code.value,
        "why": refusal.message,
        "payload_sha256": sha256_hex(asked.payload),
        "payload_start": clean(asked.payload[:400].decode("utf-8", "replace"), 200),
    }
    author = Author(AUTHORITY, AUTHORITY, ip_address=asked.client_addr)
    return new_entry(key, author, Action.REJECTED, asked.request_id, "inbox", details)


def done(breaker_id: BreakerId, message: str, request_id: str, seq: int, **fields: Any) -> Outcome:
    """The outcome of a request that changed no breaker by itself."""
    return Outcome(breaker_id, "done", message, event_id=request_id, audit_seq=seq, postgres=True, **fields)
