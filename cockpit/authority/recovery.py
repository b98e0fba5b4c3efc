"""The outcome of an intent, written by whoever finds it: the one that committed, or its successor.

A successor first takes its term in Redis, so that nothing of an older term can be applied any more; then
Redis either holds exactly the intent's document, or never will.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import NewEntry, append, append_all
from backends.signing import SigningKey
from cockpit.authority.batches import BATCH, apart
from cockpit.authority.decisions import record_outcome
from cockpit.authority.entries import Author, Proof, author_of, new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.words import WORDS
from cockpit.authority.world import World
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Document, parse_document
from cockpit.domain.refusals import Code, Refusal
from cockpit.domain.states import Transition
from cockpit.operations.outcomes import Outcome, refused

_OPEN: Final = """
SELECT commit_id::text, breaker_id, transition, document, intent_seq, context
  FROM commits WHERE status = 'intent' ORDER BY intent_seq LIMIT $1
"""
_DECIDED: Final = (
    "UPDATE commits SET status = $2, outcome_seq = $3 WHERE commit_id = $1 AND status = 'intent'"
)
_BREAKER: Final = """
UPDATE breakers
   SET redis_run_id = $2, counter = $3, document = $4, state = $5,
       since = CASE WHEN $11 THEN since ELSE clock_timestamp() END, actor = $6,
       reason = $7, notes = $8, event_id = $9, quiet_until = $10, review_due_at = NULL,
       updated_at = clock_timestamp()
 WHERE breaker_id = $1 AND (redis_run_id IS DISTINCT FROM $2 OR counter <= $3)
"""
_PASSED: Final = """
UPDATE probe_runs SET status = 'passed', passed = $2, verdict = $3, close_until = $4,
       decided_at = clock_timestamp()
 WHERE run_id = $1 AND status = 'running'
"""
# A run that was not applied is over: its time has come, so that it is judged absent and trips again.
_RUN_VOID: Final = (
    "UPDATE probe_runs SET deadline = clock_timestamp() WHERE run_id = $1 AND status = 'running'"
)
_SAME_STATE: Final = frozenset({Transition.LIMIT, Transition.LIFT})
_RUN_FREED: Final = "UPDATE probe_runs SET used_by = NULL WHERE used_by = $1"


_LIFTED: Final = """
UPDATE size_limits SET lifted_at = clock_timestamp(), lifted_by = $2
 WHERE limit_id = $1::uuid AND breaker_id = $3 AND lifted_at IS NULL RETURNING share
"""


@dataclass(frozen=True, slots=True)
class CommitRow:
    """One row of `commits`. `context` is that of `Loosening.context`."""

    commit_id: str
    breaker_id: BreakerId
    transition: Transition
    raw: bytes
    intent_seq: int
    context: Mapping[str, Any]

    @property
    def proof(self) -> Proof:
        return Proof(**self.context["proof"])


async def settle_intents(means: Means, world: World) -> int:
    """Finish or void every open intent, some hundreds to a transaction; how many there were. Needs this term
    to be taken in Redis."""
    settled = 0
    while True:
        async with means.pool.acquire() as connection:
            found = await connection.fetch(_OPEN, BATCH)
        if not found:
            return settled
        rows = [
            CommitRow(
                row["commit_id"],
                BreakerId(row["breaker_id"]),
                Transition(row["transition"]),
                row["document"].encode(),
                row["intent_seq"],
                json.loads(row["context"]),
            )
            for row in found
        ]
        why = "The authority was interrupted before it could be applied."
        verdicts = [
            None
            if world.view.documents.get(row.breaker_id) == row.raw
            else Refusal(Code.VOID, why, "Ask again.")
            for row in rows
        ]
        drafted = await draft_outcomes(means.key, rows, verdicts)
        async with means.transaction() as connection:
            await record_outcomes(connection, means.key, drafted)
            await tell(connection, CHANGE)
        settled += len(rows)


@dataclass(frozen=True, slots=True)
class DraftedOutcome:
    """What is to be recorded of one intent: applied, or void for `refusal`."""

    row: CommitRow
    document: Document
    refusal: Refusal | None
    entry: NewEntry


async def draft_outcomes(
    key: SigningKey, rows: Sequence[CommitRow], verdicts: Sequence[Refusal | None]
) -> Sequence[DraftedOutcome]:
    """Sign the outcomes; the verdict None is an applied one's."""
    pairs = list(zip(rows, verdicts, strict=True))
    return await apart(len(pairs), lambda: [_drafted(key, row, refusal) for row, refusal in pairs])


