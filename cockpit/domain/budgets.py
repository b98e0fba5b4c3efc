"""Error budgets and burn rates: arithmetic on counts of events, never on means of ratios.

Sources: the incident playbook's error budget actions; Site Reliability Workbook, chapter 5 (multi-window,
multi-burn-rate alerts). The unweighted mean of five-minute ratios weighs a quiet minute like a busy one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
BURN_WINDOWS: Final = (5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)
ORANGE_SHARE: Final = Decimal("0.5")
_ROUNDING: Final = Decimal("1e-9")


class BudgetState(StrEnum):
    """GREEN to RED by what is left; the others are states of their own, and never green."""

    GREEN = "GREEN"
    YELLOW = "YELLOW"
    ORANGE = "ORANGE"
    RED = "RED"
    NO_TRAFFIC = "NO TRAFFIC"  # samples say that there were no events
    NO_DATA = "NO DATA"  # there are no samples
    STALE = "STALE"  # the newest sample is too old to say anything of now
    CONTRADICTION = "CONTRADICTION"  # more good events than events

    @property
    def word(self) -> str:
        return _WORD[self]

    @property
    def actions(self) -> str:
        """What the state allows."""
        return _ACTIONS[self]

    @property
    def severity(self) -> int:
        """0 (fine) upwards, for sorting worst first. What is not known stands beside RED."""
        return _SEVERITY[self]

    @property
    def blocks_resume(self) -> bool:
        """RED, or nothing that can be relied on. A halt stops traffic, so none of it alone blocks nothing."""
        return self in _BLOCKS


_WORD: Final = {
    BudgetState.GREEN: "HEALTHY",
    BudgetState.YELLOW: "CAUTION",
    BudgetState.ORANGE: "HALF SIZE",
    BudgetState.RED: "HALT DUE",
    BudgetState.NO_TRAFFIC: "NO TRAFFIC",
    BudgetState.NO_DATA: "NO DATA",
    BudgetState.STALE: "STALE",
    BudgetState.CONTRADICTION: "CONTRADICTION",
}
_ACTIONS: Final = {
    BudgetState.GREEN: "Everything is allowed, promotions included.",
    BudgetState.YELLOW: "No new promotions; positions are managed as ever.",
    BudgetState.ORANGE: "Orders at half size, no new strategies.",
    BudgetState.RED: "Halt new orders, keep positions only, review the incident.",
    BudgetState.NO_TRAFFIC: "Nothing was measured: no promotions.",
    BudgetState.NO_DATA: "Unknown: no promotions, no resume; find out why no samples come.",
    BudgetState.STALE: "Unknown: no promotions, no resume; find out why no new samples come.",
    BudgetState.CONTRADICTION: "Unknown: no promotions, no resume; the measurement itself is wrong.",
}
_SEVERITY: Final = {
    BudgetState.GREEN: 0,
    BudgetState.NO_TRAFFIC: 1,
    BudgetState.YELLOW: 2,
    BudgetState.ORANGE: 3,
    BudgetState.STALE: 4,
    BudgetState.NO_DATA: 5,
    BudgetState.CONTRADICTION: 6,
    BudgetState.RED: 7,
}
_BLOCKS: Final = frozenset(
    {BudgetState.RED, BudgetState.NO_DATA, BudgetState.STALE, BudgetState.CONTRADICTION}
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Good events of all events in one window. Fractions occur: Prometheus extrapolates to its edges."""

    good: Decimal = Decimal(0)
    total: Decimal = Decimal(0)

    @property
    def bad(self) -> Decimal:
        return self.total - self.good

    @property
    def ratio(self) -> Decimal | None:
        """The share of good events; None without any."""
        return self.good / self.total if self.total > 0 else None

    @property
    def possible(self) -> bool:
        """Whether these can be counts at all: finite, and no more good events than events."""
        return self.good.is_finite() and self.total.is_finite() and 0 <= self.good <= self.total

    @property
    def rounded(self) -> Counts:
        """The same, where good passes total by no more than sums of floating point numbers do."""
        if not (self.good.is_finite() and self.total.is_finite()):
            return self
        return (
            Counts(self.total, self.total) if 0 < self.good - self.total <= self.total * _ROUNDING else self
        )

    def minus(self, other: Counts) -> Counts:
        return Counts(self.good - other.good, self.total - other.total)


