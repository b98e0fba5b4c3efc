"""`make circuit-trip` hands an operator's words on as they are: neither make nor the shell reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE = """#!/bin/sh
for argument in "$@"; do printf '%s\\0' "$argument"; done > arguments
exit "${FAKE_STATUS:-0}"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and an executable that writes down its arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    fake = tmp_path / "fake-cockpit"
    fake.write_text(FAKE, encoding="utf-8")
    fake.chmod(0o755)
    return tmp_path


def make(
    checkout: Path,
    *words: str,
    command: str = "./fake-cockpit",
    target: str = "circuit-trip",
    **environ: str,
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", target, f"COCKPIT={command}", *words],
        cwd=checkout,
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def arguments(checkout: Path) -> list[str]:
    return (checkout / "arguments").read_text(encoding="utf-8").split("\0")[:-1]


@pytest.mark.parametrize(
    "words",
    [
        "x; touch PWNED",
        "x && touch PWNED",
        "`touch PWNED`",
        "$(touch PWNED)",
        "$(shell touch PWNED)",
        "${shell touch PWNED}",
        "$$(touch PWNED)",
        "'; touch PWNED; '",
        '"; touch PWNED; "',
        'it\'s "down" at $5, see #12 \\ & | > PWNED, 100 %',
        "first line\ntouch PWNED",
        "--yes",
        "a),touch PWNED",
    ],
)
@pytest.mark.parametrize("variable", ["ID", "NOTES", "REASON"])
def test_words_reach_the_command_unread(checkout: Path, variable: str, words: str) -> None:
    given = {"ID": "instrument:BTC-USD", "NOTES": "fills stopped, book is one-sided", "REASON": "slippage"}
    given[variable] = words
    done = make(checkout, *(f"{name}={value}" for name, value in given.items()))
    assert done.returncode == 0, done.stderr
    assert arguments(checkout) == [
        "trip",
        f"--reason={given['REASON']}",
        f"--notes={given['NOTES']}",
        "--yes",
        "--",
        given["ID"],
    ]
    assert not (checkout / "PWNED").exists()


def test_the_reason_is_operational_unless_given(checkout: Path) -> None:
    make(checkout, "ID=global", "NOTES=fills stopped, book is one-sided")
    assert "--reason=operational" in arguments(checkout)


@pytest.mark.parametrize("words", [(), ("ID=global",), ("NOTES=fills stopped, book is one-sided",)])
def test_nothing_is_tripped_by_halves_or_by_a_stray_environment(
    checkout: Path, words: tuple[str, ...]
) -> None:
    done = make(checkout, *words, ID="instrument:ETH-USD", NOTES="left over from another program")
    assert done.returncode != 0
    assert "usage: make circuit-trip ID=" in done.stderr
    assert not (checkout / "arguments").exists()


def test_a_trip_that_failed_fails_make(checkout: Path) -> None:
    done = make(checkout, "ID=global", "NOTES=fills stopped, book is one-sided", FAKE_STATUS="5")
    assert done.returncode != 0
    assert "Error 5" in done.stderr


def test_without_an_installation_it_names_the_way_that_needs_none(checkout: Path) -> None:
    bare = checkout / "bin"
    bare.mkdir()
    for tool in ("make", "sh", "sed", "uname"):
        where = shutil.which(tool)
        assert where is not None
        (bare / tool).symlink_to(where)
    done = make(checkout, "ID=global", "NOTES=fills stopped now", command="./absent", PATH=str(bare))
    assert done.returncode != 0
    assert "runbooks/emergency_trip.py" in done.stderr


def test_an_old_python_is_refused_in_one_line(checkout: Path) -> None:
    old = checkout / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    (checkout / "requirements.lock").touch()
    (checkout / "pyproject.toml").touch()
    done = subprocess.run(
        ["make", "demo", "PYTHON=./python-old"],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("cockpit needs Python 3.11 or later")
    assert not (checkout / ".venv").exists()


def test_the_kill_switch_says_what_it_does_and_hands_the_notes_on(checkout: Path) -> None:
    words = 'it\'s "down"; touch PWNED $(touch PWNED)'
    done = make(checkout, f"NOTES={words}", target="kill-switch")
    assert done.returncode == 0, done.stderr
    assert arguments(checkout) == ["kill-switch", f"--notes={words}", "--yes"]
    assert "flattens every position" in done.stderr
    assert not (checkout / "PWNED").exists()
    (checkout / "arguments").unlink()
    none = make(checkout, target="kill-switch", NOTES="left over from another program")
    assert none.returncode != 0 and "usage: make kill-switch NOTES=" in none.stderr
    assert not (checkout / "arguments").exists()
