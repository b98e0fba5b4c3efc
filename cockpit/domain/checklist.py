"""The pre-resume checklist: what is read live and what a person must vouch for.

Sources: pause and resume runbook 6.A; circuit breaker operations runbook, recovery checklist 1 to 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Item:
    """`live` items are read by the cockpit and again by the authority at commit; the rest are vouched for."""

    item_id: str
    text: str
    live: bool


LIVE: Final = (
    Item("stores", "Redis, Postgres and the evidence store answer", True),
    Item("audit-chain", "Audit chain verified", True),
    Item("incidents", "No unacknowledged critical incident in the last 15 min", True),
    Item("latency", "Execution latency at baseline over the last 30 s", True),
    Item("error-rate", "Order error rate at baseline over the last 30 s", True),
    Item("gateway", "Gateway healthy, no API error in the last 5 min", True),
    Item("positions", "Positions within their limits", True),
    Item("queue", "Authority's queue empty", True),
    Item("error-budgets", "No error budget spent or unknown", True),
    Item("recovery", "Recovery conditions of linked open incidents hold", True),
)
VOUCHED: Final = (
    Item("root-cause", "Root cause identified and fixed", False),
    Item("reviewed", "Trip reason, dashboards and logs reviewed", False),
    Item("notified", "Team notified, incident report written", False),
    Item("no-conflict", "No conflicting operation pending", False),
    Item("risk-approval", "Risk team's approval obtained, where it applies", False),
)
ITEMS: Final = (*LIVE, *VOUCHED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one live item read. `ok` None means that it could not be read, which fails it."""

    item_id: str
    ok: bool | None
    read: str
    wanted: str

    @property
    def line(self) -> str:
        if self.ok is None:
            return f"unreadable: {self.read} (wanted {self.wanted})"
        return f"{self.read} (wanted {self.wanted})"


class BadChecked(ValueError):
    """`--checked` names something that cannot be vouched for."""


def parse_checked(text: str) -> tuple[str, ...]:
    """`all` or a comma-separated list of the items that a person vouches for.

    Raises:
        BadChecked: an unknown item, or one that the cockpit checks itself.
    """
    vouchable = [item.item_id for item in VOUCHED]
    if text.strip() == "all":
        return tuple(vouchable)
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    for name in chosen:
        if any(item.item_id == name for item in LIVE):
            raise BadChecked(f"checked: {name!r} is read by the cockpit itself and cannot be vouched for")
        if name not in vouchable:
            raise BadChecked(f"checked: {name[:40]!r} is not an item; the items are {', '.join(vouchable)}")
    return tuple(name for name in vouchable if name in chosen)


def missing_vouchers(checked: Iterable[str]) -> tuple[Item, ...]:
    """The items that nobody vouched for."""
    given = set(checked)
    return tuple(item for item in VOUCHED if item.item_id not in given)


def failing(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Live items that stand in the way: failed, unreadable, or not read at all."""
    by_id = {finding.item_id: finding for finding in findings}
    absent = Finding("", None, "not read", "a reading")
    out = []
    for item in LIVE:
        finding = by_id.get(item.item_id, Finding(item.item_id, None, absent.read, absent.wanted))
        if finding.ok is not True:
            out.append(finding)
    return tuple(out)
