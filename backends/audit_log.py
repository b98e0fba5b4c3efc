"""Appending to the audit chain, and reading it back.

Appends are serialised by locking the one row of `audit_head`, which only the authority and the owner may do;
an advisory lock could be taken, and held, by any login.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final, Protocol

from backends.signing import KeyRing, canonical
from cockpit.domain.audit import Action, ChainBroken, Entry, Head, chain_hash, sha256_hex
from cockpit.domain.documents import MAX_COUNTER, rfc3339

_SQL: Final = files("backends").joinpath("sql")
INLINE: Final = 20  # entries that are hashed on the event loop: a few milliseconds
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_APPEND: Final = _SQL.joinpath("audit_append.sql").read_text()
# The outer SELECT runs once the lock is held, so the clock is read after any wait for it.
_LOCK_HEAD: Final = """
WITH head AS MATERIALIZED (SELECT seq, chain_hash FROM audit_head FOR UPDATE)
SELECT seq, chain_hash, clock_timestamp() AS now FROM head
"""
_LOAD: Final = """
SELECT seq, event_id, timestamp, action, user_id, role, target, details_text, ip_address, key_id, payload,
       payload_hash, signed_hash, prev_hash, chain_hash, evidence_link, evidence_sha256
FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2
"""


class Recorder(Protocol):
    """Who signs an entry whose actor could not: the authority's or the owner's key."""

    @property
    def key_id(self) -> str: ...
    def sign(self, data: bytes) -> str: ...


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry before it has its place. `payload` is canonical JSON text, `signed_hash` the base64 Ed25519
    signature of its bytes by `key_id`; `details` is made canonical by `append`."""

    event_id: str
    action: Action
    user_id: str
    role: str
    target: str
    details: Mapping[str, object]
    payload: str
    key_id: str
    signed_hash: str
    ip_address: str | None = None
    evidence_link: str | None = None
    evidence_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LockedHead:
    """The chain's end, locked by the caller's transaction; `now` was read once it was."""

    seq: int
    chain_hash: str
    now: datetime


class NotInTransaction(RuntimeError):
    """`append` was called outside a transaction: its lock would end before its work."""


def recorded(
    recorder: Recorder,
    *,
    event_id: str,
    action: Action,
    user_id: str,
    role: str,
    target: str,
    details: Mapping[str, object],
    ip_address: str | None = None,
    evidence_link: str | None = None,
    evidence_sha256: str | None = None,
) -> NewEntry:
    """An entry that its recorder signs because the actor had no signature to give (a raw INCR, a badly signed
    request, the authority's own doing). Its payload says `recorded_by` and repeats the columns."""
    safe = storable(details)
    payload = canonical(
        {
            "recorded_by": recorder.key_id,
            "event_id": storable(event_id),
            "action": action.value,
            "user_id": storable(user_id),
            "role": storable(role),
            "target": storable(target),
            "details": safe,
        }
    )
    return NewEntry(
        event_id=event_id,
        action=action,
        user_id=user_id,
        role=role,
        target=target,
        details=details,
        payload=payload.decode(),
        key_id=recorder.key_id,
        signed_hash=recorder.sign(payload),
        ip_address=ip_address,
        evidence_link=evidence_link,
        evidence_sha256=evidence_sha256,
    )


async def append(connection: Any, new: NewEntry, locked: LockedHead | None = None) -> Entry:
    """Give `new` its place at the end of the chain, inside the caller's transaction (READ COMMITTED).

    Holds the head's lock until that transaction ends. Two round trips; one where the caller has `locked` the
    head already and nothing was appended since (a wrong one is refused by the head's trigger).

    Raises:
        NotInTransaction: there is none.
        ValueError: the payload holds a NUL character, which no canonical JSON does.
    """
    (entry,) = _placed(await _head(connection, (new,), locked), (new,))
    await connection.execute(_APPEND, *_columns(entry))
    return entry


async def append_all(
    connection: Any, news: Sequence[NewEntry], locked: LockedHead | None = None
) -> Sequence[Entry]:
    """`append` of several, one after the other, at the cost of little more than one: one clock for all, one
    round trip for their rows. Many are hashed in a thread.

    Raises:
        NotInTransaction, ValueError: as `append`; none was appended.
    """
    if not news:
        return ()
    head = await _head(connection, news, locked)
    few = len(news) <= INLINE
    entries = _placed(head, news) if few else await asyncio.to_thread(_placed, head, news)
    await connection.executemany(_APPEND, [_columns(entry) for entry in entries])
    return entries


