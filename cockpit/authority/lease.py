"""Who acts: a leased row with a term that fences every write.

A session's advisory lock would not do: a stopped holder keeps its session, and any login may take one. The
term is checked inside each of our Postgres transactions and by the compare-and-set in Redis, so that a holder
which slept through its lease can change nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import LockedHead

LEASE_S: Final = 5.0
RENEW_S: Final = 1.0

_TAKE: Final = """
INSERT INTO authority_lease (holder, term, renewed_at, expires_at)
VALUES ($1, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (only_row) DO UPDATE
   SET holder = $1, term = authority_lease.term + 1, renewed_at = clock_timestamp(),
       expires_at = clock_timestamp() + make_interval(secs => $2)
 WHERE authority_lease.expires_at <= clock_timestamp() OR authority_lease.holder = $1
RETURNING term
"""
_RENEW: Final = """
UPDATE authority_lease
   SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => $3), status = $4
 WHERE holder = $1 AND term = $2
RETURNING term
"""
_RELEASE: Final = """
UPDATE authority_lease SET expires_at = clock_timestamp() WHERE holder = $1 AND term = $2
"""
# FOR SHARE holds a take-over back until this transaction has ended: what it writes belongs to its term.
_CHECK: Final = """
SELECT 1 FROM authority_lease
 WHERE holder = $1 AND term = $2 AND expires_at > clock_timestamp() FOR SHARE
"""


# The same together with the lock of the chain's head, whose clock is read once the lock is held.
_CHECK_AND_LOCK: Final = """
WITH locked AS MATERIALIZED (
     SELECT h.seq, h.chain_hash FROM audit_head h, authority_lease l
      WHERE l.holder = $1 AND l.term = $2 AND l.expires_at > clock_timestamp()
        FOR SHARE OF l FOR UPDATE OF h)
SELECT seq, chain_hash, clock_timestamp() AS now FROM locked
"""


class Fenced(Exception):
    """Another authority acts, or this one's lease has run out: nothing more may be written in this term."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One term of one holder. `holder` names the process for people: host, process id and start."""

    holder: str
    term: int

    async def check(self, connection: Any) -> None:
        """Bind the caller's transaction to this term.

        Raises:
            Fenced: the term is over.
        """
        if await connection.fetchval(_CHECK, self.holder, self.term) is None:
            raise Fenced(f"term {self.term} is over")

    async def check_and_lock(self, connection: Any) -> LockedHead:
        """`check`, and the chain's head locked for this transaction's entries, in one round trip.

        Raises:
            Fenced: the term is over.
        """
        row = await connection.fetchrow(_CHECK_AND_LOCK, self.holder, self.term)
        if row is None:
            raise Fenced(f"term {self.term} is over")
        return LockedHead(**row)

    async def renew(self, connection: Any, status: Mapping[str, object]) -> None:
        """Extend the lease and publish `status`.

        Raises:
            Fenced: the term is over.
        """
        text = json.dumps(status)
        if await connection.fetchval(_RENEW, self.holder, self.term, LEASE_S, text) is None:
            raise Fenced(f"term {self.term} is over")

    async def release(self, connection: Any) -> None:
        """Let a standby act at once."""
        await connection.execute(_RELEASE, self.holder, self.term)


async def take_lease(connection: Any, holder: str) -> Lease | None:
    """The next term, or None while another holder's lease runs. A holder that asks again gets a new term."""
    term = await connection.fetchval(_TAKE, holder, LEASE_S)
    return None if term is None else Lease(holder, term)
