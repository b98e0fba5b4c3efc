"""Modes, latch and withdrawals under trips, releases, crashes between every two steps, restarts and losses of
Redis: against an oracle that knows no documents.

# I2, I3, I4, I7, I8, I18, I22; F1, F5, F7, F23
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backends.gate import OrderKind
from cockpit.authority import faults
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Epoch
from cockpit.domain.modes import LATCHED, Mode, mode_of, switch_for
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.operations.modes import SwitchPorts, set_mode
from cockpit.operations.outcomes import Outcome
from tests.authority.desk import NOTES
from tests.stateful.world import World
from tests.trading_platform import Template

CANCEL_ONLY, SOFT, HARD, LATCH = (
    BreakerId(f"{scope}:BTC-USD") for scope in ("cancel_only", "soft_halt", "hard_halt", "latch")
)
SWITCHES = (CANCEL_ONLY, SOFT, HARD, LATCH, WITHDRAWALS)
LOGINS = ("operator1", "admin1", "automation1")
POINTS = (
    faults.BEFORE_INTENT,
    faults.AFTER_INTENT,
    faults.AFTER_EVIDENCE,
    faults.AFTER_SET,
    faults.AFTER_OUTCOME,
)
TICKET: Final = "OPS-1"
# The oracle says exactly what is refused: nothing may be because a machine is slow.
LIMITS: Final[dict[str, object]] = {
    "latency_bound_ms": 60_000,
    "max_clock_skew_s": 30,
    "reconciliation_fresh_s": 3_600,
}
DONE: Counter[str] = Counter()

switches = st.sampled_from(SWITCHES)
logins = st.sampled_from(LOGINS)


def may_set(login: str, name: BreakerId) -> bool:
    if login == "automation1":
        return name == LATCH
    return login == "admin1" or name != WITHDRAWALS


@dataclass(slots=True)
class Oracle:
    """`free`: released. `acted`: set by somebody's act. Neither: its state was lost. `known`: what a restore
    may give back. `cycles` are reconciliation cycles since the latch was set; `shut`: breakers are OPEN since
    a loss."""

    free: set[BreakerId] = field(default_factory=lambda: set(SWITCHES))
    acted: set[BreakerId] = field(default_factory=set)
    known: set[BreakerId] = field(default_factory=set)
    cycles: list[str] = field(default_factory=list)
    shut: bool = False
    p0: bool = False

    def tripped(self, name: BreakerId) -> None:
        """Of what was lost nobody knows yet who set it; the authority's record says so."""
        if name in self.free:
            self.acted.add(name)
        self.free.discard(name)
        self.known.discard(name)
        if name == LATCH:
            self.cycles = []

    def lost(self) -> None:
        self.known = set(self.free)
        self.free, self.shut, self.cycles = set(), True, []

    def released(self, name: BreakerId) -> None:
        self.free.add(name)
        self.acted.discard(name)

    def restored(self) -> None:
        for name in self.known:
            self.released(name)
        self.known, self.shut = set(), False

    @property
    def permits(self) -> frozenset[OrderKind]:
        allowed = mode_of("BTC-USD", self.acted.__contains__).allows
        open_at_least = self.shut or any(name not in self.free for name in SWITCHES[:4])
        return allowed & LATCHED if open_at_least else allowed

    def refuses(self, name: BreakerId, login: str) -> bool:
        """Whether a release must be refused."""
        if login == "automation1" or (login != "admin1" and name == WITHDRAWALS) or name in self.free:
            return True
        match name:
            case _ if name in (SOFT, HARD):
                return CANCEL_ONLY in self.free
            case _ if name == CANCEL_ONLY:
                return not {SOFT, HARD} <= self.free
            case _ if name == LATCH:
                return self.cycles[-2:] != ["clean", "clean"]
        return self.p0


