"""The guard's watch over reconciliation: a line's third mismatch in a row sets the instrument's safety latch.

Every guard derives the event of the latch from the run that was the third, so that neither a restart nor a
takeover latches a breach a second time; only clean runs and then three mismatches more are another breach. An
unknown run neither counts nor clears. A breach does not go stale: however long the look at it took, it stands
until a clean run. Source: operations runbook, "Operational SLOs"; exchange operations
runbook 3.1.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from backends.guard_store import Breach, GuardStore, Term
from cockpit.domain.breakers import EXECUTION, BreakerId, Catalogue, Scope, scope_of, symbol_of
from cockpit.domain.incidents import Classification
from cockpit.domain.reasons import Reason
from cockpit.domain.reconciliation import BREACH_AT, breach_id
from cockpit.domain.refusals import Refused
from cockpit.domain.text import clean
from cockpit.domain.trigger_reports import SampleRef
from cockpit.domain.trigger_watch import Firing
from cockpit.domain.triggers import Condition, Figure, Rule, Stream, StreamKind
from cockpit.guard.actions import Actions
from cockpit.guard.deeds import Deed, Phase

log: Final = logging.getLogger("cockpit.guard")
LOOK_S: Final = 1.0
AGAIN_S: Final = 10.0  # before a latch that could not be set is tried once more
PATIENCE: Final = 2  # looks in a row at which a latch was dropped before that is a fault
RULE: Final = "reconciliation-latch"


class Latching:
    """One term's watch. `holds` says whether the lease does; `unapplied` are the firings that a predecessor
    recorded and had not delivered. `fault` is what keeps it from seeing or setting all that it should, ""
    where nothing does."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: GuardStore,
        actions: Actions,
        term: Term,
        holds: Callable[[], bool],
        unapplied: Callable[[], frozenset[str]],
    ) -> None:
        self._catalogue = catalogue
        self._store = store
        self._actions = actions
        self._term = term
        self._holds = holds
        self._unapplied = unapplied
        self._symbols = [symbol_of(name) for name in catalogue.ids if scope_of(name) is Scope.INSTRUMENT]
        self._handled: set[str] = set()
        self._begun: list[Deed] = []  # at the last look
        self._drops = 0
        self.fault = ""

    async def run(self) -> None:
        """Look each second. Nothing that goes wrong here keeps the other rules from their work."""
        while True:
            try:
                self.fault = "; ".join(await self.look())
            except (Refused, OSError) as error:
                self.fault = f"reconciliation is UNKNOWN, no breach of it can be seen: {error}"
            except Exception as error:
                log.exception("the watch over reconciliation failed")
                self.fault = f"the watch over reconciliation failed: {type(error).__name__}: {error}"
            await asyncio.sleep(LOOK_S)

    async def look(self) -> list[str]:
        """Begin on every breach that nobody has handled. Returns faults."""
        seen = await self._store.breaches(self._term, self._symbols)
        dropped = sum(deed.phase is Phase.DROPPED for deed in self._begun)
        self._begun, self._drops = [], self._drops + 1 if dropped else 0
        faults = list(seen.faults)
        if self._drops >= PATIENCE:
            faults.append(f"{dropped} latches could not be set {self._drops} times in a row: no lease held")
        if not seen.holds:
            return faults  # the term is over; whoever renews the lease finds out
        wanted = [each for breach in seen.found for each in _latches(breach)]
        every = {name for each in wanted for name in each.ids}
        self._handled &= every  # what is cleared need not be remembered
        unknown = [name for name in every if name not in self._handled and name not in self._actions.deeds]
        if unknown:
            self._handled |= await self._store.recorded(unknown) - self._unapplied()
        for latch in wanted:
            firing_id = self._due(latch.ids)
            if firing_id is not None:
                firing = firing_of(latch.breach, latch.symbol, self._catalogue, seen.now)
                deed = Deed(firing_id, firing)
                self._begun.append(deed)
                self._actions.begin_deed(deed, math.inf, self._holds)
        return faults

    def _due(self, ids: tuple[str, ...]) -> str | None:
        """The event to bring about now; None where one of them is handled or being done by this process."""
        if not self._handled.isdisjoint(ids):
            return None
        known = [name for name in ids if name in self._actions.deeds]
        for name in known:
            deed = self._actions.deeds[name]
            if deed.phase is Phase.DONE:
                self._handled.add(name)
            failed = deed.phase is Phase.FAILED and time.monotonic() - deed.ended > AGAIN_S
            if deed.phase is not Phase.DROPPED and not failed:
                return None
        return known[0] if known else ids[0]


@dataclass(frozen=True, slots=True)
class _Latch:
    """One instrument's part in a breach. `ids`: the event that sets its latch, and those under which it may
    have been set before a run was written late."""

    breach: Breach
    symbol: str
    ids: tuple[str, ...]


def _latches(breach: Breach) -> Iterator[_Latch]:
    """What to latch. A run over many instruments that names none that is known stands for all of them: "".
    An instrument that joins later has its event from the third run too, so that each guard finds the same."""
    if breach.symbol:
        yield _Latch(breach, breach.symbol, tuple(map(breach_id, breach.runs)))
        return
    for symbol in breach.symbols:
        yield _Latch(breach, symbol, tuple(breach_id(f"{run}:{symbol}") for run in breach.runs))


def firing_of(breach: Breach, symbol: str, catalogue: Catalogue, now: datetime) -> Firing:
    """The breach as a firing. An instrument that the catalogue lacks has no latch, so execution is halted."""
    latch = BreakerId(f"{Scope.LATCH.value}:{symbol}")
    target = latch if latch in catalogue else EXECUTION
    rule = Rule(
        name=RULE,
        title=f"{breach.kind.capitalize()} reconciliation is breached",
        stream=Stream(StreamKind.SLI, f"{breach.kind} runs"),
        figure=Figure.VALUE,
        condition=Condition.LATEST,
        threshold=Decimal(BREACH_AT),
        unit="mismatches in a row",
        min_samples=BREACH_AT,
        aim=target,
        reason=Reason.DATA_INTEGRITY,
        severity="P1",
        classification=Classification.RECONCILIATION,
    )
    evidence = (SampleRef(breach.runs[0], breach.third_at, float(BREACH_AT)),)
    return Firing(rule, clean(symbol, 64), target, float(BREACH_AT), evidence, now)
