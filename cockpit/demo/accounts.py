"""What the plant is worth, and what it has gained or lost today.

The arithmetic is cash plus marks: every fill moves cash by minus its signed quantity times its price, and
what is held counts at its mark. Profit is the change of that sum, realised and unrealised together.
Amounts are USD. A day begins at 00:00 UTC; its first equity is what the day is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from cockpit.demo.orders import Position

CAPITAL_USD: Final = Decimal(50_000)
"""What the plant began with. A drawdown of 5 % is thus five times the runbook's daily loss limit of 500."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution that moves a position: `quantity` is signed, `cash` what it paid (negative) or brought.
    `seq` counts the venue's fills without a gap. A correction in cash alone has quantity 0."""

    seq: int
    symbol: str
    quantity: Decimal
    cash: Decimal
    filled_at: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """`opening` and `peak` are equities: the day's first and its highest."""

    date: date
    opening: Decimal
    peak: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """`cash` is the sum of all fills' cash, and capital; `day` is None before the first valuation.

    `slipped` is what fills of an injected slippage cost, until healing corrects it.
    """

    cash: Decimal
    engine_seq: int = 0
    slipped: Decimal = Decimal(0)
    day: Day | None = None

    def after(self, fill: Fill, slipped: Decimal = Decimal(0)) -> Account:
        return replace(self, cash=self.cash + fill.cash, engine_seq=fill.seq, slipped=self.slipped + slipped)

    def equity(self, positions: Mapping[str, Position], marks: Mapping[str, Decimal]) -> Decimal:
        """Cash plus what is held, at the marks."""
        return self.cash + sum((p.quantity * marks[p.symbol] for p in positions.values()), Decimal(0))

    def valued(self, equity: Decimal, today: date) -> Account:
        """The account once this equity was seen: a new day begins with it, a higher peak is kept.

        A clock that steps back starts no day anew.
        """
        if self.day is None or today > self.day.date:
            return replace(self, day=Day(today, equity, equity))
        return replace(self, day=replace(self.day, peak=max(self.day.peak, equity)))

    def daily_pnl(self, equity: Decimal) -> Decimal:
        """Realised and unrealised since the day began."""
        return Decimal(0) if self.day is None else equity - self.day.opening

    def drawdown(self, equity: Decimal) -> Decimal:
        """Share that is lost of the day's highest equity, 0 to 1."""
        if self.day is None or self.day.peak <= 0:
            return Decimal(0)
        return min(Decimal(1), max(Decimal(0), 1 - equity / self.day.peak))


def opening_account(positions: Mapping[str, Position], marks: Mapping[str, Decimal]) -> Account:
    """An account that is worth the capital with what is held at these marks."""
    held = sum((p.quantity * marks[p.symbol] for p in positions.values()), Decimal(0))
    return Account(CAPITAL_USD - held)
