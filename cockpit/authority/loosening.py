"""One loosening, fully decided: the document, its evidence and the words of its audit entries. A limit, which
tightens, is made and committed in the same way, but waits for nothing.

Nothing here does I/O. What a successor needs in order to finish or void it goes into `commits.context`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from backends.audit_log import storable
from backends.redis_authority import HistoryEntry, Seen, Value
from backends.signing import canonical, sign_document
from backends.trip_exchange import event_fields
from cockpit.authority.entries import Author, Proof, epoch_details
from cockpit.authority.means import Means
from cockpit.authority.size_share import Size
from cockpit.authority.words import WORDS
from cockpit.authority.world import World
from cockpit.domain.audit import sha256_hex
from cockpit.domain.breakers import GLOBAL, BreakerId, is_switch
from cockpit.domain.documents import Document, Reading, rfc3339
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.states import OF_SWITCHES, SIZED, IllegalTransition, State, Transition, after

_UNDER_NO_SWITCH: Final = frozenset({Transition.BEGIN_PROBES, Transition.CLOSE})
Step = Callable[[Any], Awaitable[object]]
APPENDED: Final = object()
"""What a guard returns that has appended an audit entry of its own."""
Recheck = Callable[[Any], Awaitable[datetime | None]]


@dataclass(frozen=True, slots=True)
class Loosening:
    """`commit_id` is the document's event and, where a person asked, the request's id.

    `guard` runs inside the intent's transaction and may refuse; `recheck` runs just before the
    compare-and-set, may still void it, and says when the grants that it rests on end; `deadline` is Redis's
    clock, `deadline_db` the same by Postgres's.
    """

    commit_id: str
    breaker_id: BreakerId
    transition: Transition
    author: Author
    document: Document
    raw: bytes
    legacy: bytes | None
    seen: Seen
    deadline: datetime
    deadline_db: datetime
    proof: Proof
    evidence: bytes
    details: Mapping[str, object]
    request_ids: tuple[str, ...] = ()
    message: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    guard: Step | None = None
    recheck: Recheck | None = None

    def context(self) -> dict[str, object]:
        return {
            "author": self.author.context(),
            "details": dict(self.details),
            "proof": {"key": self.proof.key, "link": self.proof.link, "sha256": self.proof.sha256},
            "request_ids": list(self.request_ids),
            "message": self.message,
            "extra": dict(self.extra),
        }

    def history(self, intent_seq: int) -> HistoryEntry:
        return HistoryEntry(
            self.document.issued_at,
            history_member(self.document, self.document.event_id, intent_seq, self.proof, late=False),
        )

    def event(self) -> Mapping[str, str | bytes]:
        return event_fields(
            self.document.event_id,
            self.breaker_id,
            WORDS[self.transition].event,
            self.author.user_id,
            rfc3339(self.document.issued_at),
        )


def history_member(document: Document, event_id: str, audit_seq: int, proof: Proof, *, late: bool) -> bytes:
    """The member of `circuit_breaker:history` for one transition."""
    return canonical(
        {
            "event_id": event_id,
            "breaker_id": document.breaker_id,
            "state": document.state.value,
            "epoch": document.epoch.counter,
            "actor": document.actor,
            "reason": document.reason,
            "notes": document.notes,
            "at": rfc3339(document.issued_at),
            "audit_seq": audit_seq,
            "evidence_link": proof.link,
            "evidence_sha256": proof.sha256,
            "late": late,
        }
    )


def draft(
    means: Means,
    world: World,
    *,
    commit_id: str,
    breaker_id: BreakerId,
    transition: Transition,
    author: Author,
    notes: str,
    reason: str,
    deadline_in: timedelta,
    postgres_now: datetime,
    details: Mapping[str, object],
    message: str = "",
    run_deadline: datetime | None = None,
    quiet_until: datetime | None = None,
    request_ids: tuple[str, ...] = (),
    extra: Mapping[str, object] | None = None,
    pin_ancestors: bool = True,
    size: Size | None = None,
) -> Loosening:
    """Make the signed document, its evidence object and everything that pins it to `world`. `size` is what
    the breaker may let through, asked for wherever the new state lets anything through.

    Raises:
        IllegalTransition: the table has no such move from what the breaker reads, or it is a switch's and
        this
            is a breaker, or the other way about.
    """
    fits(breaker_id, transition, world.readings[breaker_id].state)
    reading = world.readings[breaker_id]
    state = after(reading.state, transition)
    if reading.epoch is None:
        raise ValueError(f"{breaker_id} has no trip counter")
    if size is None and state in SIZED:
        raise ValueError(f"{transition.value} of {breaker_id} without a size")
    size = size or Size()
    unsigned = Document(
        breaker_id=breaker_id,
        state=state,
        epoch=reading.epoch,
        ancestors=means.catalogue.ancestors(breaker_id),
        version=(reading.document.version if reading.document else 0) + 1,
        actor=author.user_id,
        reason=reason,
        notes=notes,
        event_id=commit_id,
        issued_at=world.now,
        run_deadline=run_deadline,
        quiet_until=quiet_until,
        size_share=size.share(state, means.limits),
    )
    raw = sign_document(unsigned, means.key)
    full_details = {
        "transition": transition.value,
        "from": reading.state.value,
        "state": state.value,
        "notes": notes,
        **epoch_details(reading.epoch),
        **_size_details(reading, unsigned, size),
        **{name: storable(value) for name, value in details.items()},
    }
    evidence = loosening_evidence(commit_id, breaker_id, raw.decode(), author, full_details)
    key = f"transitions/{commit_id}-{state.value}.json"
    tripped_at = reading.document.issued_at if reading.document and state is not State.CLOSED else None
    seen = Seen.of(world.view, means.catalogue, breaker_id, means.lease.term)
    if transition in _UNDER_NO_SWITCH:
        seen = replace(seen, ancestors={**seen.ancestors, **_switches(means, world, breaker_id)})
    return Loosening(
        commit_id=commit_id,
        breaker_id=breaker_id,
        transition=transition,
        author=author,
        document=unsigned,
        raw=raw,
        legacy=canonical(legacy_fields(unsigned, tripped_at)) if breaker_id == GLOBAL else None,
        seen=seen if pin_ancestors else replace(seen, ancestors={}),
        deadline=world.now + deadline_in,
        deadline_db=postgres_now + deadline_in,
        proof=Proof(key, means.evidence.link(key), sha256_hex(evidence)),
        evidence=evidence,
        details=full_details,
        request_ids=request_ids,
        message=message,
        extra=extra or {},
    )


def _switches(means: Means, world: World, breaker_id: BreakerId) -> dict[BreakerId, tuple[Value, Value]]:
    """An instrument's switches, which the compare-and-set pins like what stands above it."""
    view = world.view
    return {
        name: (view.counters[name], view.documents[name]) for name in means.catalogue.switches_of(breaker_id)
    }


def fits(breaker_id: BreakerId, transition: Transition, state: State) -> None:
    """No release ever closes a breaker, which closes by probes (I1); and a switch has none.

    Raises:
        IllegalTransition: it is not one of its moves.
    """
    released = transition is Transition.RELEASE
    if (is_switch(breaker_id) and transition not in OF_SWITCHES) or (released and not is_switch(breaker_id)):
        raise IllegalTransition(state, transition)


def _size_details(reading: Reading, document: Document, size: Size) -> dict[str, object]:
    if document.state not in SIZED:
        return {}
    return {
        "share": str(document.size_share),
        "share_before": str(reading.size_share),
        "size": size.details(),
    }


def loosening_evidence(
    event_id: str, breaker_id: str, document: str, author: Author, details: Mapping[str, object]
) -> bytes:
    """The evidence object, a function of its intent's entry and document, so that it can be made again."""
    return canonical(
        {
            "event_id": event_id,
            "breaker_id": breaker_id,
            "document": document,
            "user_id": author.user_id,
            "role": author.role,
            "payload": author.payload,
            "key_id": author.key_id,
            "signature": author.signature,
            "details": dict(details),
        }
    )