async def record_outcomes(
    connection: Any, key: SigningKey, drafted: Sequence[DraftedOutcome]
) -> Sequence[int]:
    """Write the outcomes' entries and all that follows from them; their sequence numbers."""
    entries = await append_all(connection, [each.entry for each in drafted])
    pairs = list(zip(drafted, [entry.seq for entry in entries], strict=True))
    decided = [(each.row.commit_id, "void" if each.refusal else "applied", seq) for each, seq in pairs]
    await connection.executemany(_DECIDED, decided)
    applied = [_noted(each.row, each.document) for each in drafted if each.refusal is None]
    if applied:
        await connection.executemany(_BREAKER, applied)
    freed = [(each.row.commit_id,) for each in drafted if each.refusal]
    if freed:
        await connection.executemany(_RUN_FREED, freed)
    for each, seq in pairs:
        if each.refusal is None:
            await _follow_applied(connection, key, each, seq)
        else:
            await _follow_void(connection, each.row, each.refusal, seq)
    return [seq for _, seq in pairs]


def _drafted(key: SigningKey, row: CommitRow, refusal: Refusal | None) -> DraftedOutcome:
    document, _ = parse_document(row.raw)
    words, details = WORDS[row.transition], {**row.context["details"], "intent_seq": row.intent_seq}
    if refusal:
        details |= {"code": refusal.code.value, "why": refusal.message}
    entry = new_entry(
        key,
        author_of(row.context["author"]),
        words.void if refusal else words.outcome,
        row.commit_id,
        row.breaker_id,
        details,
        None if refusal else row.proof,
    )
    return DraftedOutcome(row, document, refusal, entry)


async def _follow_applied(connection: Any, key: SigningKey, each: DraftedOutcome, seq: int) -> None:
    row, document = each.row, each.document
    extra = row.context["extra"]
    if row.transition is Transition.EXTEND_PROBES:
        await connection.execute(
            _PASSED, extra["run_id"], extra["passed"], extra["verdict"], document.run_deadline
        )
    if limit_id := extra.get("lifts"):
        await record_lifted(connection, key, author_of(row.context["author"]), limit_id, row.breaker_id)
    outcome = Outcome(
        row.breaker_id,
        "done",
        row.context["message"],
        state=document.state.value,
        epoch=document.epoch.counter,
        event_id=row.commit_id,
        evidence_link=row.proof.link,
        audit_seq=seq,
        redis=True,
        postgres=True,
    )
    for request_id in row.context["request_ids"]:
        await record_outcome(connection, request_id, "done", outcome, seq)


async def _follow_void(connection: Any, row: CommitRow, refusal: Refusal, seq: int) -> None:
    if run_id := row.context["extra"].get("run_id"):
        await connection.execute(_RUN_VOID, run_id)
    outcome = refused(row.breaker_id, refusal, row.commit_id)
    for request_id in row.context["request_ids"]:
        await record_outcome(connection, request_id, "void", outcome, seq, refusal.code)


async def record_lifted(
    connection: Any, key: SigningKey, author: Author, limit_id: str, breaker_id: BreakerId
) -> int | None:
    """Write that a person has ended a limit; the entry's sequence number, None where it was not in force."""
    share = await connection.fetchval(_LIFTED, limit_id, author.user_id, breaker_id)
    if share is None:
        return None
    payload = json.loads(author.payload)
    details = {"limit_id": limit_id, "share": share, "notes": payload["notes"]}
    entry = await append(
        connection,
        new_entry(key, author, Action.SIZE_LIMIT_LIFTED, payload["request_id"], breaker_id, details),
    )
    return entry.seq


def _noted(row: CommitRow, document: Document) -> tuple[object, ...]:
    """The arguments of `_BREAKER`."""
    return (
        row.breaker_id,
        document.epoch.run_id,
        document.epoch.counter,
        row.raw.decode(),
        document.state.value,
        document.actor,
        document.reason,
        document.notes,
        document.event_id,
        document.quiet_until,
        row.transition in _SAME_STATE,
    )
