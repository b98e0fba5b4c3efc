"""What a command gives back, and how it is printed: one JSON document, or lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cockpit.domain.refusals import EXIT_DONE, EXIT_USAGE, Refusal
from cockpit.domain.text import clean

if TYPE_CHECKING:
    from cockpit.operations.outcomes import Outcome


class UsageFault(Exception):
    """Wrong usage or input: one line that names the field, the fault and what would be right."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`lines` are the human form of `document`; `messages` go to stderr in either form."""

    document: object
    lines: tuple[str, ...] = ()
    exit_code: int = EXIT_DONE
    messages: tuple[str, ...] = field(default=())


def of_outcome(
    outcome: Outcome, messages: tuple[str, ...] = (), extra: Mapping[str, object] | None = None
) -> Answer:
    """The contract's object; people see its message, and where the proof lies."""
    details = (
        f"event    {outcome.event_id}" if outcome.event_id else "",
        f"evidence {outcome.evidence_link}" if outcome.evidence_link else "",
        f"audit    entry {outcome.audit_seq}" if outcome.audit_seq is not None else "",
    )
    document = {**outcome.document(), **(extra or {})}
    if outcome.exit_code == EXIT_DONE:
        return Answer(document, (outcome.message, *filter(None, details)), EXIT_DONE, messages)
    return Answer(document, tuple(filter(None, details)), outcome.exit_code, (*messages, outcome.message))


def failure(changes: bool, breaker_id: str | None, message: str, exit_code: int, code: str) -> Answer:
    """A command that came to nothing. `changes`: it is one that prints the contract's outcome object."""
    if changes:
        from cockpit.operations.outcomes import Outcome  # not for what only reads, as the screen's start does

        return of_outcome(Outcome(breaker_id, "refused", message, exit_code))
    return Answer({"error": {"code": code, "message": message}}, (), exit_code, (message,))


def of_refusal(changes: bool, breaker_id: str | None, refusal: Refusal) -> Answer:
    return failure(changes, breaker_id, str(refusal), refusal.exit_code, refusal.code.value)


def of_usage(changes: bool, breaker_id: str | None, message: str) -> Answer:
    return failure(changes, breaker_id, message, EXIT_USAGE, "usage")


def say(message: str) -> None:
    """One safe line on stderr (I26)."""
    if sys.stderr is not None:
        print(f"cockpit: {clean(message)}", file=sys.stderr, flush=True)


def show(line: str) -> None:
    """One safe line on stdout."""
    print(clean(line), flush=True)


def emit(answer: Answer, as_json: bool) -> int:
    """Print `answer` and return its exit code."""
    for message in answer.messages:
        say(message)
    if as_json:
        print(json.dumps(answer.document, ensure_ascii=True), flush=True)
    else:
        for line in answer.lines:
            show(line)
    return answer.exit_code
