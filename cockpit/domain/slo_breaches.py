"""Which objectives are breached so that an incident is due, and when a change of that counts. Pure.

Source: incident playbook, severity levels and error budget actions: a core objective's breach is P1, a
partial one P2. A budget that is RED, burns fast enough to page, or whose run of failures is passed, is the
first; ORANGE, a slow burn, or a plain threshold that is not kept, is the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cockpit.domain.budgets import BudgetState, WindowPair, duration
from cockpit.domain.incidents import Severity
from cockpit.domain.slo_reports import Report, SloReport

BREACHED_FOR: Final = timedelta(minutes=1)
CALM_FOR: Final = timedelta(minutes=5)
_SILENT: Final = frozenset(
    {BudgetState.NO_TRAFFIC, BudgetState.NO_DATA, BudgetState.STALE, BudgetState.CONTRADICTION}
)


@dataclass(frozen=True, slots=True)
class Breach:
    severity: Severity
    why: str


def says_something(report: Report) -> bool:
    """Whether it tells a breach from its absence; what is unknown does neither begin nor end one."""
    return report.state not in _SILENT


def breach_of(report: Report) -> Breach | None:
    """The breach that a report shows; None where it is kept, or nothing is known."""
    if not says_something(report):
        return None
    if not isinstance(report, SloReport):
        return Breach(Severity.P2, f"not kept: {report.why}") if report.state is BudgetState.RED else None
    if report.state is BudgetState.RED:
        return Breach(Severity.P1, f"error budget RED: {report.why}")
    pages = [pair for pair in report.fired if pair.pages]
    if pages:
        return Breach(Severity.P1, f"the error budget burns too fast ({_windows(pages[0])}): {report.why}")
    if report.breached:
        return Breach(Severity.P1, f"{report.streak} failures in a row: {report.why}")
    if report.state is BudgetState.ORANGE:
        return Breach(Severity.P2, f"error budget ORANGE: {report.why}")
    if report.fired:
        return Breach(
            Severity.P2, f"the error budget burns slowly ({_windows(report.fired[0])}): {report.why}"
        )
    return None


def _windows(pair: WindowPair) -> str:
    return f"{duration(pair.long_s)} and {duration(pair.short_s)}"


@dataclass(slots=True)
class Standing:
    """What counts of one objective's breach, and what it seems to be now: a breach counts once it has stood
    for a minute, and a better state once it has for five, so that what flaps is one breach."""

    counts: Severity | None = None
    seems: Severity | None = None
    since: datetime | None = None

    def turns(self, severity: Severity | None, now: datetime) -> bool:
        """Take in one reading; whether `severity` has stood long enough to count from now on."""
        if self.since is None or severity is not self.seems:
            self.seems, self.since = severity, now
        if severity is self.counts:
            return False
        return now - self.since >= (BREACHED_FOR if worse(severity, self.counts) else CALM_FOR)

    def unknown(self) -> None:
        """Nothing could be read: whatever is waiting to count begins anew."""
        self.since = None


def worse(one: Severity | None, other: Severity | None) -> bool:
    """Whether `one` is the graver of two; None is no breach."""
    return one is not None and (other is None or one.value < other.value)
