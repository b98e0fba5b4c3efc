"""Redis as the authority reads it: raw bytes of all breakers, and what the epoch rule makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backends.redis_authority import AuthorityRedis, AuthorityView
from backends.signing import KeyRing, read_document
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.documents import Document, MalformedDocument, Reading, parse_counter, read_breaker
from cockpit.domain.legacy import legacy_agrees

Parsed = Document | MalformedDocument | None
KNOWN_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class World:
    """One reading. `view` holds the raw bytes, which a compare-and-set pins; `now` is Redis's clock."""

    view: AuthorityView
    readings: Mapping[BreakerId, Reading]
    legacy_ok: bool

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

    async def read(self) -> World:
        """One round trip.

        Raises:
            StoreUnreachable: Redis does not answer.
        """
        view = await self._redis.read_all()
        readings = {
            name: read_breaker(
                name,
                self._parse(view.documents.get(name)),
                parse_counter(view.counters.get(name)),
                view.run_id,
                view.server_time,
                self._catalogue.ancestors(name),
            )
            for name in self._catalogue.ids
        }
        own = readings[GLOBAL]
        agrees = own.doubt is None and legacy_agrees(view.legacy, own.document)
        return World(view, readings, agrees)

    def _parse(self, raw: bytes | None) -> Parsed:
        if raw is None:
            return None
        if raw not in self._parsed:
            if len(self._parsed) > KNOWN_BYTES:
                self._parsed.clear()
            self._parsed[raw] = read_document(raw, self._keyring)
        return self._parsed[raw]