class SwitchMachine(RuleBasedStateMachine):
    template: Template
    folder: Path
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        place = self.folder / str(self.examples)
        place.mkdir()
        self.world = World(self.template, place, LIMITS)
        self.old_epochs: dict[BreakerId, Epoch] = {}
        self.do = self.world.do

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())

    async def _begin(self) -> None:
        await self.world.open()
        await self.world.start("first")

        async def granted() -> bool:
            return set((await self.world.states()).values()) == {State.CLOSED}

        await self.world.until(granted, "the genesis grant")
        self.oracle = Oracle()

    def teardown(self) -> None:
        if hasattr(self, "oracle"):
            try:
                self.do(self.world.verify_audit())
            finally:
                self.do(self.world.close())
        self.world.runner.close()

    @rule(name=switches, login=logins)
    def trip(self, name: BreakerId, login: str) -> None:
        self.do(self._trip(name, login))

    async def _trip(self, name: BreakerId, login: str) -> None:
        if not may_set(login, name):
            with pytest.raises(Refused):
                await self.world.trip(name, login)  # I22
            return
        self.old_epochs[name] = await self.world.epoch(name)
        await self.world.trip(name, login)
        DONE["trip"] += 1
        self.oracle.tripped(name)
        if name not in self.oracle.acted and self.world.acting is None:
            return
        await self._audited(name)

    async def _audited(self, name: BreakerId) -> None:
        if self.world.acting is not None:
            await self.world.settled()
            self.oracle.acted.add(name)

    @rule(
        statuses=st.sampled_from((["clean", "clean"], ["clean"], ["clean", "unknown"], ["mismatch", "clean"]))
    )
    def reconcile(self, statuses: list[str]) -> None:
        if self.world.acting is not None:  # without one it is not known since when the latch is set
            self.do(self._reconcile(statuses))

    async def _reconcile(self, statuses: list[str]) -> None:
        for status in statuses:
            for kind in ("order", "position", "ledger"):
                await self.world.fetch(
                    "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
                    " VALUES ($1, 'BTC-USD', $2, clock_timestamp())",
                    kind,
                    status,
                )
            self.oracle.cycles.append(status)

    @rule(open_it=st.booleans())
    def incident(self, open_it: bool) -> None:
        status = "open" if open_it else "resolved"
        self.do(
            self.world.fetch(
                "INSERT INTO incidents (severity, classification, title, source, breaker_id, dedup_key,"
                " status) VALUES ('P0', 'security', 'a breach', 'person', 'withdrawals', 'p0', $1)"
                " ON CONFLICT (dedup_key) DO UPDATE SET status = excluded.status",
                status,
            )
        )
        self.oracle.p0 = open_it

    @rule(name=switches, login=logins, stale=st.integers(0, 3))
    def release(self, name: BreakerId, login: str, stale: int) -> None:
        if self.world.acting is not None:
            self.do(self._release(name, login, stale == 0))

    async def _release(self, name: BreakerId, login: str, stale: bool) -> None:
        await self._calm()
        target = None if name == LATCH else TICKET
        if stale and name in self.old_epochs:
            command = await self.world.submit(
                Kind.RELEASE, name, login, target=target, epoch=self.old_epochs[name]
            )
            row = await self.world.row(command.request_id, login)
            assert row.status in ("refused", "denied"), row  # I2
            return
        outcome = await self.world.ask(Kind.RELEASE, name, login, target=target)
        DONE[f"release {outcome.word}"] += 1
        assert (outcome.word == "done") is not self.oracle.refuses(name, login), (name, login, outcome)
        if outcome.word == "done":
            self.oracle.released(name)

    @rule(place=st.integers(0, 4))
    def release_what_may_be(self, place: int) -> None:
        able = [name for name in SWITCHES if not self.oracle.refuses(name, "admin1")]
        if self.world.acting is not None and able:
            self.do(self._release(able[place % len(able)], "admin1", False))

    @rule(mode=st.sampled_from(Mode), login=st.sampled_from(("operator1", "admin1")))
    def go_to(self, mode: Mode, login: str) -> None:
        if self.world.acting is not None:
            self.do(self._go_to(mode, login))

    async def _go_to(self, mode: Mode, login: str) -> None:
        """The operation behind `cockpit mode`, from whatever mode it is in."""
        await self._calm()
        before = mode_of("BTC-USD", lambda name: name not in self.oracle.free)

        async def trip(command: Command) -> Outcome:
            await self._trip(command.breaker_id, login)
            return Outcome(command.breaker_id, "done", "set.", redis=True)

        ports = SwitchPorts(login, self.world.settings.catalogue, trip, await self.world.ports(login))
        outcome = await set_mode("BTC-USD", mode, NOTES, TICKET, ports, datetime.now(UTC))
        if mode is Mode.NORMAL:
            assert (outcome.word == "done") is (before is Mode.CANCEL_ONLY), outcome
        else:
            assert outcome.word == "done", outcome
        if outcome.word != "done":
            return
        DONE[f"mode {'looser' if before.strictness > mode.strictness else 'stricter'}"] += 1
        for each in Mode:
            name = switch_for(each, "BTC-USD")
            if name is not None and each.strictness > mode.strictness:
                self.oracle.released(name)

    @rule(
        place=st.integers(0, 4),
        point=st.sampled_from(POINTS),
        meanwhile=st.sampled_from(("", "", "trip", "redis")),
    )
    def crash(self, place: int, point: str, meanwhile: str) -> None:
        if self.world.acting is None:
            return
        if CANCEL_ONLY in self.oracle.free:  # something to release
            self.do(self._trip(CANCEL_ONLY, "admin1"))
        able = [name for name in SWITCHES if not self.oracle.refuses(name, "admin1")]
        if able:
            self.do(self._crash(able[place % len(able)], point, meanwhile))

    async def _crash(self, name: BreakerId, point: str, meanwhile: str) -> None:
        """The authority dies in the middle of a release; a trip or a restart of Redis may come first."""
        await self._calm()
        running = await self.world.acts()
        running.trap.point = point
        target = None if name == LATCH else TICKET
        command = await self.world.submit(Kind.RELEASE, name, "admin1", target=target)
        tripped = False

        async def over() -> bool:
            status = await self.world.fetch(
                "SELECT status FROM requests WHERE request_id = $1", command.request_id
            )
            return running.trap.reached.is_set() or status not in ("new", "committing")

        await self.world.until(over, "the trap or an outcome")
        if meanwhile == "trip":
            await self.world.trip(name, "admin1")
            tripped = True
        if meanwhile == "redis":
            await asyncio.to_thread(self.world.platform.valkey.restart)
        await self.world.kill(running)
        await self.world.start("first")
        row = await self.world.row(command.request_id, "admin1")
        DONE[f"crash {row.status}"] += 1
        if row.status == "done":
            assert not self.oracle.refuses(name, "admin1")
            self.oracle.released(name)
        if tripped:  # I3: it ends set, whatever became of the release
            self.oracle.tripped(name)
            await self._audited(name)
        await self._calm()

    @rule(rarely=st.integers(0, 2))
    def stop_and_start(self, rarely: int) -> None:
        if rarely == 0 or self.world.acting is None:
            self.do(self._stop_and_start())

    async def _stop_and_start(self) -> None:
        if self.world.acting is not None:
            await self._calm()
            await self.world.kill(self.world.acting)
            return
        await self.world.start("first")
        await self._calm()
        # What was tripped meanwhile is on record now, and set since.
        self.oracle.acted |= {name for name in SWITCHES if await self._document_says_open(name)}
        self.oracle.cycles = []

    async def _document_says_open(self, name: BreakerId) -> bool:
        raw = await self.world.raw("owner", "GET", f"breaker:{name}")
        return raw is not None and b'"state":"OPEN"' in raw

    @rule(rarely=st.integers(0, 1))
    def restart_redis(self, rarely: int) -> None:
        if rarely == 0:
            self.do(self._restart_redis())

    async def _restart_redis(self) -> None:
        if self.world.acting is not None:
            await self._calm()
        await asyncio.to_thread(self.world.platform.valkey.restart)
        DONE["restart"] += 1
        await self._no_looser()  # at once, before anybody has looked
        if self.world.acting is not None:
            await self._calm()

    @rule(rarely=st.integers(0, 3))
    def lose_redis(self, rarely: int) -> None:
        if rarely == 0 and self.world.acting is not None:
            self.do(self._lose_redis())

    async def _lose_redis(self) -> None:
        await self._calm()
        before = await self.world.counters()
        await self.world.raw("owner", "FLUSHALL")
        self.oracle.lost()
        await self._no_looser()

        async def raised() -> bool:
            after = await self.world.counters()
            return all(after[name] > counter for name, counter in before.items())

        await self.world.until(raised, "counters raised past the known ones")
        await self.world.settled()

    @rule()
    def restore(self) -> None:
        if self.oracle.shut and self.world.acting is not None:
            self.do(self._restore())

    async def _restore(self) -> None:
        await self._calm()
        outcome = await self.world.ask(Kind.RESTORE, GLOBAL, "admin1")
        DONE[f"restore {outcome.word}"] += 1
        assert outcome.word == "done", outcome
        self.oracle.restored()

    async def _calm(self) -> None:
        """Until the authority has dealt with all that happened, and orders meet just what they should."""
        await self.world.settled()

        async def exact() -> bool:
            decision = await self.world.gate.decide("BTC-USD")
            free = (await self.world.gate.withdrawals()).permitted
            return decision.permits == self.oracle.permits and free is (WITHDRAWALS in self.oracle.free)

        await self.world.until(exact, f"exactly {sorted(self.oracle.permits)}")

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "oracle"):
            self.do(self._no_looser())

    async def _no_looser(self) -> None:
        decision = await self.world.gate.decide("BTC-USD")
        assert decision.permits <= self.oracle.permits, (decision, self.oracle)  # I3, I4
        found = await self.world.gate.withdrawals()
        assert not found.permitted or WITHDRAWALS in self.oracle.free, (found, self.oracle)  # I18


