"""The cockpit's side of Redis: reading every breaker, tripping one, waiting for events.

Three connections, so that a trip never waits behind a reading and a blocked read stops neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from backends.breaker_readings import Readings
from backends.redis_connection import TIMEOUT_S, Line
from backends.redis_replies import (
    EVENTS_KEY,
    HISTORY_KEY,
    LEGACY_KEY,
    REDIS,
    Reply,
    checked,
    counter_key,
    document_key,
    server_run_id,
    server_time,
)
from backends.signing import KeyRing
from backends.stream_events import parse_events, parse_streams
from backends.trip_exchange import (
    Command,
    event_fields,
    read_trip,
    trip_commands,
)
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.commands import SignedCommand
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.snapshots import BreakerSnapshot, StreamEvent, TripReceipt

EVENTS_SHOWN: Final = 20
EVENTS_PAUSE_S: Final = 30.0
BATCH: Final = 100


class RedisStore:
    """Redis with one person's login.

    Every method may raise `StoreUnreachable` (`StoreCannotWrite` where it answers but takes no writes) and
    `Refused` (the login lacks the right). Nothing is ever sent twice.
    """

    def __init__(
        self, url: str, catalogue: Catalogue, keyring: KeyRing, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._reads, self._trips, self._events = (Line(url, timeout_s) for _ in range(3))
        self._catalogue = catalogue
        self._readings = Readings(catalogue, keyring)
        self._login = ""
        keys = [
            name(breaker_id) for name in (counter_key, document_key) for breaker_id in catalogue.everything
        ]
        self._values: Command = ("MGET", *keys, LEGACY_KEY)
        self._events_paused_until = 0.0

    async def connect(self) -> None:
        """Open the connections that a trip and a reading use, so that the first trip does not pay for it."""
        await self._trips.command("PING")
        await self.whoami()

    async def close(self) -> None:
        for line in (self._reads, self._trips, self._events):
            await line.close()

    async def whoami(self) -> str:
        """The login as the server names it."""
        self._login = _text(await self._reads.command("ACL", "WHOAMI"))
        return self._login

    async def ping(self) -> float:
        """One round trip, in milliseconds."""
        begin = time.perf_counter()
        await self._trips.command("PING")
        return (time.perf_counter() - begin) * 1_000

    async def snapshot(self) -> BreakerSnapshot:
        """Every breaker and switch under the epoch rule, in one round trip.

        One MGET reads all values at one instant. A MULTI around it would add nothing, and a full Redis
        refuses even reads inside one. The clock is read after the values, which can only end a probe run.

        The stream, to which whoever may trip may add anything of any size, is left out for half a minute
        after a reading that got no answer in time: it may have been the cause.
        """
        paused = time.monotonic() < self._events_paused_until
        newest, oldest = ("0-1", "0-1") if paused else ("+", "-")
        try:
            replies = await self._reads.exchange(
                self._values,
                ("INFO", "server"),
                ("TIME",),
                ("XREVRANGE", EVENTS_KEY, newest, oldest, "COUNT", EVENTS_SHOWN),
            )
        except StoreUnreachable:
            self._events_paused_until = time.monotonic() + EVENTS_PAUSE_S
            raise
        values, info, now, stream = replies
        if not isinstance(checked(values), list):
            raise StoreUnreachable(REDIS, "MGET answered nonsense")
        events, note = parse_events(stream)
        if paused:
            note = "event stream left out after a reading without an answer"
        return await self._readings.read(values, server_run_id(info), server_time(now), events, note)

    async def trip(self, breaker_id: BreakerId, signed: SignedCommand, event_id: str) -> TripReceipt:
        """INCR the breaker's counter and add the event. Not idempotent: each call is one more epoch.

        Raises:
            UnknownBreaker: not in the catalogue (an INCR of a mistyped name would succeed and halt nothing).
        """
        self._catalogue.known(breaker_id)
        at = rfc3339(datetime.now(UTC))
        fields = event_fields(event_id, breaker_id, "TRIP", self._login, at, signed)
        return await apply_trip(self._trips, breaker_id, fields)

    async def wait_events(self, last_id: str, timeout_s: float) -> list[StreamEvent]:
        """Entries after `last_id` (`0-0`: all, `$`: new ones), oldest first; empty after `timeout_s`. Only a
        hint to read again. Where the stream was rebuilt and its ids restarted, it is read from its start."""
        return await read_events(self._events, last_id, timeout_s)

    async def history(self, breaker_id: BreakerId | None, count: int) -> list[dict[str, object]]:
        """At most `count` transitions of one breaker (None: of all), newest first.

        One breaker's are picked out of the newest 2,000.
        """
        wanted = count if breaker_id is None else 2_000
        raw = await self._reads.command("ZREVRANGE", HISTORY_KEY, 0, wanted - 1)
        members = [member for member in map(_member, raw) if member is not None]
        return [member for member in members if breaker_id in (None, member.get("breaker_id"))][:count]


async def apply_trip(line: Line, breaker_id: BreakerId, fields: Mapping[str, str | bytes]) -> TripReceipt:
    """One trip on `line`, sent once.

    Raises:
        Refused, StoreUnreachable, StoreCannotWrite: not applied, or (`maybe_applied`) not known.
    """
    return read_trip(await line.exchange(*trip_commands(breaker_id, fields)))


async def read_events(line: Line, last_id: str, timeout_s: float) -> list[StreamEvent]:
    """XREAD BLOCK after `last_id`, or from the start where the newest entry is older than `last_id`.

    Raises:
        Refused, StoreUnreachable: the stream cannot be read.
    """
    newest, _note = parse_events(await line.command("XREVRANGE", EVENTS_KEY, "+", "-", "COUNT", 1))
    restarted = bool(newest) and last_id != "$" and _order(newest[0].entry_id) < _order(last_id)
    block_ms = max(1, int(timeout_s * 1_000))
    reply = await line.command(
        "XREAD", "COUNT", BATCH, "BLOCK", block_ms, "STREAMS", EVENTS_KEY, "0-0" if restarted else last_id,
        timeout_s=timeout_s + 2,
    )  # fmt: skip
    return parse_streams(reply)


def _order(entry_id: str) -> tuple[int, int]:
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)


def _text(reply: Reply) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _member(raw: bytes) -> dict[str, object] | None:
    """A history member; None for one that the authority cannot have written."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
