"""Canonical JSON (RFC 8785) and Ed25519: the only module that signs or verifies.

Signatures are base64 of 64 bytes; public keys are 32 raw bytes; a key's id is the first 16 hex digits of the
SHA-256 of its public half.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.documents import Document, MalformedDocument, parse_document

__all__ = [
    "KeyFileUnsafe",
    "KeyFileUnusable",
    "KeyRing",
    "SignedCommand",
    "SigningKey",
    "canonical",
    "key_id_of",
    "read_document",
    "sign_command",
    "sign_document",
    "verify",
]

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_MAX_KEY_FILE: Final = 10_000


class KeyFileUnusable(ValueError):
    """No Ed25519 key can be read from the file; the message says why and never shows its content."""


class KeyFileUnsafe(KeyFileUnusable):
    """Others than the owner may read or write the key's file."""


def canonical(fields: Mapping[str, object] | Sequence[object]) -> bytes:
    """RFC 8785 bytes.

    Raises:
        ValueError: a value that RFC 8785 cannot carry (an integer of 2^53 or more, NaN, a lone surrogate).
    """
    return rfc8785.dumps(fields)  # type: ignore[arg-type]


def key_id_of(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


class SigningKey:
    """A private Ed25519 key. Its repr shows the key's id only."""

    __slots__ = ("_private", "key_id", "public_key")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key: bytes = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id_of(self.public_key)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a PKCS 8 PEM file.

        Raises:
            KeyFileUnsafe: group or others may read or write it.
            KeyFileUnusable: it is absent, no regular file, or holds no unencrypted Ed25519 key.
        """
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_mode & 0o077:
                    raise KeyFileUnsafe(f"signing key {path}: others may read it; run chmod 600 {path}")
                pem = file.read(_MAX_KEY_FILE)
        except OSError as error:
            raise KeyFileUnusable(f"signing key {path}: {error.strerror or error}") from error
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise KeyFileUnusable(f"signing key {path}: not an unencrypted PKCS 8 PEM key") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyFileUnusable(f"signing key {path}: not an Ed25519 key")
        return cls(private)

    def save(self, path: Path) -> None:
        """Write a new PKCS 8 PEM file, mode 0600, durably.

        Raises:
            FileExistsError: a key is never overwritten.
            OSError: the file cannot be written.
        """
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @property
    def public_b64(self) -> str:
        return base64.b64encode(self.public_key).decode()

    def sign(self, data: bytes) -> str:
        return base64.b64encode(self._private.sign(data)).decode()


def verify(public_key: bytes, data: bytes, signature: str) -> bool:
    """Whether `signature` is the key's over `data`. Never raises; only the one canonical base64 form of a
    signature counts, so that no two texts stand for the same one."""
    try:
        raw = base64.b64decode(signature, validate=True)
        if len(raw) != SIGNATURE_BYTES or base64.b64encode(raw).decode() != signature:
            return False
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw, data)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


class KeyRing(Mapping[str, bytes]):
    """Public keys by their id. A key whose id is not its own is left out: the id is derived, not chosen."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: key for key_id, key in keys.items() if key_id == key_id_of(key)}

    def __getitem__(self, key_id: str) -> bytes:
        return self._keys[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def verify(self, key_id: str, data: bytes, signature: str) -> bool:
        public_key = self._keys.get(key_id)
        return public_key is not None and verify(public_key, data, signature)


def sign_document(document: Document, key: SigningKey) -> bytes:
    """The canonical bytes of `breaker:<id>`, signed by `key`, whose id goes into the document."""
    unsigned = replace(document, key_id=key.key_id, signature="").unsigned()
    return canonical(unsigned | {"signature": key.sign(canonical(unsigned))})


def read_document(raw: bytes | None, keyring: KeyRing) -> Document | MalformedDocument | None:
    """Parse and verify the value of `breaker:<id>`; None where there is none.

    Anything that is not exactly the canonical bytes of a document signed by a known key comes back as a
    MalformedDocument (returned, not raised: it is what a reading has to show).
    """
    if raw is None:
        return None
    try:
        document, fields = parse_document(raw)
        signed = canonical(fields)
        whole = canonical(fields | {"signature": document.signature})
    except MalformedDocument as fault:
        return fault
    except ValueError as fault:
        return MalformedDocument(f"not canonical JSON: {fault}")
    if whole != raw:
        return MalformedDocument("not in canonical form")
    if not keyring.verify(document.key_id, signed, document.signature):
        return MalformedDocument("not signed by a known authority key")
    return document


def sign_command(command: Command, key: SigningKey) -> SignedCommand:
    payload = canonical(command.payload())
    return SignedCommand(payload, key.key_id, key.sign(payload))
