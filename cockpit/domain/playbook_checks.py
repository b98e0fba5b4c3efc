"""The named checks of playbooks: judged from the page's facts alone. Pure; what is unknown never ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.modes import Mode, mode_of
from cockpit.domain.recovery import Need
from cockpit.domain.triage import FirstMinutes, condition_of
from cockpit.domain.triage_facts import NO_GATEWAY, Reconciled


class Check(StrEnum):
    """What may tick a step by itself. See `checked`."""

    ACKNOWLEDGED = "acknowledged"
    HALTED = "halted"  # the gateway says that trading is halted
    GLOBAL_HALTED = "global-halted"
    WITHDRAWALS_HALTED = "withdrawals-halted"
    CANCEL_ONLY = "cancel-only"  # or stricter, for every instrument that it concerns
    SOFT_HALT = "soft-halt"
    HARD_HALT = "hard-halt"
    GATEWAY_HEALTHY = "gateway-healthy"
    FEED_FRESH = "feed-fresh"
    QUALITY_CLEAN = "quality-clean"
    BARS_COMPLETE = "bars-complete"
    RECONCILED = "reconciled"  # the newest run of every kind is clean
    TWO_CLEAN_RUNS = "two-clean-runs"
    NO_LAG = "no-lag"  # the ledger has booked what the engine has done
    OBJECTIVES_KEPT = "objectives-kept"  # the last breach has recovered, or there was none
    POSTGRES_ANSWERS = "postgres-answers"
    CHANGES_SEEN = "changes-read"  # recent changes could be read
    RECOVERED = "recovered"  # every recovery condition holds


Verdict = tuple[bool | None, str]
"""Whether it holds (None: unknown), and what says so."""


def checked(check: Check, minutes: FirstMinutes) -> Verdict:
    """Whether `check` holds; None where that is unknown. With it, what says so."""
    return _CHECKS[check](minutes)


def _acknowledged(minutes: FirstMinutes) -> Verdict:
    found = minutes.acknowledgement.value
    if found is None:
        return None, minutes.acknowledgement.fault or "no such incident"
    if found.status == "open":
        return False, f"due {found.due_at:%H:%M:%S}"
    return True, f"{found.status} by {found.by or 'nobody named'}"


def _halted(minutes: FirstMinutes) -> Verdict:
    halt = minutes.halt.value
    if halt is None:
        return None, minutes.halt.fault or NO_GATEWAY
    if halt.reason is None:
        return False, "the gateway says that nothing is halted"
    return True, f"{halt.reason}{f' until {halt.until}' if halt.until else ''}"


def _switch(name: BreakerId) -> Callable[[FirstMinutes], Verdict]:
    def check(minutes: FirstMinutes) -> Verdict:
        halts = minutes.halts.value
        if halts is None:
            return None, minutes.halts.fault or "not read"
        is_set = name in halts.breakers or name in halts.switches
        return is_set, f"{name} {'is halted' if is_set else 'is not halted'}"

    return check


def _mode(wanted: Mode) -> Callable[[FirstMinutes], Verdict]:
    def check(minutes: FirstMinutes) -> Verdict:
        halts = minutes.halts.value
        if halts is None:
            return None, minutes.halts.fault or "not read"
        if not minutes.symbols:
            return None, "it concerns no instrument"
        modes = {symbol: mode_of(symbol, lambda name: name in halts.switches) for symbol in minutes.symbols}
        loose = [symbol for symbol, mode in modes.items() if mode.strictness < wanted.strictness]
        return not loose, f"not yet: {', '.join(loose[:5])}" if loose else f"all {len(modes)} are"

    return check


def _healthy(minutes: FirstMinutes) -> Verdict:
    halt = minutes.halt.value
    return (None, minutes.halt.fault or NO_GATEWAY) if halt is None else (halt.healthy, halt.detail)


def _fresh(minutes: FirstMinutes) -> Verdict:
    halt = minutes.halt.value
    if halt is None or halt.feed_age_s is None:
        return None, minutes.halt.fault or "the gateway does not say"
    return halt.feed_fresh, f"market data is {halt.feed_age_s:.1f} s old"


def _quality(minutes: FirstMinutes) -> Verdict:
    found = minutes.quality.value
    if found is None:
        return None, minutes.quality.fault or "no cycle has run"
    if found.clean and not found.proved:
        return None, f"only {found.source} says clean"
    return found.clean, f"{found.status}: {found.errors} errors, {found.stale_warnings} stale warnings"


def _reconciled(minutes: FirstMinutes) -> Verdict:
    runs: list[Reconciled] = []
    for part in (minutes.orders, minutes.positions, minutes.ledger):
        if part.fault:
            return None, part.fault
        runs += part.value or ()
    if not runs:
        return None, "no run is known"
    bad = [f"{run.kind} {run.symbol or 'all'} {run.status}" for run in runs if run.status != "clean"]
    if bad:
        return False, ", ".join(bad[:5])
    claims = [run.source for run in runs if not run.proved]
    return (None, f"only {claims[0]} says clean") if claims else (True, f"the newest {len(runs)} are clean")


def _no_lag(minutes: FirstMinutes) -> Verdict:
    """What is on its way while both sides are read is no lag: the run itself says whether it is clean."""
    runs = [run for run in minutes.ledger.value or () if run.lag is not None and run.proved]
    if not runs:
        return None, minutes.ledger.fault or "no ledger run is known"
    behind = [run.symbol or "all" for run in runs if run.status != "clean"]
    most = max(run.lag or 0 for run in runs)
    return not behind, f"{most} behind" + (f": {', '.join(behind[:5])}" if behind else ", and clean")


def _objectives(minutes: FirstMinutes) -> Verdict:
    breach = minutes.breach.value
    if minutes.breach.fault:
        return None, minutes.breach.fault
    if breach is None:
        return True, "no breach is known"
    if breach.recovered and not breach.proved:
        return None, f"only {breach.source} says that {breach.slo} has recovered"
    return breach.recovered, f"{breach.slo} {'has recovered' if breach.recovered else 'is breached'}"


def _postgres(minutes: FirstMinutes) -> Verdict:
    fault = minutes.incident.fault
    return not fault, fault or "it answers"


def _changes(minutes: FirstMinutes) -> Verdict:
    fault, found = minutes.changes.fault, minutes.changes.value or ()
    return (None, fault) if fault else (True, f"{len(found)} listed here")


def _condition(need: Need) -> Callable[[FirstMinutes], Verdict]:
    return lambda minutes: condition_of(minutes, need)


def _recovered(minutes: FirstMinutes) -> Verdict:
    found = minutes.recovery.value
    if found is None:
        return None, minutes.recovery.fault or "not read"
    missing = [each for each in found if each.met is not True]
    return not missing, missing[0].line if missing else f"all {len(found)} hold"


_CHECKS: Final[Mapping[Check, Callable[[FirstMinutes], Verdict]]] = {
    Check.ACKNOWLEDGED: _acknowledged,
    Check.HALTED: _halted,
    Check.GLOBAL_HALTED: _switch(GLOBAL),
    Check.WITHDRAWALS_HALTED: _switch(WITHDRAWALS),
    Check.CANCEL_ONLY: _mode(Mode.CANCEL_ONLY),
    Check.SOFT_HALT: _mode(Mode.SOFT_HALT),
    Check.HARD_HALT: _mode(Mode.HARD_HALT),
    Check.GATEWAY_HEALTHY: _healthy,
    Check.FEED_FRESH: _fresh,
    Check.QUALITY_CLEAN: _quality,
    Check.BARS_COMPLETE: _condition(Need.BARS),
    Check.RECONCILED: _reconciled,
    Check.TWO_CLEAN_RUNS: _condition(Need.CLEAN_RUNS),
    Check.NO_LAG: _no_lag,
    Check.OBJECTIVES_KEPT: _objectives,
    Check.POSTGRES_ANSWERS: _postgres,
    Check.CHANGES_SEEN: _changes,
    Check.RECOVERED: _recovered,
}
