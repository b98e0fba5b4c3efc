"""Entries of `circuit_breaker:events`. Whoever may trip may add anything, so nothing here is trusted."""

from __future__ import annotations

from typing import Final

from redis.exceptions import RedisError

from backends.redis_replies import Reply
from cockpit.domain.commands import MAX_PAYLOAD_BYTES
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean

_LIMIT: Final = 200


def parse_events(reply: Reply) -> tuple[tuple[StreamEvent, ...], str | None]:
    """The entries of an XREVRANGE or XRANGE reply in its order, and why there are none, if it is an error."""
    if isinstance(reply, RedisError):
        return (), f"event stream unreadable ({clean(str(reply), 160)})"
    entries = [_event(entry) for entry in reply or ()]
    return tuple(event for event in entries if event is not None), None


def parse_streams(reply: Reply) -> list[StreamEvent]:
    """The entries of an XREAD reply of one stream, oldest first."""
    if not reply:
        return []
    return list(parse_events(reply[0][1])[0])


def _event(entry: Reply) -> StreamEvent | None:
    """One entry, None for one that was deleted. A field over its bound is emptied, not cut: a cut
    signature or payload would only look like a forged one."""
    entry_id, flat = entry
    if flat is None:
        return None
    fields: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))

    def text(name: bytes) -> str:
        return clean(fields.get(name, b"")[: _LIMIT * 4].decode("utf-8", "replace"), _LIMIT)

    payload = fields.get(b"payload", b"")
    return StreamEvent(
        entry_id=entry_id.decode(),
        event_id=text(b"event_id"),
        breaker_id=text(b"breaker_id"),
        kind=text(b"kind"),
        login=text(b"login"),
        at=text(b"at"),
        payload=payload if len(payload) <= MAX_PAYLOAD_BYTES else b"",
        key_id=text(b"key_id"),
        signature=text(b"signature"),
    )
