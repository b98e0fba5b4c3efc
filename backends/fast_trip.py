"""The trip of `cockpit trip`: one synchronous connection and nothing that takes long to import."""

from __future__ import annotations

import json
import time
from typing import Any, Final, Protocol

from backends.plain_connection import PlainConnection
from backends.redis_keys import HISTORY_KEY
from backends.trip_commands import Command, event_fields, plain_receipt, trip_commands
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import SignedCommand
from cockpit.domain.receipts import TripReceipt

TIMEOUT_S: Final = 2.0
POLL_S: Final = 0.01


class _Connection(Protocol):
    def connect(self) -> None: ...
    def exchange(self, *commands: Command) -> list[Any]: ...
    def close(self) -> None: ...


class FastTrip:
    """One connection with a person's login; use it as a context manager.

    Methods raise `Refused` (the login lacks the right), `StoreUnreachable` or `StoreCannotWrite`. Nothing is
    sent twice.

    Raises:
        ValueError: `url` is no Redis address; it is not repeated in the message.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._connection: _Connection = PlainConnection.to(url, timeout_s) or _packaged(url, timeout_s)

    def __enter__(self) -> FastTrip:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def whoami(self) -> str:
        """The login as the server names it."""
        reply = self._one("ACL", "WHOAMI")
        return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)

    def trip(
        self, breaker_id: BreakerId, signed: SignedCommand, event_id: str, login: str, at: str
    ) -> TripReceipt:
        """INCR the breaker's counter and add the event. The caller has found `breaker_id` in the catalogue:
        an INCR of a mistyped name succeeds and halts nothing. Each call is one more epoch."""
        fields = event_fields(event_id, breaker_id, "TRIP", login, at, signed)
        replies = self._exchange(*trip_commands(breaker_id, fields))
        return plain_receipt(replies) or _other_receipt(replies)

    def audited(self, event_id: str, wait_s: float = 0.25) -> dict[str, object] | None:
        """The authority's history entry of this event (with `audit_seq` and `evidence_link`), None where it
        does not come within `wait_s`."""
        deadline = time.monotonic() + wait_s
        while True:
            for raw in self._one("ZREVRANGE", HISTORY_KEY, 0, 19):
                entry = _entry(raw)
                if entry.get("event_id") == event_id:
                    return entry
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_S)

    def _one(self, *command: str | bytes | int) -> Any:
        reply = self._exchange(command)[0]
        if isinstance(reply, Exception):
            from backends.redis_replies import explained

            raise explained(reply)
        return reply

    def _exchange(self, *commands: Command) -> list[Any]:
        sent = False
        try:
            self._connection.connect()
            sent = True
            return self._connection.exchange(*commands)
        except BaseException as error:
            self._connection.close()
            _explain(error, sent)
            raise


def _other_receipt(replies: list[Any]) -> TripReceipt:
    """What replies mean that are not all as expected; its module loads the packaged client."""
    from backends.trip_exchange import read_trip

    return read_trip(replies)


def _packaged(url: str, timeout_s: float) -> _Connection:
    from backends.packaged_connection import PackagedConnection

    try:
        return PackagedConnection(url, timeout_s)
    except ValueError as error:
        raise ValueError("redis_url: write redis://LOGIN:PASSWORD@HOST:PORT/0 (rediss for TLS)") from error


def _explain(error: BaseException, sent: bool) -> None:
    """Raise what `error` means where it is one of the connection's; `sent` leaves open whether it applied."""
    from redis.exceptions import RedisError

    from backends.redis_replies import explained

    if isinstance(error, RedisError | OSError):
        raise explained(error, maybe_applied=sent) from error


def _entry(raw: bytes) -> dict[str, object]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
