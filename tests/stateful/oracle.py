"""What may be true at most, worked out from what people and servers did: no documents, no signatures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import Decimal

from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.states import State, strictest

PERSONS = {"admin1b": "admin1"}


def person_of(login: str) -> str:
    return PERSONS.get(login, login)


@dataclass(slots=True)
class Pending:
    """A half-open that waits for a second person."""

    request_id: str
    breaker_id: BreakerId
    asker: str
    counter: int


@dataclass(slots=True)
class Oracle:
    """The loosest state that each breaker may show. `counters` are the highest trip counters seen.

    `limits` are the size limits that an outcome has confirmed, by id. `restorable` holds what a restore may
    bring back after a loss; `unread` stands for a server of which no authority has re-issued anything;
    `foreign` for a hand-written legacy key that nobody has answered yet.
    """

    catalogue: Catalogue
    quiet_period_s: float
    grants: dict[BreakerId, State] = field(default_factory=dict)
    counters: dict[BreakerId, int] = field(default_factory=dict)
    proved: set[BreakerId] = field(default_factory=set)
    closed_from: dict[BreakerId, float] = field(default_factory=dict)
    restorable: dict[BreakerId, State] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    limits: dict[str, tuple[BreakerId, Decimal]] = field(default_factory=dict)
    unread: bool = False
    foreign: bool = False

    def begin(self, counters: dict[BreakerId, int]) -> None:
        """The genesis grant."""
        self.counters = dict(counters)
        self.grants = dict.fromkeys(self.catalogue.ids, State.CLOSED)

    def loosest(self, name: BreakerId) -> State:
        if self.unread or self.foreign:
            return State.OPEN
        chain = (name, *self.catalogue.ancestors(name))
        return strictest(*(self._own(each) for each in chain))

    def largest(self, name: BreakerId) -> Decimal:
        """The largest share of normal size that an order of this breaker may have, whatever happened."""
        chain = (name, *self.catalogue.ancestors(name))
        return min((share for each, share in self.limits.values() if each in chain), default=Decimal(1))

    def _own(self, name: BreakerId) -> State:
        grant = self.grants[name]
        if grant is State.CLOSED and time.monotonic() < self.closed_from.get(name, 0.0):
            return State.QUIET_PERIOD
        return grant

    def learn(self, counters: dict[BreakerId, int]) -> None:
        """Every increment is a trip, whoever made it."""
        for name, counter in counters.items():
            if counter > self.counters.get(name, 0):
                self._halt(name)
            self.counters[name] = max(counter, self.counters.get(name, 0))

    def tripped(self, name: BreakerId, counter: int | None = None) -> None:
        """By a person: no restore may bring back what came before it either."""
        self._halt(name)
        self.restorable[name] = State.OPEN
        if counter is not None:
            self.counters[name] = max(counter, self.counters.get(name, 0))

    def _halt(self, name: BreakerId) -> None:
        self.grants[name] = State.OPEN
        self.proved.discard(name)

    def begun(self, name: BreakerId, counter: int) -> None:
        """An outcome says HALF_OPEN: was it allowed?"""
        assert counter >= self.counters[name], f"{name}: half-open of an old epoch"  # I2
        self.learn({name: counter})  # a run may have been tripped at its deadline since we looked
        assert self.grants[name] is State.OPEN, f"{name}: half-open twice in one epoch"  # I9, I10
        for above in self.catalogue.ancestors(name):
            assert self.loosest(above) is State.CLOSED, f"{name}: half-open under {above}"  # I5
        self.counters[name] = counter
        self.grants[name] = State.HALF_OPEN
        self.proved.discard(name)

    def approved(self, request_id: str, approver: str, counter: int) -> None:
        """An outcome says that an approval led to HALF_OPEN."""
        waiting = next(each for each in self.pending if each.request_id == request_id)
        assert person_of(approver) != person_of(waiting.asker), "approved by its own asker"  # I19
        assert counter == waiting.counter == self.counters[waiting.breaker_id], (
            "approved for another epoch"
        )  # I20
        self.pending.remove(waiting)
        self.begun(waiting.breaker_id, counter)

    def closed(self, name: BreakerId, counter: int, asked_at: float) -> None:
        """An outcome says that it was closed: was it proved, and in this epoch?"""
        assert counter == self.counters[name], f"{name}: close of another epoch"  # I2, I3
        assert self.grants[name] is State.HALF_OPEN, f"{name}: closed from {self.grants[name]}"  # I1
        assert name in self.proved, f"{name}: closed without an honest run"  # I1, I9
        for above in self.catalogue.ancestors(name):
            assert self.loosest(above) is State.CLOSED, f"{name}: closed under {above}"  # I5
        self.proved.discard(name)  # I10: one run, one close
        self.grants[name] = State.CLOSED
        self.closed_from[name] = asked_at + self.quiet_period_s  # I11, I13

    def restarted(self) -> None:
        """Another server with the same data: nothing but whole grants outlives it."""
        for name, grant in self.grants.items():
            if grant is State.HALF_OPEN:
                self._halt(name)
        self.unread = True

    def flushed(self) -> None:
        self.restorable = dict(self.grants)
        self.counters = {}
        for name in self.grants:
            self._halt(name)

    def restored(self) -> None:
        """A safety-admin's restore: only grants that no later trip has overtaken."""
        for name, grant in self.restorable.items():
            if grant is State.CLOSED:
                self.grants[name] = State.CLOSED
        self.restorable = {}
