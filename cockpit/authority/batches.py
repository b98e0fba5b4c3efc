"""Work on hundreds of breakers at a time, for which neither the event loop, the lease nor a trip waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

BATCH: Final = 250
"""Breakers to one transaction. While it runs the lease cannot be renewed, so it must stay far below that."""
INLINE: Final = 10  # as many signatures as one turn of the loop bears
T = TypeVar("T")


async def apart(size: int, work: Callable[[], T]) -> T:
    """What `work`, which signs or hashes `size` things and shares nothing, comes to; in a thread where they
    are many."""
    return work() if size <= INLINE else await asyncio.to_thread(work)
