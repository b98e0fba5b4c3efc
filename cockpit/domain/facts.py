"""What `cockpit doctor` says: one fact a line, how bad it is and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Fact:
    """`subject` is what was looked at (`postgres fsync`), `text` what was found, `remedy` what to do."""

    severity: Severity
    subject: str
    text: str
    remedy: str = ""


def ok(subject: str, text: str) -> Fact:
    return Fact(Severity.OK, subject, text)


def warn(subject: str, text: str, remedy: str) -> Fact:
    return Fact(Severity.WARN, subject, text, remedy)


def bad(subject: str, text: str, remedy: str) -> Fact:
    return Fact(Severity.BAD, subject, text, remedy)


def worst(facts: tuple[Fact, ...]) -> Severity:
    """The severity of the worst fact; OK where there is none."""
    order = list(Severity)
    return max((fact.severity for fact in facts), key=order.index, default=Severity.OK)
