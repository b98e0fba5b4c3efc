"""The SCRAM-SHA-256 verifier of a password (RFC 5803), so that no password ever stands in an SQL statement or
in the server's log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

_ITERATIONS: Final = 4096


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores for `password` (ASCII; others would need SASLprep)."""
    if not password.isascii():
        raise ValueError("a password with characters outside ASCII")
    salt = salt if salt is not None else secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    coded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{coded[0]}${coded[1]}:{coded[2]}"
