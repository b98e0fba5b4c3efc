"""The gate's one exchange with Redis: what is sent, and the only shape of answer that counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

_RUN_ID: Final = re.compile(rb"(?:^|\n)run_id:([0-9a-f]{40})\r?\n")
_EPOCH_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class GateUnreadable(Exception):
    """Redis answered something that is no answer."""


def packed(keys: Sequence[str]) -> bytes:
    """The packed bytes of one question: the keys' values, the server's run id and its time.

    One MGET is atomic and a connection leads to one server process, so no MULTI is needed; inside one, a full
    server refuses to read. The time is read last: it can only end a probe run sooner.
    """
    commands = [["MGET", *keys], ["INFO", "server"], ["TIME"]]
    return b"".join(_pack(command) for command in commands)


def _pack(command: Sequence[str]) -> bytes:
    parts = [f"*{len(command)}\r\n".encode()]
    for word in command:
        data = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def shaped(replies: Sequence[object], width: int) -> tuple[list[bytes | None], bytes, list[bytes]]:
    """The replies, if they are ours; an error among them is none."""
    match replies:
        case [list() as values, bytes() as info, [bytes() as seconds, bytes() as micros]]:
            if len(values) == width and all(value is None or isinstance(value, bytes) for value in values):
                return values, info, [seconds, micros]
        case [*parts]:
            broken = next((part for part in parts if isinstance(part, Exception)), None)
            if broken is not None:
                raise GateUnreadable(str(broken)) from broken
    raise GateUnreadable("a reply of another shape")


def server_run_id(info: bytes) -> str:
    found = _RUN_ID.search(info)
    if found is None:
        raise GateUnreadable("INFO server names no run_id")
    return found[1].decode("ascii")


def server_moment(time: Sequence[bytes]) -> datetime:
    return _EPOCH_ZERO + timedelta(seconds=int(time[0]), microseconds=int(time[1]))
