"""Audit entries and the hash chain over them.

An entry's `payload` holds the bytes that were signed, its other columns are derived from it or added by
the recorder. `chain_hash` covers every column and the previous entry's hash, so an edit anywhere breaks
every later link; a cut tail or a full rewrite shows against the signed heads kept outside the database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

from cockpit.domain.documents import rfc3339

GENESIS_HASH: Final = "0" * 64


class Action(StrEnum):
    """What an entry records. The two main names are those of the operations runbook's query."""

    GENESIS = "CIRCUIT_BREAKER_GENESIS"
    TRIP = "CIRCUIT_BREAKER_TRIP"
    HALF_OPEN_INTENT = "CIRCUIT_BREAKER_HALF_OPEN_INTENT"
    HALF_OPEN = "CIRCUIT_BREAKER_HALF_OPEN"
    HALF_OPEN_VOID = "CIRCUIT_BREAKER_HALF_OPEN_VOID"
    EXTEND_INTENT = "CIRCUIT_BREAKER_EXTEND_INTENT"
    EXTEND = "CIRCUIT_BREAKER_EXTEND"
    EXTEND_VOID = "CIRCUIT_BREAKER_EXTEND_VOID"
    RESET_INTENT = "CIRCUIT_BREAKER_RESET_INTENT"
    RESET = "CIRCUIT_BREAKER_RESET"
    RESET_VOID = "CIRCUIT_BREAKER_RESET_VOID"
    QUIET_END_INTENT = "CIRCUIT_BREAKER_QUIET_END_INTENT"
    QUIET_END = "CIRCUIT_BREAKER_QUIET_END"
    QUIET_END_VOID = "CIRCUIT_BREAKER_QUIET_END_VOID"
    RESTORE_INTENT = "CIRCUIT_BREAKER_RESTORE_INTENT"
    RESTORE = "CIRCUIT_BREAKER_RESTORE"
    RESTORE_VOID = "CIRCUIT_BREAKER_RESTORE_VOID"
    LIMIT_INTENT = "CIRCUIT_BREAKER_LIMIT_INTENT"
    LIMIT = "CIRCUIT_BREAKER_LIMIT"
    LIMIT_VOID = "CIRCUIT_BREAKER_LIMIT_VOID"
    LIFT_INTENT = "CIRCUIT_BREAKER_LIFT_INTENT"
    LIFT = "CIRCUIT_BREAKER_LIFT"
    LIFT_VOID = "CIRCUIT_BREAKER_LIFT_VOID"
    RELEASE_INTENT = "SWITCH_RELEASE_INTENT"
    RELEASE = "SWITCH_RELEASED"
    RELEASE_VOID = "SWITCH_RELEASE_VOID"
    INCIDENT_OPENED = "INCIDENT_OPENED"
    INCIDENT_NOTED = "INCIDENT_NOTED"
    INCIDENT_ASSIGNED = "INCIDENT_ASSIGNED"
    INCIDENT_CLASSIFIED = "INCIDENT_CLASSIFIED"
    INCIDENT_ESCALATED = "INCIDENT_ESCALATED"
    INCIDENT_SNOOZED = "INCIDENT_SNOOZED"
    INCIDENT_MERGED = "INCIDENT_MERGED"
    INCIDENT_LINKED = "INCIDENT_LINKED"
    INCIDENT_RESOLVED = "INCIDENT_RESOLVED"
    INCIDENT_TOLD = "INCIDENT_TOLD"  # an audience of the communication table
    INCIDENT_ACTION = "INCIDENT_ACTION"  # an action item, added or done
    ACKNOWLEDGEMENT_EXPIRED = "ACKNOWLEDGEMENT_EXPIRED"
    KILL_SWITCH_STEP = "KILL_SWITCH_STEP"
    KILL_SWITCH_REVIEWED = "KILL_SWITCH_REVIEWED"
    ORDERS_CANCELLED = "ORDERS_CANCELLED"
    ORDERS_CANCEL_REFUSED = "ORDERS_CANCEL_REFUSED"  # or not confirmed by the venue
    SILENCED = "ALERTS_SILENCED"
    PAGES_RETRIED = "PAGES_RETRIED"
    SIZE_LIMITED = "SIZE_LIMITED"
    SIZE_LIMIT_LIFTED = "SIZE_LIMIT_LIFTED"
    BUDGET_EXCLUDED = "BUDGET_EXCLUDED"
    BUDGET_INCLUDED = "BUDGET_INCLUDED"
    PROBES_PASSED = "PROBES_PASSED"
    PROBES_FAILED = "PROBES_FAILED"
    APPROVED = "APPROVED"
    APPROVAL_REQUESTED = "APPROVAL_REQUESTED"
    ACKNOWLEDGED = "INCIDENT_ACKNOWLEDGED"
    DENIED = "DENIED"
    REFUSED = "REFUSED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    APPROVAL_VOID = "APPROVAL_VOID"
    UNAUDITED_CHANGE = "UNAUDITED_CHANGE"
    LOSS_DETECTED = "STATE_LOSS_DETECTED"
    OPERATOR_ADDED = "OPERATOR_ADDED"
    OPERATOR_REVOKED = "OPERATOR_REVOKED"
    REANCHORED = "CHAIN_REANCHORED"
    AUTHORITY_TERM = "AUTHORITY_TERM"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of `audit_log`. `payload` is canonical JSON text; hashes are lower-case hex SHA-256;
    `details` is canonical JSON text too; `timestamp` is the database's clock."""

    seq: int
    event_id: str
    timestamp: datetime
    action: str
    user_id: str
    role: str
    target: str
    details: str
    ip_address: str | None
    key_id: str
    payload: str
    payload_hash: str
    signed_hash: str
    prev_hash: str
    evidence_link: str | None
    evidence_sha256: str | None
    chain_hash: str = ""


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def chain_hash(entry: Entry) -> str:
    """SHA-256 over every column but `chain_hash` itself, as a JSON array in the order of the fields."""
    columns = [
        rfc3339(value) if isinstance(value, datetime) else value
        for value in (getattr(entry, item.name) for item in fields(Entry) if item.name != "chain_hash")
    ]
    return sha256_hex(json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a verified stretch of the chain. The empty chain is `Head(0, GENESIS_HASH)`."""

    seq: int
    chain_hash: str


EMPTY: Final = Head(0, GENESIS_HASH)


class ChainBroken(Exception):
    """The chain is not what was signed. `seq` is the first entry that does not fit."""

    def __init__(self, seq: int, why: str) -> None:
        super().__init__(f"audit chain broken at entry {seq}: {why}")
        self.seq = seq


def verify_chain(entries: Iterable[Entry], start: Head = EMPTY) -> Head:
    """Follow the chain from `start` and return its new head.

    Checks sequence, links and hashes; signatures and derived columns are checked by the caller, who has
    the keys. Cost: one SHA-256 over each row.

    Raises:
        ChainBroken: a gap, a fork, an edited column.
    """
    head = start
    for entry in entries:
        if entry.seq != head.seq + 1:
            raise ChainBroken(head.seq + 1, f"the next entry is {entry.seq}")
        if entry.prev_hash != head.chain_hash:
            raise ChainBroken(entry.seq, "its prev_hash is not the hash of the entry before it")
        if entry.payload_hash != sha256_hex(entry.payload.encode()):
            raise ChainBroken(entry.seq, "its payload does not match payload_hash")
        if entry.chain_hash != chain_hash(entry):
            raise ChainBroken(entry.seq, "a column does not match chain_hash")
        head = Head(entry.seq, entry.chain_hash)
    return head


def derived_mismatch(entry: Entry) -> str | None:
    """The first column that contradicts the signed payload it was derived from, or None.

    Applies to entries whose payload is a command: `request_id`, `login` and `breaker_id` must stand in
    `event_id`, `user_id` and `target`. An INTENT and its outcome carry the same payload and event.
    """
    try:
        payload = json.loads(entry.payload)
    except ValueError:
        return "payload"
    if not isinstance(payload, dict) or "request_id" not in payload:
        return None
    pairs = (("event_id", "request_id"), ("user_id", "login"), ("target", "breaker_id"))
    for column, name in pairs:
        if name in payload and payload[name] != getattr(entry, column):
            return column
    return None
