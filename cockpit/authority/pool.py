"""The authority's connections to Postgres: none of them may hold a transaction open for long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

SESSION: Final = {"idle_in_transaction_session_timeout": "3000", "application_name": "cockpit authority"}


@asynccontextmanager
async def open_pool(dsn: str) -> AsyncIterator[Any]:
    """A pool for one term; its connections are cut where it ends."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=4,
        max_size=10,
        timeout=5,
        command_timeout=10,
        server_settings=SESSION,
        reset=_as_it_is,
    )
    try:
        yield pool
    finally:
        pool.terminate()


async def _as_it_is(_connection: Any) -> None:
    """No session of ours keeps settings or locks; an open transaction asyncpg itself ends."""
