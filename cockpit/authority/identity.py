"""Whose request it is: the signature, the session's login and the grants that hold at this moment.

Read by `clock_timestamp()` under READ COMMITTED, so that a revocation counts from the instant it commits.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backends.signing import canonical, verify
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import MAX_PAYLOAD_BYTES, Command, MalformedCommand, parse_command
from cockpit.domain.permissions import Grant, Identity, Permission, Role, denial, permitted
from cockpit.domain.refusals import Code, Refusal

_KEY: Final = "SELECT public_key FROM signing_keys WHERE key_id = $1 AND login = $2 AND revoked_at IS NULL"
_GRANTS: Final = """
SELECT o.person_id, g.role, g.granted_at, g.expires_at, g.revoked_at, clock_timestamp() AS now
  FROM operators o LEFT JOIN role_grants g USING (login)
 WHERE o.login = $1 AND o.revoked_at IS NULL
 ORDER BY g.grant_id
"""
# One row at least, whoever asks: the key that should verify the signature, with each grant of its login.
_SIGNER: Final = """
SELECT k.public_key, o.person_id, g.role, g.granted_at, g.expires_at, g.revoked_at, clock_timestamp() AS now
  FROM (SELECT 1) one
  LEFT JOIN signing_keys k ON k.key_id = $2 AND k.login = $1 AND k.revoked_at IS NULL
  LEFT JOIN operators o ON o.login = $1 AND o.revoked_at IS NULL
  LEFT JOIN role_grants g ON g.login = o.login
 ORDER BY g.grant_id
"""


class Rejected(Exception):
    """Not a request of its login at all: malformed, or not signed by it. Recorded, and blocks nothing."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.refusal = Refusal(code, why, "Send it again from a cockpit with your own login and signing key.")


@dataclass(frozen=True, slots=True)
class Standing:
    """A login's person and the grants that it holds now. `now` is the database's clock."""

    login: str
    person_id: str
    grants: tuple[Grant, ...]
    now: datetime

    def identity(self, permission: Permission | None, breaker_id: BreakerId) -> Identity | None:
        """The valid role that permits `permission` here, else any valid one; None where no grant is valid."""
        valid = [grant for grant in self.grants if grant.valid(self.now)]
        able = [grant for grant in valid if permission and permitted(grant.role, permission, breaker_id)]
        chosen = (able or valid)[:1]
        return Identity(self.login, self.person_id, chosen[0].role) if chosen else None

    def until(self, permission: Permission, breaker_id: BreakerId) -> datetime | None:
        """When the last grant that permits it ends; None where one of them has no end."""
        ends = [
            grant.expires_at
            for grant in self.grants
            if grant.valid(self.now) and permitted(grant.role, permission, breaker_id)
        ]
        known = [end for end in ends if end is not None]
        return max(known) if known and len(known) == len(ends) else None


def decode_payload(payload: bytes) -> Command:
    """The command in `payload`, which must be its canonical form: only the bytes that were signed count.

    Raises:
        Rejected: too long, not JSON, not a command, not canonical.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Rejected(
            Code.MALFORMED, f"The payload has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are taken."
        )
    try:
        command = parse_command(json.loads(payload))
        same = canonical(command.payload()) == payload
    except (ValueError, RecursionError, MalformedCommand) as error:
        raise Rejected(Code.MALFORMED, f"The payload is no command: {str(error)[:200]}.") from error
    if not same:
        raise Rejected(Code.MALFORMED, "The payload is not in canonical form (RFC 8785).")
    return command


async def verify_signer(
    connection: Any, command: Command, payload: bytes, key_id: str, signature: str
) -> None:
    """Check that a registered, unrevoked key of the command's login signed `payload`.

    Raises:
        Rejected: unknown or revoked key, or a wrong signature.
    """
    _check_signature(await connection.fetchval(_KEY, key_id, command.login), payload, key_id, signature)


async def read_signer(
    connection: Any, command: Command, payload: bytes, key_id: str, signature: str
) -> Standing | None:
    """`verify_signer` and `read_standing` of the command's login in one round trip.

    Raises:
        Rejected: unknown or revoked key, or a wrong signature.
    """
    rows = await connection.fetch(_SIGNER, command.login, key_id)
    _check_signature(rows[0]["public_key"], payload, key_id, signature)
    return standing_of(command.login, rows)


def _check_signature(registered: str | None, payload: bytes, key_id: str, signature: str) -> None:
    if registered is None:
        raise Rejected(
            Code.BAD_SIGNATURE, f"No valid signing key {key_id[:16]!r} is registered for this login."
        )
    try:
        public_key = base64.b64decode(registered, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Rejected(Code.BAD_SIGNATURE, "The registered signing key is unreadable.") from error
    if not verify(public_key, payload, signature):
        raise Rejected(Code.BAD_SIGNATURE, "The signature does not fit the payload.")


async def read_standing(connection: Any, login: str) -> Standing | None:
    """The login's grants as they are now; None for a login that is unknown or revoked."""
    return standing_of(login, await connection.fetch(_GRANTS, login))


def standing_of(login: str, rows: Sequence[Any]) -> Standing | None:
    """Of rows with person_id, role, granted_at, expires_at, revoked_at and now, one for each grant."""
    if not rows or rows[0]["person_id"] is None:
        return None
    grants = tuple(
        Grant(login, Role(row["role"]), row["granted_at"], row["expires_at"], row["revoked_at"])
        for row in rows
        if row["role"] is not None
    )
    return Standing(login, rows[0]["person_id"], grants, rows[0]["now"])


def authorise(
    standing: Standing | None, login: str, permission: Permission | None, breaker_id: BreakerId
) -> tuple[Identity, None] | tuple[Identity | None, Refusal]:
    """The identity that acts, or why it may not. Asked before any safety rule."""
    identity = standing.identity(permission, breaker_id) if standing else None
    if identity is None:
        return None, Refusal(
            Code.REVOKED, f"{login} holds no role now.", "Ask the owner for a grant; the attempt is recorded."
        )
    refusal = denial(identity, permission, breaker_id) if permission else None
    return (identity, refusal) if refusal else (identity, None)
