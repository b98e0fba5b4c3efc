"""The state document and the epoch rule.

A breaker is CLOSED only where a well-formed, correctly signed document says so for the current epoch;
everything else is OPEN (missing, malformed, unknown state, older epoch, other server, bad signature).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from cockpit.domain.breakers import BreakerId, Catalogue, parse_breaker_id
from cockpit.domain.states import State, strictest

MAX_DOCUMENT_BYTES: Final = 16_384
MAX_COUNTER: Final = 2**53 - 1
_FIELDS: Final = frozenset(
    "breaker_id state run_id epoch ancestors version actor reason notes event_id issued_at "
    "run_deadline quiet_until size_share key_id signature".split()
)


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """A trip epoch: the Redis server's `run_id` and the breaker's trip counter there."""

    run_id: str
    counter: int

    def __str__(self) -> str:
        return f"{self.counter}@{self.run_id[:8]}"

    def payload(self) -> dict[str, object]:
        return {"run_id": self.run_id, "counter": self.counter}


class MalformedDocument(ValueError):
    """The bytes at `breaker:<id>` are no state document."""


@dataclass(frozen=True, slots=True)
class Document:
    """One `breaker:<id>` value. `size_share` is the share of normal order size, 0 < share ≤ 1."""

    breaker_id: BreakerId
    state: State
    epoch: Epoch
    ancestors: tuple[BreakerId, ...]
    version: int
    actor: str
    reason: str
    notes: str
    event_id: str
    issued_at: datetime
    run_deadline: datetime | None = None
    quiet_until: datetime | None = None
    size_share: Decimal = Decimal(1)
    key_id: str = ""
    signature: str = ""

    def unsigned(self) -> dict[str, object]:
        """The fields that the signature covers, ready for RFC 8785."""
        return {
            "breaker_id": self.breaker_id,
            "state": self.state.value,
            "run_id": self.epoch.run_id,
            "epoch": self.epoch.counter,
            "ancestors": list(self.ancestors),
            "version": self.version,
            "actor": self.actor,
            "reason": self.reason,
            "notes": self.notes,
            "event_id": self.event_id,
            "issued_at": rfc3339(self.issued_at),
            "run_deadline": rfc3339(self.run_deadline) if self.run_deadline else None,
            "quiet_until": rfc3339(self.quiet_until) if self.quiet_until else None,
            "size_share": str(self.size_share),
            "key_id": self.key_id,
        }


def parse_document(raw: bytes) -> tuple[Document, dict[str, object]]:
    """Parse the bytes of a document; also returns the fields that its signature must cover.

    Raises:
        MalformedDocument: anything but exactly the contract's fields with values of the right kind.
    """
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise MalformedDocument(f"{len(raw)} bytes is over {MAX_DOCUMENT_BYTES}")
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedDocument("not JSON") from error
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise MalformedDocument("not exactly the contract's fields")
    try:
        document = Document(
            breaker_id=BreakerId(_text(fields, "breaker_id")),
            state=State(_text(fields, "state")),
            epoch=Epoch(_text(fields, "run_id"), _integer(fields, "epoch")),
            ancestors=_names(fields["ancestors"]),
            version=_integer(fields, "version"),
            actor=_text(fields, "actor"),
            reason=_text(fields, "reason"),
            notes=_text(fields, "notes"),
            event_id=_text(fields, "event_id"),
            issued_at=parse_rfc3339(_text(fields, "issued_at")),
            run_deadline=_moment(fields, "run_deadline"),
            quiet_until=_moment(fields, "quiet_until"),
            size_share=_share(_text(fields, "size_share")),
            key_id=_text(fields, "key_id"),
            signature=_text(fields, "signature"),
        )
    except (ValueError, InvalidOperation) as error:
        raise MalformedDocument(str(error)) from error
    if document.state is State.HALF_OPEN and document.run_deadline is None:
        raise MalformedDocument("HALF_OPEN without a run_deadline")
    if document.state is State.QUIET_PERIOD and document.quiet_until is None:
        raise MalformedDocument("QUIET_PERIOD without a quiet_until")
    del fields["signature"]
    return document, fields


@dataclass(frozen=True, slots=True)
class Reading:
    """What one breaker's keys say under the epoch rule.

    `doubt` is why it reads OPEN although no current document says OPEN; None where there is no doubt.
    `epoch` is None where the counter could not be read.
    """

    breaker_id: BreakerId
    state: State
    epoch: Epoch | None
    document: Document | None = None
    doubt: str | None = None

    @property
    def size_share(self) -> Decimal:
        """Share of normal size for orders that add risk: 0 unless CLOSED or QUIET_PERIOD."""
        if self.document is None or self.state not in (State.CLOSED, State.QUIET_PERIOD):
            return Decimal(0)
        return self.document.size_share


def parse_counter(raw: bytes | None) -> int | None:
    """The trip counter, or None where it is missing or not what `INCR` leaves (0 < n < 2^53)."""
    if raw is None or not raw.isdigit() or len(raw) > 16 or raw.startswith(b"0"):
        return None
    counter = int(raw)
    return counter if counter <= MAX_COUNTER else None


def read_breaker(
    breaker_id: BreakerId,
    document: Document | MalformedDocument | None,
    counter: int | None,
    run_id: str,
    now: datetime,
    ancestors: tuple[BreakerId, ...],
) -> Reading:
    """Apply the epoch rule to one breaker.

    `document` has passed its signature check (a bad signature is a MalformedDocument). `now` is the
    Redis server's time: it ends a probe run, and nothing else here.
    """
    epoch = Epoch(run_id, counter) if counter is not None else None

    def doubted(why: str) -> Reading:
        kept = document if isinstance(document, Document) else None
        return Reading(breaker_id, State.OPEN, epoch, kept, why)

    if epoch is None:
        return doubted("trip counter missing or malformed")
    if document is None:
        return doubted("no state document")
    if isinstance(document, MalformedDocument):
        return doubted(f"state document refused: {document}")
    if document.breaker_id != breaker_id:
        return doubted(f"document is for {document.breaker_id}")
    if document.epoch.run_id != run_id:
        return doubted("document is from another Redis server or from before its restart")
    if document.epoch.counter != counter:
        return doubted("tripped since the document was written")
    if document.ancestors != ancestors:
        return doubted("document's hierarchy differs from this catalogue")
    if document.state is State.HALF_OPEN and (document.run_deadline is None or now >= document.run_deadline):
        return doubted("probe run is past its deadline")
    return Reading(breaker_id, document.state, epoch, document)


@dataclass(frozen=True, slots=True)
class Effective:
    """The state that orders meet: the strictest of a breaker and its ancestors, and who imposes it."""

    state: State
    halted_by: BreakerId | None
    size_share: Decimal


def effective(
    breaker_id: BreakerId, readings: Mapping[BreakerId, Reading], catalogue: Catalogue
) -> Effective:
    """Fold a breaker and its ancestors, and an instrument with its switches, of which one that is not
    released makes it OPEN. `halted_by` is the topmost that imposes the effective state, a switch where no
    breaker does, None while CLOSED. What has no reading counts as OPEN."""
    if breaker_id not in catalogue:
        return Effective(State.OPEN, breaker_id, Decimal(0))
    chain = (*reversed(catalogue.ancestors(breaker_id)), breaker_id)
    for name in catalogue.switches_of(breaker_id):
        if name not in readings or readings[name].state is not State.CLOSED:
            culprits = (
                above for above in chain if above not in readings or readings[above].state is State.OPEN
            )
            return Effective(State.OPEN, next(culprits, name), Decimal(0))
    states = {name: readings[name].state if name in readings else State.OPEN for name in chain}
    state = strictest(*states.values())
    if state is State.CLOSED:
        return Effective(state, None, min(readings[name].size_share for name in chain))
    culprit = next(name for name in chain if states[name] is state)
    if state is State.QUIET_PERIOD:
        return Effective(state, culprit, min(readings[name].size_share for name in chain))
    return Effective(state, culprit, Decimal(0))


def rfc3339(moment: datetime) -> str:
    """UTC with microseconds and a `Z`.

    Raises:
        ValueError: `moment` is naive.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> datetime:
    """An aware UTC time.

    Raises:
        ValueError: not RFC 3339 or without a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text[:40]!r} has no zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"time {text[:40]!r} is out of range") from error


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise MalformedDocument(f"{name} is not a string")
    value.encode()  # a lone surrogate is a ValueError: it could not be canonicalised
    return value


def _integer(fields: Mapping[str, object], name: str) -> int:
    value = fields[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_COUNTER:
        raise MalformedDocument(f"{name} is not a positive integer below 2^53")
    return value


def _moment(fields: Mapping[str, object], name: str) -> datetime | None:
    return None if fields[name] is None else parse_rfc3339(_text(fields, name))


def _names(value: object) -> tuple[BreakerId, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise MalformedDocument("ancestors is not a list of names")
    return tuple(parse_breaker_id(name) for name in value)


def _share(text: str) -> Decimal:
    share = Decimal(text)
    if not share.is_finite() or not 0 < share <= 1:
        raise MalformedDocument("size_share is not over 0 and at most 1")
    return share
