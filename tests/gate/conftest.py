"""A Valkey of its own for the gate's tests, emptied before each; some of them kill it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from cockpit.demo.servers import Valkey
from tests.gate.documents import Author


@pytest.fixture(scope="session")
def gate_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    folder: Path = tmp_path_factory.mktemp("gate")
    with Valkey(folder) as server:
        yield server


@pytest.fixture
async def redis(gate_server: Valkey) -> AsyncIterator[Redis]:
    if not gate_server.running:
        gate_server.start()
    client = Redis.from_url(gate_server.owner_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def author(redis: Redis) -> Author:
    return await Author.of(redis)
