"""What the acting authority works with during one term."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from backends.evidence import Evidence
from backends.redis_authority import AuthorityRedis
from backends.signing import KeyRing, SigningKey
from cockpit.authority.chain import ChainGuard
from cockpit.authority.faults import Fault, no_fault
from cockpit.authority.lease import Lease
from cockpit.authority.objectives import Objectives
from cockpit.authority.size_share import Sizes
from cockpit.authority.status import Health
from cockpit.authority.world import WorldReader
from cockpit.config import Settings
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.limits import Limits

CHANGE: Final = "cockpit_change"
OUTCOME: Final = "cockpit_outcome"


class Doubt(Exception):
    """A step may or may not have happened. Only a new term, which fences the old one, can tell."""


@dataclass(slots=True)
class Means:
    """Stores, keys and the lease of one term.

    `in_flight` are the breakers between an intent and its outcome, `in_hand` the requests that are being
    decided, with their logins; `loosening` lets one loosening after the
    other be decided; `backlog` holds evidence objects of trips that the evidence store has not taken yet.
    """

    settings: Settings
    pool: Any
    redis: AuthorityRedis
    evidence: Evidence
    key: SigningKey
    keyring: KeyRing
    lease: Lease
    reader: WorldReader
    chain: ChainGuard
    health: Health
    objectives: Objectives
    sizes: Sizes
    fault: Fault = no_fault
    in_flight: set[BreakerId] = field(default_factory=set)
    in_hand: dict[str, str] = field(default_factory=dict)
    loosening: asyncio.Lock = field(default_factory=asyncio.Lock)
    backlog: dict[str, bytes] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    anchor_due: bool = False
    legacy_judged: frozenset[bytes | None] = (
        frozenset()
    )  # the legacy key's value that the watch has looked at
    hurried_until: float = 0.0  # by this process's clock: until then no trip waits for a guard's record
    over: bool = False  # a doubt has ended the term: nothing more is written

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` beside the loop, which raises what it raised."""
        self.tasks.add(asyncio.create_task(work, name=name))

    def raise_failures(self) -> None:
        """Raise what a finished task raised.

        Raises:
            Doubt, Fenced: the term must end.
        """
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            task.result()

    @property
    def catalogue(self) -> Catalogue:
        return self.settings.catalogue

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A READ COMMITTED transaction that belongs to this term: fenced, it fails.

        Raises:
            Fenced: the term is over.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            await self.lease.check(connection)
            yield connection


async def tell(connection: Any, channel: str, payload: str = "") -> None:
    """NOTIFY at the transaction's commit."""
    await connection.execute("SELECT pg_notify($1, $2)", channel, payload)
