"""The playbook of an incident as steps that tick themselves, and the conditions of a resume. Pure."""

from __future__ import annotations

from typing import Final

from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.playbooks import Act, Phase, Playbook, Step, Ticked
from cockpit.domain.text import clean
from widgets.line import Line
from widgets.minutes_entry import MARKS, Entry, heading, paragraph, unreadable

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
_BUNDLE: Final = "`cockpit incident bundle ID` makes it"


def actionable(playbook: Playbook) -> tuple[Step, ...]:
    """The steps that a digit runs, in the order of their digits."""
    return tuple(step for step in playbook.steps if step.action in ACT_WORDS)[:9]


def playbook_entries(page: IncidentPage, playbook: Playbook | None, cells: int) -> list[Entry]:
    """Every step: its digit where something can be run, whether its check holds, what says so."""
    if playbook is None:
        return unreadable("playbook", "playbook", page.playbooks_fault or "no playbook is loaded", cells)
    chosen = page.chosen
    best = chosen is not None and chosen.playbook.playbook_id == playbook.playbook_id
    why = "; ".join(chosen.evidence) if chosen is not None and best else "chosen by hand"
    others = len(page.offered()) - 1
    words = f"{playbook.title}{f' · p: {others} more' if others else ''} · {why}"
    entries = [heading("playbook", "PLAYBOOK", words)]
    digits = {step.step_id: str(index) for index, step in enumerate(actionable(playbook), 1)}
    phase: Phase | None = None
    for ticked in page.steps(playbook):
        if ticked.step.phase is not phase:
            phase = ticked.step.phase
            entries.append(Entry(f"phase-{phase}", ((f"  {_PHASES[phase]}", "title"),)))
        entries += _step(ticked, digits.get(ticked.step.step_id, ""), cells)
    return entries


def _step(ticked: Ticked, digit: str, cells: int) -> list[Entry]:
    step = ticked.step
    sign, style = MARKS[ticked.done] if step.check is not None else ("·", "dim")
    does = f" [{ACT_WORDS[step.action]}]" if digit else ""
    how = f" {_BUNDLE}" if step.action is Act.BUNDLE else ""
    why = f" ({clean(ticked.why, 160)})" if step.check is not None or step.by_hand else ""
    before: Line = ((f"  {digit or ' '} ", "key"), (f"{sign} ", style))
    text = f"{step.text}{how}{does}{why}"
    colour = "dim" if ticked.done else ""
    return paragraph(
        f"step-{step.step_id}", before, text, colour, cells, (step.text, ticked.why, step.by_hand), 4
    )


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
