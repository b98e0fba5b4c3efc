"""Every `cockpit …` that playbooks, README and contract name is a command, and has the options named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cockpit.cli.arguments import COMMANDS, parser_of

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    *sorted((ROOT / "runbooks" / "playbooks").glob("*.toml")),
    ROOT / "README.md",
    ROOT / "docs" / "contract.md",
]
GROUPS = {words.split()[0] for words in COMMANDS if " " in words}
_TAKES_ONE = ("--config", "--profile", "--login")
_WORD = re.compile(r"[a-z][a-z-]*(\|[a-z-]+)*")


def named(text: str) -> Iterator[str]:
    """What stands in backticks, and the lines of blocks of code that begin with the command."""
    yield from (each.strip() for each in re.findall(r"`cockpit( [^`\n]*)`", text))
    yield from (each.strip() for each in re.findall(r"^(?:\$ )?cockpit( [a-z-][^\n#&;]*)", text, re.M))


def faults(words: str) -> Iterator[str]:
    """What is wrong with a line after `cockpit`: no such command, or an option that it does not take."""
    parts = words.replace("[", " ").replace("]", " ").split()
    while parts and parts[0].startswith("--"):  # those of all commands may stand first
        del parts[: 2 if parts[0] in _TAKES_ONE else 1]
    if not parts or not _WORD.fullmatch(parts[0]):
        if parts and parts[0] not in ("COMMAND", "…"):
            yield f"{parts[0]} is no command"
        return
    first, second = parts[0], parts[1] if len(parts) > 1 else ""
    if first in GROUPS and second == "…":
        return
    pairs = [f"{first} {each}" for each in second.split("|")]
    commands = pairs if first in GROUPS and _WORD.fullmatch(second) else [first]
    options = [option.partition("=")[0].rstrip(".,;:") for option in parts if option.startswith("--")]
    for command in commands:
        if command not in COMMANDS:
            yield f"{command} is no command"
            continue
        known = parser_of(command)._option_string_actions
        yield from (f"{command} has no {option}" for option in options if option not in known)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_is_named_can_be_typed(path: Path) -> None:
    assert [f"cockpit {each}: {fault}" for each in named(path.read_text()) for fault in faults(each)] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("kill-switch review ID", []),
        ("kill-switch --review ID", ["kill-switch has no --review"]),
        ("kill-switch revise ID", ["kill-switch revise is no command"]),
        ("withdrawals halt|resume", []),
        ("withdrawals halt|pause", ["withdrawals pause is no command"]),
        ("withdrawals", ["withdrawals is no command"]),
        ("incident …", []),
        ("COMMAND --json", []),
        ("--login admin1", []),
        ("--login admin1 slo [NAME]", []),
        ("recon [SYMBOL] --jsn", ["recon has no --jsn"]),
        ("Recon", ["Recon is no command"]),
    ],
)
def test_what_cannot_be_typed_is_found(words: str, expected: list[str]) -> None:
    assert list(faults(words)) == expected


def test_enough_is_named() -> None:
    assert sum(len(list(named(path.read_text()))) for path in TEXTS) > 60
