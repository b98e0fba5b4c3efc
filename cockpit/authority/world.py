"""Redis as the authority reads it: raw bytes of all breakers and switches, and what the epoch rule makes of
them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backends.redis_authority import AuthorityRedis, AuthorityView
from backends.signing import KeyRing, read_document
from cockpit.authority.batches import INLINE
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Document, MalformedDocument, Reading, parse_counter, read_breaker
from cockpit.domain.legacy import legacy_agrees
from cockpit.domain.states import State

Parsed = Document | MalformedDocument | None
KNOWN_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class World:
    """One reading. `view` holds the raw bytes, which a compare-and-set pins; `now` is Redis's clock. Readings
    of one term with the same `stamp` hold the same counters and documents of the same server, byte for
    byte."""

    view: AuthorityView
    readings: Mapping[BreakerId, Reading]
    legacy_ok: bool
    stamp: int = 0

    @property
    def run_id(self) -> str:
        return self.view.run_id

    @property
    def now(self) -> datetime:
        return self.view.server_time

    def counter(self, breaker_id: BreakerId) -> int | None:
        return parse_counter(self.view.counters.get(breaker_id))

    def document(self, breaker_id: BreakerId) -> Document | None:
        """The breaker's document whatever its epoch; None where none is well-formed and signed."""
        return self.readings[breaker_id].document


class WorldReader:
    """Reads all of Redis's breakers; a document is parsed and verified once for its bytes."""

    def __init__(self, redis: AuthorityRedis, catalogue: Catalogue, keyring: KeyRing) -> None:
        self._redis = redis
        self._catalogue = catalogue
        self._keyring = keyring
        self._parsed: dict[bytes, Parsed] = {}
        self._last: AuthorityView | None = None
        self._stamp = 0
        self._readings: dict[BreakerId, Reading] = {}

    async def read(self) -> World:
        """One round trip.

        Raises:
            StoreUnreachable: Redis does not answer.
        """
        view = await self._redis.read_all()
        changed = self._changed(view)
        if await self._parsed_apart({view.documents[name] for name in changed}):
            changed = self._changed(view)  # another reading may have come meanwhile
        self._stamp += bool(changed)
        readings = dict(self._readings)
        for name in {*changed, *self._probing()}:
            readings[name] = read_breaker(
                name,
                self._parse(view.documents[name]),
                parse_counter(view.counters[name]),
                view.run_id,
                view.server_time,
                self._catalogue.ancestors(name),
            )
        self._last, self._readings = view, readings
        own = readings[GLOBAL]
        agrees = own.doubt is None and legacy_agrees(view.legacy, own.document)
        return World(view, readings, agrees, self._stamp)

    async def _parsed_apart(self, raws: Set[bytes | None]) -> bool:
        """Parse new documents in a thread where they are many; whether they were."""
        new = [raw for raw in raws if raw is not None and raw not in self._parsed]
        if len(new) <= INLINE:
            return False
        found = await asyncio.to_thread(lambda: {raw: read_document(raw, self._keyring) for raw in new})
        if len(found) + len(self._parsed) > KNOWN_BYTES:
            self._parsed.clear()
        self._parsed |= found
        return True

    def _changed(self, view: AuthorityView) -> Collection[BreakerId]:
        """What has other bytes than last time, or stands on another server. Comparing bytes is what makes
        thousands of switches cheap, ten times a second."""
        last = self._last
        if last is None or last.run_id != view.run_id:
            return self._catalogue.everything
        counters = {
            name
            for (name, now), before in zip(view.counters.items(), last.counters.values(), strict=True)
            if now != before
        }
        documents = {
            name
            for (name, now), before in zip(view.documents.items(), last.documents.values(), strict=True)
            if now != before
        }
        return counters | documents

    def _probing(self) -> Collection[BreakerId]:
        """Probe runs, which end by the server's clock."""
        return [
            name
            for name, reading in self._readings.items()
            if reading.document is not None and reading.document.state is State.HALF_OPEN
        ]

    def _parse(self, raw: bytes | None) -> Parsed:
        if raw is None:
            return None
        if raw not in self._parsed:
            if len(self._parsed) > KNOWN_BYTES:
                self._parsed.clear()
            self._parsed[raw] = read_document(raw, self._keyring)
        return self._parsed[raw]
