"""What a firing does: trips as anybody would, or asks the authority for a limit; then it is recorded.

The halt goes first. The record, with its incident and page, follows and is tried until Postgres has it: it
never holds up a halt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final
from uuid import uuid4

from backends.guard_store import FiringRecord, GuardStore, Term
from backends.postgres_store import PostgresStore
from backends.signing import SigningKey, sign_command
from cockpit.cli.tripping import login_of, sign_if_possible, trip_ports
from cockpit.config import Credentials, Settings
from cockpit.domain.adjustments import share_text
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import Refused
from cockpit.domain.text import MAX_NOTES, clean
from cockpit.domain.trigger_watch import Firing
from cockpit.domain.triggers import Effect, Mode
from cockpit.operations import trip as operation

log: Final = logging.getLogger("cockpit.guard")
FRESH_S: Final = 1.0
RETRY_S: Final = 2.0
FINISH_S: Final = 6.0
_MOST_RECORDS: Final = 1_000
_RECORD_AGE_S: Final = 600.0


class Phase(Enum):
    UNDER_WAY = auto()
    DONE = auto()  # halted, or certain to be: recorded in Postgres, or in the spool
    FAILED = auto()
    DROPPED = auto()  # not begun: the reading was too old by then


@dataclass(slots=True)
class Deed:
    """What became of one firing. `ended` by this process's clock."""

    firing_id: str
    firing: Firing
    phase: Phase = Phase.UNDER_WAY
    ended: float = 0.0
    said: str = ""


