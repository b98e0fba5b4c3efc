"""How large an order may be: the smaller of what a breaker's error budgets leave and of its limits in force.

The answer stands in the documents of CLOSED and QUIET_PERIOD breakers, where the gate reads it; those of
others carry it once they close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from cockpit.authority.objectives import Objectives
from cockpit.domain.breakers import BreakerId
from cockpit.domain.budget_policy import budget_share
from cockpit.domain.budgets import BudgetState
from cockpit.domain.limits import Limits
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.states import State

WHOLE: Final = Decimal(1)
_IN_FORCE: Final = """
SELECT limit_id::text, breaker_id, share FROM size_limits WHERE lifted_at IS NULL ORDER BY share, set_at
"""
# The part of the budgets in the document that was committed last: what holds on while they are not known.
_PARTS: Final = """
SELECT DISTINCT ON (breaker_id) breaker_id, context #>> '{details,size,budgets}' AS part
  FROM commits WHERE status = 'applied' AND context #>> '{details,size,budgets}' IS NOT NULL
 ORDER BY breaker_id, intent_seq DESC
"""
_SPENT: Final = (BudgetState.ORANGE, BudgetState.RED)
InForce = Mapping[BreakerId, Sequence[tuple[str, Decimal]]]
"""Each breaker's limits in force, by id and share, smallest first."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one breaker may let through: both parts are shares of normal size, 0 < part ≤ 1. `why` names the
    objectives behind the first, `limit_ids` the limits behind the second."""

    budgets: Decimal = WHOLE
    limits: Decimal = WHOLE
    why: str = ""
    limit_ids: tuple[str, ...] = ()

    def share(self, state: State, limits: Limits) -> Decimal:
        """The share that a document of this state carries."""
        match state:
            case State.CLOSED:
                return min(self.budgets, self.limits)
            case State.QUIET_PERIOD:
                return min(limits.size_share, self.budgets, self.limits)
            case _:
                return WHOLE

    def details(self) -> dict[str, object]:
        """For the audit entry, and for a successor, which takes the budgets' part from it."""
        return {
            "budgets": str(self.budgets),
            "limits": str(self.limits),
            "why": self.why,
            "limit_ids": list(self.limit_ids),
        }

    @property
    def words(self) -> str:
        """What holds the size down, in one line; "" where nothing does."""
        limited = f"limit {self.limit_ids[0]} of {self.limits}" if self.limit_ids else ""
        halved = (self.why or f"error budgets leave {self.budgets}") if self.budgets < WHOLE else ""
        return "; ".join(part for part in (halved, limited) if part)


async def limits_in_force(connection: Any) -> InForce:
    """Every limit that nobody has lifted."""
    found: dict[BreakerId, list[tuple[str, Decimal]]] = {}
    for row in await connection.fetch(_IN_FORCE):
        found.setdefault(BreakerId(row["breaker_id"]), []).append((row["limit_id"], row["share"]))
    return found


class Sizes:
    """Remembers the budgets' part of each breaker for one term; while its budgets are unknown it holds on."""

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives
        self._parts: dict[BreakerId, Decimal] | None = None
        self._why: dict[BreakerId, str] = {}
        self._heeded: tuple[SloSnapshot, bool] | None = None

    async def load(self, connection: Any) -> None:
        """Take over what stood in the documents of earlier terms, once their open intents are settled."""
        if self._parts is None:
            rows = await connection.fetch(_PARTS)
            self._parts = {BreakerId(row["breaker_id"]): Decimal(row["part"]) for row in rows}

    async def of(self, connection: Any, name: BreakerId, *, without: str = "") -> Size:
        """As things stand now, but for the limit `without`."""
        await self.load(connection)
        return self.size(name, await limits_in_force(connection), without=without)

    def size(self, name: BreakerId, in_force: InForce, *, without: str = "") -> Size:
        """The same of limits that were read already."""
        self._heed()
        limits = [each for each in in_force.get(name, ()) if each[0] != without]
        return Size(
            (self._parts or {}).get(name, WHOLE),
            min((share for _, share in limits), default=WHOLE),
            self._why.get(name, ""),
            tuple(limit_id for limit_id, _ in limits[:10]),
        )

    def _heed(self) -> None:
        """Take the last reading's word, once: it lowers a part at any age that still counts, and raises one
        only while it is young, knows all SLOs of the breaker, and every file of objectives could be read."""
        recent = self._objectives.recent()
        if self._parts is None or recent is None:
            return
        raises = recent is self._objectives.young() and not recent.book.faults
        if self._heeded is not None and self._heeded[0] is recent and self._heeded[1] is raises:
            return
        self._heeded = (recent, raises)
        for name in {each.breaker for each in recent.slos} | self._parts.keys():
            before, found = self._parts.get(name, WHOLE), budget_share(recent, name)
            if found is not None and (found < before or raises):
                self._parts[name] = found
            if found is not None and found == self._parts.get(name, WHOLE):
                self._why[name] = spent(recent, name)


def spent(snapshot: SloSnapshot, name: BreakerId) -> str:
    """The SLOs of this very breaker that are ORANGE or RED, with their figures."""
    return "; ".join(
        f"{each.name} {each.state.value}, {each.remaining:.1%} of its budget left"
        for each in snapshot.slos
        if each.breaker == name and each.state in _SPENT and each.remaining is not None
    )
