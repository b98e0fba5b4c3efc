"""How a service that stands by and then acts is run until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine


async def serve(
    work: Coroutine[object, object, None], begun: asyncio.Event, ready: Callable[[], None] | None = None
) -> None:
    """Run `work` to its end. `ready` is called when it sets `begun` for the first time, and not at all where
    it ends before. Whatever `work` raises is raised.
    """
    task = asyncio.create_task(work)
    if ready is not None:
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if begun.is_set():
            ready()
    await task


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
