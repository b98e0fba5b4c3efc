"""The second person: asked for with half-open, bound to the payload, the epoch and an expiry (I19, I20). An
exclusion from an error budget takes one too; it is about no epoch, so its approval is about none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backends.audit_log import append
from cockpit.authority.decisions import Asked
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise, decode_payload, read_standing
from cockpit.authority.means import CHANGE, OUTCOME, Means, tell
from cockpit.authority.rules import approve_refusal
from cockpit.domain.audit import Action, sha256_hex
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refusal, Refused

_OF_AN_EPOCH: Final = frozenset({Kind.HALF_OPEN, Kind.RELEASE, Kind.KILL_REVIEW})
_BY_ANOTHER_ADMIN: Final = {
    Kind.EXCLUDE: Permission.ADJUST_BUDGET,
    Kind.KILL_REVIEW: Permission.KILL_SWITCH,
}
_APPROVED: Final = frozenset({*_OF_AN_EPOCH, *_BY_ANOTHER_ADMIN})
_AWAIT: Final = """
UPDATE requests SET status = 'awaiting_approval', kind = $2, breaker_id = $3, code = $4, message = $5,
       audit_seq = $6,
       expires_at = clock_timestamp() + make_interval(secs => $7)
 WHERE request_id = $1 AND status = 'new'
"""
_WAITING: Final = """
SELECT r.payload, r.key_id, r.signature, r.login, r.status, host(r.client_addr) AS client_addr,
       r.submitted_at,
       r.expires_at, r.expires_at <= clock_timestamp() AS expired, o.person_id,
       extract(epoch FROM r.expires_at - clock_timestamp())::float8 AS left_s
  FROM requests r LEFT JOIN operators o USING (login) WHERE r.request_id = $1
"""
_APPROVE: Final = """
INSERT INTO approvals (approval_id, request_id, payload_hash, breaker_id, redis_run_id, counter, login,
                       person_id,
                       expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9))
ON CONFLICT (request_id, person_id) DO NOTHING RETURNING approved_at, expires_at
"""
_APPROVAL: Final = """
SELECT approval_id::text, request_id::text, payload_hash, login, person_id, expires_at,
       extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s
  FROM approvals
 WHERE request_id = $1::uuid AND breaker_id = $2 AND redis_run_id = $3 AND counter = $4
 ORDER BY approved_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Approval:
    """A second person's yes. `left_s` is how long it still holds, by the database's clock."""

    approval_id: str
    request_id: str
    payload_hash: str
    login: str
    person_id: str
    expires_at: datetime
    left_s: float

    def details(self) -> dict[str, object]:
        return {"approval_id": self.approval_id, "login": self.login, "person_id": self.person_id}


async def await_approval(means: Means, asked: Asked, command: Command, identity: Identity) -> None:
    """Hold the request until a second person approves it, a trip voids it or its time runs out."""
    adjusts = command.kind in _BY_ANOTHER_ADMIN
    who = "another safety-admin" if adjusts else f"a second person who may resume {command.breaker_id}"
    message = f"Awaits {who}; it expires in {means.limits.approval_expiry_s:g} s."
    details = {"kind": command.kind.value, "notes": command.notes}
    if command.kind is Kind.HALF_OPEN and command.reason:
        details["override"] = command.reason
    if adjusts:
        details["target"] = command.target or ""
    async with means.transaction() as connection:
        entry = await append(
            connection,
            new_entry(
                means.key,
                asked.author(identity.role.value),
                Action.APPROVAL_REQUESTED,
                asked.request_id,
                command.breaker_id,
                details,
            ),
        )
        await connection.execute(
            _AWAIT,
            asked.request_id,
            command.kind.value,
            command.breaker_id,
            Code.APPROVAL_NEEDED.value,
            message,
            entry.seq,
            means.limits.approval_expiry_s,
        )
        await tell(connection, OUTCOME, asked.request_id)
        await tell(connection, CHANGE)


