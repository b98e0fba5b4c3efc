"""Which objectives share a statement: cheap ones all together, costly ones few at a time.

One statement is one round trip, and one time-out: whatever is asked together fails together.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from backends.sli_questions import Objective
from cockpit.domain.slos import Budgeting, Limit, Slo

_MONTH_S: Final = 30 * 86_400
_CHEAP_S: Final = 0.003  # a few sums of roll-ups
_LIMIT_S: Final = 0.05  # over a month; samples are looked at in buckets that straddle the bound
_COSTLY_S: Final = 0.4  # over a month; slices, and cumulative counts, which have no roll-ups

Group = tuple[Objective, ...]


class Rank(IntEnum):
    CHEAP = 0
    LIMIT = 1
    COSTLY = 2


_A_MONTH_S: Final = {Rank.CHEAP: _CHEAP_S, Rank.LIMIT: _LIMIT_S, Rank.COSTLY: _COSTLY_S}


def rank(objective: Objective) -> Rank:
    if not isinstance(objective, Slo):
        return Rank.CHEAP
    if objective.budgeting is Budgeting.TIMESLICES or getattr(objective.indicator, "counter", False):
        return Rank.COSTLY
    return Rank.LIMIT if isinstance(objective.indicator, Limit) else Rank.CHEAP


def guessed_s(objective: Objective) -> float:
    """What the server may need for one objective, as long as nothing was measured."""
    return max(_CHEAP_S, _A_MONTH_S[rank(objective)] * objective.window_s / _MONTH_S)


class Groups:
    """Forms groups by what their statements took before; none should need over half of `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self._most_s = timeout_s / 2
        self._learnt: dict[str, float] = {}
        self._turn = 0
        self._last: dict[str, int] = {}  # when each was asked last, in turns

    def of(self, objectives: Sequence[Objective]) -> list[Group]:
        """Cheapest first, and none of the costly ones with others; of the same rank those that were left out
        the longest. At least one group, which is empty where nothing is asked."""
        self._turn += 1
        names = {each.name for each in objectives}
        self._learnt = {name: took for name, took in self._learnt.items() if name in names}
        self._last = {name: turn for name, turn in self._last.items() if name in names}
        groups: list[Group] = []
        group: list[Objective] = []
        sum_s = 0.0
        for each in sorted(objectives, key=lambda one: (rank(one), self._last.get(one.name, 0))):
            cost = self._cost(each)
            costly_begin = group and rank(each) is Rank.COSTLY is not rank(group[-1])
            if costly_begin or (group and sum_s + cost > self._most_s):
                groups.append(tuple(group))
                group, sum_s = [], 0.0
            group.append(each)
            sum_s += cost
        return [*groups, tuple(group)]

    def answered(self, group: Group, took_s: float) -> None:
        """Learn from a statement that took so long."""
        off_by = took_s / max(sum(self._cost(each) for each in group), _CHEAP_S)
        for each in group:
            self._last[each.name] = self._turn
            self._learnt[each.name] = min(self._cost(each) * off_by, self._most_s)

    def gave_up(self, group: Group) -> Group:
        """The statement timed out: from now on each of its costliest is asked alone, or fewer together where
        they are cheap. Returns those worth asking again at once: the others."""
        top = max((rank(each) for each in group), default=Rank.CHEAP)
        for each in group:
            if rank(each) is top:
                self._last[each.name] = self._turn
                share_s = 2 * self._most_s / len(group)
                more = max(share_s, 2 * self._cost(each)) if top is Rank.CHEAP else self._most_s
                self._learnt[each.name] = min(more, self._most_s)
        return tuple(each for each in group if rank(each) is not top)

    def _cost(self, objective: Objective) -> float:
        return max(guessed_s(objective), self._learnt.get(objective.name, 0.0))
