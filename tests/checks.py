"""Run every static check, two at a time, also after one has failed: `python -m tests.checks [TIMES.json]`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TYPED = [
    name
    for name in ("cockpit", "backends", "widgets", "themes", "runbooks")
    if any((ROOT / name).rglob("*.py"))
]
CHECKS = {
    # The rules are few and pure: each branch of them is taken by a test of their own.
    "branches": [
        "pytest",
        "-q",
        "tests/domain",
        "--cov=cockpit.domain",
        "--cov-branch",
        "--cov-fail-under=100",
        "--cov-report=term-missing:skip-covered",
    ],
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", *TYPED],
    "imports": ["lint-imports", "--no-logo"],
}


def run(name: str, command: list[str]) -> dict[str, object]:
    """Run one check; its output is shown only where it failed."""
    started = time.monotonic()
    program = Path(sys.prefix, "bin", command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    passed = done.returncode == 0
    said = "" if passed else done.stdout + done.stderr
    print(f"{said}check: {name:<8} {'passed' if passed else 'FAILED'} {seconds:6.1f} s", flush=True)
    return {"name": name, "passed": passed, "seconds": round(seconds, 2)}


def main(arguments: list[str]) -> int:
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = list(pool.map(run, CHECKS.keys(), CHECKS.values()))
    if arguments:
        Path(arguments[0]).write_text(json.dumps(results), encoding="utf-8")
    return 0 if all(result["passed"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
