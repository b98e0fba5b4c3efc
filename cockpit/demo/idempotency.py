"""First answers by idempotency key: the same key gets the same answer again, and nothing is done twice.

They are kept in memory at once and in the plant's schema a moment later, the newest `MOST` of them. What a
crash takes with it in between is done again, which is why a flatten only reduces.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

MOST: Final = 1_000
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")
_SAVE: Final = """
INSERT INTO plant.answers (key, asked, status, answer)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::jsonb[]) ON CONFLICT (key) DO NOTHING
"""
_PRUNE: Final = """
DELETE FROM plant.answers WHERE seq <= (SELECT max(seq) - $1 FROM plant.answers)
"""
_LOAD: Final = "SELECT key, asked, status, answer FROM plant.answers ORDER BY seq DESC LIMIT $1"

Made = tuple[int, Mapping[str, object]]
"""A status and the JSON object that goes with it."""


class BadKey(ValueError):
    """Not usable as a key, or used for something else before; the message says which."""


class Answers:
    """What was answered under each key, and what is being done under one at this moment."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, Made]] = OrderedDict()
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
        self._known[key] = asked, made
        self._unsaved.append((key, asked, made))
        del self._unsaved[:-MOST]
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    async def load(self, connection: Any) -> None:
        """Take up what an earlier run answered."""
        for row in reversed(await connection.fetch(_LOAD, MOST)):
            self._known.setdefault(row["key"], (row["asked"], (row["status"], json.loads(row["answer"]))))

    async def save(self, connection: Any) -> None:
        """Write what is new. What cannot be written waits."""
        rows, self._unsaved = self._unsaved, []
        if not rows:
            return
        try:
            columns = zip(*((k, a, made[0], json.dumps(made[1])) for k, a, made in rows), strict=True)
            async with connection.transaction():
                await connection.execute(_SAVE, *map(list, columns))
                await connection.execute(_PRUNE, MOST)
        except BaseException:
            self._unsaved = rows + self._unsaved
            raise
