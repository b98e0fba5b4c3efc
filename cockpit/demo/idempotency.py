"""First answers by idempotency key: the same key gets the same answer again, and nothing is done twice.

They are kept for a day, the newest `MOST` of them, in memory at once and in the plant's schema a moment
later. What a crash takes with it in between is done again, which is why a flatten only reduces. Cancel-alls,
which may come in masses and harm nobody twice, have room of their own: they push out nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

MOST: Final = 20_000
MOST_CANCELS: Final = 1_000
KEPT_S: Final = 24 * 3_600.0
_CANCEL: Final = "cancel-all"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_SAVE: Final = """
INSERT INTO plant.answers (key, asked, status, answer)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::jsonb[]) ON CONFLICT (key) DO NOTHING
"""
_PRUNE: Final = """
DELETE FROM plant.answers
 WHERE answered_at < clock_timestamp() - make_interval(secs => $3)
    OR seq <= (SELECT seq FROM plant.answers WHERE NOT starts_with(asked, $4)
                ORDER BY seq DESC OFFSET $1 LIMIT 1)
    OR starts_with(asked, $4)
       AND seq <= (SELECT seq FROM plant.answers WHERE starts_with(asked, $4)
                    ORDER BY seq DESC OFFSET $2 LIMIT 1)
"""
_LOAD: Final = """
SELECT key, asked, status, answer, extract(epoch FROM clock_timestamp() - answered_at)::float8 AS age_s
  FROM plant.answers WHERE answered_at >= clock_timestamp() - make_interval(secs => $2)
 ORDER BY seq DESC LIMIT $1
"""

Made = tuple[int, Mapping[str, object]]
"""A status and the JSON object that goes with it."""


class BadKey(ValueError):
    """Not usable as a key, or used for something else before; the message says which."""


class Answers:
    """What was answered under each key, and what is being done under one at this moment."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, Made]] = OrderedDict()
        self._ends: dict[bool, OrderedDict[str, float]] = {False: OrderedDict(), True: OrderedDict()}
        self._running: dict[str, tuple[str, asyncio.Task[Made]]] = {}
        self._unsaved: list[tuple[str, str, Made]] = []

    def __len__(self) -> int:
        return len(self._known)

    @property
    def unsaved(self) -> int:
        return len(self._unsaved)

    async def once(self, key: str | None, asked: str, work: Callable[[], Awaitable[Made]]) -> Made:
        """Do `work`, unless it was done or is being done under `key`; `asked` says what it is. It is finished
        also where whoever asked went away. Without a key it is simply done.

        Raises:
            BadKey: malformed, or used for another `asked`.
        """
        if key is None:
            return await work()
        if not _KEY.fullmatch(key):
            raise BadKey("Idempotency-Key is not 1 to 200 printable ASCII characters without spaces")
        if key in self._known:
            before, made = self._known[key]
        elif key in self._running:
            before, task = self._running[key]
            made = await asyncio.shield(task) if before == asked else (0, {})
        else:
            before, made = asked, await self._do(key, asked, work)
        if before != asked:
            raise BadKey(f"this Idempotency-Key was used for {before}")
        return made

    async def _do(self, key: str, asked: str, work: Callable[[], Awaitable[Made]]) -> Made:
        async def finished() -> Made:
            try:
                made = await work()
                if made[0] < 400:  # what was refused did nothing, and may be asked for again
                    self._keep(key, asked, made)
                return made
            finally:
                self._running.pop(key, None)

        task = asyncio.create_task(finished(), name=f"answer {key}")
        self._running[key] = asked, task
        return await asyncio.shield(task)

    def _keep(self, key: str, asked: str, made: Made) -> None:
        self._note(key, asked, made, 0.0)
        self._unsaved.append((key, asked, made))
        del self._unsaved[:-MOST]

    def _note(self, key: str, asked: str, made: Made, age_s: float) -> None:
        """Keep it in its own room, out of which the oldest go."""
        cancel, now = asked.startswith(_CANCEL), time.monotonic()
        ends = self._ends[cancel]
        self._known[key] = asked, made
        ends[key] = now + KEPT_S - age_s
        while ends and (len(ends) > (MOST_CANCELS if cancel else MOST) or next(iter(ends.values())) <= now):
            del self._known[ends.popitem(last=False)[0]]

    async def load(self, connection: Any) -> None:
        """Take up what an earlier run answered."""
        for row in reversed(await connection.fetch(_LOAD, MOST + MOST_CANCELS, KEPT_S)):
            if row["key"] not in self._known:
                made = row["status"], json.loads(row["answer"])
                self._note(row["key"], row["asked"], made, row["age_s"])

    async def save(self, connection: Any) -> None:
        """Write what is new. What cannot be written waits."""
        rows, self._unsaved = self._unsaved, []
        if not rows:
            return
        try:
            columns = zip(*((k, a, made[0], json.dumps(made[1])) for k, a, made in rows), strict=True)
            async with connection.transaction():
                await connection.execute(_SAVE, *map(list, columns))
                await connection.execute(_PRUNE, MOST, MOST_CANCELS, KEPT_S, _CANCEL)
        except BaseException:
            self._unsaved = rows + self._unsaved
            raise
