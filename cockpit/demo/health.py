"""What the gateway says of itself. Judged on what it measured, not on which faults were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from backends.gate import Decision
from cockpit.demo.market import LISTINGS
from cockpit.demo.venue import Venue
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State

FEED_BOUND_S: Final = 2.0
ROUND_TRIP_BOUND_MS: Final = 300.0
SLIPPAGE_BOUND: Final = Decimal("0.005")
ERRORS_WINDOW_S: Final = 300.0
DATA_AGE_BOUND_S: Final = 30.0
SETTLEMENT_BOUND_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """What the books measured: the settlement's lag, and violations of the ledger's invariant."""

    settlement_lag_s: float
    violations: int


def problems(venue: Venue, data_age_s: float, ledger: LedgerHealth) -> list[str]:
    """What is wrong with the gateway's own side, one line each, worst first. Empty: healthy."""
    found = []
    if venue.market.feed_age_s > FEED_BOUND_S:
        found.append(f"market data is {venue.market.feed_age_s:.1f} s old (bound {FEED_BOUND_S:g} s)")
    elif data_age_s > DATA_AGE_BOUND_S:
        found.append(f"market data arrive {data_age_s:.0f} s old (bound {DATA_AGE_BOUND_S:.0f} s)")
    if venue.round_trip_ms > ROUND_TRIP_BOUND_MS:
        found.append(f"the venue takes {venue.round_trip_ms:.0f} ms (bound {ROUND_TRIP_BOUND_MS:.0f} ms)")
    rejected = sum(not accepted for _, accepted, _ in venue.checks)
    if rejected:
        found.append(f"the venue rejected {rejected} of the last {len(venue.checks)} own checks")
    slip = max((slip for _, _, slip in venue.checks), default=Decimal(0))
    if slip > SLIPPAGE_BOUND:
        found.append(f"fills are {slip * 100:.2f} % off the price (bound {SLIPPAGE_BOUND * 100:.1f} %)")
    drifted = [name for name in LISTINGS if venue.reported_quantity(name) != venue.positions[name].quantity]
    if drifted:
        found.append(f"the venue's positions differ from the books: {', '.join(drifted)}")
    if ledger.violations:
        found.append(f"the ledger violates its invariant ({ledger.violations} differences)")
    lag = ledger.settlement_lag_s
    if lag > SETTLEMENT_BOUND_S:
        found.append(f"fills settle {lag:.0f} s late (bound {SETTLEMENT_BOUND_S:.0f} s)")
    return found


def health(
    venue: Venue, survey: Mapping[BreakerId, Decision], data_age_s: float, ledger: LedgerHealth
) -> dict[str, object]:
    """`GET /health`. `status` is `ok` or `degraded`, and about the gateway; whether trading is halted stands
    in `halt_reason` (the topmost breaker that is not CLOSED or QUIET_PERIOD, with its reason; null: none)."""
    found = problems(venue, data_age_s, ledger)
    halted = [
        (name, each) for name, each in survey.items() if each.effective_state in (State.OPEN, State.HALF_OPEN)
    ]
    return {
        "status": "degraded" if found else "ok",
        "problems": found,
        "halt_reason": halted[0][1].why if halted else None,
        # A trip has no end of its own: nothing but a proved resume lets trading go on.
        "trading_halted_until": None,
        "halted": [str(name) for name, _ in halted],
        "feed_age_s": round(venue.market.feed_age_s, 3),
        "api_errors_5m": venue.errors_within(ERRORS_WINDOW_S),
        "round_trip_ms": round(venue.round_trip_ms, 3),
        "open_orders": len(venue.resting),
    }
