"""One set of real servers for a run, a fresh platform for each test that asks for one."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from cockpit.demo.servers import DataDirLock, Postgres, Valkey
from tests.servers_under_test import postgres_kind, redis_kind
from tests.trading_platform import Platform, Template, build_template, copy_platform, drop_platform

# The servers write and sync thousands of small files; what tests kill are processes, never the machine, so
# memory keeps all that a disk would, at a third of the cost.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Examples on real servers take as long as the machine lets them; what counts is what they find.
_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("default", deadline=None, max_examples=60, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("quick", deadline=None, max_examples=8, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("thorough", deadline=None, max_examples=600, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Valkey, Postgres]]:
    folder: Path = tmp_path_factory.mktemp("servers")
    with DataDirLock(folder), redis_kind()(folder) as valkey, postgres_kind()(folder) as postgres:
        yield valkey, postgres


@pytest.fixture(scope="session")
def valkey(servers: tuple[Valkey, Postgres]) -> Valkey:
    return servers[0]


@pytest.fixture(scope="session")
def postgres(servers: tuple[Valkey, Postgres]) -> Postgres:
    return servers[1]


@pytest.fixture(scope="session")
def template(valkey: Valkey, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return build_template(valkey, postgres, tmp_path_factory.mktemp("keys"))


@pytest.fixture
def platform_limits() -> Mapping[str, object]:
    """`[limits]` of the platform's settings; a test module overrides this fixture to have others."""
    return {}


@pytest.fixture
async def platform(
    template: Template, platform_limits: Mapping[str, object], tmp_path: Path
) -> AsyncIterator[Platform]:
    """Both stores as `init` left them: every breaker OPEN in its first epoch, the genesis grant unused."""
    made = await copy_platform(template, tmp_path, platform_limits)
    yield made
    await drop_platform(made)