async def _head(connection: Any, news: Iterable[NewEntry], locked: LockedHead | None) -> LockedHead:
    if not connection.is_in_transaction():
        raise NotInTransaction("audit entries are appended inside a transaction only")
    if any("\0" in new.payload for new in news):
        raise ValueError("an audit payload with a NUL character")
    return locked or LockedHead(**await connection.fetchrow(_LOCK_HEAD))


def _placed(head: LockedHead, news: Iterable[NewEntry]) -> list[Entry]:
    """The entries that follow `head`, each linked to the one before."""
    entries: list[Entry] = []
    seq, prev_hash = head.seq, head.chain_hash
    for new in news:
        seq += 1
        entry = Entry(
            seq=seq,
            event_id=_text(new.event_id),
            timestamp=head.now,
            action=new.action.value,
            user_id=_text(new.user_id),
            role=_text(new.role),
            target=_text(new.target),
            details=canonical(
                {str(storable(name)): storable(value) for name, value in new.details.items()}
            ).decode(),
            ip_address=None if new.ip_address is None else _text(new.ip_address),
            key_id=_text(new.key_id),
            payload=new.payload,
            payload_hash=sha256_hex(new.payload.encode()),
            signed_hash=_text(new.signed_hash),
            prev_hash=prev_hash,
            evidence_link=new.evidence_link,
            evidence_sha256=new.evidence_sha256,
        )
        prev_hash = chain_hash(entry)
        entries.append(replace(entry, chain_hash=prev_hash))
    return entries


def _columns(entry: Entry) -> tuple[object, ...]:
    """The arguments of `audit_append.sql`."""
    return (
        entry.seq,
        entry.event_id,
        entry.timestamp,
        entry.action,
        entry.user_id,
        entry.role,
        entry.target,
        entry.details,
        entry.ip_address,
        entry.key_id,
        entry.payload,
        entry.payload_hash,
        entry.signed_hash,
        entry.prev_hash,
        entry.chain_hash,
        entry.evidence_link,
        entry.evidence_sha256,
    )


async def read_head(connection: Any) -> Head:
    """The end of the chain as the database says it; `verify_chain` proves it."""
    row = await connection.fetchrow("SELECT seq, chain_hash FROM audit_head")
    return Head(row["seq"], row["chain_hash"])


async def load_entries(connection: Any, after_seq: int, limit: int) -> Sequence[Entry]:
    """Entries with seq > `after_seq`, in order."""
    return [entry_of(row) for row in await connection.fetch(_LOAD, after_seq, limit)]


def entry_of(row: Mapping[str, Any]) -> Entry:
    return Entry(
        seq=row["seq"],
        event_id=row["event_id"],
        timestamp=row["timestamp"],
        action=row["action"],
        user_id=row["user_id"],
        role=row["role"],
        target=row["target"],
        details=row["details_text"],
        ip_address=row["ip_address"],
        key_id=row["key_id"],
        payload=row["payload"],
        payload_hash=row["payload_hash"],
        signed_hash=row["signed_hash"],
        prev_hash=row["prev_hash"],
        evidence_link=row["evidence_link"],
        evidence_sha256=row["evidence_sha256"],
        chain_hash=row["chain_hash"],
    )


def verify_signatures(entries: Iterable[Entry], keys: KeyRing) -> None:
    """Check each payload's signature. `keys` holds every key ever registered, revoked ones too.

    Raises:
        ChainBroken: the first entry whose signature is not its key's over its payload.
    """
    for entry in entries:
        if not keys.verify(entry.key_id, entry.payload.encode(), entry.signed_hash):
            raise ChainBroken(entry.seq, f"its signature is not that of key {entry.key_id}")


def storable(value: object) -> object:
    """`value` as canonical JSON and jsonb can hold it, so that nothing from outside can stop an entry.

    NUL and lone surrogates become U+FFFD; decimals, wide integers and odd floats become text.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_COUNTER else str(value)
    if isinstance(value, float | Decimal):
        return str(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {str(storable(str(name))): storable(item) for name, item in value.items()}
    if isinstance(value, Iterable):
        return [storable(item) for item in value]
    return str(value)


def _text(value: str) -> str:
    return str(storable(value))