class Actions:
    """Does what is due as the login `credentials`, and records it. Outlives terms: nothing is forgotten."""

    def __init__(self, settings: Settings, credentials: Credentials, store: GuardStore) -> None:
        self._credentials = credentials
        self._login = login_of(credentials)
        self._store = store
        self._ports = trip_ports(settings, credentials)
        self._inbox = PostgresStore(credentials.postgres_dsn, 3.0)
        self._records: deque[tuple[float, FiringRecord]] = deque(maxlen=_MOST_RECORDS)
        self._retry_at = 0.0
        self._spooled = True  # a predecessor may have left something
        self.deeds: dict[str, Deed] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.faults: dict[str, str] = {}

    async def close(self) -> None:
        """Let what is under way come to its end."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=FINISH_S)
        await self._inbox.close()

    def begin(self, firing: Firing, read_at: float, holds: Callable[[], bool]) -> Deed:
        """Start on one firing. `read_at` is when the reading that it rests on was begun, by this process's
        clock; `holds` whether the lease still does."""
        deed = Deed(str(uuid4()), firing)
        self.deeds[deed.firing_id] = deed
        task = asyncio.create_task(self._do(deed, read_at, holds), name=f"firing of {firing.rule.name}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return deed

    def take_dropped(self) -> list[str]:
        """The firings that were not begun after all, once; what ended long ago is forgotten."""
        now = time.monotonic()
        dropped = [name for name, deed in self.deeds.items() if deed.phase is Phase.DROPPED and deed.ended]
        for name in dropped:
            del self.deeds[name]
        if len(self.deeds) > _MOST_RECORDS:
            ended = [name for name, deed in self.deeds.items() if deed.ended and now - deed.ended > FRESH_S]
            for name in ended[:-_MOST_RECORDS]:
                del self.deeds[name]
        return dropped

    async def keep_up(self, term: Term) -> None:
        """Deliver what waits: records, and trips in the spool.

        Raises:
            StoreUnreachable: Postgres is away; the records wait on.
        """
        if self._spooled and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            await asyncio.to_thread(self._retry)
        while self._records:
            since, record = self._records[0]
            if time.monotonic() - since <= _RECORD_AGE_S and not await self._store.fire(term, record):
                return  # the term is over: the next one records it
            self._records.popleft()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Faults of the actions, one line each."""
        records = f"{len(self._records)} firings not recorded yet" if self._records else ""
        return tuple(line for line in (records, *self.faults.values()) if line)

    async def _do(self, deed: Deed, read_at: float, holds: Callable[[], bool]) -> None:
        rule = deed.firing.rule
        try:
            if rule.mode is Mode.SHADOW:
                deed.phase, deed.said = Phase.DONE, "shadow: nothing halted"
            elif rule.effect is Effect.LIMIT:
                await self._limit(deed)
            else:
                await asyncio.to_thread(self._trip, deed, read_at, holds)
        except Exception as error:  # whatever goes wrong, the page must go out
            deed.phase, deed.said = Phase.FAILED, f"{type(error).__name__}: {clean(str(error), 200)}"
            log.exception("rule %s could not act", rule.name)
        deed.ended = time.monotonic()
        if deed.phase is Phase.DROPPED:
            return
        log.warning("rule %s fired on %s: %s", rule.name, deed.firing.breaker_id, deed.said)
        failed = deed.phase is Phase.FAILED
        self.faults.pop(rule.name, None)
        if failed:
            self.faults[rule.name] = f"rule {rule.name} did not halt {deed.firing.breaker_id}: {deed.said}"
        self._records.append((time.monotonic(), record_of(deed)))

    def _trip(self, deed: Deed, read_at: float, holds: Callable[[], bool]) -> None:
        """In a thread of its own. A process that slept since its reading must read anew."""
        firing = deed.firing
        if time.monotonic() - read_at > FRESH_S or not holds():
            deed.phase = Phase.DROPPED
            return
        now = datetime.now(UTC)
        request = operation.command(
            firing.breaker_id, self._login, deed.firing_id, firing.rule.reason, notes_of(firing), None, now
        )
        signed, warning = sign_if_possible(request, self._credentials)
        outcome = operation.trip(request, signed, self._ports, now)
        deed.said = f"{outcome.message} {warning}".strip()
        deed.phase = Phase.FAILED if outcome.word == "refused" else Phase.DONE
        self._spooled = self._spooled or not (outcome.redis or outcome.postgres)

    async def _limit(self, deed: Deed) -> None:
        firing, key = deed.firing, self._credentials.signing_key
        if key is None or firing.rule.share is None:
            deed.phase, deed.said = Phase.FAILED, "a limit needs the login's signing key"
            return
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
            deed.phase, deed.said = Phase.FAILED, str(error)
            return
        deed.phase, deed.said = Phase.DONE, f"limit to {command.target} asked of the authority"

    def _retry(self) -> None:
        for outcome in operation.retry(self._ports, self._login, datetime.now(UTC)):
            log.warning("from the spool: %s", outcome.message)
        left = operation.waiting(self._ports.spool, self._login)
        self._spooled = any(entry.login == self._login for entry in self._ports.spool.entries()[0])
        self.faults.pop("spool", None)
        if left:
            self.faults["spool"] = left


def notes_of(firing: Firing) -> str:
    """Rule, value, threshold and the samples behind it, as a trip's notes: 20 to 500 plain characters."""
    rule = firing.rule
    who = f" of {firing.subject}" if firing.subject else ""
    samples = ", ".join(clean(each.sample_id.lstrip("0") or "0", 40) for each in firing.evidence)
    text = (
        f"Rule {rule.name}{who}: {rule.title}. {firing.value:.6g} {rule.unit}, threshold "
        f"{rule.threshold} {rule.unit}, at {rfc3339(firing.fired_at)}. Samples: {samples or 'none by name'}"
    )
    return clean(" ".join(text.split()), MAX_NOTES)


def record_of(deed: Deed) -> FiringRecord:
    """What is kept of a firing. One that halted nothing pages in any case."""
    firing = deed.firing
    rule, failed = firing.rule, deed.phase is Phase.FAILED
    severity = rule.severity if rule.pages else None
    title = f"{rule.title}: {firing.value:.6g} {rule.unit}, threshold {rule.threshold}"
    if firing.subject:
        title = f"{firing.subject}: {title}"
    if failed:
        severity, title = "P0", f"NOT HALTED by the guard: {title}"
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
        classification=rule.reason.value,
        title=clean(title, 200),
    )
