"""What a firing does: trips as anybody would, or asks the authority for a limit; then it is recorded.

The halt goes first. The record, with its incident and page, follows and is tried until Postgres has it: it
never holds up a halt. A trip that Redis did not take is delivered again until it did.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from backends.guard_store import FiringRecord, GuardStore, Term
from backends.postgres_store import PostgresStore
from backends.signing import SigningKey, sign_command
from cockpit.cli.tripping import login_of, sign_if_possible, trip_ports
from cockpit.config import Credentials, Settings
from cockpit.domain.adjustments import share_text
from cockpit.domain.commands import Command, Kind
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean
from cockpit.domain.trigger_watch import Firing
from cockpit.domain.triggers import Effect, Mode
from cockpit.guard.deeds import Deed, Phase, notes_of, record_of
from cockpit.operations import trip as operation
from cockpit.operations.outcomes import Outcome

log: Final = logging.getLogger("cockpit.guard")
FRESH_S: Final = 1.0
RETRY_S: Final = 2.0
FINISH_S: Final = 6.0
_MOST_DEEDS: Final = 1_000
_AT_ONCE: Final = 32  # trips; one that hangs must not hold up the others


class Actions:
    """Does what is due as the login `credentials`, and records it. Outlives terms: nothing is forgotten."""

    def __init__(self, settings: Settings, credentials: Credentials, store: GuardStore) -> None:
        self._credentials = credentials
        self._login = login_of(credentials)
        self._store = store
        self._ports = trip_ports(settings, credentials)
        self._inbox = PostgresStore(credentials.postgres_dsn, 3.0)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "trip")
        self._records: deque[FiringRecord] = deque()
        self._pending: dict[str, Deed] = {}  # by the id of their trip
        self._redelivery: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._spooled = True  # a predecessor may have left something
        self._term = 0
        self.deeds: dict[str, Deed] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.faults: dict[str, str] = {}

    async def close(self) -> None:
        """Let what is under way come to its end."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=FINISH_S)
        self._threads.shutdown(wait=False)
        await self._inbox.close()

    def enter(self, term: Term) -> None:
        """A term of ours begins. Where another guard may have acted since our last one, what is pending is
        judged by a new reading; the spool and the inbox keep what they have."""
        if term.number != self._term + 1:
            for deed in list(self._pending.values()):
                self._settle(deed, Phase.FAILED, f"not delivered before another term began: {deed.said}")
        self._term = term.number

    def begin(self, firings: Sequence[Firing], read_at: float, holds: Callable[[], bool]) -> list[Deed]:
        """Start on firings that one deed serves: one alone, or trips of one breaker. `read_at` is when the
        reading that they rest on was begun, by this process's clock (`inf`: its age does not count); `holds`
        whether the lease still does. Returns a deed for each, in their order."""
        others = tuple(Deed(str(uuid4()), firing) for firing in firings[1:])
        deed = Deed(str(uuid4()), firings[0], others)
        self.begin_deed(deed, read_at, holds)
        return list(deed.everyone)

    def begin_deed(self, deed: Deed, read_at: float, holds: Callable[[], bool]) -> None:
        """As `begin`, under the deed's own id: one that failed or was dropped before may be begun anew."""
        self.deeds |= {each.firing_id: each for each in deed.everyone}
        self._start(self._do(deed, read_at, holds), f"firing of {deed.firing.rule.name}")

    def take_dropped(self) -> list[str]:
        """The firings that were not begun after all, once; what ended long ago is forgotten."""
        now = time.monotonic()
        dropped = [name for name, deed in self.deeds.items() if deed.phase is Phase.DROPPED and deed.ended]
        for name in dropped:
            del self.deeds[name]
        if len(self.deeds) > _MOST_DEEDS:
            ended = [name for name, deed in self.deeds.items() if deed.ended and now - deed.ended > FRESH_S]
            for name in ended[:-_MOST_DEEDS]:
                del self.deeds[name]
        return dropped

    async def keep_up(self, term: Term) -> None:
        """Record what waits, however long it has waited, and deliver again what no store took.

        Raises:
            StoreUnreachable: Postgres is away; the records wait on.
        """
        self.redeliver()
        while self._records:
            record = self._records[0]
            try:
                if not await self._store.fire(term, record):
                    return  # the term is over: the next one records it
            except Exception as error:
                if isinstance(error, Refused | OSError) and not _is_malformed(error):
                    raise
                # it alone will never do as it is, and those behind it must not wait for it
                log.exception("firing %s cannot be recorded", record.firing_id)
                self.faults["record"] = f"a firing of {record.rule} could not be recorded in full: {error}"
                if record.samples:
                    self._records[0] = replace(record, samples=())
                    continue
            self._records.popleft()

    def redeliver(self) -> None:
        """Start on what is pending or in the spool, beside everything else; each two seconds at most."""
        running = self._redelivery is not None and not self._redelivery.done()
        if running or time.monotonic() < self._retry_at or not (self._spooled or self._pending):
            return
        self._retry_at = time.monotonic() + RETRY_S
        self._redelivery = self._start(self._redeliver(), "redelivery")

    @property
    def unapplied(self) -> list[str]:
        """Firings that have halted nothing yet, for a successor."""
        return [each.firing_id for deed in self._pending.values() for each in deed.everyone]

    @property
    def waiting(self) -> tuple[str, ...]:
        """Faults of the actions, one line each."""
        records = f"{len(self._records)} firings not recorded yet" if self._records else ""
        return tuple(line for line in (records, *self.faults.values()) if line)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _do(self, deed: Deed, read_at: float, holds: Callable[[], bool]) -> None:
        rule = deed.firing.rule
        try:
            if rule.mode is Mode.SHADOW:
                phase, said = Phase.DONE, "shadow: nothing halted"
            elif rule.effect is Effect.LIMIT:
                phase, said = await self._limit(deed)
            else:
                loop = asyncio.get_running_loop()
                phase, said = await loop.run_in_executor(self._threads, self._trip, deed, read_at, holds)
        except Exception as error:  # whatever goes wrong, the page must go out
            phase, said = Phase.FAILED, f"{type(error).__name__}: {clean(str(error), 200)}"
            log.exception("rule %s could not act", rule.name)
        self._settle(deed, phase, said)
        if phase is not Phase.DROPPED:
            self._records.extend(record_of(each) for each in deed.everyone)

    def _settle(self, deed: Deed, phase: Phase, said: str) -> None:
        deed.settle(phase, said, time.monotonic())
        if phase is Phase.PENDING:
            self._pending[deed.firing_id] = deed
        else:
            self._pending.pop(deed.firing_id, None)
        if phase is Phase.DROPPED:
            return
        for each in deed.everyone:
            rule, breaker_id = each.firing.rule.name, each.firing.breaker_id
            log.warning("rule %s fired on %s: %s", rule, breaker_id, said)
            self.faults.pop(f"{rule} {breaker_id}", None)
            if phase is not Phase.DONE:
                yet = " yet" if phase is Phase.PENDING else ""
                self.faults[f"{rule} {breaker_id}"] = f"rule {rule} did not halt {breaker_id}{yet}: {said}"

    def _trip(self, deed: Deed, read_at: float, holds: Callable[[], bool]) -> tuple[Phase, str]:
        """In a thread of its own. A process that slept since its reading must read anew."""
        firing = deed.firing
        if time.monotonic() - read_at > FRESH_S or not holds():
            return Phase.DROPPED, ""
        now = datetime.now(UTC)
        notes = notes_of(firing, deed.also)
        request = operation.command(
            firing.breaker_id, self._login, deed.firing_id, firing.rule.reason, notes, None, now
        )
        signed, warning = sign_if_possible(request, self._credentials)
        deed.sent = (request, signed)
        outcome = operation.trip(request, signed, self._ports, now)
        return _phase_of(outcome), f"{outcome.message} {warning}".strip()

    async def _limit(self, deed: Deed) -> tuple[Phase, str]:
        firing, key = deed.firing, self._credentials.signing_key
        if key is None or firing.rule.share is None:
            return Phase.FAILED, "a limit needs the login's signing key"
        command = Command(
            Kind.LIMIT,
            deed.firing_id,
            firing.breaker_id,
            self._login,
            datetime.now(UTC),
            reason=firing.rule.name,
            notes=notes_of(firing),
            target=share_text(firing.rule.share),
        )
        try:
            signed = sign_command(command, SigningKey.load(key))
            await self._inbox.submit(signed, command.request_id)
        except Refused as error:
            return Phase.FAILED, str(error)
        return Phase.DONE, f"limit to {command.target} asked of the authority"

    async def _redeliver(self) -> None:
        pending = dict(self._pending)
        loop = asyncio.get_running_loop()
        for outcome in await loop.run_in_executor(self._threads, self._deliver_again, list(pending.values())):
            log.warning("delivered again: %s", outcome.message)
            deed = pending.get(outcome.event_id or "")
            if deed is not None and deed.phase is Phase.PENDING:
                self._settle(deed, _phase_of(outcome), outcome.message)
        left = operation.waiting(self._ports.spool, self._login)
        self._spooled = any(entry.login == self._login for entry in self._ports.spool.entries()[0])
        self.faults.pop("spool", None)
        if left:
            self.faults["spool"] = left

    def _deliver_again(self, pending: Sequence[Deed]) -> list[Outcome]:
        """In a thread of its own. What the spool does not hold (the inbox does, or nothing) is sent once more
        under its own event id."""
        outcomes = operation.retry(self._ports, self._login, datetime.now(UTC))
        tried = {outcome.event_id for outcome in outcomes}
        for deed in pending:
            if deed.sent is not None and deed.firing_id not in tried:
                outcomes.append(operation.trip(*deed.sent, self._ports, datetime.now(UTC)))
        return outcomes


def _is_malformed(error: Exception) -> bool:
    return isinstance(error, Refused) and error.refusal.code is Code.MALFORMED


def _phase_of(outcome: Outcome) -> Phase:
    if outcome.redis or outcome.word == "done":
        return Phase.DONE
    return Phase.FAILED if outcome.word == "refused" else Phase.PENDING
