"""The kill switch: trips `global` first, then cancels, flattens and reads the venue until it is proved FLAT.

    switch = KillSwitch.begin(ports, "admin1", notes, datetime.now(UTC))
    async for progress in switch.run():
        show(progress.report)

Nothing here waits for a second person, for an acknowledgement or for the record (I6): each of these is given
a moment and comes later. No failure undoes what is done or clears the trip (I17). The journal is on this disk
before each sending, so that whoever goes on uses the same keys (I16).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.documents import Epoch
from cockpit.domain.kill import (
    KILL_TARGET,
    Acknowledged,
    Acted,
    Fact,
    KillProgress,
    KillReport,
    Step,
    Tripped,
)
from cockpit.domain.kill_proof import KillState
from cockpit.domain.reasons import Reason
from cockpit.domain.refusals import EXIT_DENIED, Code, Refusal, Refused, StoreUnreachable
from cockpit.operations import trip as trips
from cockpit.operations.kill_journal import JournalUnusable
from cockpit.operations.kill_ports import KillPorts, Pace
from cockpit.operations.kill_reports import Reporter
from cockpit.operations.kill_rights import forbidden, record_denied
from cockpit.operations.kill_venue import read_venue, send, stands, with_standing
from cockpit.operations.outcomes import Outcome
from cockpit.operations.spool import SpooledTrip

_IDENTITY_S: Final = 0.5  # after the trip, which waits for nobody
_LAST_REPORTS_S: Final = 2.0
_MOST_PAUSE_S: Final = 2.0
_USUAL: Final = Pace()


@dataclass(frozen=True, slots=True)
class _Started:
    """The trip that began it, as this login signs it. `again` is sent where it has to be tripped once more:
    the same request, or one of this login where somebody else began it."""

    again: Command
    signed: SignedCommand
    tripped_before: bool
    warning: str = ""


class KillSwitch:
    """One kill switch, begun or gone on with by this cockpit. `run` may be called once."""

    def __init__(
        self, ports: KillPorts, login: str, state: KillState, started: _Started, pace: Pace = _USUAL
    ) -> None:
        self._ports = ports
        self._login = login
        self._state = state
        self._started = started
        self._pace = pace
        self._reporter = Reporter(ports, login, state.kill_id)
        self._notes: list[str] = [started.warning] if started.warning else []
        self.refusal: Refusal | None = None
        self.denied = False  # this login may not, and nothing was done
        self.trip_outcome: Outcome | None = None

    @classmethod
    def begin(
        cls, ports: KillPorts, login: str, notes: str, now: datetime, pace: Pace = _USUAL
    ) -> KillSwitch:
        """A new one. `notes` have passed `justification`."""
        command = Command(
            Kind.TRIP,
            str(uuid4()),
            GLOBAL,
            login,
            now,
            reason=KILL_TARGET,
            notes=notes,
            target=KILL_TARGET,
        )
        signed, warning = ports.sign(command)
        state = KillState(command.request_id, ports.gateways)
        made = cls(ports, login, state, _Started(command, signed, False, warning), pace)
        made._keep_begin(notes, now, signed)
        return made

    @classmethod
    def resume(
        cls,
        ports: KillPorts,
        login: str,
        kill_id: str,
        facts: Sequence[Fact],
        now: datetime,
        pace: Pace = _USUAL,
    ) -> KillSwitch:
        """Go on with one that this or another cockpit began; `facts` as its journal or the desk has them."""
        kept = ports.journal.get(kill_id)
        state = KillState(kill_id, ports.gateways, tuple(facts), earlier=len(facts))
        if kept is not None and kept.login == login:
            command = Command(Kind.TRIP, kill_id, GLOBAL, login, kept.begun_at, target=KILL_TARGET)
            return cls(ports, login, state, _Started(command, kept.signed, True), pace)
        notes = f"Goes on with kill switch {kill_id}."
        command = Command(Kind.TRIP, str(uuid4()), GLOBAL, login, now, reason=Reason.OPERATIONAL, notes=notes)
        signed, warning = ports.sign(command)
        return cls(ports, login, state, _Started(command, signed, True, warning), pace)

    @property
    def kill_id(self) -> str:
        return self._state.kill_id

    @property
    def report(self) -> KillReport:
        """What is proved by now."""
        return self._state.report()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person must know besides the report: an unsigned trip, a journal that cannot be written."""
        return tuple(dict.fromkeys(filter(None, (*self._notes, *self._reporter.notes))))

    async def run(self) -> AsyncIterator[KillProgress]:
        """Trip, then cancel, flatten and read again until it is FLAT, until nothing more can be done here, or
        until the time is over. Each progress tells what is proved by then."""
        self._reporter.start()
        try:
            async for message in self._steps():
                await self._reporter.tell(self._state)
                yield KillProgress(self.report, True, message)
            if not self.denied:
                await self._reporter.tell(self._state)
        finally:
            await self._reporter.finish(_LAST_REPORTS_S)
        yield KillProgress(self.report, False, str(self.refusal) if self.refusal else self.report.line)

    async def _steps(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        ends, pause, idle = loop.time() + self._pace.limit, self._pace.pause, 0
        asker = asyncio.create_task(forbidden(self._ports.inbox))
        try:
            if not self._started.tripped_before or not await stands(self._state.epoch, self._ports):
                message = await self._trip()
                if self.refusal is None:
                    yield message
            if not await self._may_go_on(asker):
                await self._keep_denied()
                return
            await self._reporter.tell(self._state)  # gone on with: its record must not wait for a gateway
            yield await self._acknowledgements(min(self._pace.acks, self._pace.limit))
            while True:
                before = self.report
                for step in (Step.CANCEL, Step.FLATTEN):
                    if await self._act(step):
                        yield self.report.told(step)
                await self._read()
                yield self.report.told(Step.VERIFY)
                if self._state.loosened:
                    yield await self._trip()
                if self.report.flat:
                    await self._keep_over()
                    return
                idle = idle + 1 if self._stuck(before) else 0
                if idle >= self._pace.passes or loop.time() + pause > ends:
                    return
                await asyncio.sleep(pause)
                pause = min(_MOST_PAUSE_S, pause * 1.5)
                if self._state.epoch is None or self._state.other_server:
                    yield await self._trip()
                if self._state.missing:
                    yield await self._acknowledgements(0)
        finally:
            asker.cancel()
            await asyncio.gather(asker, return_exceptions=True)

    def _stuck(self, before: KillReport) -> bool:
        """Everything is proved but that the venue is empty, and a whole pass has changed nothing."""
        return not self.report.unproved and self.report.residuals == before.residuals

    async def _trip(self) -> str:
        """Through the spool, to Redis or failing that to Postgres. What Redis confirms is taken with its
        run_id, which an `Outcome` does not carry."""
        confirmed: list[Epoch] = []
        ports = self._ports.trips

        def capture(entry: SpooledTrip) -> trips.Tripped:
            tripped = ports.redis(entry)
            confirmed.append(tripped.epoch)
            return tripped

        command, signed = self._started.again, self._started.signed
        wired = replace(ports, redis=capture)
        outcome = await asyncio.to_thread(trips.trip, command, signed, wired, datetime.now(UTC))
        self.trip_outcome = outcome
        if outcome.word == "refused":
            self.refusal = Refusal(Code.DENIED, outcome.message, "")
            if self._state.epoch is None:  # nothing was begun: there is no step to tell of
                return outcome.message
        await self._add(Tripped(confirmed[-1] if confirmed else None, "" if confirmed else outcome.message))
        return f"{Step.TRIP.value}: {outcome.message}"

    async def _may_go_on(self, asker: asyncio.Task[Refusal | None]) -> bool:
        """Whether a store vouches for the role: Redis by taking a trip of global, which it takes from none
        but safety-admins, or Postgres. Where neither can be asked, nothing is cancelled: an address that
        leads nowhere must not make an operator of anybody."""
        if self.refusal is not None:
            return False
        outcome = self.trip_outcome
        proved = outcome is not None and (outcome.redis or outcome.postgres)
        try:
            async with asyncio.timeout(_IDENTITY_S if proved else None):
                self.refusal = await asyncio.shield(asker)
            return self.refusal is None
        except (StoreUnreachable, TimeoutError):
            if proved:
                return True
        if outcome is None:  # gone on with, and Postgres is away: a trip shows it
            await self._trip()
            if self.trip_outcome is not None and self.trip_outcome.redis and self.refusal is None:
                return True
        self.refusal = self.refusal or Refusal(
            Code.STORE,
            "No store could say that this login may use the kill switch: nothing was cancelled or flattened.",
            "The trip waits in the spool; cancel and flatten at the venue, or try again.",
        )
        return False

    async def _acknowledgements(self, patience_s: float) -> str:
        """Look until all have acknowledged; while the trip is not confirmed, none can have."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + patience_s
        while True:
            try:
                fact = Acknowledged(await self._ports.acks())
            except Refused as error:
                fact = Acknowledged({}, error.refusal.message)
            looked = self._state.adding(fact)
            over = not looked.missing or looked.epoch is None or looked.other_server
            if over or loop.time() >= ends:
                await self._add(fact)
                return self.report.told(Step.ACKNOWLEDGED)
            await asyncio.sleep(min(0.05, patience_s))

    async def _act(self, step: Step) -> bool:
        """Send a cancel-all or a flatten, if there is anything to send for; True where it was sent."""
        number = self._state.next_round(step)
        if number is None:
            return False
        if self._ports.gateway is not None:  # on this disk before it is sent
            await self._add(Acted(step, number, False))
        await self._add(await send(self._ports.gateway, self.kill_id, step, number))
        return True

    async def _read(self) -> None:
        read = await read_venue(self._ports.gateway, len(self._state.facts))
        await self._add(await with_standing(read, self._ports))

    async def _add(self, fact: Fact) -> None:
        self._state = self._state.adding(fact)
        try:
            await asyncio.to_thread(self._ports.journal.fact, self.kill_id, fact)
        except JournalUnusable as error:
            self._unkept(error)

    async def _keep_over(self) -> None:
        with suppress(JournalUnusable):  # then it is looked at once more, and found as it is
            await asyncio.to_thread(self._ports.journal.over, self.kill_id)

    async def _keep_denied(self) -> None:
        """What was denied is over, and recorded once: with the refused trip, or here where none was sent."""
        if self.refusal is None or self.refusal.exit_code != EXIT_DENIED:
            return
        self.denied = self.trip_outcome is None or self.trip_outcome.word == "refused"
        if self._state.epoch is None:
            await self._keep_over()
        if self.trip_outcome is None:
            self._notes.append(await record_denied(self._ports, self._login, datetime.now(UTC)))

    def _keep_begin(self, notes: str, now: datetime, signed: SignedCommand) -> None:
        try:
            self._ports.journal.begin(self.kill_id, self._login, notes, now, signed)
        except JournalUnusable as error:
            self._unkept(error)

    def _unkept(self, error: JournalUnusable) -> None:
        self._notes.append(f"{error}; another cockpit cannot go on from this one's keys.")
