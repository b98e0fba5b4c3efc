"""The contract's tests once more, against Debian's Redis 7.0 and PostgreSQL 15: what another version may do
otherwise needs few examples of each property, since the search for one that fails was made before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers_under_test import POSTGRES, REDIS

ROOT = Path(__file__).resolve().parents[2]
REDIS_SERVER = Path("/usr/bin/redis-server")
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


def run(environment: dict[str, str], *tests: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, "HYPOTHESIS_PROFILE": "quick", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8_000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(not REDIS_SERVER.exists(), reason="Debian's redis-server is absent")
def test_redis_7_keeps_the_contract() -> None:
    run(
        {REDIS: str(REDIS_SERVER)},
        "tests/gate/test_gate.py",
        *(str(path) for path in store_tests("test_redis_*.py")),
    )


@pytest.mark.skipif(not (POSTGRES_BIN / "postgres").exists(), reason="Debian's postgresql-15 is absent")
def test_postgres_15_keeps_the_contract() -> None:
    run(
        {POSTGRES: str(POSTGRES_BIN)},
        "tests/stores/test_init.py",
        *(str(path) for path in store_tests("test_postgres_*.py")),
        *(str(path) for path in store_tests("test_sli_*.py")),
    )


def store_tests(pattern: str) -> list[Path]:
    return sorted((ROOT / "tests" / "stores").glob(pattern))
