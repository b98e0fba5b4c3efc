"""The servers under test: the wheels', or others of the same protocol named in the environment.

`COCKPIT_TEST_REDIS_SERVER=/usr/bin/redis-server` and `COCKPIT_TEST_POSTGRES_BIN=/usr/lib/postgresql/15/bin`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from cockpit.demo.servers import Postgres, Valkey

REDIS = "COCKPIT_TEST_REDIS_SERVER"
POSTGRES = "COCKPIT_TEST_POSTGRES_BIN"


class OtherRedis(Valkey):
    """A Redis, with the settings of the embedded Valkey."""

    program = "redis-server"

    def _binary(self) -> Path:
        return Path(os.environ[REDIS])


class OtherPostgres(Postgres):
    """A PostgreSQL of another version, with the settings of the embedded one."""

    version_settings: Mapping[str, str] = {}

    def _binaries(self) -> Path:
        return Path(os.environ[POSTGRES])

    def _needs(self) -> Sequence[Path]:
        return [self._binaries() / "postgres", self._binaries() / "initdb"]


def redis_kind() -> type[Valkey]:
    return OtherRedis if REDIS in os.environ else Valkey


def postgres_kind() -> type[Postgres]:
    return OtherPostgres if POSTGRES in os.environ else Postgres
