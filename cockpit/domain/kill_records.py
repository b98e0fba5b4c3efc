"""A kill switch as it is written down: in a journal on disk, and in the signed KILL_STEP requests.

The target of a KILL_STEP is JSON: `{"kill_id", "step", "outcome", "details"}`. The details of a trip are
`{"run_id", "counter", "why"}` (run_id null: not confirmed), those of a cancel or flatten `{"round",
"answered", "refused", "why"}`; from them another cockpit goes on. What was acknowledged and read is written
for people: it is looked at anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from uuid import UUID

from cockpit.domain.documents import MAX_COUNTER, Epoch
from cockpit.domain.kill import Acknowledged, Acted, Fact, Read, Step, StepOutcome, Tripped
from cockpit.domain.text import clean

MOST_REFUSED: Final = 50  # written down; the venue itself has the rest
_MOST_CHARACTERS: Final = 6_000  # of JSON, of each list: a step's record may have 16 KiB in all
MOST_ROUNDS: Final = 1_000_000
_ACTED: Final = (Step.CANCEL, Step.FLATTEN)


class BadKillRecord(ValueError):
    """Not what `step_target` or `details_of` writes; the message names the field."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One KILL_STEP."""

    kill_id: str
    step: Step
    outcome: StepOutcome
    details: Mapping[str, object]

    def target(self) -> str:
        return json.dumps(
            {
                "kill_id": self.kill_id,
                "step": self.step.value,
                "outcome": self.outcome.value,
                "details": dict(self.details),
            },
            sort_keys=True,
        )


