"""One firing as it is being done: what is written into its trip, and what is recorded of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from backends.guard_store import FiringRecord
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.documents import rfc3339
from cockpit.domain.text import MAX_NOTES, clean
from cockpit.domain.trigger_watch import Firing
from cockpit.domain.triggers import Effect, Mode


class Phase(Enum):
    UNDER_WAY = auto()
    DONE = auto()  # halted, or the limit is asked for
    PENDING = auto()  # no store has halted it yet; it is delivered again and again
    FAILED = auto()
    DROPPED = auto()  # not begun: the reading was too old by then, or the lease was gone


@dataclass(slots=True)
class Deed:
    """What became of one firing. `ended` by this process's clock, 0 until then. `also`: firings of other
    rules on the same breaker, which its one trip serves too. `sent` is that trip."""

    firing_id: str
    firing: Firing
    also: tuple[Deed, ...] = ()
    phase: Phase = Phase.UNDER_WAY
    ended: float = 0.0
    said: str = ""
    sent: tuple[Command, SignedCommand] | None = None

    @property
    def everyone(self) -> tuple[Deed, ...]:
        return (self, *self.also)

    def settle(self, phase: Phase, said: str, moment: float) -> None:
        """It has come to this, at `moment`, for every firing that it serves."""
        for each in self.everyone:
            each.phase, each.said = phase, said
            each.ended = 0.0 if phase is Phase.PENDING else moment


def joined(due: Sequence[Firing]) -> list[list[Firing]]:
    """What one deed serves: trips of one breaker together, the most severe first; everything else alone."""
    trips: defaultdict[BreakerId, list[Firing]] = defaultdict(list)
    alone: list[list[Firing]] = []
    for firing in sorted(due, key=lambda each: each.rule.severity):
        if firing.rule.effect is Effect.TRIP and firing.rule.mode is Mode.LIVE:
            trips[firing.breaker_id].append(firing)
        else:
            alone.append([firing])
    return [*trips.values(), *alone]


def notes_of(firing: Firing, also: tuple[Deed, ...] = ()) -> str:
    """Rule, value, threshold and the samples behind it, as a trip's notes: 20 to 500 plain characters.
    `also`: the other rules that it is done for."""
    rule = firing.rule
    others = ", ".join(each.firing.rule.name for each in also)
    who = f" of {firing.subject}" if firing.subject else ""
    text = (
        f"Rule {rule.name}{who}: {rule.title}. {firing.value:.6g} {rule.unit}, threshold "
        f"{rule.threshold} {rule.unit}, at {rfc3339(firing.fired_at)}. "
        f"{f'Also over: {others}. ' if others else ''}Samples: "
    )
    told = clean(" ".join(text.split()), MAX_NOTES)
    return clean(f"{told} {_samples(firing, MAX_NOTES - len(told) - 1)}", MAX_NOTES)


def _samples(firing: Firing, room: int) -> str:
    """The newest samples by name, as many as there is room for: part of a name names nothing."""
    names = [clean(_plain(each.sample_id), 40) for each in firing.evidence]
    for most in range(len(names), 0, -1):
        more = f" and {len(names) - most} more" if most < len(names) else ""
        if len(text := ", ".join(names[:most]) + more) <= room:
            return text
    return f"{len(names)}, by name in its record" if names else "none by name"


def _plain(sample_id: str) -> str:
    """Without the zeros that a number is filled up with so that texts sort as numbers. Any other id, such as
    an order's UUID, is a name: one character less and it names nothing."""
    return sample_id.lstrip("0") or "0" if sample_id.isdecimal() else sample_id


def record_of(deed: Deed) -> FiringRecord:
    """What is kept of a firing. One that halted nothing pages in any case."""
    firing = deed.firing
    rule = firing.rule
    severity = rule.severity if rule.pages else None
    title = f"{rule.title}: {firing.value:.6g} {rule.unit}, threshold {rule.threshold}"
    if firing.subject:
        title = f"{firing.subject}: {title}"
    if deed.phase in (Phase.FAILED, Phase.PENDING):
        yet = "" if deed.phase is Phase.FAILED else "YET "
        severity, title = "P0", f"NOT HALTED {yet}by the guard: {title}"
    return FiringRecord(
        firing_id=deed.firing_id,
        rule=rule.name,
        mode=rule.mode.value,
        effect=rule.effect.value,
        aim=rule.aim,
        breaker_id=firing.breaker_id,
        subject=clean(firing.subject, 100),
        value=firing.value,
        threshold=float(rule.threshold),
        samples=[[clean(each.sample_id, 100), rfc3339(each.at), each.value] for each in firing.evidence],
        fired_at=firing.fired_at,
        severity=severity,
        classification=rule.incident_class.value,
        title=clean(title, 200),
    )
