"""What can be broken in the plant on purpose. A fault changes what really happens, not what is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final


class BadFault(ValueError):
    """A fault that does not exist or lies out of range; the message names the field."""


@dataclass(frozen=True, slots=True)
class Faults:
    """All 0 means healthy.

    `latency_ms`: added to every exchange with the venue. `reject_rate`: share of orders that the venue
    rejects. `slippage`: share by which fills are worse than the price. `feed_gap_s`: the feed stays silent
    for so long from now. `recon_drift`: share of the position limit by which the venue's positions differ
    from the books.
    """

    latency_ms: float = 0.0
    reject_rate: float = 0.0
    slippage: float = 0.0
    feed_gap_s: float = 0.0
    recon_drift: float = 0.0

    def fields(self) -> dict[str, float]:
        return asdict(self)


_HIGHEST: Final[Mapping[str, float]] = {
    "latency_ms": 60_000,
    "reject_rate": 1,
    "slippage": 1,
    "feed_gap_s": 86_400,
    "recon_drift": 1,
}


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
    return replace(faults, **{name: float(value) for name, value in changes.items()})