class Reported(Protocol):
    """A reported step as the desk shows it."""

    @property
    def step(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def details(self) -> Mapping[str, object]: ...


ReportedT = TypeVar("ReportedT", bound=Reported)
T = TypeVar("T")


def parse_step(target: str | None) -> StepRecord:
    """
    Raises:
        BadKillRecord: not a KILL_STEP's target.
    """
    fields = _object(target)
    if fields.keys() != {"kill_id", "step", "outcome", "details"}:
        raise BadKillRecord("target is not exactly {kill_id, step, outcome, details}")
    details = fields["details"]
    if not isinstance(details, dict):
        raise BadKillRecord("details is not an object")
    try:
        step, outcome = Step(str(fields["step"])), StepOutcome(str(fields["outcome"]))
    except ValueError as error:
        raise BadKillRecord(clean(str(error), 100)) from error
    return StepRecord(parse_kill_id(fields["kill_id"]), step, outcome, details)


def parse_kill_id(value: object) -> str:
    """
    Raises:
        BadKillRecord: not a UUID in its canonical form.
    """
    try:
        same = isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        same = False
    if not same:
        raise BadKillRecord("it is not a kill switch's id")
    return str(value)


def step_of(fact: Fact) -> Step:
    match fact:
        case Tripped():
            return Step.TRIP
        case Acknowledged():
            return Step.ACKNOWLEDGED
        case Acted():
            return fact.step
        case _:
            return Step.VERIFY


def details_of(fact: Fact) -> dict[str, object]:
    """What is written down of a fact: plain JSON values, amounts as strings."""
    match fact:
        case Tripped():
            epoch = fact.epoch
            known = {"run_id": epoch.run_id if epoch else None, "counter": epoch.counter if epoch else None}
            return {**known, "why": fact.why}
        case Acknowledged():
            acks = {name: {"run_id": ack.run_id, "counter": ack.counter} for name, ack in fact.acks.items()}
            return {"acks": acks, "why": fact.why}
        case Acted():
            return {
                "round": fact.round,
                "answered": fact.answered,
                "refused": dict(_fitting(list(fact.refused.items()))),
                "refused_in_all": len(fact.refused),
                "why": fact.why,
            }
        case _:
            return _read_details(fact)


def _read_details(read: Read) -> dict[str, object]:
    orders, positions = read.orders, read.positions
    return {
        "orders": None
        if orders is None
        else _fitting(
            [
                {"order_id": each.order_id, "symbol": each.symbol, "quantity": str(each.quantity)}
                for each in orders
            ]
        ),
        "orders_in_all": None if orders is None else len(orders),
        "positions": None
        if positions is None
        else dict(_fitting([(each.symbol, str(each.quantity)) for each in positions if each.quantity])),
        "why": read.why,
        "open_at": None if read.open_at is None else read.open_at.counter,
    }


def _fitting(entries: Sequence[T]) -> list[T]:
    """The first of them, as many as are written down."""
    kept: list[T] = []
    left = _MOST_CHARACTERS
    for each in entries[:MOST_REFUSED]:
        left -= len(json.dumps(each))
        if left < 0:
            break
        kept.append(each)
    return kept


def fact_of(step: Step, details: Mapping[str, object]) -> Fact | None:
    """The fact to go on from; None for what is looked at anew.

    Raises:
        BadKillRecord: the details are not what `details_of` writes.
    """
    if step is Step.TRIP:
        return Tripped(_epoch(details), _text(details, "why"))
    if step not in _ACTED:
        return None
    number, answered = details.get("round"), details.get("answered")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_ROUNDS:
        raise BadKillRecord("round is not a number from 1")
    refused = details.get("refused")
    if not isinstance(answered, bool) or not isinstance(refused, dict):
        raise BadKillRecord("answered and refused are not a truth value and an object")
    named = {str(name): clean(str(why), 200) for name, why in refused.items()}
    return Acted(step, number, answered, named, _text(details, "why"))


def facts_of(steps: Iterable[tuple[str, Mapping[str, object]]]) -> tuple[Fact, ...]:
    """The facts to go on from, in their order. A record that cannot be read is left out: its step is then
    done once more under a key that was used, which changes nothing."""
    found: list[Fact] = []
    for name, details in steps:
        try:
            fact = fact_of(Step(name), details)
        except ValueError:
            continue
        if fact is not None:
            found.append(fact)
    return tuple(found)


def standing(steps: Sequence[ReportedT], step: Step) -> tuple[ReportedT, ReportedT] | None:
    """What a step shows now: the report since which it has stood so, and the newest one; None where nothing
    was reported. Whoever goes on reports anew what was confirmed before, and on the way there that it waits:
    it was confirmed the first time."""
    found = [each for each in steps if each.step == step]
    if not found:
        return None
    first = newest = found[-1]
    for each in reversed(found):
        if _said(each) == _said(newest):
            first = each
        elif each.outcome != StepOutcome.WAITING:
            break
    return first, newest


def _said(report: Reported) -> tuple[object, ...]:
    """Another epoch, or another key, is another confirmation."""
    return (report.outcome, *(report.details.get(name) for name in ("line", "run_id", "counter", "round")))


def finished(steps: Sequence[Reported]) -> bool:
    """Whether the newest verification that was reported found it FLAT."""
    verified = [each for each in steps if each.step == Step.VERIFY]
    return bool(verified) and verified[-1].outcome == StepOutcome.FLAT


def _object(text: str | None) -> Mapping[str, object]:
    try:
        fields = json.loads(text or "")
    except (ValueError, RecursionError):
        raise BadKillRecord("target is not JSON") from None
    if not isinstance(fields, dict):
        raise BadKillRecord("target is not a JSON object")
    return fields


def _epoch(details: Mapping[str, object]) -> Epoch | None:
    run_id, counter = details.get("run_id"), details.get("counter")
    if run_id is None and counter is None:
        return None
    if not isinstance(run_id, str) or not isinstance(counter, int) or isinstance(counter, bool):
        raise BadKillRecord("run_id and counter are no epoch")
    if not 0 < counter <= MAX_COUNTER:
        raise BadKillRecord("counter is not a trip counter")
    return Epoch(run_id, counter)


def _text(details: Mapping[str, object], name: str) -> str:
    value = details.get(name)
    return clean(value, 300) if isinstance(value, str) else ""
