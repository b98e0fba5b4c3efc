"""The test run's own report: a test that did not run is named, and fails where every test must run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROBE = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="redis-server 7 is absent")
def test_cannot_run():
    pass
"""


def run(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_probe.py").write_text(PROBE, encoding="utf-8")
    whole = 'import pytest\n\npytest.skip("postgresql-15 is absent", allow_module_level=True)\n'
    (folder / "test_whole.py").write_text(whole, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name not in {"CI", "COCKPIT_CI"}}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.suites",
            "-p",
            "no:cacheprovider",
            "-q",
            f"--rootdir={folder}",
        ],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_test_that_did_not_run_is_named_with_its_reason(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 × redis-server 7 is absent" in done.stdout
    assert "1 × postgresql-15 is absent (test_whole.py, whole file)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed, 2 skipped in ")


@pytest.mark.parametrize("environ", [{"COCKPIT_CI": "1"}, {"CI": "true"}])
def test_under_ci_it_fails_and_the_others_still_run(tmp_path: Path, environ: dict[str, str]) -> None:
    done = run(tmp_path, **environ)
    assert done.returncode == 1, done.stdout
    assert "NOT RUN, and under CI every test must run: redis-server 7 is absent" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed, 2 errors in ")
