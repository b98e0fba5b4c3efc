"""Playbooks on disk: every file of the folder, or the first fault as one line with file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from cockpit.domain.playbook_parsing import BadPlaybook, parse_playbook
from cockpit.domain.playbooks import Playbook
from cockpit.domain.text import clean

_MOST_BYTES: Final = 200_000


class BadPlaybookFile(ValueError):
    """`FILE:LINE: what is wrong`."""


@cache
def shipped_playbooks() -> tuple[Playbook, ...]:
    """The playbooks that come with the cockpit, by id.

    Raises:
        BadPlaybookFile: one of them is damaged.
    """
    return read_playbooks(files("runbooks").joinpath("playbooks"))


def read_playbooks(folder: Path | Traversable) -> tuple[Playbook, ...]:
    """Every `*.toml` of a folder, by id.

    Raises:
        BadPlaybookFile: the folder or a file cannot be read, is no TOML or no playbook, or an id stands
            twice.
    """
    try:
        names = sorted((each for each in folder.iterdir() if each.name.endswith(".toml")), key=_name)
    except OSError as error:
        raise BadPlaybookFile(f"{folder}: {error.strerror}") from None
    found: dict[str, Playbook] = {}
    for path in names:
        playbook = read_playbook(path)
        if playbook.playbook_id in found:
            raise BadPlaybookFile(f"{path}:1: id: {playbook.playbook_id} is another file's too")
        found[playbook.playbook_id] = playbook
    return tuple(found[each] for each in sorted(found))


def read_playbook(path: Path | Traversable) -> Playbook:
    """
    Raises:
        BadPlaybookFile: it cannot be read, is no TOML, or no playbook.
    """
    try:
        if not path.is_file():
            raise BadPlaybookFile(f"{path}: not a file")
        raw = path.read_bytes()
        if len(raw) > _MOST_BYTES:
            raise BadPlaybookFile(f"{path}: over {_MOST_BYTES:,} bytes")
        text = raw.decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise BadPlaybookFile(f"{path}: {error.strerror}") from None
    except BadPlaybookFile:
        raise
    except (ValueError, RecursionError) as error:
        raise BadPlaybookFile(f"{path}: not TOML: {clean(str(error), 200)}") from None
    try:
        return parse_playbook(values)
    except BadPlaybook as error:
        raise BadPlaybookFile(f"{path}:{_line(text.splitlines(), error)}: {error}") from None


def _line(lines: Iterable[str], error: BadPlaybook) -> int:
    """The line of the field in its step; the step's own line, or 1, where the field is missing."""
    header, step = 1, 0
    field = re.compile(rf"\s*{re.escape(error.key)}\s*=") if error.key else None
    for number, line in enumerate(lines, 1):
        if line.strip().startswith("[[step]]"):
            step += 1
            header = number if step == error.step else header
        if step == error.step and field is not None and field.match(line):
            return number
    return header


def _name(path: Path | Traversable) -> str:
    return path.name