def toured(machine: SwitchMachine) -> None:
    """Everything once, whatever chance leaves out."""
    try:
        machine.begin()
        for work in _tour(machine):
            machine.do(machine.world.acts())  # else a step would be left out
            work()
            machine.holds()
    finally:
        machine.teardown()
    assert DONE["release done"] >= 2 and DONE["mode looser"] >= 2, DONE
    assert DONE["crash done"] >= 1 and DONE["crash refused"] + DONE["crash void"] >= 1, DONE
    assert DONE["restart"] and DONE["restore done"], DONE


def _tour(machine: SwitchMachine) -> Iterator[Callable[[], object]]:
    yield partial(machine.go_to, Mode.HARD_HALT, "operator1")
    yield partial(machine.release, HARD, "admin1", 1)  # to NORMAL in one step: refused
    yield partial(machine.go_to, Mode.CANCEL_ONLY, "operator1")
    yield partial(machine.go_to, Mode.NORMAL, "admin1")
    yield partial(machine.trip, LATCH, "automation1")
    yield partial(machine.trip, WITHDRAWALS, "operator1")  # I22
    yield partial(machine.release, LATCH, "operator1", 1)
    yield partial(machine.reconcile, ["clean", "clean"])
    yield partial(machine.release, LATCH, "operator1", 1)
    for place, point in enumerate(POINTS):
        yield partial(machine.crash, 0, point, "trip" if place == 2 else "redis" if place == 3 else "")
    yield partial(machine.trip, WITHDRAWALS, "admin1")
    yield partial(machine.incident, True)
    yield partial(machine.release, WITHDRAWALS, "admin1", 1)
    yield partial(machine.incident, False)
    yield partial(machine.release, WITHDRAWALS, "admin1", 1)
    yield partial(machine.restart_redis, 0)
    yield partial(machine.lose_redis, 0)
    yield machine.restore


def test_no_interleaving_loosens_a_switch(
    template: Template, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """# I2 I3 I4 I7 I8 I18 I22"""
    SwitchMachine.template = template
    SwitchMachine.folder = tmp_path_factory.mktemp("switches")
    DONE.clear()
    toured(SwitchMachine())
    run_state_machine_as_test(
        SwitchMachine,
        settings=settings(
            max_examples=3,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
        ),
    )
    print(dict(DONE))
