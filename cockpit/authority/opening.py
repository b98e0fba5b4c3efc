"""OPEN documents: they loosen nothing, they say who halted a breaker and why. Lost ones are written again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from backends.redis_authority import Seen
from backends.signing import canonical
from cockpit.authority.entries import Proof
from cockpit.authority.means import Means
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Document, Epoch, parse_document
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State

# After a loss the rows keep the documents of other states, which only a restore may write again.
_OPEN_ROWS: Final = """
SELECT breaker_id, counter, document FROM breakers
 WHERE state = 'OPEN' AND redis_run_id = $1 AND position('"state":"OPEN"' in document) > 0
"""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """One trip's document on its way into Redis, with the facts of its audit entry."""

    document: Document
    raw: bytes
    proof: Proof
    evidence: bytes
    audit_seq: int
    late: bool


async def write_open_documents(means: Means, world: World, opened: Sequence[OpenDocument]) -> None:
    """Put the newest document of each breaker into Redis, while its counter is still that trip's."""
    newest = {item.document.breaker_id: item for item in opened}
    for name, item in newest.items():
        if name in means.in_flight:
            continue  # a commit looks for its own document there; `repair_open_documents` comes after it
        await _write(means, world, item.document, item.raw)


async def repair_open_documents(means: Means, connection: Any, world: World) -> None:
    """Write again what a crash or a lost reply kept out of Redis."""
    for row in await connection.fetch(_OPEN_ROWS, world.run_id):
        name = BreakerId(row["breaker_id"])
        raw = row["document"].encode()
        if name not in means.catalogue or name in means.in_flight:
            continue
        if world.view.documents[name] == raw or world.counter(name) != row["counter"]:
            continue
        document, _ = parse_document(raw)
        current = Epoch(world.run_id, row["counter"])
        if document.state is State.OPEN and document.epoch == current:
            await _write(means, world, document, raw)


async def _write(means: Means, world: World, document: Document, raw: bytes) -> None:
    if means.over:
        return
    name = document.breaker_id
    if name == GLOBAL and world.view.legacy not in means.legacy_judged:
        return  # the mirror would wipe out a hand-written value before the watch has answered it
    seen = Seen.of(world.view, means.catalogue, name, means.lease.term)
    legacy = canonical(legacy_fields(document, document.issued_at)) if name == GLOBAL else None
    try:
        reply = await means.redis.write_open_document(seen, raw, legacy)
    except StoreUnreachable as error:
        means.health.changed(f"document of {name}", str(error))
        return
    means.health.changed(f"document of {name}", "written" if reply.ok else f"not written ({reply.why})")
