"""What Redis' replies and errors mean, shared by the asynchronous and the synchronous client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from backends.redis_keys import (
    ACK_KEY,
    COUNTER_KEY,
    DOCUMENT_KEY,
    EVENTS_KEY,
    HISTORY_KEY,
    LEGACY_KEY,
    TERM_KEY,
    counter_key,
    document_key,
)
from cockpit.domain.refusals import Code, Refused, StoreCannotWrite, StoreUnreachable
from cockpit.domain.text import clean

__all__ = [
    "ACK_KEY",
    "COUNTER_KEY",
    "DOCUMENT_KEY",
    "EVENTS_KEY",
    "HISTORY_KEY",
    "LEGACY_KEY",
    "REDIS",
    "TERM_KEY",
    "Reply",
    "checked",
    "counter_key",
    "document_key",
    "explained",
    "info_fields",
    "server_run_id",
    "server_time",
]

Reply = Any
"""One reply in RESP 2: bytes, int, None, a list of these, or a `RedisError` that the server answered."""

REDIS: Final = "Redis"


def checked(reply: Reply) -> Reply:
    """The reply, unless it is an error.

    Raises:
        Refused: the login lacks the right.
        StoreUnreachable, StoreCannotWrite: everything else that the server may answer instead.
    """
    if isinstance(reply, RedisError):
        raise explained(reply)
    return reply


def explained(error: BaseException, *, maybe_applied: bool = False) -> Refused:
    """An error of the server or the connection, in words that name its cause (F20, F26)."""
    text = clean(str(error), 200).rstrip(". ") or type(error).__name__
    if isinstance(error, NoPermissionError):
        return Refused(
            Code.DENIED,
            f"Redis denies this login the command: {text}.",
            "Use a login whose role permits it; `cockpit doctor` checks the ACLs.",
        )
    if isinstance(error, AuthenticationError):
        return StoreCannotWrite(
            REDIS,
            f"it does not accept this login ({text})",
            remedy="Ask the owner whether its ACL users were lost: `cockpit init` writes them again.",
        )
    if isinstance(error, OutOfMemoryError):
        return StoreCannotWrite(REDIS, f"its memory is full ({text})", "Ask the owner to raise maxmemory.")
    if isinstance(error, ReadOnlyError):
        return StoreCannotWrite(REDIS, f"it is a replica ({text})", remedy="Use the primary's address.")
    if isinstance(error, BusyLoadingError | MasterDownError):
        return StoreUnreachable(REDIS, f"it is still starting ({text})")
    if isinstance(error, ResponseError):
        if text.startswith("MISCONF"):
            return StoreCannotWrite(
                REDIS, f"it cannot write to its disk ({text})", remedy="Free or mend its disk."
            )
        return StoreUnreachable(REDIS, f"unexpected answer ({text})", maybe_applied=maybe_applied)
    return StoreUnreachable(REDIS, text, maybe_applied=maybe_applied)


def info_fields(reply: Reply) -> Mapping[str, str]:
    """`INFO` as a mapping; an error or nonsense is an empty one."""
    if not isinstance(reply, bytes):
        return {}
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if line[:1] != "#")
    return {name: value for name, colon, value in lines if colon}


def server_run_id(reply: Reply) -> str:
    """The `run_id` in an `INFO server` reply.

    Raises:
        Refused, StoreUnreachable: the reply is an error, or names none.
    """
    run_id = info_fields(checked(reply)).get("run_id", "")
    if not run_id:
        raise StoreUnreachable(REDIS, "INFO names no run_id")
    return run_id


def server_time(reply: Reply) -> datetime:
    """`TIME` as an aware UTC time.

    Raises:
        Refused, StoreUnreachable: the reply is an error or no time.
    """
    try:
        seconds, micros = checked(reply)
        return datetime.fromtimestamp(int(seconds), UTC).replace(microsecond=int(micros))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise StoreUnreachable(REDIS, "TIME is no time") from error
