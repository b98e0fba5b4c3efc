"""Public keys: all that were ever registered, for reading old entries."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from backends.signing import KeyRing


async def every_key(connection: Any, authority_keys: KeyRing) -> KeyRing:
    """All registered keys, revoked ones too, and the configured keys of the authority, which win."""
    keys: dict[str, bytes] = {}
    for row in await connection.fetch("SELECT key_id, public_key FROM signing_keys"):
        try:
            keys[row["key_id"]] = base64.b64decode(row["public_key"], validate=True)
        except (binascii.Error, ValueError):
            continue  # an unreadable key verifies nothing, which shows where an entry names it
    return KeyRing(keys | dict(authority_keys))


async def keys_of(connection: Any, login: str) -> KeyRing:
    """The keys that sign for `login` now."""
    keys: dict[str, bytes] = {}
    for row in await connection.fetch(
        "SELECT key_id, public_key FROM signing_keys WHERE login = $1 AND revoked_at IS NULL", login
    ):
        try:
            keys[row["key_id"]] = base64.b64decode(row["public_key"], validate=True)
        except (binascii.Error, ValueError):
            continue
    return KeyRing(keys)
