"""The one way in which anything is loosened: intent durable, evidence written, compare-and-set, outcome.
A smaller size share goes the same way; being a tightening it does not wait for the evidence store (I6).

Each step is safe to die after: a successor finds the intent and either finishes or voids it (`recovery`).
A reply that got lost is not guessed at: `Doubt` ends the term, since only a new one can tell for sure.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import LockedHead, NewEntry, append_all
from backends.evidence import EvidenceConflict, EvidenceUnavailable
from backends.signing import SigningKey
from cockpit.authority import faults
from cockpit.authority.batches import apart
from cockpit.authority.compare_and_set import TOGETHER, BatchCheck, Pending, set_all
from cockpit.authority.entries import new_entry
from cockpit.authority.loosening import APPENDED, Loosening, fits
from cockpit.authority.means import CHANGE, Doubt, Means, tell
from cockpit.authority.recovery import CommitRow, draft_outcomes, record_outcomes
from cockpit.authority.size_share import limits_in_force
from cockpit.authority.words import WORDS
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import SIZED, TIGHTENING, Transition

EVIDENCE_TIMEOUT_S: Final = 5.0  # for one object; a batch has a hundredth of it more for each
_INTENT: Final = """
WITH marked AS (UPDATE requests SET status = 'committing' WHERE request_id = ANY ($12::uuid[]))
INSERT INTO commits (commit_id, request_id, breaker_id, transition, redis_run_id, counter, term, document,
                     deadline, intent_seq, context)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one loosening. `audit_seq` is its outcome's entry."""

    applied: bool
    audit_seq: int
    refusal: Refusal | None = None


async def commit(means: Means, loosening: Loosening) -> Result:
    """Commit one loosening.

    Raises:
        Refused: its guard refused; nothing was recorded.
        Doubt: whether it was applied is not known; the term must end.
        Fenced: the term has ended.
    """
    return (await commit_all(means, [loosening]))[0]


async def commit_all(
    means: Means, batch: Sequence[Loosening], recheck: BatchCheck | None = None
) -> list[Result]:
    """Commit several, in order, with one transaction for all intents and one for all outcomes. A batch either
    loosens or tightens; it is kept to some hundreds, since the lease cannot be renewed during a transaction.
    `recheck` is asked of some at a time, just before their compare-and-sets."""
    for item in batch:  # whatever made it: nothing but what the tables allow is ever recorded
        fits(item.breaker_id, item.transition, item.document.state)
    names: set[BreakerId] = {item.breaker_id for item in batch}
    means.in_flight |= names
    try:
        results = await _steps(means, batch, recheck)
    except Doubt:
        means.over = True
        raise
    except Exception:  # not begun, whatever it was: nobody else may find these breakers busy for ever
        means.in_flight -= names
        raise
    means.in_flight -= names
    means.anchor_due = True
    await means.fault(faults.AFTER_OUTCOME)
    return results


async def _steps(means: Means, batch: Sequence[Loosening], recheck: BatchCheck | None) -> list[Result]:
    await means.fault(faults.BEFORE_INTENT)
    rows = await _intents(means, batch)
    try:
        await means.fault(faults.AFTER_INTENT)
        blocked = await _evidence(means, [item for item in batch if item.transition not in TIGHTENING])
        await means.fault(faults.AFTER_EVIDENCE)
        overtaken = await _overtaken(means, batch)
        pending = [
            Pending(item, row.intent_seq, blocked or overtaken.get(item.commit_id))
            for item, row in zip(batch, rows, strict=True)
        ]
        verdicts = await set_all(means, pending, recheck)
        await means.fault(faults.AFTER_SET)
        return await _outcomes(means, rows, verdicts)
    except Doubt:
        raise
    except Exception as error:  # an intent stands: whatever went wrong, only a new term can settle it
        raise Doubt(f"{batch[0].transition.value} of {batch[0].breaker_id}: {error}") from error


async def _intents(means: Means, batch: Sequence[Loosening]) -> list[CommitRow]:
    """Record the intents. Evidence that is not waited for is kept to be written before they are: no head may
    be signed over an entry whose evidence is neither written nor outstanding."""
    later = {item.proof.key: item.evidence for item in batch if item.transition in TIGHTENING}
    means.backlog.update(later)
    try:
        return await _record_intents(means, batch)
    except BaseException:
        for key in later:
            means.backlog.pop(key, None)
        raise


