"""The plant's own checks beside reconciliation: quality cycles of its data, and its risk limits.

What they find goes to the run's folder and the audit logs as it changes; the third bad quality cycle in a row
is an incident. Source: operations runbook, "Operational SLOs" and "Alert Sources".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import uuid4

from cockpit.demo.accounts import Account
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Position
from cockpit.demo.reconciling import Run
from cockpit.demo.run_folder import RunFolder
from cockpit.domain.artefacts import INCIDENTS, ORDERS, POSITIONS, QUALITY, SLOS
from cockpit.domain.reconciliation import BREACH_AT, Kind

BAD_CYCLES: Final = 3
DAILY_LOSS_USD: Final = Decimal(500)
_WARN_AT: Final = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class QualityCycle:
    """One row of `quality_cycles`. `errors` by kind; `missing`: daily bars that each instrument lacks, None
    where that could not be read."""

    started_at: datetime
    errors: Mapping[str, int]
    stale: tuple[str, ...]
    missing: Mapping[str, int] | None

    @property
    def error_count(self) -> int:
        return sum(self.errors.values()) + sum((self.missing or {}).values())

    @property
    def status(self) -> str:
        if self.error_count or self.stale:
            return "breach"
        return "unknown" if self.missing is None else "clean"

    @property
    def details(self) -> dict[str, object]:
        lacking = {symbol: days for symbol, days in (self.missing or {}).items() if days}
        return {
            "errors_by_kind": dict(self.errors),
            "stale": list(self.stale),
            "missing_daily_bars": None if self.missing is None else lacking,
        }

    def fields(self) -> dict[str, object]:
        """As an event of the run folder."""
        return {
            "status": self.status,
            "errors": self.error_count,
            "stale_warnings": len(self.stale),
            "details": self.details,
        }


@dataclass(slots=True)
class Upkeep:
    """Writes what is found into `folder`."""

    folder: RunFolder
    _bad_cycles: int = 0
    _breached: dict[str, bool] = field(default_factory=dict)
    _levels: dict[tuple[str, str], str] = field(default_factory=dict)

    def begin(self) -> None:
        """The run begins."""
        self.folder.begin()
        self.changed(f"the plant began run {self.folder.run_id}", "plant")

    def reconciled(self, runs: Iterable[Run], mismatch_runs: int) -> None:
        """One cycle, and whether too many runs in a row were mismatches."""
        for run in runs:
            file = POSITIONS if run.kind is Kind.POSITION else ORDERS
            self.folder.event(file, "reconciliation", run.fields())
        self._slo("reconciliation-mismatch-runs", mismatch_runs, BREACH_AT, mismatch_runs >= BREACH_AT)

    def quality(self, cycle: QualityCycle) -> None:
        """One quality cycle."""
        self.folder.event(QUALITY, "quality_cycle", cycle.fields())
        self.folder.latest_quality(cycle.fields())
        if cycle.status != "unknown":
            self._slo("data-quality-errors", cycle.error_count, 0, cycle.error_count > 0)
            self._slo("data-stale-warnings", len(cycle.stale), 0, bool(cycle.stale))
            self._bad_cycles = self._bad_cycles + 1 if cycle.status == "breach" else 0
        if self._bad_cycles == BAD_CYCLES:
            self._incident(cycle)
            self._bad_cycles += 1  # one incident for as long as it lasts

    def risk(self, positions: Mapping[str, Position], account: Account, equity: Decimal) -> None:
        """The limits of positions and of the day's loss, as they stand."""
        for symbol, position in positions.items():
            limit = LISTINGS[symbol].max_position
            self._limit("position-limit", symbol, abs(position.quantity), limit)
        self._limit("daily-loss", "plant", max(Decimal(0), -account.daily_pnl(equity)), DAILY_LOSS_USD)

    def changed(self, what: str, by: str) -> None:
        """A deployment, a setting, or the like."""
        self.folder.audit("change", {"what": what, "by": by})

    def _slo(self, slo: str, value: int, threshold: int, breached: bool) -> None:
        if breached != self._breached.get(slo, False):
            self._breached[slo] = breached
            self.folder.event(
                SLOS,
                "slo_breach" if breached else "slo_recovered",
                {"slo": slo, "value": value, "threshold": threshold, "severity": "critical"},
            )

    def _incident(self, cycle: QualityCycle) -> None:
        found = f"{cycle.error_count} errors, {len(cycle.stale)} stale instruments"
        self.folder.event(
            INCIDENTS,
            "incident_open",
            {
                "incident_id": f"quality-{uuid4().hex[:12]}",
                "severity": "P1",
                "classification": "data_quality",
                "title": f"{BAD_CYCLES} bad data quality cycles in a row: {found}",
                "breakers": ["component:ingest"],
                "slos": ["data-quality-errors" if cycle.error_count else "data-stale-warnings"],
            },
        )

    def _limit(self, rule: str, subject: str, value: Decimal, limit: Decimal) -> None:
        level = ""
        if value > limit:
            level = "risk_limit_breach"
        elif value > limit * _WARN_AT:
            level = "risk_warning"
        before = self._levels.get((rule, subject), "")
        self._levels[rule, subject] = level
        if level and level != before and not (before == "risk_limit_breach" and level == "risk_warning"):
            amounts = {"value": format(value, "f"), "limit": format(limit, "f")}
            message = f"{rule} of {subject}: {value:f} of {limit:f}"
            self.folder.audit(level, {"rule": rule, "subject": subject, **amounts, "message": message})
