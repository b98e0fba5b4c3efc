"""The authority's side of Redis: everything that changes a breaker goes through here.

Loosenings are one Lua compare-and-set each. A lost reply raises `StoreUnreachable(maybe_applied=True)`; the
caller reads the document again instead of repeating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from redis.exceptions import ResponseError

from backends.redis_changes import (
    AuthorityView,
    Change,
    CommitReply,
    Fields,
    HistoryEntry,
    Seen,
    Value,
    run,
    run_all,
)
from backends.redis_connection import Line, transaction
from backends.redis_facts import read_facts
from backends.redis_replies import (
    ACK_KEY,
    EVENTS_KEY,
    HISTORY_KEY,
    LEGACY_KEY,
    REDIS,
    TERM_KEY,
    checked,
    counter_key,
    document_key,
    info_fields,
    server_run_id,
    server_time,
)
from backends.redis_store import apply_trip, read_events
from backends.trip_exchange import Command
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.snapshots import StreamEvent, TripReceipt

__all__ = [
    "STREAM_LENGTH",
    "AuthorityRedis",
    "AuthorityView",
    "Change",
    "CommitReply",
    "Fields",
    "HistoryEntry",
    "Seen",
    "Value",
]

STREAM_LENGTH: Final = 10_000
EXCHANGE: Final = 200  # commands in one write: nobody else waits longer than a few milliseconds for them


class AuthorityRedis:
    """Redis with the authority's login. Every method may raise `StoreUnreachable` (`StoreCannotWrite` where
    the server answers but takes no writes) and `Refused` (a right is missing)."""

    def __init__(self, url: str, catalogue: Catalogue, gateways: Sequence[str] = ()) -> None:
        self._line, self._trips, self._events = Line(url), Line(url), Line(url)
        self._catalogue = catalogue
        self._gateways = tuple(gateways)
        names = [
            name(breaker_id) for name in (counter_key, document_key) for breaker_id in catalogue.everything
        ]
        acks = [ACK_KEY + name for name in self._gateways]
        self._values: Command = ("MGET", *names, LEGACY_KEY, TERM_KEY, *acks)

    async def connect(self) -> None:
        await self._line.command("PING")
        await self._trips.command("PING")

    async def close(self) -> None:
        for line in (self._line, self._trips, self._events):
            await line.close()

    async def run_id(self) -> str:
        return server_run_id(await self._line.command("INFO", "server"))

    async def time(self) -> datetime:
        """The server's clock, which judges every deadline."""
        return server_time(await self._line.command("TIME"))

    async def read_all(self) -> AuthorityView:
        """Everything in one round trip; one MGET reads all values at one instant."""
        replies = await self._line.exchange(
            self._values,
            ("INFO", "server"),
            ("TIME",),
            ("INFO", "server", "persistence", "replication", "memory"),
            ("CONFIG", "GET", "appendfsync"),
        )
        values, info, now, facts, appendfsync = map(checked, replies)
        if not isinstance(values, list):
            raise StoreUnreachable(REDIS, "MGET answered nonsense")
        ids = self._catalogue.everything
        size = len(ids)
        return AuthorityView(
            run_id=server_run_id(info),
            server_time=server_time(now),
            counters=dict(zip(ids, values[:size], strict=True)),
            documents=dict(zip(ids, values[size : 2 * size], strict=True)),
            legacy=values[2 * size],
            term=values[2 * size + 1],
            acks=dict(zip(self._gateways, values[2 * size + 2 :], strict=True)),
            facts=read_facts(info_fields(facts), appendfsync),
        )

    async def take_term(self, term: int) -> bool:
        """Fence every older holder. False where a newer term has been taken: stand down."""
        return (await run(self._line, "take_term", [TERM_KEY], [str(term)])).ok

    async def commit(
        self,
        seen: Seen,
        deadline: datetime,
        document: bytes,
        legacy: bytes | None,
        history: HistoryEntry,
        event: Fields,
    ) -> CommitReply:
        """The compare-and-set of one loosening, as `Change` has it."""
        change = Change(seen, deadline, document, legacy, history, event)
        return await run(self._line, "commit", *change.call())

    async def commit_all(self, changes: Sequence[Change]) -> list[CommitReply | Refused]:
        """Each its own compare-and-set, in order, in one round trip; what the server answers to one instead
        of a reply is among them.

        Raises:
            StoreUnreachable: no answer; `maybe_applied` where they had been sent.
        """
        return await run_all(self._line, "commit", [change.call() for change in changes])

    async def write_open_document(
        self, seen: Seen, document: bytes, legacy: bytes | None = None
    ) -> CommitReply:
        """Record why a breaker is OPEN. Applied only while its counter is the one seen (a later trip wins);
        a document that is not OPEN is refused."""
        return await run(self._line, "write_open", seen.keys(), [*seen.expected(), document, legacy or b""])

    async def mirror_legacy(self, seen: Seen, legacy: bytes) -> CommitReply:
        """Make `circuit_breaker:state` mirror the global document in `seen`, while that is unchanged.

        Raises:
            ValueError: `seen` is of another breaker.
        """
        if seen.breaker_id != GLOBAL:
            raise ValueError(f"only global is mirrored, not {seen.breaker_id}")
        return await run(self._line, "mirror_legacy", seen.keys(), [*seen.expected(), legacy])

    async def trip(self, breaker_id: BreakerId, event: Fields) -> TripReceipt:
        """INCR and event, as a person's trip; on its own connection."""
        return await apply_trip(self._trips, self._catalogue.known(breaker_id), event)

    async def raise_counter(self, breaker_id: BreakerId, by: int) -> int:
        """Raise a counter past what is known of it; returns its new value.

        Raises:
            ValueError: `by` would not raise it.
        """
        if by < 1:
            raise ValueError("a counter is only ever raised")
        return int(await self._trips.command("INCRBY", counter_key(self._catalogue.known(breaker_id)), by))

    async def raise_counters(self, by: Mapping[BreakerId, int]) -> None:
        """`raise_counter` of several, `EXCHANGE` to a round trip.

        Raises:
            ValueError: one would not be raised.
        """
        if any(each < 1 for each in by.values()):
            raise ValueError("a counter is only ever raised")
        commands: list[Command] = [
            ("INCRBY", counter_key(self._catalogue.known(name)), each) for name, each in by.items()
        ]
        for first in range(0, len(commands), EXCHANGE):
            for reply in await self._trips.exchange(*commands[first : first + EXCHANGE]):
                checked(reply)

    async def legacy(self) -> Value:
        """The bytes of `circuit_breaker:state` as they are now."""
        value: Value = await self._line.command("GET", LEGACY_KEY)
        return value

    async def add_history(self, entry: HistoryEntry) -> None:
        """Add one member; adding an equal one again changes nothing."""
        await self._line.command("ZADD", HISTORY_KEY, repr(entry.at.timestamp()), entry.member)

    async def add_event(self, event: Fields) -> None:
        """Add a stream entry.

        Raises:
            StoreUnreachable: among others where the stream takes no entry; `rebuild_stream` mends that.
        """
        flat = [part for pair in event.items() for part in pair]
        await self._line.command("XADD", EVENTS_KEY, "MAXLEN", "~", STREAM_LENGTH, "*", *flat)

    async def read_events(self, last_id: str, timeout_s: float) -> list[StreamEvent]:
        """As `RedisStore.wait_events`: at most 100 entries after `last_id`, oldest first."""
        return await read_events(self._events, last_id, timeout_s)

    async def trim_events(self, length: int, event: Fields) -> bool:
        """Cut the stream to its newest `length` entries where it has over twice as many, and say so with
        `event`; whether it did. Whoever may trip may add any number."""
        if int(await self._line.command("XLEN", EVENTS_KEY)) <= 2 * length:
            return False
        flat = [part for pair in event.items() for part in pair]
        await self._line.command("XADD", EVENTS_KEY, "MAXLEN", length, "*", *flat)
        return True

    async def stream_stuck(self) -> bool:
        """Whether the stream's last id is ahead of this server's clock by a minute: someone wrote it by
        hand, and later entries may be refused. (Trimming hides the entry, not the id.)"""
        info, time = await self._line.exchange(("XINFO", "STREAM", EVENTS_KEY), ("TIME",))
        if isinstance(info, ResponseError) and "no such key" in str(info):
            return False
        fields = checked(info)
        last_id = dict(zip(fields[::2], fields[1::2], strict=True))[b"last-generated-id"]
        return int(last_id.partition(b"-")[0]) > (server_time(time).timestamp() + 60) * 1_000

    async def rebuild_stream(self, events: Sequence[Fields] = ()) -> None:
        """Start the stream afresh with `events`, in one transaction. Readers see its ids restart."""
        adds: list[Command] = [
            ("XADD", EVENTS_KEY, "*", *[part for pair in event.items() for part in pair]) for event in events
        ]
        replies = await self._line.exchange(("MULTI",), ("DEL", EVENTS_KEY), *adds, ("EXEC",))
        for reply in transaction(replies):
            checked(reply)
