"""The named checks of playbooks: judged from the page's facts alone. Pure; what is unknown never ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import GLOBAL, OF_A_SYMBOL, WITHDRAWALS, BreakerId, Scope, switch_of
from cockpit.domain.modes import Mode, mode_of
from cockpit.domain.recovery import Need
from cockpit.domain.triage import WIDE, FirstMinutes, condition_of
from cockpit.domain.triage_facts import CYCLE_STALE_S, NO_GATEWAY, Reconciled


class Check(StrEnum):
    """What may tick a step by itself. See `checked`."""

    ACKNOWLEDGED = "acknowledged"
    HALTED = "halted"  # all that the incident concerns is halted
    GLOBAL_HALTED = "global-halted"
    WITHDRAWALS_HALTED = "withdrawals-halted"
    CANCEL_ONLY = "cancel-only"  # or stricter, for every instrument that it concerns
    SOFT_HALT = "soft-halt"
    HARD_HALT = "hard-halt"
    NO_LATCH = "no-latch"  # no instrument that it concerns is latched
    GATEWAY_HEALTHY = "gateway-healthy"
    FEED_FRESH = "feed-fresh"
    QUALITY_CLEAN = "quality-clean"  # the newest cycle, begun since the incident was opened, and of now
    BARS_COMPLETE = "bars-complete"
    RECONCILED = "reconciled"  # the newest run of every kind is clean, begun since then, and of now
    TWO_CLEAN_RUNS = "two-clean-runs"
    NO_LAG = "no-lag"  # the ledger has booked what the engine has done, by such runs
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
    """Whether all that the incident is linked to is halted, by itself or with every instrument."""
    halts, row = minutes.halts.value, minutes.incident.value
    if halts is None:
        return None, minutes.halts.fault or "not read"
    shut = (*halts.breakers, *halts.switches)
    if wide := [name for name in shut if name in WIDE]:
        return True, f"{', '.join(wide)} halted"
    if row is None:
        return None, minutes.incident.fault or "no such incident"
    symbols = {_symbol(name) for name in shut} - {""}
    linked = [name for name in (row.breaker_id, *row.breakers) if name]
    loose = [name for name in linked if name not in shut and _symbol(name) not in symbols]
    left = [symbol for symbol in minutes.symbols if symbol not in symbols]
    if (linked and not loose) or (minutes.symbols and not left):
        return True, f"{', '.join(linked[:5]) or 'every instrument'} halted"
    if not symbols.isdisjoint(minutes.symbols) or len(loose) < len(linked):
        return False, f"only a part of it is halted; not yet: {', '.join((loose or left)[:5])}"
    return False, "nothing of it is halted"


def _symbol(name: str) -> str:
    """The instrument that a breaker or switch halts; "" where it is not one instrument's."""
    scope, _, symbol = name.partition(":")
    return symbol if scope in (Scope.INSTRUMENT, *OF_A_SYMBOL) else ""


def _no_latch(minutes: FirstMinutes) -> Verdict:
    halts = minutes.halts.value
    if halts is None:
        return None, minutes.halts.fault or "not read"
    if not minutes.symbols:
        return None, "it concerns no instrument"
    latched = [each for each in minutes.symbols if switch_of(Scope.LATCH, each) in halts.switches]
    return not latched, f"latched: {', '.join(latched[:5])}" if latched else "none of it is latched"


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
    if found.clean and (doubt := _not_of_now(minutes, found.at, "the newest cycle")):
        return doubt
    return found.clean, f"{found.status}: {found.errors} errors, {found.stale_warnings} stale warnings"


def _not_of_now(minutes: FirstMinutes, at: datetime, what: str) -> Verdict | None:
    """Why something clean of `at` proves nothing of this incident now; None where it does."""
    row = minutes.incident.value
    if row is None:
        return None, minutes.incident.fault or "no such incident"
    if at < row.opened_at:
        return False, f"{what} is from before the incident"
    age_s = (minutes.at - at).total_seconds()
    return (None, f"{what} is {age_s:.0f} s old") if age_s > CYCLE_STALE_S else None


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
    if claims:
        return None, f"only {claims[0]} says clean"
    return _oldest_doubt(minutes, runs) or (True, f"the newest {len(runs)} are clean")


def _oldest_doubt(minutes: FirstMinutes, runs: Sequence[Reconciled]) -> Verdict | None:
    oldest = min(runs, key=lambda run: run.at)
    return _not_of_now(minutes, oldest.at, f"the {oldest.kind} run of {oldest.symbol or 'all'}")


def _no_lag(minutes: FirstMinutes) -> Verdict:
    """What is on its way while both sides are read is no lag: the run itself says whether it is clean."""
    runs = [run for run in minutes.ledger.value or () if run.lag is not None and run.proved]
    if not runs:
        return None, minutes.ledger.fault or "no ledger run is known"
    behind = [run.symbol or "all" for run in runs if run.status != "clean"]
    most = max(run.lag or 0 for run in runs)
    if behind:
        return False, f"{most} behind: {', '.join(behind[:5])}"
    return _oldest_doubt(minutes, runs) or (True, f"{most} behind, and clean")


def _objectives(minutes: FirstMinutes) -> Verdict:
    breach = minutes.breach.value
    if minutes.breach.fault:
        return None, minutes.breach.fault
    if breach is None:
        return True, "no breach is known"
    if breach.recovered and breach.ended:
        return None, f"the incident of {breach.slo} has ended, but no recovery was measured"
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
    Check.NO_LATCH: _no_latch,
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
