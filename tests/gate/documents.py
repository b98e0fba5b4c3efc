"""Writes what the authority would write, straight into Redis, and then some that it never would."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import uuid4

from redis.asyncio import Redis

from backends.signing import SigningKey, canonical, sign_document
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.legacy import legacy_fields
from cockpit.domain.states import State

CATALOGUE: Final = Catalogue.build(
    components=["execution", "ingest"],
    instruments=["BTC-USD", "ETH-USD"],
    strategies=["momentum", "market-making"],
)
BTC: Final = BreakerId("instrument:BTC-USD")
ETH: Final = BreakerId("instrument:ETH-USD")
MOMENTUM: Final = BreakerId("strategy:momentum")
EXECUTION: Final = BreakerId("component:execution")
LEGACY: Final = "circuit_breaker:state"


class Author:
    """Holds the authority's key and the server's run id at the time it was made."""

    def __init__(self, redis: Redis, run_id: str) -> None:
        self.redis = redis
        self.run_id = run_id
        self.key = SigningKey.generate()
        self.keys = {self.key.key_id: self.key.public_b64}

    @classmethod
    async def of(cls, redis: Redis) -> Author:
        return cls(redis, str((await redis.info("server"))["run_id"]))

    def document(self, name: BreakerId, state: State, counter: int = 1) -> Document:
        now = datetime.now(UTC)
        return Document(
            breaker_id=name,
            state=state,
            epoch=Epoch(self.run_id, counter),
            ancestors=CATALOGUE.ancestors(name),
            version=1,
            actor="authority",
            reason="operational",
            notes="written by a test of the gate",
            event_id=str(uuid4()),
            issued_at=now,
            run_deadline=now + timedelta(minutes=2) if state is State.HALF_OPEN else None,
            quiet_until=now + timedelta(minutes=5) if state is State.QUIET_PERIOD else None,
            size_share=Decimal("0.25") if state is State.QUIET_PERIOD else Decimal(1),
        )

    def signed(self, document: Document) -> bytes:
        return sign_document(replace(document, key_id=self.key.key_id), self.key)

    def legacy(self, document: Document) -> bytes:
        return canonical(legacy_fields(document, None))

    async def write(self, name: BreakerId, state: State, counter: int = 1) -> bytes:
        """A faithful document with its counter, and the mirror where it is the global one."""
        document = self.document(name, state, counter)
        raw = self.signed(document)
        await self.redis.set(f"trip:{name}", counter)
        await self.redis.set(f"breaker:{name}", raw)
        if name == GLOBAL:
            await self.redis.set(LEGACY, self.legacy(document))
        return raw

    async def close_all(self, names: Iterable[BreakerId] = CATALOGUE.everything) -> None:
        for name in names:
            await self.write(name, State.CLOSED)


def altered(raw: bytes, **changes: object) -> bytes:
    """The same document with other values under the old signature."""
    return canonical(json.loads(raw) | changes)
