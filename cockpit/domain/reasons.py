"""Why a breaker was tripped: the contract's tokens, with the words that the screen shows."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    SLIPPAGE = "slippage"
    LATENCY = "latency"
    REJECTION_RATE = "rejection-rate"
    DAILY_LOSS = "daily-loss"
    DATA_INTEGRITY = "data-integrity"
    SECURITY = "security"
    GOVERNANCE = "governance"
    MARKET_ANOMALY = "market-anomaly"
    OPERATIONAL = "operational"
    DRILL = "drill"
    OTHER = "other"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Reason.SLIPPAGE: "Fills far from the expected price",
    Reason.LATENCY: "Execution is slow",
    Reason.REJECTION_RATE: "Too many signals or orders rejected",
    Reason.DAILY_LOSS: "Loss limit of the day passed",
    Reason.DATA_INTEGRITY: "Market data suspect or out of order",
    Reason.SECURITY: "Security event or bad signature",
    Reason.GOVERNANCE: "Change that nobody authorised",
    Reason.MARKET_ANOMALY: "Flash crash or venue outage",
    Reason.OPERATIONAL: "Automation misbehaves",
    Reason.DRILL: "Drill",
    Reason.OTHER: "Other, see notes",
}


class BadReason(ValueError):
    """Not one of the contract's tokens."""


def parse_reason(text: str) -> Reason:
    """
    Raises:
        BadReason: names the tokens that would be right.
    """
    try:
        return Reason(text)
    except ValueError:
        raise BadReason(
            f"reason {text[:40]!r} is not one of {', '.join(reason.value for reason in Reason)}"
        ) from None
