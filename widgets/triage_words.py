"""Each part of the first five minutes in a line of words, for the page and for the command line alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import Breach, Part, Reconciled

UNREAD: Final = "unreadable: "
NONE: Final = "none"


def part_words(page: FirstMinutes, name: str) -> str:
    """The words of the part `name` of `page.parts()`; why it is unreadable where it is."""
    fault = next((part.fault for each, part in page.parts() if each == name), "")
    return f"{UNREAD}{fault}" if fault else _WORDS[name](page)


def _incident(page: FirstMinutes) -> str:
    row = page.incident.value
    return f"{row.severity} {row.classification} {row.status}: {row.title}" if row else NONE


def _halt(page: FirstMinutes) -> str:
    halt = page.halt.value
    if halt is None:
        return NONE
    until = f" until {halt.until}" if halt.until else ""
    said = f"halted: {halt.reason}{until}" if halt.reason else "says that nothing is halted"
    feed = "feed of unknown age" if halt.feed_age_s is None else f"feed {halt.feed_age_s:.1f} s old"
    errors = "unknown" if halt.errors_5m is None else str(halt.errors_5m)
    return f"{said}; {halt.detail}, {feed}, {errors} API errors in 5 min"


def _halts(page: FirstMinutes) -> str:
    halts = page.halts.value
    return ", ".join((*halts.breakers, *halts.switches)) or "nothing reads halted" if halts else NONE


def recovery_words(breach: Breach) -> str:
    """Whether it has recovered, and who says so where nobody has measured it; "" where it has not."""
    if not breach.recovered:
        return ""
    if breach.ended:
        return "incident ended, no recovery measured"
    return "recovered" if breach.proved else "said to have recovered"


def _breach(page: FirstMinutes) -> str:
    breach = page.breach.value
    if breach is None:
        return NONE
    now = recovery_words(breach) or "not recovered"
    return f"{breach.slo} {breach.severity}, {now}: {breach.text} ({breach.source})"


def _acknowledged(page: FirstMinutes) -> str:
    found = page.acknowledgement.value
    if found is None:
        return NONE
    run = f"; the run's file says {found.run_says}" if found.run_says else ""
    if found.by is None or found.status == "open":
        return f"nobody has, due {found.due_at:%Y-%m-%d %H:%M:%S} UTC{run}"
    return f"{found.status}, acknowledged by {found.by}, owner {found.owner or 'nobody'}{run}"


def _reconciled(part: Part[tuple[Reconciled, ...]]) -> str:
    rows = part.value or ()
    return "; ".join(_run(each) for each in rows) or NONE


def _run(run: Reconciled) -> str:
    lag = f", {run.lag} behind" if run.lag else ""
    ids = f" ({', '.join(run.ids[:3])}{', …' if run.mismatches > 3 else ''})" if run.ids else ""
    differ = f", {run.mismatches} differ{ids}" if run.mismatches else ""
    claim = "" if run.proved else f", says {run.source}"
    return f"{run.symbol or 'all'} {run.status}{differ}{lag}{claim}"


def _quality(page: FirstMinutes) -> str:
    found = page.quality.value
    if found is None:
        return NONE
    return f"{found.status}: {found.errors} errors, {found.stale_warnings} stale warnings ({found.source})"


def _changes(page: FirstMinutes) -> str:
    rows = page.changes.value or ()
    said = "; ".join(f"{each.at:%H:%M:%S} {each.what} by {each.by}" for each in rows[:3])
    return f"{said}{f'; {len(rows) - 3} more' if len(rows) > 3 else ''}" or NONE


def _recovery(page: FirstMinutes) -> str:
    found = page.recovery.value or ()
    if not found:
        return "it has none"
    missing = [each.line for each in found if each.met is not True]
    return (
        f"{len(missing)} of {len(found)} missing: {'; '.join(missing)}"
        if missing
        else f"all {len(found)} hold"
    )


def _folder(page: FirstMinutes) -> str:
    run = page.run.value
    if run is None:
        return NONE
    bad = f", {run.bad} bad lines" if run.bad else ""
    faults = f", {'; '.join(run.faults)}" if run.faults else ""
    return f"{run.run_id or 'no run'} of {run.runs}{bad}{faults}"


_WORDS: Final[Mapping[str, Callable[[FirstMinutes], str]]] = {
    "incident": _incident,
    "gateway": _halt,
    "halts": _halts,
    "last SLO breach": _breach,
    "acknowledgement": _acknowledged,
    "order reconciliation": lambda page: _reconciled(page.orders),
    "position reconciliation": lambda page: _reconciled(page.positions),
    "ledger reconciliation": lambda page: _reconciled(page.ledger),
    "data quality": _quality,
    "recent changes": _changes,
    "recovery conditions": _recovery,
    "run folder": _folder,
}
