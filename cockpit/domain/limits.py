"""Limits in time, all judged on the stores' clocks (I12, I13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

RECOVERY_FRESH_S: Final = 120.0
"""What proves a recovery has run this lately, unless the settings say otherwise: six cycles of 20 s."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings with the runbooks' values as defaults. Seconds unless said otherwise."""

    quiet_period_s: float = 300
    run_deadline_s: float = 120
    close_window_s: float = 600
    approval_expiry_s: float = 600
    commit_deadline_s: float = 30
    request_expiry_s: float = 60
    reset_interval_s: float = 60
    max_clock_skew_s: float = 2
    late_trip_s: float = 5
    size_share: Decimal = Decimal("0.25")
    probes: int = 5
    probes_required: int = 4
    probe_pace_s: float = 1
    latency_bound_ms: float = 300
    error_rate_bound: float = 0.02
    critical_window_s: float = 900
    reconciliation_fresh_s: float = RECOVERY_FRESH_S  # a platform whose cycles take over 40 s needs more
    acknowledgement_expiry_s: float = 1_800  # of a critical incident to which nothing happens meanwhile
    full_verification_s: float = 86_400
    approval_scopes: tuple[str, ...] = ("global",)


def reset_wait(last_slot: datetime | None, now: datetime, interval_s: float) -> timedelta:
    """How long until the next reset may take its slot; zero when it may now. A slot that lies in the
    future (a clock was set back) still binds."""
    if last_slot is None:
        return timedelta(0)
    return max(timedelta(0), last_slot + timedelta(seconds=interval_s) - now)


def clocks_differ(redis_now: datetime, postgres_now: datetime, max_skew_s: float) -> bool:
    """Whether the two stores' clocks are too far apart to judge a limit by."""
    return abs((redis_now - postgres_now).total_seconds()) > max_skew_s
