"""The compare-and-sets of a batch: each judged once more just before, each its own, sent some at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from backends.redis_authority import Change, CommitReply
from cockpit.authority.batches import apart
from cockpit.authority.loosening import Loosening
from cockpit.authority.means import Doubt, Means
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Code, Refusal, Refused, StoreUnreachable

TOGETHER: Final = 50  # a few milliseconds of Redis's time, which nobody's trip waits for longer
_REPLY_CODES: Final = {
    "counter": (Code.STALE_EPOCH, "It was tripped while this was being committed."),
    "ancestor": (Code.ANCESTOR, "What may hold it, above it or as its switch, changed meanwhile."),
    "legacy": (Code.ANCESTOR, "The key circuit_breaker:state was changed by hand."),
    "server": (Code.STALE_EPOCH, "Redis was restarted or replaced while this was being committed."),
    "deadline": (Code.EXPIRED, "Its commit deadline has passed."),
    "term": (Code.VOID, "Another authority took over."),
    "document": (Code.STALE_EPOCH, "Its state changed while this was being committed."),
}
Held = tuple[Mapping[BreakerId, Refusal], datetime | None]
"""What may not be loosened after all, and when the grants that the rest stands on end by Postgres's clock."""
BatchCheck = Callable[[Any, Sequence[BreakerId]], Awaitable[Held]]


@dataclass(frozen=True, slots=True)
class Pending:
    """One that has its intent. `verdict` is why it is void already."""

    item: Loosening
    intent_seq: int
    verdict: Refusal | None = None


async def set_all(means: Means, batch: Sequence[Pending], recheck: BatchCheck | None) -> list[Refusal | None]:
    """What became of each, in order; None where it was applied.

    Raises:
        Doubt: a reply got lost after the command was sent.
        Refused: Redis denies the authority the command.
    """
    ready = await apart(len(batch), lambda: [_change(each) for each in batch])
    pairs = list(zip(batch, ready, strict=True))
    verdicts: list[Refusal | None] = []
    for first in range(0, len(pairs), TOGETHER):
        verdicts += await _set(means, pairs[first : first + TOGETHER], recheck)
    return verdicts


async def _set(
    means: Means, part: Sequence[tuple[Pending, Change]], recheck: BatchCheck | None
) -> list[Refusal | None]:
    verdicts = {each.item.commit_id: each.verdict for each, _ in part}
    wanted = [pair for pair in part if pair[0].verdict is None]
    refusals, ends = await _rechecked(means, [each.item.breaker_id for each, _ in wanted], recheck)
    sent: list[Loosening] = []
    changes: list[Change] = []
    for each, change in wanted:
        item = each.item
        refusal, own_end = await _own_recheck(means, item)
        verdicts[item.commit_id] = refusal = refusals.get(item.breaker_id) or refusal
        if refusal is None:
            sent.append(item)
            changes.append(_before(change, item, [end for end in (ends, own_end) if end is not None]))
    for item, refusal in zip(sent, await _replies(means, sent, changes), strict=True):
        verdicts[item.commit_id] = refusal
    return [verdicts[each.item.commit_id] for each, _ in part]


async def _rechecked(means: Means, names: Sequence[BreakerId], recheck: BatchCheck | None) -> Held:
    if recheck is None or not names:
        return {}, None
    async with means.pool.acquire() as connection:
        return await recheck(connection, names)


async def _own_recheck(means: Means, item: Loosening) -> tuple[Refusal | None, datetime | None]:
    if item.recheck is None:
        return None, None
    try:
        async with means.pool.acquire() as connection:
            return None, await item.recheck(connection)
    except Refused as refused:
        if isinstance(refused, StoreUnreachable):
            raise
        return refused.refusal, None


def _change(each: Pending) -> Change:
    item = each.item
    return Change(
        item.seen, item.deadline, item.raw, item.legacy, item.history(each.intent_seq), item.event()
    )


def _before(change: Change, item: Loosening, ends: Sequence[datetime]) -> Change:
    """The same, no later than the grants end: the same instants by Redis's clock."""
    behind = item.deadline - item.deadline_db
    return replace(change, deadline=min([item.deadline, *(end + behind for end in ends)]))


async def _replies(
    means: Means, sent: Sequence[Loosening], changes: Sequence[Change]
) -> Sequence[Refusal | None]:
    if not changes:
        return ()
    try:
        replies = await means.redis.commit_all(changes)
    except StoreUnreachable as error:
        if error.maybe_applied:
            raise Doubt(str(error)) from error
        return [error.refusal] * len(sent)
    return [_verdict(item, reply) for item, reply in zip(sent, replies, strict=True)]


def _verdict(item: Loosening, reply: CommitReply | Refused) -> Refusal | None:
    if isinstance(reply, StoreUnreachable):
        if reply.maybe_applied:
            raise Doubt(str(reply)) from reply
        return reply.refusal
    if isinstance(reply, Refused):
        raise reply
    if reply.ok:
        return None
    code, why = _REPLY_CODES.get(reply.why, (Code.VOID, f"Redis refused it ({reply.why})."))
    return Refusal(code, f"{item.breaker_id} was not changed: {why}", "Look at it again and decide anew.")
