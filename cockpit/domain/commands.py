"""The signed request: what every human action is before it becomes anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from cockpit.domain.breakers import BreakerId, parse_breaker_id
from cockpit.domain.documents import MAX_COUNTER, Epoch, parse_rfc3339, rfc3339
from cockpit.domain.permissions import Permission

MAX_PAYLOAD_BYTES: Final = 16_384
VERSION: Final = 1


class Kind(StrEnum):
    TRIP = "trip"
    HALF_OPEN = "half_open"
    CLOSE = "close"
    APPROVE = "approve"
    RESTORE = "restore"
    ACKNOWLEDGE = "acknowledge"
    REANCHOR = "reanchor"
    LIMIT = "limit"  # cap the order size of a breaker's scope
    LIFT = "lift"  # end such a cap
    EXCLUDE = "exclude"  # leave an agreed stretch of time out of an error budget
    INCLUDE = "include"  # take such an exclusion back
    RELEASE = "release"  # end a switch: a symbol's halt, its latch, the halt of withdrawals
    INCIDENT = "incident"  # everything about an incident but acknowledging it; `reason` is the verb
    KILL_STEP = "kill_step"  # what one step of a kill switch found; only recorded
    KILL_REVIEW = "kill_review"  # its review, which a second safety-admin approves
    CANCEL_ALL = "cancel_all"  # a cancel-all of one instrument, which the asker sends; only recorded
    SILENCE = "silence"  # a silence of alerts that the asker is about to make; only recorded
    RETRY_PAGES = "retry_pages"  # send again what was given up: `target` is the pages' numbers, or `all`
    DENIED = "denied"  # an attempt that the asker's own side already refused; only recorded

    @property
    def permission(self) -> Permission | None:
        return _PERMISSION.get(self)


_PERMISSION: Final = {
    Kind.TRIP: Permission.TRIP_CIRCUIT,
    Kind.HALF_OPEN: Permission.RESET_CIRCUIT,
    Kind.CLOSE: Permission.RESET_CIRCUIT,
    Kind.APPROVE: Permission.RESET_CIRCUIT,
    Kind.RESTORE: Permission.RESTORE,
    Kind.ACKNOWLEDGE: Permission.ACK_INCIDENT,
    Kind.REANCHOR: Permission.REANCHOR,
    Kind.LIMIT: Permission.TRIP_CIRCUIT,
    Kind.LIFT: Permission.RESET_CIRCUIT,
    Kind.EXCLUDE: Permission.ADJUST_BUDGET,
    Kind.INCLUDE: Permission.ADJUST_BUDGET,
    Kind.RELEASE: Permission.RESET_CIRCUIT,
    Kind.INCIDENT: Permission.ACK_INCIDENT,
    Kind.KILL_STEP: Permission.KILL_SWITCH,
    Kind.KILL_REVIEW: Permission.KILL_SWITCH,
    Kind.CANCEL_ALL: Permission.TRIP_CIRCUIT,
    Kind.SILENCE: Permission.ACK_INCIDENT,
    Kind.RETRY_PAGES: Permission.ACK_INCIDENT,
}
_FIELDS: Final = frozenset(
    "v kind request_id breaker_id epoch login reason notes checked target ttl_s requested_at".split()
)


class MalformedCommand(ValueError):
    """A payload that is not a command; the message names the field."""


@dataclass(frozen=True, slots=True)
class Command:
    """One request by one login.

    `epoch` is what the asker saw (None where nothing could be read: trips only). `target` names what
    the command is about besides the breaker: the request that an approval approves, the incident that an
    acknowledgement acknowledges, the attempted kind of a DENIED. `checked` are the checklist items that
    the person vouches for. `ttl_s` is a trip's review time. `reason` is a trip's or a limit's token; of a
    half-open it is the reason to pass over spent error budgets (`admin:override`), "" without one. The
    target of a limit is its share ("0.5"), of a lift its id, of an exclusion `SLO FROM/UNTIL`, of taking
    one back its id. Of a trip that begins a kill switch it is `kill-switch`, of a switch's trip or release
    the ticket id (None without one); of an INCIDENT it is the verb's arguments (`incident_requests`), of a
    KILL_STEP what it found (`kill_records`), of a KILL_REVIEW the kill switch, of a CANCEL_ALL the ticket id.
    """

    kind: Kind
    request_id: str
    breaker_id: BreakerId
    login: str
    requested_at: datetime
    epoch: Epoch | None = None
    reason: str = ""
    notes: str = ""
    checked: tuple[str, ...] = field(default=())
    target: str | None = None
    ttl_s: int | None = None

    @property
    def permission(self) -> Permission | None:
        """What the asker must be allowed to do; an override asks for more than a plain half-open."""
        return Permission.OVERRIDE if self.kind is Kind.HALF_OPEN and self.reason else self.kind.permission

    def payload(self) -> dict[str, object]:
        """The fields that are canonicalised (RFC 8785) and signed."""
        return {
            "v": VERSION,
            "kind": self.kind.value,
            "request_id": self.request_id,
            "breaker_id": self.breaker_id,
            "epoch": self.epoch.payload() if self.epoch else None,
            "login": self.login,
            "reason": self.reason,
            "notes": self.notes,
            "checked": list(self.checked),
            "target": self.target,
            "ttl_s": self.ttl_s,
            "requested_at": rfc3339(self.requested_at),
        }


@dataclass(frozen=True, slots=True)
class SignedCommand:
    """A command's RFC 8785 bytes, and the base64 Ed25519 signature over them by the key `key_id`."""

    payload: bytes
    key_id: str
    signature: str


def parse_command(fields: object) -> Command:
    """The command in a decoded payload.

    Raises:
        MalformedCommand: a field is missing, foreign or of the wrong kind.
    """
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise MalformedCommand("payload does not have exactly the contract's fields")
    if fields["v"] != VERSION or isinstance(fields["v"], bool):
        raise MalformedCommand(f"v is not {VERSION}")
    try:
        return Command(
            kind=Kind(_text(fields, "kind")),
            request_id=_uuid(_text(fields, "request_id")),
            breaker_id=parse_breaker_id(_text(fields, "breaker_id")),
            login=_text(fields, "login"),
            requested_at=parse_rfc3339(_text(fields, "requested_at")),
            epoch=_epoch(fields["epoch"]),
            reason=_text(fields, "reason"),
            notes=_text(fields, "notes"),
            checked=_texts(fields["checked"]),
            target=None if fields["target"] is None else _text(fields, "target"),
            ttl_s=_ttl(fields["ttl_s"]),
        )
    except ValueError as error:
        raise MalformedCommand(str(error)) from error


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise MalformedCommand(f"{name} is not a string")
    value.encode()  # a lone surrogate is a ValueError: it could not be canonicalised
    return value


def _uuid(text: str) -> str:
    if str(UUID(text)) != text:
        raise MalformedCommand("request_id is not a UUID in its canonical form")
    return text


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise MalformedCommand("checked is not a list of strings")
    "".join(value).encode()
    return tuple(value)


def _epoch(value: object) -> Epoch | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"run_id", "counter"}:
        raise MalformedCommand("epoch is neither null nor {run_id, counter}")
    counter = value["counter"]
    if not isinstance(counter, int) or isinstance(counter, bool) or not 0 <= counter <= MAX_COUNTER:
        raise MalformedCommand("epoch.counter is not an integer from 0 to 2^53 - 1")
    return Epoch(_text(value, "run_id"), counter)


def _ttl(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 7 * 86_400:
        raise MalformedCommand("ttl_s is not a number of seconds from 1 to 604800 (7 days)")
    return value
