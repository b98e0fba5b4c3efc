"""How often breakers were closed and automatic triggers fired, for any login that reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from backends.postgres_session import Session

_COUNTS: Final = files("backends").joinpath("sql/event_counts.sql").read_text()


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Totals since the beginning: `resets` by breaker, `firings` by rule and mode (`live`, `shadow`)."""

    resets: Mapping[str, int]
    firings: Mapping[tuple[str, str], int]


class EventCounter:
    """One connection to Postgres of its own, so that counting never delays another reading."""

    def __init__(self, dsn: str, command_timeout_s: float = 5.0) -> None:
        self._session = Session(dsn, command_timeout_s=command_timeout_s, application_name="cockpit counts")

    async def read(self) -> EventCounts:
        """
        Raises:
            StoreUnreachable, Refused: no answer, or the login may not read.
        """
        async with self._session.use() as connection:
            row = await connection.fetchrow(_COUNTS)
        firings = json.loads(row["firings"] or "[]")
        return EventCounts(
            resets=dict(json.loads(row["resets"] or "[]")),
            firings={(rule, mode): fired for rule, mode, fired in firings},
        )

    async def close(self) -> None:
        await self._session.close()
