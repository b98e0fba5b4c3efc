"""Why a breaker was tripped: the contract's tokens, with the words that the screen shows."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cockpit.domain.incidents import Classification


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

    @property
    def classification(self) -> Classification:
        """Of the incident that a trip for this reason opens: the word by which its recovery is judged."""
        return _CLASSIFICATIONS.get(self, Classification.OTHER)


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

_CLASSIFICATIONS: Final = {
    Reason.LATENCY: Classification.BROKER,
    Reason.REJECTION_RATE: Classification.BROKER,
    Reason.DATA_INTEGRITY: Classification.DATA_QUALITY,
    Reason.SECURITY: Classification.SECURITY,
    Reason.GOVERNANCE: Classification.SECURITY,
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


def classification_of(token: str) -> Classification:
    """The same of a trip as it came, whose token may be anybody's: `other` where it is not the contract's."""
    return Reason(token).classification if token in tuple(Reason) else Classification.OTHER
