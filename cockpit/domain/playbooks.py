"""Playbooks as data: steps with named actions and named checks, and which of them fits an incident. Pure.

Sources: exchange operations runbook 3.1 to 3.6; incident playbook, P0 to P2 responses. A check reads nothing
by itself: it is judged from the page's facts, and what is unknown never ticks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cockpit.domain.incidents import Severity
from cockpit.domain.modes import Mode
from cockpit.domain.playbook_checks import Check, checked
from cockpit.domain.recovery import BRANCH
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import says

__all__ = [
    "MODES",
    "Act",
    "Check",
    "Chosen",
    "Fits",
    "Judged",
    "Phase",
    "Playbook",
    "Sign",
    "Step",
    "Ticked",
    "checked",
    "choose",
    "progress",
]


class Act(StrEnum):
    """What a step may do from the page; each opens the action's own dialog. `none`: by hand, elsewhere."""

    TRIP = "trip"
    CANCEL_ONLY = "cancel-only"
    SOFT_HALT = "soft-halt"
    HARD_HALT = "hard-halt"
    WITHDRAWALS_HALT = "withdrawals-halt"
    CANCEL_ALL = "cancel-all"
    KILL_SWITCH = "kill-switch"
    BUNDLE = "bundle"
    ACKNOWLEDGE = "acknowledge"
    NOTE = "note"
    NONE = "none"


MODES: Final = {
    Act.CANCEL_ONLY: Mode.CANCEL_ONLY,
    Act.SOFT_HALT: Mode.SOFT_HALT,
    Act.HARD_HALT: Mode.HARD_HALT,
}
"""The mode that an action sets for every instrument that the incident concerns."""
NOT_JUDGED: Final = "not judged here"


class Phase(StrEnum):
    """In this order; a playbook's steps stand by it."""

    NOW = "now"
    FIND = "find"
    RECOVER = "recover"


class Judged(StrEnum):
    """What a step's check says of it."""

    DONE = "done"  # the step is done where the check holds, and to be done where it does not
    ASKS = "asks"  # a question, or what the check only makes possible: nothing is done where it holds
    IF_NEEDED = "if-needed"  # to be done in some cases only, which no check can tell


class Sign(StrEnum):
    """What a step needs of who reads it."""

    GOOD = "good"
    NEEDS = "needs"
    NOTHING = "nothing"  # or nobody judges it
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """`text` is what to do, in one or two sentences; `by_hand` says what the cockpit cannot do here."""

    step_id: str
    phase: Phase
    text: str
    action: Act = Act.NONE
    check: Check | None = None
    by_hand: str = ""
    judged: Judged = Judged.DONE


@dataclass(frozen=True, slots=True)
class Fits:
    """When a playbook is meant: any of these speaks for it. `words` are beginnings of words of the title and
    of the names of linked objectives, in lower case."""

    classifications: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    always: bool = False  # the one that is taken where nothing else fits


@dataclass(frozen=True, slots=True)
class Playbook:
    playbook_id: str
    title: str
    source: str
    severity: Severity
    fits: Fits
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """A step as it stands. `done`: whether its check holds; None: nothing can tell, or it is not known now.
    `why` is what says so."""

    step: Step
    done: bool | None
    why: str

    @property
    def sign(self) -> Sign:
        """A question is never good, and what is not needed in every case is never asked for."""
        if self.step.check is None:
            return Sign.NOTHING
        if self.done is None:
            return Sign.UNKNOWN
        if self.done:
            return Sign.NOTHING if self.step.judged is Judged.ASKS else Sign.GOOD
        return Sign.NOTHING if self.step.judged is Judged.IF_NEEDED else Sign.NEEDS


@dataclass(frozen=True, slots=True)
class Chosen:
    """The playbook of an incident, why, and others that were nearly it (best first)."""

    playbook: Playbook
    evidence: tuple[str, ...]
    others: tuple[Playbook, ...] = ()


def progress(playbook: Playbook, minutes: FirstMinutes) -> tuple[Ticked, ...]:
    """Every step with what its check says now."""
    return tuple(
        Ticked(step, None, _unjudged(step, minutes.incident_id))
        if step.check is None
        else Ticked(step, *checked(step.check, minutes))
        for step in playbook.steps
    )


def _unjudged(step: Step, incident_id: str) -> str:
    """What there is to say of a step that no check judges."""
    if step.action is not Act.BUNDLE:
        return step.by_hand or NOT_JUDGED
    return f"`cockpit incident bundle {incident_id}` makes it. {step.by_hand}".rstrip()


def choose(playbooks: Sequence[Playbook], minutes: FirstMinutes) -> Chosen:
    """The playbook that fits best: its source weighs 16, each word of the title 8, the incident's own
    classification 4, its objectives 1 and the classification that it looks like 1. Where playbooks are
    written for what it is classified as, only its source speaks for one that is written for another class.
    Of equals the one of the same severity, then by id.

    Raises:
        LookupError: there is no playbook at all.
    """
    given = _classification(minutes)
    if not any(given in each.fits.classifications for each in playbooks):
        given = ""
    rated = [(each, tuple(_reasons(each.fits, minutes, given))) for each in playbooks]
    if not rated:
        raise LookupError("no playbook is loaded")
    severity = minutes.incident.value.severity if minutes.incident.value else ""

    def order(rating: tuple[Playbook, tuple[tuple[int, str], ...]]) -> tuple[int, bool, bool, str]:
        book, reasons = rating
        weight = sum(each for each, _ in reasons)
        last_resort = weight == 0 and book.fits.always
        return (-weight, not last_resort, book.severity.value != severity, book.playbook_id)

    rated.sort(key=order)
    best, reasons = rated[0]
    unread = minutes.incident.value is None
    nothing = "the incident could not be read" if unread else "nothing speaks for another one"
    said = tuple(text for _, text in reasons) or (nothing,)
    return Chosen(best, said, tuple(book for book, why in rated[1:] if why))


def _classification(minutes: FirstMinutes) -> str:
    """What the incident is classified as, by the name that the decision tree has for it."""
    row = minutes.incident.value
    return str(BRANCH.get(row.classification, row.classification)) if row else ""


def _reasons(fits: Fits, minutes: FirstMinutes, given: str) -> Iterator[tuple[int, str]]:
    """`given`: the incident's classification, "" where no playbook is written for it."""
    row = minutes.incident.value
    if row is None:
        return
    if row.source in fits.sources:
        yield 16, f"it was opened by {row.source}"
    if given and fits.classifications and given not in fits.classifications:
        return
    for word in fits.words:
        if says(row.title, word):
            yield 8, f"its title says {word!r}"
    if given and given in fits.classifications:
        yield 4, f"it is classified {row.classification}"
    linked = " ".join(minutes.objectives)
    if found := [word for word in fits.words if says(linked, word)]:
        yield 1, f"its objectives say {found[0]!r}"
    suggested = minutes.suggestion
    if suggested.evidence and suggested.classification.value in fits.classifications:
        yield 1, f"it looks like {suggested.classification.value}"
