"""What may be loaded before the screen's first frame: nothing that a store or a dialog needs.

The figure itself is in `make bench`; this fails the moment an import creeps in, and names it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
STORES: Final = (
    "redis",
    "hiredis",
    "asyncpg",
    "httpx",
    "httpcore",
    "obstore",
    "cryptography",
    "rfc8785",
    "backends",
)
LATER: Final = (
    "cockpit.authority",
    "cockpit.demo",
    "cockpit.desk",
    "cockpit.operations",
    "cockpit.domain.audit",
    "cockpit.domain.checklist",
    "cockpit.domain.commands",
    "cockpit.domain.desk",
    "cockpit.domain.documents",
    "cockpit.domain.paging",
    "cockpit.domain.permissions",
    "cockpit.domain.probes",
    "cockpit.domain.slo_reports",
    "cockpit.domain.snapshots",
    "cockpit.domain.trading",
    "cockpit.domain.trigger_reports",
    "cockpit.objectives",
    "cockpit.screens.audit",
    "cockpit.screens.first_minutes",
    "cockpit.screens.incidents",
    "cockpit.screens.slos",
    "cockpit.screens.triggers",
    "widgets.breaker_rows",
    "widgets.dialog",
    "widgets.halts_due",
    "widgets.size_words",
    "widgets.slo_signs",
    "widgets.next_steps",
)
CONFIG: Final = """
profile = "test"
evidence_url = "file:///tmp/evidence"
[catalogue]
components = ["execution"]
instruments = ["BTC-USD"]
[logins.operator1]
redis_url = "redis://operator1@127.0.0.1:1/0"
"""
# As `cockpit` starts: through the command line's modules, then the screen, until Textual has drawn a row.
PROGRAM: Final = """
import asyncio, json, sys
from pathlib import Path
import cockpit.cli.run, cockpit.cli.services
from cockpit.config import load_settings
from cockpit.app import CockpitApp, open_desk

class Watched(CockpitApp):
    def _connect(self):
        if self.screen.rows.drawn and not self._connecting:
            self._connecting = True
            print(json.dumps(sorted(sys.modules)))
            self.exit(0)

settings = load_settings(Path(sys.argv[1]), None)
Watched(settings, settings.credentials("operator1"), open_desk).run(headless=True, size=(80, 24))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    config = tmp_path_factory.mktemp("first-frame") / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    config.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, config], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert lines, done.stdout + done.stderr
    found: list[str] = json.loads(lines[-1])
    return found


@pytest.mark.parametrize("name", [*STORES, *LATER])
def test_the_first_frame_needs_no(name: str, loaded: list[str]) -> None:
    assert [module for module in loaded if module == name or module.startswith(f"{name}.")] == []


def test_the_first_frame_needs_the_overview(loaded: list[str]) -> None:
    assert "cockpit.screens.overview" in loaded