@dataclass(frozen=True, slots=True)
class WindowPair:
    """A burn alert: fires while both windows burn faster than `factor`. `pages` or opens a ticket.

    `budget` is the share of the whole budget that such a burn spends within `long_s`.
    """

    long_s: int
    short_s: int
    budget: Decimal
    pages: bool

    def factor(self, window_s: int) -> Decimal:
        """The burn rate that spends `budget` in `long_s`, for an SLO over `window_s` (14.4 for 30 days); not
        below 1, since a burn of 1 lasts for the whole window and is nothing to be woken by."""
        return max(Decimal(1), self.budget * window_s / self.long_s)

    @property
    def name(self) -> str:
        return f"{'page' if self.pages else 'ticket'} {duration(self.long_s)}/{duration(self.short_s)}"


PAIRS: Final = (
    WindowPair(HOUR, 5 * MINUTE, Decimal("0.02"), True),
    WindowPair(6 * HOUR, 30 * MINUTE, Decimal("0.05"), True),
    WindowPair(DAY, 2 * HOUR, Decimal("0.10"), False),
    WindowPair(3 * DAY, 6 * HOUR, Decimal("0.10"), False),
)


def duration(seconds: float) -> str:
    """`5m`, `2h`, `3d`: the largest unit that leaves a whole number."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds / unit:.0f}{name}"
    return f"{seconds:g}s"


def remaining(counts: Counts, objective: Decimal) -> Decimal | None:
    """What is left of the error budget: 1 whole, 0 spent, negative overspent; None without events."""
    if counts.total <= 0:
        return None
    return 1 - counts.bad / (counts.total * (1 - objective))


def burn_rate(counts: Counts, objective: Decimal) -> Decimal | None:
    """How many times faster than sustainable the budget is spent; None without events."""
    if counts.total <= 0:
        return None
    return counts.bad / (counts.total * (1 - objective))


def colour(left: Decimal) -> BudgetState:
    """GREEN above 50 %, YELLOW above 25 up to 50, ORANGE from 10 up to 25, RED under 10."""
    if left > Decimal("0.5"):
        return BudgetState.GREEN
    if left > Decimal("0.25"):
        return BudgetState.YELLOW
    return BudgetState.ORANGE if left >= Decimal("0.1") else BudgetState.RED


def fired(burns: Mapping[int, Decimal | None], window_s: int) -> tuple[WindowPair, ...]:
    """The window pairs of which both burn faster than their factor. `burns` by window in seconds. A pair that
    looks back farther than the SLO itself says nothing about it."""

    def over(pair: WindowPair, length_s: int) -> bool:
        burn = burns.get(length_s)
        return burn is not None and burn > pair.factor(window_s)

    return tuple(
        pair
        for pair in PAIRS
        if pair.long_s <= window_s and over(pair, pair.long_s) and over(pair, pair.short_s)
    )


def exhausted_in_s(counts: Counts, objective: Decimal, recent: Mapping[int, Counts]) -> Decimal | None:
    """Seconds until the budget is spent, 0 once it is; None without events, or where it never will be.

    At the rate of bad events in the worst of the `recent` windows (by their length in seconds). With even
    traffic that is `remaining` × window / burn rate; it also holds where the window is not full yet.
    """
    if counts.total <= 0:
        return None
    spare = counts.total * (1 - objective) - counts.bad
    if spare <= 0:
        return Decimal(0)
    per_s = max((each.bad / length_s for length_s, each in recent.items()), default=Decimal(0))
    return spare / per_s if per_s > 0 else None


def minutes_left(left: Decimal, objective: Decimal, window_s: int) -> Decimal:
    """Minutes of full outage that the rest of the budget bears; negative where it is overspent."""
    return left * (1 - objective) * window_s / MINUTE


def one_failure_costs(counts: Counts, objective: Decimal) -> Decimal | None:
    """The share of the whole budget that one more bad event takes; None without events."""
    return 1 / (counts.total * (1 - objective)) if counts.total > 0 else None
