"""The import contracts of pyproject.toml catch what they are there for, tried on a skeleton of the layout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "cockpit",
    *(f"cockpit/{name}" for name in ("authority", "demo", "domain", "operations", "screens")),
)
MODULES = ("cockpit/__main__.py", "cockpit/app.py", "cockpit/cli.py", "cockpit/config.py")


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in (*PACKAGES, "backends", "widgets"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for module in MODULES:
        (tmp_path / module).touch()
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.prefix, "bin", "lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_way_down_is_open(skeleton: Path) -> None:
    (skeleton / "cockpit/app.py").write_text(
        "import cockpit.screens, cockpit.config, cockpit.operations, backends, widgets, textual\n"
    )
    (skeleton / "cockpit/cli.py").write_text(
        "import cockpit.app, cockpit.authority, cockpit.demo, backends\n"
    )
    (skeleton / "cockpit/operations/trip.py").write_text("import cockpit.domain, asyncio\n")
    (skeleton / "backends/store.py").write_text("import cockpit.domain, redis, asyncpg\n")
    (skeleton / "widgets/table.py").write_text("import cockpit.domain, textual\n")
    (skeleton / "cockpit/domain/states.py").write_text(
        "import dataclasses, datetime, decimal, enum, hashlib, json\n"
    )
    done = lint(skeleton)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("cockpit/domain/states.py", "cockpit.operations"),
        ("cockpit/domain/states.py", "backends"),
        ("cockpit/domain/states.py", "redis"),
        ("cockpit/domain/states.py", "time"),
        ("cockpit/operations/trip.py", "backends"),
        ("cockpit/operations/trip.py", "cockpit.config"),
        ("cockpit/operations/trip.py", "textual"),
        ("cockpit/screens/overview.py", "cockpit.app"),
        ("cockpit/config.py", "cockpit.cli"),
        ("backends/store.py", "cockpit.operations"),
        ("backends/store.py", "widgets"),
        ("backends/store.py", "textual"),
        ("widgets/table.py", "backends"),
        ("widgets/table.py", "cockpit.operations"),
        ("widgets/table.py", "asyncpg"),
    ],
)
def test_a_way_up_or_across_is_found(skeleton: Path, module: str, forbidden: str) -> None:
    (skeleton / module).write_text(f"import {forbidden}\n")
    done = lint(skeleton)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
