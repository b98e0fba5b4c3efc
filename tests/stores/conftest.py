"""A real Valkey with every login of the demo, shared by the Redis tests of a run and emptied before each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.redis_admin import RedisAdmin
from backends.redis_connection import Line
from backends.signing import KeyRing, SigningKey
from cockpit.demo.servers import DataDirLock, Valkey
from cockpit.domain.breakers import Catalogue
from cockpit.domain.permissions import Role, Service
from tests.servers_under_test import OtherRedis, redis_kind

LOGINS: dict[str, Role | Service] = {
    "admin1": Role.SAFETY_ADMIN,
    "admin2": Role.SAFETY_ADMIN,
    "operator1": Role.OPERATOR_ACT,
    "operator2": Role.OPERATOR_ACT,
    "automation1": Role.AUTOMATION_ROLE,
    "monitor1": Role.MONITORING_READ,
    "gateway": Service.GATEWAY,
    "authority": Service.AUTHORITY,
}


@dataclass(frozen=True, slots=True)
class RedisDesk:
    """The running server, a catalogue and the authority's key."""

    server: Valkey
    catalogue: Catalogue
    key: SigningKey

    @property
    def keyring(self) -> KeyRing:
        return KeyRing({self.key.key_id: self.key.public_key})

    @property
    def owner_url(self) -> str:
        return self.server.owner_url

    def url(self, login: str) -> str:
        return f"redis://{login}:{login}-secret@127.0.0.1:{self.server.port}/0"


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with DataDirLock(folder), redis_kind()(folder) as server:
        yield server


@pytest.fixture
async def desk(redis_server: Valkey) -> AsyncIterator[RedisDesk]:
    catalogue = Catalogue.build(
        ["execution", "ingest"],
        ["BTC-USD", "ETH-USD"],
        ["meanrev"],
        {"instrument:ETH-USD": "component:ingest"},
    )
    owner = Line(redis_server.owner_url)
    await owner.command("FLUSHALL")
    if isinstance(redis_server, OtherRedis):  # what `cockpit doctor` asks for where a server has the fault
        await owner.command("ACL", "SETUSER", "default", "off", "resetpass", "~*", "&*", "+@all")
    await owner.close()
    admin = RedisAdmin(redis_server.owner_url)
    for name, kind in LOGINS.items():
        await admin.set_user(name, kind, f"{name}-secret")
    await admin.close()
    yield RedisDesk(redis_server, catalogue, SigningKey.generate())


@pytest.fixture
async def owner(desk: RedisDesk) -> AsyncIterator[Line]:
    line = Line(desk.owner_url)
    yield line
    await line.close()
