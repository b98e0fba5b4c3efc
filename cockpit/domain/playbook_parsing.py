"""Playbooks out of decoded TOML; whatever is wrong in one is a line that names table and field. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.playbook_checks import Check
from cockpit.domain.playbooks import Act, Fits, Judged, Phase, Playbook, Step
from cockpit.domain.text import clean

MOST_STEPS: Final = 40
MOST_TEXT: Final = 400
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_TOP: Final = ("id", "title", "source", "severity", "fits", "step")
_FITS: Final = ("classifications", "sources", "words", "always")
_STEP: Final = ("id", "phase", "text", "action", "check", "by_hand", "judged")
_ORDER: Final = tuple(Phase)
E = TypeVar("E", bound=StrEnum)


class BadPlaybook(ValueError):
    """What is wrong; `step` is the number of the step that it stands in (1 upwards), 0 above them, and `key`
    the field."""

    def __init__(self, message: str, step: int = 0, key: str = "") -> None:
        super().__init__(message)
        self.step = step
        self.key = key


class _Table:
    def __init__(self, values: object, step: int = 0, name: str = "") -> None:
        self.label = name or (f"step {step}" if step else "playbook")
        self.step = step
        if not isinstance(values, dict):
            raise BadPlaybook(f"{self.label}: not a table", step)
        self.values: Mapping[str, object] = values

    def bad(self, key: str, fault: str) -> BadPlaybook:
        return BadPlaybook(f"{self.label}: {clean(key, 60)}: {fault}", self.step, key)

    def only(self, known: Sequence[str]) -> None:
        for key in self.values:
            if key not in known:
                raise self.bad(key, f"no such field; known are {', '.join(known)}")

    def text(self, key: str, most: int = MOST_TEXT, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if value == "" and default == "":
            return ""
        if not isinstance(value, str) or not value.strip() or clean(value, most) != value:
            fault = "missing" if value is None else f"not a plain text of 1 to {most} characters"
            raise self.bad(key, fault)
        return value

    def name(self, key: str) -> str:
        name = self.text(key, 63)
        if not _NAME.fullmatch(name):
            raise self.bad(key, "write a-z, 0-9 and -, like halt-withdrawals")
        return name

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        if default is not None and key not in self.values:
            return default
        text = self.text(key)
        try:
            return kind(text)
        except ValueError:
            raise self.bad(key, f"not one of {', '.join(each.value for each in kind)}") from None

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or len(value) > MOST_STEPS:
            raise self.bad(key, f"not a list of at most {MOST_STEPS} texts")
        for each in value:
            if not isinstance(each, str) or not each.strip() or clean(each, 60) != each:
                raise self.bad(key, "holds something that is no plain text of up to 60 characters")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.bad(key, "neither true nor false")
        return value


def parse_playbook(values: Mapping[str, object]) -> Playbook:
    """Its steps by their phases, in the order of the file within each.

    Raises:
        BadPlaybook: an unknown, missing or bad field, no step, or two steps of one id.
    """
    top = _Table(values)
    top.only(_TOP)
    listed = values.get("step")
    if not isinstance(listed, list) or not 0 < len(listed) <= MOST_STEPS:
        raise top.bad("step", f"write 1 to {MOST_STEPS} of them, each as [[step]]")
    steps = tuple(_step(_Table(each, number)) for number, each in enumerate(listed, 1))
    for number, step in enumerate(steps, 1):
        if any(step.step_id == before.step_id for before in steps[: number - 1]):
            raise BadPlaybook(f"step {number}: id: {step.step_id} stands there twice", number, "id")
    return Playbook(
        playbook_id=top.name("id"),
        title=top.text("title", 80),
        source=top.text("source", 120),
        severity=top.choice("severity", Severity),
        fits=_fits(_Table(values.get("fits", {}), name="fits")),
        steps=tuple(sorted(steps, key=lambda step: _ORDER.index(step.phase))),
    )


def _fits(table: _Table) -> Fits:
    table.only(_FITS)
    classifications = table.texts("classifications")
    for each in classifications:
        if each not in tuple(Classification):
            raise table.bad("classifications", f"not one of {', '.join(Classification)}")
    words = table.texts("words")
    if any(word != word.lower() for word in words):
        raise table.bad("words", "write them in lower case")
    return Fits(classifications, table.texts("sources"), words, table.flag("always"))


def _step(table: _Table) -> Step:
    table.only(_STEP)
    return Step(
        step_id=table.name("id"),
        phase=table.choice("phase", Phase),
        text=table.text("text"),
        action=table.choice("action", Act, Act.NONE),
        check=table.choice("check", Check) if "check" in table.values else None,
        by_hand=table.text("by_hand", default=""),
        judged=table.choice("judged", Judged, Judged.DONE),
    )
