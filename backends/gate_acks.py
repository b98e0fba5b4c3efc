"""What the gateways have published in `gate:ack:<gateway>`, as a person's login may read it.

What is missing, malformed, of another gateway or old by Redis's own clock is left out: it acknowledges
nothing. An epoch acknowledged while its word was fresh stays so in the facts of its kill switch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from backends.redis_connection import TIMEOUT_S, Line
from backends.redis_keys import ACK_KEY
from backends.redis_replies import REDIS, checked, server_time
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.documents import MAX_COUNTER, parse_rfc3339
from cockpit.domain.kill import Ack
from cockpit.domain.refusals import StoreUnreachable

FRESH_FOR: Final = timedelta(seconds=3)
"""A gateway repeats itself each second; one that does not is not known to enforce anything."""
_MOST_BYTES: Final = 4_000_000
_LONGEST_RUN_ID: Final = 64  # Redis's have 40; it goes into the kill switch's record and journal


class GateAcks:
    """Reads what `gateways` acknowledge, over a connection of its own.

    Raises:
        BadRedisUrl: `url` cannot be used.
    """

    def __init__(self, url: str, gateways: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self._line = Line(url, timeout_s)
        self._gateways = tuple(gateways)

    async def of_global(self) -> Mapping[str, Ack]:
        """Each gateway's word on `global`.

        Raises:
            Refused, StoreUnreachable: they could not be read.
        """
        if not self._gateways:
            return {}
        reads = ("MGET", *(ACK_KEY + name for name in self._gateways))
        replies = await self._line.exchange(reads, ("TIME",))
        values, now = checked(replies[0]), server_time(replies[1])
        if not isinstance(values, list) or len(values) != len(self._gateways):
            raise StoreUnreachable(REDIS, "MGET answered nonsense")
        found = {name: parse_ack(name, raw, now) for name, raw in zip(self._gateways, values, strict=True)}
        return {name: ack for name, ack in found.items() if ack is not None}

    async def close(self) -> None:
        await self._line.close()


def parse_ack(gateway: str, raw: object, now: datetime) -> Ack | None:
    """One gateway's word; None where it is none. `now` is Redis's, as `acked_at` is."""
    if not isinstance(raw, bytes) or len(raw) > _MOST_BYTES:
        return None
    try:
        fields = json.loads(raw)
        run_id, counter = fields["run_id"], fields["epochs"].get(GLOBAL)
        named = fields["gateway"] == gateway
        fresh = abs(now - parse_rfc3339(fields["acked_at"])) <= FRESH_FOR
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not named or not fresh or not isinstance(run_id, str) or not 0 < len(run_id) <= _LONGEST_RUN_ID:
        return None
    whole = isinstance(counter, int) and not isinstance(counter, bool) and 0 < counter <= MAX_COUNTER
    return Ack(run_id, counter if whole else None)
