"""Waiting for whichever comes first, without a timer that outlives it."""

from __future__ import annotations

import asyncio
import contextlib


async def first_of(*events: asyncio.Event, timeout_s: float) -> None:
    """Until one of `events` is set, or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, or until `stop`."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
