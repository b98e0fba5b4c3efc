"""The playbook of an incident as steps that tick themselves, and the conditions of a resume. Pure."""

from __future__ import annotations

from typing import Final

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.playbooks import NOT_JUDGED, Act, Phase, Playbook, Sign, Step, Ticked
from cockpit.domain.text import clean
from widgets.line import Line
from widgets.minutes_entry import MARKS, Entry, Mark, heading, paragraph, unreadable

ACT_WORDS: Final = {
    Act.TRIP: "trip",
    Act.CANCEL_ONLY: "CANCEL_ONLY",
    Act.SOFT_HALT: "SOFT_HALT",
    Act.HARD_HALT: "HARD_HALT",
    Act.WITHDRAWALS_HALT: "halt withdrawals",
    Act.CANCEL_ALL: "cancel all orders",
    Act.KILL_SWITCH: "kill switch",
    Act.ACKNOWLEDGE: "acknowledge",
    Act.NOTE: "note",
}
"""What runs from the page; a bundle is made on the command line."""
_PHASES: Final = {Phase.NOW: "AT ONCE", Phase.FIND: "FIND THE CAUSE", Phase.RECOVER: "RECOVER"}
_SIGNS: Final[dict[Sign, Mark]] = {
    Sign.GOOD: True,
    Sign.NEEDS: False,
    Sign.NOTHING: "",
    Sign.UNKNOWN: None,
}
_KEY: Final = "step-"


def step_at(playbook: Playbook | None, key: str | None) -> Step | None:
    """The step that enter runs on the line `key`, whichever of its lines that is; None where there is none
    that can be run."""
    if playbook is None or not (key or "").startswith(_KEY):
        return None
    step_id = (key or "").removeprefix(_KEY).partition("+")[0].partition("#")[0]
    found = next((step for step in playbook.steps if step.step_id == step_id), None)
    return found if found is not None and found.action in ACT_WORDS else None


def playbook_entries(page: IncidentPage, playbook: Playbook | None, cells: int) -> list[Entry]:
    """Every step: what it needs, what enter does on it, what says so."""
    if playbook is None:
        return unreadable("playbook", "playbook", page.playbooks_fault or "no playbook is loaded", cells)
    chosen = page.chosen
    best = chosen is not None and chosen.playbook.playbook_id == playbook.playbook_id
    unread = page.minutes.incident.value is None
    why = "; ".join(chosen.evidence) if chosen is not None and (best or unread) else "chosen by hand"
    others = len(page.offered()) - 1
    words = f"{playbook.title}{f' · p: {others} more' if others else ''} · {why}"
    entries = [heading("playbook", "PLAYBOOK", words)]
    phase: Phase | None = None
    for ticked in page.steps(playbook):
        if ticked.step.phase is not phase:
            phase = ticked.step.phase
            entries.append(Entry(f"phase-{phase}", ((f"  {_PHASES[phase]}", "title"),)))
        entries += _step(ticked, cells)
    return entries


def _step(ticked: Ticked, cells: int) -> list[Entry]:
    step = ticked.step
    sign, style = MARKS[_SIGNS[ticked.sign]]
    does = f" [enter: {ACT_WORDS[step.action]}]" if step.action in ACT_WORDS else ""
    why = "" if ticked.why == NOT_JUDGED else f" ({clean(ticked.why, 240)})"
    before: Line = (("    ", ""), (f"{sign} ", style))
    text = f"{step.text}{does}{why}"
    colour = "dim" if ticked.sign is Sign.GOOD else ""
    more = (step.text, ticked.why, step.by_hand if step.check is not None else "")
    return paragraph(f"{_KEY}{step.step_id}", before, text, colour, cells, more, 4)


def recovery_entries(page: IncidentPage, cells: int) -> list[Entry]:
    """The recovery conditions: they stand in the way of a half-open and of a close."""
    part = page.minutes.recovery
    head = heading("recovery", "RECOVERY CONDITIONS", "block half-open and close of what it is linked to")
    if part.value is None:
        return [head, *unreadable("recovery-fault", "", part.fault or "not read", cells)]
    if not part.value:
        row = page.minutes.incident.value
        over = row is not None and row.status in ("resolved", "merged")
        why = "it is over" if over else "what it is classified as has none"
        return [head, Entry("recovery-none", (("   none: ", "dim"), (why, "dim")))]
    entries = [head]
    for index, condition in enumerate(part.value):
        sign, style = MARKS[condition.met]
        before: Line = (("    ", ""), (f"{sign} ", style))
        words = condition.line if condition.met is not None else f"UNREADABLE: {condition.line}"
        entries += paragraph(f"recovery-{index}-{condition.need}", before, words, "", cells, (words,))
    return entries
