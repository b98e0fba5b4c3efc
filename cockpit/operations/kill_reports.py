"""The record of a kill switch: each step's outcome as a signed KILL_STEP in the inbox, in the journal first.

It runs beside the steps and holds up none of them. What Postgres does not take waits in the journal for the
next cockpit of this login.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command, Kind
from cockpit.domain.kill import Fact, Step, StepOutcome, StepState
from cockpit.domain.kill_proof import KillState
from cockpit.domain.kill_records import StepRecord, details_of, step_of
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.text import many
from cockpit.operations.kill_journal import JournalUnusable, KillJournal, WaitingStep
from cockpit.operations.kill_ports import KillInbox, KillPorts

_SUBMIT_S: Final = 2.0
_AGAIN_S: Final = 0.5


class Reporter:
    """Reports the steps of one kill switch. `notes` are what a person must know of it."""

    def __init__(self, ports: KillPorts, login: str, kill_id: str) -> None:
        self._ports = ports
        self._login = login
        self._kill_id = kill_id
        self._told: dict[Step, tuple[StepOutcome | None, str]] = {}
        self._refused = 0
        self._own: list[WaitingStep] = []
        self._older: list[WaitingStep] = []
        self._woken = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self.notes: list[str] = []

    def start(self) -> None:
        """Begin with what an earlier cockpit of this login could not report."""
        self._older = self._ports.journal.waiting(self._login)
        self._woken.set()
        self._task = asyncio.create_task(self._send_all(), name="kill switch reports")

    async def tell(self, state: KillState) -> None:
        """Report the steps whose outcome or line has changed."""
        for each in state.report().steps:
            now = (each.outcome, each.line)
            if each.outcome is None or self._told.get(each.step) == now:
                continue
            self._told[each.step] = now
            await asyncio.to_thread(self._keep, each, each.outcome, _newest(state.facts, each.step))
        self._woken.set()

    async def finish(self, patience_s: float) -> None:
        """Give the last reports a moment; what is left stays in the journal."""
        self._over = True
        self._woken.set()
        if self._task is None:
            return
        _, late = await asyncio.wait([self._task], timeout=patience_s)
        for task in late:
            task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if left := len(self._own) + len(self._older) + self._refused:
            self.notes.append(
                f"{many(left, 'step')} not in the audit log yet: kept in "
                f"{self._ports.journal.folder}, sent by the next `cockpit kill-switch status` here."
            )

    def _keep(self, state: StepState, outcome: StepOutcome, fact: Fact | None) -> None:
        details = {"line": state.line, **(details_of(fact) if fact is not None else {})}
        record = StepRecord(self._kill_id, state.step, outcome, details)
        command = Command(
            Kind.KILL_STEP,
            str(uuid4()),
            GLOBAL,
            self._login,
            datetime.now(UTC),
            reason=state.step.value,
            target=record.target(),
        )
        signed, warning = self._ports.sign(command)
        if not signed.signature:
            self.notes.append(f"Steps are not recorded: {warning}.")
            return
        step = WaitingStep(self._kill_id, command.request_id, self._login, signed)
        try:
            self._ports.journal.step(step)
        except JournalUnusable as error:
            self.notes.append(str(error))
        self._own.append(step)

    async def _send_all(self) -> None:
        """This kill switch's own steps first: from the first of them it is on record, whatever became of its
        trip's event."""
        while True:
            queue = self._own or self._older
            if not queue:
                if self._over:
                    return
                self._woken.clear()
                await self._woken.wait()
                continue
            step = queue[0]
            why = await send(step, self._ports.inbox, self._ports.journal)
            if why == "":
                await asyncio.sleep(_AGAIN_S)
                continue
            queue.pop(0)
            if why is not None:  # not again by this one; it may be the others' turn
                self._refused += 1
                self.notes.append(f"Postgres refuses a step of kill switch {step.kill_id}: {why}")


async def send(step: WaitingStep, inbox: KillInbox, journal: KillJournal) -> str | None:
    """Put one step into the inbox: None where it is there, else why it is refused, "" where it only has to
    wait. Whatever the refusal, the step stays in the journal: it is the only record of what was done. Safe to
    repeat: its id is its own."""
    try:
        async with asyncio.timeout(_SUBMIT_S):
            await inbox.submit(step.signed, step.step_id)
    except (StoreUnreachable, TimeoutError):
        return ""
    except Refused as error:
        return "" if error.refusal.code is Code.RATE_LIMITED else error.refusal.message
    with suppress(JournalUnusable):  # then it is sent once more, which its id makes harmless
        await asyncio.to_thread(journal.reported, step.kill_id, step.step_id)
    return None


async def send_waiting(login: str, inbox: KillInbox, journal: KillJournal) -> tuple[int, int]:
    """Send what this login's cockpits could not report: how many were sent, and how many still wait."""
    waiting = await asyncio.to_thread(journal.waiting, login)
    sent = 0
    for step in waiting:
        why = await send(step, inbox, journal)
        sent += why is None
        if why == "":
            break
    return sent, len(waiting) - sent


def _newest(facts: Sequence[Fact], step: Step) -> Fact | None:
    return next((fact for fact in reversed(facts) if step_of(fact) is step), None)
