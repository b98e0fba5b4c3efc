"""What can be broken in the plant on purpose. A fault changes what really happens, not what is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final


class BadFault(ValueError):
    """A fault that does not exist or lies out of range; the message names the field."""


@dataclass(frozen=True, slots=True)
class Faults:
    """All 0 means healthy. A plant that starts again has none.

    `latency_ms`: added to every exchange with the venue. `reject_rate`: share of orders that the venue
    rejects. `slippage`: share by which fills are worse than the price. `feed_gap_s`: the feed stays silent
    for so long from now. `recon_drift`: share of the position limit by which the venue's positions differ
    from the books. `data_delay_s`: ticks go on arriving and are so old by their own time. `bad_tick_rate`:
    share of ticks without a price. `settlement_lag_s`: fills settle so much later. `price_shock`: share by
    which the marks, at which positions are valued, stand against each position. `ledger_violations`: so
    many of the next fills are posted to the ledger twice. `position_runaway`: the venue executes an order
    that nobody placed, which takes the first instrument's position to that multiple of its limit.
    `closed_market`: 1 rejects every order, and nothing that rests fills. `cancel_failures`: share of cancels
    that the venue refuses. `order_drift`: so many of the venue's next reports on ended orders never reach the
    books. `ledger_gap`: so many of the next fills never reach the ledger. `recon_unreadable`: 1: the venue
    gives no report to reconcile with. `missing_bars`: so many of the first instrument's newest daily bars are
    withdrawn by the data source.
    """

    latency_ms: float = 0.0
    reject_rate: float = 0.0
    slippage: float = 0.0
    feed_gap_s: float = 0.0
    recon_drift: float = 0.0
    data_delay_s: float = 0.0
    bad_tick_rate: float = 0.0
    settlement_lag_s: float = 0.0
    price_shock: float = 0.0
    ledger_violations: float = 0.0
    position_runaway: float = 0.0
    closed_market: float = 0.0
    cancel_failures: float = 0.0
    order_drift: float = 0.0
    ledger_gap: float = 0.0
    recon_unreadable: float = 0.0
    missing_bars: float = 0.0

    def fields(self) -> dict[str, float]:
        return asdict(self)


_HIGHEST: Final[Mapping[str, float]] = {
    "latency_ms": 60_000,
    "reject_rate": 1,
    "slippage": 1,
    "feed_gap_s": 86_400,
    "recon_drift": 1,
    "data_delay_s": 86_400,
    "bad_tick_rate": 1,
    "settlement_lag_s": 86_400,
    "price_shock": 0.9,
    "ledger_violations": 100,
    "position_runaway": 3,
    "closed_market": 1,
    "cancel_failures": 1,
    "order_drift": 100,
    "ledger_gap": 100,
    "recon_unreadable": 1,
    "missing_bars": 30,
}
_WHOLE: Final = frozenset(
    {"closed_market", "ledger_violations", "order_drift", "ledger_gap", "recon_unreadable", "missing_bars"}
)


def with_changes(faults: Faults, changes: object) -> Faults:
    """`faults` with the named ones replaced.

    Raises:
        BadFault: not an object, an unknown field, or a value that is no number in the field's range.
    """
    if not isinstance(changes, dict) or not changes:
        raise BadFault(f"send a JSON object with any of {', '.join(_HIGHEST)}")
    for name, value in changes.items():
        if name not in _HIGHEST:
            raise BadFault(f"{str(name)[:40]!r} is no fault; the faults are {', '.join(_HIGHEST)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= _HIGHEST[name]:
            raise BadFault(f"{name} is not a number from 0 to {_HIGHEST[name]:g}")
        if name in _WHOLE and value != int(value):
            raise BadFault(f"{name} is not a whole number")
    return replace(faults, **{name: float(value) for name, value in changes.items()})
