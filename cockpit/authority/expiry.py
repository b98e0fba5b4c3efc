"""Requests that nobody served, and approvals that nobody gave, in time: one audit entry for each login."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from backends.audit_log import append
from cockpit.authority.decisions import record_outcome
from cockpit.authority.entries import ITSELF, new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.domain.audit import Action
from cockpit.domain.breakers import BreakerId
from cockpit.domain.refusals import Code, Refusal
from cockpit.operations.outcomes import refused

NAMED: Final = 20
# A trip never expires, nor does the record of what was done, nor a limit that is recorded. What only looks
# like one of these is looked at by itself, as everything else is.
_REQUESTS: Final = """
SELECT request_id::text, login, breaker_id, kind FROM requests
 WHERE status = 'new' AND request_id <> ALL ($1::uuid[]) AND payload !~ '"kind":"(trip|kill_step|cancel_all)"'
   AND NOT EXISTS (SELECT FROM size_limits WHERE limit_id = requests.request_id)
   AND submitted_at <= clock_timestamp() - make_interval(secs => $2)
 ORDER BY arrival
"""
_APPROVALS: Final = """
SELECT request_id::text, login, breaker_id, kind FROM requests
 WHERE status = 'awaiting_approval' AND expires_at <= clock_timestamp() ORDER BY arrival
"""
UNSERVED: Final = Refusal(
    Code.EXPIRED, "The request expired before the authority could decide it.", "Ask again if it still holds."
)
UNAPPROVED: Final = Refusal(Code.EXPIRED, "Nobody approved it in time.", "Ask again if it still holds.")


async def expire_requests(means: Means) -> int:
    """Expire what waited too long, all at once; how many there were."""
    async with means.transaction() as connection:
        rows = await connection.fetch(_REQUESTS, list(means.in_hand), means.limits.request_expiry_s)
        return await _expire(means, connection, rows, UNSERVED)


async def expire_approvals(means: Means) -> int:
    """The same for requests that await a second person."""
    async with means.pool.acquire() as connection:
        if not await connection.fetch(_APPROVALS):
            return 0
    async with means.transaction() as connection:
        return await _expire(means, connection, await connection.fetch(_APPROVALS), UNAPPROVED)


async def _expire(means: Means, connection: Any, rows: Sequence[Any], why: Refusal) -> int:
    by_login: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_login[row["login"]].append(row)
    for login, theirs in by_login.items():
        details = {
            "login": login,
            "count": len(theirs),
            "why": why.message,
            "requests": [row["request_id"] for row in theirs[:NAMED]],
        }
        entry = await append(
            connection,
            new_entry(means.key, ITSELF, Action.EXPIRED, theirs[0]["request_id"], "inbox", details),
        )
        for row in theirs:
            breaker_id = BreakerId(row["breaker_id"]) if row["breaker_id"] else None
            outcome = refused(breaker_id, why, row["request_id"])
            await record_outcome(
                connection, row["request_id"], "expired", outcome, entry.seq, why.code, row["kind"]
            )
    if rows:
        await tell(connection, CHANGE)
    return len(rows)
