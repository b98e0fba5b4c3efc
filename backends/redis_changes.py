"""What a change in Redis builds on, and the Lua scripts that apply it: all of it or nothing, at most once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Final

from redis.exceptions import NoScriptError

from backends.redis_connection import Line
from backends.redis_facts import StoreFacts
from backends.redis_replies import (
    EVENTS_KEY,
    HISTORY_KEY,
    LEGACY_KEY,
    REDIS,
    TERM_KEY,
    Reply,
    checked,
    counter_key,
    document_key,
)
from backends.signing import canonical
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.refusals import Refused, StoreUnreachable

Value = bytes | None
"""The bytes of a key, None where it does not exist."""
Fields = Mapping[str, str | bytes]
"""A stream entry: `backends.trip_exchange.event_fields` makes one."""
Call = tuple[Sequence[str], Sequence[str | bytes]]
"""The keys and the arguments of one run of a script."""


@dataclass(frozen=True, slots=True)
class AuthorityView:
    """One consistent reading: raw bytes, since what is compared later is bytes. `acks` by gateway name."""

    run_id: str
    server_time: datetime
    counters: Mapping[BreakerId, Value]
    documents: Mapping[BreakerId, Value]
    legacy: Value
    term: Value
    acks: Mapping[str, Value]
    facts: StoreFacts


@dataclass(frozen=True, slots=True)
class Seen:
    """What a change builds on: it is applied only while all of this still holds, byte for byte."""

    breaker_id: BreakerId
    run_id: str
    counter: Value
    document: Value
    legacy: Value
    term: int
    ancestors: Mapping[BreakerId, tuple[Value, Value]] = field(default_factory=dict)

    @classmethod
    def of(cls, view: AuthorityView, catalogue: Catalogue, breaker_id: BreakerId, term: int) -> Seen:
        above = catalogue.ancestors(breaker_id)
        return cls(
            breaker_id,
            view.run_id,
            view.counters[breaker_id],
            view.documents[breaker_id],
            view.legacy,
            term,
            {name: (view.counters[name], view.documents[name]) for name in above},
        )

    def keys(self) -> list[str]:
        """The keys that every script begins with."""
        return [counter_key(self.breaker_id), document_key(self.breaker_id), LEGACY_KEY, TERM_KEY]

    def expected(self) -> list[str | bytes]:
        """The arguments that every compare-and-set begins with."""
        values = (self.counter, self.document, self.legacy, str(self.term).encode())
        return [self.run_id, *map(_expect, values)]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One transition for `circuit_breaker:history`; `at` gives the score, `member` is canonical JSON."""

    at: datetime
    member: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """One loosening for `commit.lua`. `deadline` is judged by the server's clock; `legacy` None leaves
    `circuit_breaker:state` as it is."""

    seen: Seen
    deadline: datetime
    document: bytes
    legacy: bytes | None
    history: HistoryEntry
    event: Fields

    def call(self) -> Call:
        keys = [*self.seen.keys(), HISTORY_KEY, EVENTS_KEY]
        arguments: list[str | bytes] = [
            *self.seen.expected(),
            str(int(self.deadline.timestamp() * 1_000)),
            self.document,
            self.legacy or b"",
            repr(self.history.at.timestamp()),
            self.history.member,
            _json_array(self.event),
        ]
        for name, values in self.seen.ancestors.items():
            keys += [counter_key(name), document_key(name)]
            arguments += [_expect(value) for value in values]
        return keys, arguments


@dataclass(frozen=True, slots=True)
class CommitReply:
    """`why` is what did not hold: server, deadline, term, counter, document, legacy, ancestor, not-open."""

    ok: bool
    why: str = ""


async def run(line: Line, script: str, keys: Sequence[str], arguments: Sequence[str | bytes]) -> CommitReply:
    """Run a script once.

    Raises:
        Refused, StoreUnreachable: the server's error, or no answer.
    """
    (reply,) = await run_all(line, script, [(keys, arguments)])
    if isinstance(reply, Refused):
        raise reply
    return reply


async def run_all(line: Line, script: str, calls: Sequence[Call]) -> list[CommitReply | Refused]:
    """EVALSHA for each call, in order and in one round trip; what one comes to says nothing of the others.
    NOSCRIPT says that a call did not run, so the script is loaded and that one is run once more (F20).

    Raises:
        StoreUnreachable: no answer to any of them.
    """
    text, digest = _SCRIPTS[script]
    commands = [("EVALSHA", digest, len(keys), *keys, *arguments) for keys, arguments in calls]
    replies = await line.exchange(*commands)
    missed = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missed:
        try:
            await line.command("SCRIPT", "LOAD", text)
            again = await line.exchange(*(commands[place] for place in missed))
        except Refused as error:
            again = [error] * len(missed)
        for place, reply in zip(missed, again, strict=True):
            replies[place] = reply
    return [_commit_reply(script, reply) for reply in replies]


def _commit_reply(script: str, reply: Reply) -> CommitReply | Refused:
    if isinstance(reply, Refused):
        return reply
    try:
        match checked(reply):
            case [b"OK"]:
                return CommitReply(True)
            case [b"REFUSED", bytes(why)]:
                return CommitReply(False, why.decode("ascii", "replace"))
    except Refused as error:
        return error
    return StoreUnreachable(REDIS, f"{script} answered nonsense", maybe_applied=True)


def _expect(value: Value) -> bytes:
    return b"-" if value is None else b"=" + value


def _json_array(event: Fields) -> bytes:
    flat = [part.decode() if isinstance(part, bytes) else part for pair in event.items() for part in pair]
    return canonical(flat)


def _load_script(name: str) -> tuple[str, str]:
    text = resources.files("backends").joinpath("lua", f"{name}.lua").read_text("utf-8")
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


_NAMES: Final = ("commit", "write_open", "mirror_legacy", "take_term")
_SCRIPTS: Final = {name: _load_script(name) for name in _NAMES}
