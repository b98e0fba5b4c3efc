"""The systemd units that ship: each service has its own user, and all are locked in alike."""

from __future__ import annotations

from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[2] / "runbooks" / "systemd").glob("cockpit-*.service"))
SERVICES = {"authority", "guard", "exporter", "pager"}
# What is each service's own affair.
OWN = set("User Group ExecStart TimeoutStopSec StateDirectory StateDirectoryMode MemoryMax TasksMax".split())


def service(path: Path) -> dict[str, list[str]]:
    """What `[Service]` says; a setting that occurs twice holds both values."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_there_is_one_for_each_service() -> None:
    assert {path.stem.removeprefix("cockpit-") for path in UNITS} == SERVICES


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_locked_in_like_the_others(path: Path) -> None:
    name = path.stem.removeprefix("cockpit-")
    mine, model = service(path), service(path.with_name("cockpit-authority.service"))
    assert {key: value for key, value in mine.items() if key not in OWN} == {
        key: value for key, value in model.items() if key not in OWN
    }
    assert mine["User"] == mine["Group"] == [f"cockpit-{name}"]
    assert mine["ExecStart"] == [f"/usr/bin/env cockpit --config /etc/cockpit/{name}.toml {name}"]
