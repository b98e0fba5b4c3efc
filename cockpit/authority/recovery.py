"""The outcome of an intent, written by whoever finds it: the one that committed, or its successor.

A successor first takes its term in Redis, so that nothing of an older term can be applied any more; then
Redis either holds exactly the intent's document, or never will.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import append
from backends.signing import SigningKey
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
  FROM commits WHERE status = 'intent' ORDER BY intent_seq
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
    """Finish or void every open intent; how many there were. Needs this term to be taken in Redis."""
    async with means.transaction() as connection:
        found = await connection.fetch(_OPEN)
        for row in found:
            item = CommitRow(
                row["commit_id"],
                BreakerId(row["breaker_id"]),
                Transition(row["transition"]),
                row["document"].encode(),
                row["intent_seq"],
                json.loads(row["context"]),
            )
            if world.view.documents.get(item.breaker_id) == item.raw:
                await record_applied(connection, means.key, item)
            else:
                why = "The authority was interrupted before it could be applied."
                await record_void(connection, means.key, item, Refusal(Code.VOID, why, "Ask again."))
        if found:
            await tell(connection, CHANGE)
    return len(found)


async def record_applied(connection: Any, key: SigningKey, row: CommitRow) -> int:
    """Write the outcome entry and all that follows from it; its sequence number."""
    document, _ = parse_document(row.raw)
    entry = await append(
        connection,
        new_entry(
            key,
            author_of(row.context["author"]),
            WORDS[row.transition].outcome,
            row.commit_id,
            row.breaker_id,
            {**row.context["details"], "intent_seq": row.intent_seq},
            row.proof,
        ),
    )
    await connection.execute(_DECIDED, row.commit_id, "applied", entry.seq)
    await _note_breaker(connection, row, document)
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
        audit_seq=entry.seq,
        redis=True,
        postgres=True,
    )
    for request_id in row.context["request_ids"]:
        await record_outcome(connection, request_id, "done", outcome, entry.seq)
    return entry.seq


async def record_void(connection: Any, key: SigningKey, row: CommitRow, refusal: Refusal) -> int:
    """Write that an intent came to nothing; the entry's sequence number."""
    entry = await append(
        connection,
        new_entry(
            key,
            author_of(row.context["author"]),
            WORDS[row.transition].void,
            row.commit_id,
            row.breaker_id,
            {
                **row.context["details"],
                "intent_seq": row.intent_seq,
                "code": refusal.code.value,
                "why": refusal.message,
            },
        ),
    )
    await connection.execute(_DECIDED, row.commit_id, "void", entry.seq)
    if run_id := row.context["extra"].get("run_id"):
        await connection.execute(_RUN_VOID, run_id)
    await connection.execute(_RUN_FREED, row.commit_id)
    outcome = refused(row.breaker_id, refusal, row.commit_id)
    for request_id in row.context["request_ids"]:
        await record_outcome(connection, request_id, "void", outcome, entry.seq, refusal.code)
    return entry.seq


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


async def _note_breaker(connection: Any, row: CommitRow, document: Document) -> None:
    await connection.execute(
        _BREAKER,
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