async def approve(
    means: Means, asked: Asked, command: Command, identity: Identity
) -> tuple[Asked, Command, Identity, Approval]:
    """Record an approval; what it releases comes back, to be checked again from the start.

    Raises:
        Refused: nothing waits under that id, it is for another epoch, or the approver is no second person.
    """
    async with means.transaction() as connection:
        row = await connection.fetchrow(_WAITING, _uuid(command.target))
        if row is None or row["status"] != "awaiting_approval" or row["expired"]:
            raise Refused(
                Code.APPROVAL_VOID,
                "No request of that id awaits an approval.",
                "It was voided, decided or expired.",
            )
        payload = row["payload"].encode()
        wanted = decode_payload(payload)
        if wanted.kind not in _APPROVED:
            raise Refused(
                Code.APPROVAL_VOID,
                "A re-anchoring is not approved: the second person signs one that names the same head.",
                "cockpit audit reanchor --notes TEXT --yes",
            )
        if wanted.breaker_id != command.breaker_id:
            raise Refused(
                Code.APPROVAL_VOID, "The approval is for another breaker.", "Look at the request again."
            )
        binds_epoch = wanted.kind in _OF_AN_EPOCH
        refusal = await _not_allowed(connection, command, wanted) or approve_refusal(
            identity.person_id,
            row["person_id"] or "",
            True,
            command.epoch if binds_epoch else None,
            wanted.epoch if binds_epoch else None,
        )
        if refusal:
            raise Refused(refusal.code, refusal.message, refusal.remedy)
        standing = await read_standing(connection, wanted.login)
        asker, denied = authorise(standing, wanted.login, wanted.permission, wanted.breaker_id)
        if denied or asker is None or (binds_epoch and wanted.epoch is None):
            raise Refused(
                Code.APPROVAL_VOID, "The asker's authority has ended.", "Someone else must ask anew."
            )
        hashed = sha256_hex(payload)
        given = await connection.fetchrow(
            _APPROVE,
            asked.request_id,
            command.target,
            hashed,
            wanted.breaker_id,
            wanted.epoch.run_id if wanted.epoch and binds_epoch else "",
            wanted.epoch.counter if wanted.epoch and binds_epoch else 0,
            identity.login,
            identity.person_id,
            means.limits.approval_expiry_s,
        )
        if given is None:
            raise Refused(Code.APPROVAL_VOID, "You have approved it already.", "It is being decided.")
        await append(
            connection,
            new_entry(
                means.key,
                asked.author(identity.role.value),
                Action.APPROVED,
                asked.request_id,
                command.breaker_id,
                {"approves": command.target, "payload_hash": hashed, "notes": command.notes},
            ),
        )
    approval = Approval(
        asked.request_id,
        wanted.request_id,
        hashed,
        identity.login,
        identity.person_id,
        given["expires_at"],
        min(row["left_s"], means.limits.approval_expiry_s),
    )
    original = Asked(
        wanted.request_id,
        payload,
        row["key_id"],
        row["signature"],
        row["login"],
        row["client_addr"],
        row["submitted_at"],
        0.0,
    )
    return original, wanted, asker, approval


async def _not_allowed(connection: Any, command: Command, wanted: Command) -> Refusal | None:
    """Who approves an exclusion or a review must be allowed to ask for one."""
    needed = _BY_ANOTHER_ADMIN.get(wanted.kind)
    if needed is None:
        return None
    standing = await read_standing(connection, command.login)
    return authorise(standing, command.login, needed, wanted.breaker_id)[1]


async def approval_of(
    connection: Any, request_id: str, breaker_id: BreakerId, epoch: Epoch | None
) -> Approval | None:
    """The approval of a request at an epoch."""
    if not request_id or epoch is None:
        return None
    row = await connection.fetchrow(_APPROVAL, request_id, breaker_id, epoch.run_id, epoch.counter)
    return Approval(**dict(row)) if row else None


async def check_approver(
    connection: Any,
    approval: Approval,
    breaker_id: BreakerId,
    permission: Permission = Permission.RESET_CIRCUIT,
) -> datetime:
    """The approver's authority and the approval itself must hold at the commit too. When the first of them
    ends, by Postgres's clock.

    Raises:
        Refused: either has ended.
    """
    standing = await read_standing(connection, approval.login)
    _, refusal = authorise(standing, approval.login, permission, breaker_id)
    if refusal or standing is None or approval.expires_at <= standing.now:
        raise Refused(Code.APPROVAL_VOID, "The approver's authority or approval has ended.", "Ask anew.")
    grant_ends = standing.until(permission, breaker_id)
    return min(approval.expires_at, grant_ends or approval.expires_at)


def _uuid(text: str | None) -> str:
    from uuid import UUID

    try:
        return str(UUID(text or ""))
    except ValueError:
        raise Refused(
            Code.MALFORMED, "target is not a request's id.", "cockpit status lists the ids."
        ) from None


__all__ = ["Approval", "Kind", "approval_of", "approve", "await_approval", "check_approver"]