async def _record_intents(means: Means, batch: Sequence[Loosening]) -> list[CommitRow]:
    drafted = await apart(len(batch), lambda: [_drafted(means.key, item) for item in batch])
    async with means.pool.acquire() as connection, connection.transaction():
        locked: LockedHead | None = await means.lease.check_and_lock(connection)
        for item in batch:
            if item.guard and await item.guard(connection) is APPENDED:
                locked = None
        entries = await append_all(connection, [new for new, _, _ in drafted], locked)
        rows = [
            CommitRow(item.commit_id, item.breaker_id, item.transition, item.raw, entry.seq, context)
            for item, entry, (_, context, _) in zip(batch, entries, drafted, strict=True)
        ]
        arguments = [
            _columns(means, item, row, text)
            for item, row, (_, _, text) in zip(batch, rows, drafted, strict=True)
        ]
        await connection.executemany(_INTENT, arguments)
    return rows


def _drafted(key: SigningKey, item: Loosening) -> tuple[NewEntry, Mapping[str, Any], str]:
    action, context = WORDS[item.transition].intent, item.context()
    entry = new_entry(key, item.author, action, item.commit_id, item.breaker_id, item.details, item.proof)
    return entry, context, json.dumps(context)


def _columns(means: Means, item: Loosening, row: CommitRow, context: str) -> tuple[object, ...]:
    """The arguments of `_INTENT`."""
    return (
        item.commit_id,
        item.request_ids[0] if item.request_ids else None,
        item.breaker_id,
        item.transition.value,
        item.document.epoch.run_id,
        item.document.epoch.counter,
        means.lease.term,
        item.raw.decode(),
        item.deadline_db,
        row.intent_seq,
        context,
        list(item.request_ids),
    )


async def _overtaken(means: Means, batch: Sequence[Loosening]) -> dict[str, Refusal]:
    """Documents that would let through more than a limit, or a budget, that came in meanwhile. The genesis
    grant is given only once, so it is not voided for that: a limit follows it."""
    followed = (*TIGHTENING, Transition.GENESIS)
    sized = [item for item in batch if item.document.state in SIZED and item.transition not in followed]
    if not sized:
        return {}
    async with means.pool.acquire() as connection:
        in_force = await limits_in_force(connection)
    found = {}
    for item in sized:
        lifts = str(item.extra.get("lifts", ""))
        size = means.sizes.size(item.breaker_id, in_force, without=lifts)
        if item.document.size_share > size.share(item.document.state, means.limits):
            why = f"The order size of {item.breaker_id} was limited meanwhile: {size.words}."
            found[item.commit_id] = Refusal(Code.VOID, why, "Look at it again and decide anew.")
    return found


async def _evidence(means: Means, batch: Sequence[Loosening]) -> Refusal | None:
    """Write every evidence object; why not, where one cannot be written."""
    if not batch:
        return None
    try:
        async with asyncio.timeout(EVIDENCE_TIMEOUT_S * (1 + len(batch) / 100)):
            for first in range(0, len(batch), TOGETHER):
                part = batch[first : first + TOGETHER]
                await means.evidence.put_all_new({item.proof.key: item.evidence for item in part})
    except (EvidenceUnavailable, EvidenceConflict, TimeoutError) as error:
        means.health.evidence_ok = False
        why = str(error) or "no answer in time"
        return Refusal(
            Code.EVIDENCE,
            f"The evidence could not be written: {why}.",
            "Mend the evidence store, then ask again.",
        )
    means.health.evidence_ok = True
    return None


async def _outcomes(
    means: Means, rows: Sequence[CommitRow], verdicts: Sequence[Refusal | None]
) -> list[Result]:
    drafted = await draft_outcomes(means.key, rows, verdicts)
    async with means.transaction() as connection:
        seqs = await record_outcomes(connection, means.key, drafted)
        await tell(connection, CHANGE)
    return [Result(refusal is None, seq, refusal) for refusal, seq in zip(verdicts, seqs, strict=True)]
