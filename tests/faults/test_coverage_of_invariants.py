"""Every invariant that can be held by now is named by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
HELD = (*range(1, 19), 19, 20, 21, 22, 23, 24, 25, 26, 27)
FAULTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26)
_MARK = re.compile(r"(?:#|\"\"\").*")


def marks(letter: str) -> set[int]:
    """The numbers in the comments and docstrings of all tests."""
    found: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        if path != Path(__file__):
            for text in _MARK.findall(path.read_text("utf-8")):
                found |= {int(number) for number in re.findall(rf"\b{letter}(\d+)\b", text)}
    return found


@pytest.mark.parametrize("number", HELD)
def test_an_invariant_has_a_test(number: int) -> None:
    assert number in marks("I")


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_has_a_test(number: int) -> None:
    assert number in marks("F")
