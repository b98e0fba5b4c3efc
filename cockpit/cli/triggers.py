"""`cockpit triggers`: how near each automatic trigger is to its threshold, as the acting guard says."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.columns import aligned, span
from cockpit.cli.wiring import open_postgres, settings_of
from cockpit.config import Credentials, Settings
from cockpit.domain.breakers import EXECUTION, GLOBAL
from cockpit.domain.desk import DeskSnapshot
from cockpit.domain.documents import rfc3339
from cockpit.domain.text import clean
from cockpit.domain.trigger_reports import GuardSnapshot, TriggerReport
from widgets.slo_signs import amount
from widgets.trigger_rows import breach_words, distance, rank, state_words

_HEAD: Final = ("STATE", "RULE", "TO THRESHOLD", "VALUE", "THRESHOLD", "ON", "SAMPLES", "BREACH IN", "DOES")


def triggers(options: argparse.Namespace) -> Answer:
    """Every rule, nearest to its threshold first, or one with the samples behind it."""
    settings = settings_of(options)
    desk = asyncio.run(_read(settings.credentials(options.login)))
    guard, at = desk.guard, desk.server_time
    reports = worst_first(guard.reports) if guard else ()
    if options.rule is not None and guard is not None:
        found = [each for each in reports if each.rule == options.rule]
        if not found:
            raise _unknown(options.rule, reports)
        reports = tuple(found)
    warnings = _warnings(guard)
    alive = guard is not None and guard.alive
    document = {
        "guard": None
        if guard is None
        else {
            "holder": guard.holder,
            "term": guard.term,
            "alive": guard.alive,
            "age_s": round(guard.age_s, 3),
            "faults": list(guard.faults),
        },
        "triggers": [{**each.payload(), "stale": not alive} for each in reports],
        "observed_at": rfc3339(at),
    }
    if options.rule is not None and reports:
        return Answer(document, detail(reports[0], at, alive), messages=warnings)
    return Answer(document, table(reports, alive), messages=warnings)


async def _read(credentials: Credentials) -> DeskSnapshot:
    async with open_postgres(credentials, 2.0) as store:
        return await store.snapshot()


def worst_first(reports: Sequence[TriggerReport]) -> tuple[TriggerReport, ...]:
    """Nearest to their thresholds first, as the screen has them."""
    return tuple(sorted(reports, key=lambda each: (-rank(each), -(each.fraction or 0.0), each.rule)))


def _warnings(guard: GuardSnapshot | None) -> tuple[str, ...]:
    if guard is None:
        return ("No guard has ever run here: nothing trips by itself; start `cockpit guard`.",)
    if not guard.alive:
        old = f"its last sign was {span(guard.age_s)} ago"
        return (
            f"No guard is running ({old}): nothing trips by itself; start `cockpit guard`.",
            *guard.faults,
        )
    return guard.faults


def table(reports: Sequence[TriggerReport], alive: bool) -> tuple[str, ...]:
    """A line for each rule."""
    if not reports:
        return ("No rule is being evaluated.",)
    return aligned([_HEAD, *(_row(each, alive) for each in reports)], frozenset({2, 3, 4, 6, 7}))


def _row(report: TriggerReport, alive: bool) -> Sequence[str]:
    return (
        state_words(report, alive),
        report.rule,
        distance(report.fraction),
        amount(report.value, report.unit),
        amount(report.threshold, report.unit),
        report.subject or "-",
        f"{report.samples}/{report.min_samples}",
        breach_words(report),
        _effect(report),
    )


def _effect(report: TriggerReport) -> str:
    shadow = "only records (shadow): " if report.mode == "shadow" else ""
    fired = f"; fired {report.fired_on} {report.fired_at:%H:%M:%S}" if report.fired_at else ""
    aim = f"{EXECUTION} (for {GLOBAL}), P0 + page" if report.aim == GLOBAL else report.aim
    return f"{shadow}{report.effect} {aim}{fired}"


def detail(report: TriggerReport, at: datetime, alive: bool) -> tuple[str, ...]:
    """One rule, and the samples that it rests on."""
    return aligned(list(_detail(report, at, alive)))


def _detail(report: TriggerReport, at: datetime, alive: bool) -> Iterator[Sequence[str]]:
    newest = "never" if report.newest_at is None else f"{span((at - report.newest_at).total_seconds())} ago"
    yield report.rule, report.title
    yield "state", state_words(report, alive)
    yield "why", report.why or "-"
    of = f" on {report.subject}" if report.subject else ""
    gone = f"{distance(report.fraction)} of the way to {amount(report.threshold, report.unit)}"
    yield "value", f"{amount(report.value, report.unit)}{of}, {gone}"
    yield "breach in", breach_words(report)
    yield "samples", f"{report.samples}, at least {report.min_samples} needed, newest {newest}"
    yield "does", _effect(report)
    for each in report.evidence:
        yield "sample", f"{rfc3339(each.at)}  {amount(each.value, report.unit)}  {each.sample_id}"


def _unknown(rule: str, reports: Sequence[TriggerReport]) -> UsageFault:
    from difflib import get_close_matches

    near = get_close_matches(rule, [*(each.rule for each in reports), "check"], 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "`cockpit triggers` lists them"
    return UsageFault(f"rule: the guard evaluates no {clean(rule, 60)!r}; {hint}")


def check(options: argparse.Namespace) -> Answer:
    """Load a file of rules as the guard would; the first fault is one line with file and line."""
    names = rule_names(settings_of(options), Path(options.file) if options.file is not None else None)
    lines = (f"{len(names)} rules are well-formed", *(f"  {name}" for name in names))
    return Answer({"ok": True, "rules": list(names)}, lines)


def rule_names(settings: Settings, path: Path | None = None) -> Sequence[str]:
    """The rules of a file, by default of the one that the settings name.

    Raises:
        UsageFault: it cannot be read, or a rule in it is wrong.
    """
    from cockpit.domain.trigger_parsing import BadRule
    from cockpit.guard.rule_file import read_rules, shipped_rules

    try:
        rules = read_rules(path or settings.triggers_file or shipped_rules(), settings.catalogue)
    except BadRule as error:
        raise UsageFault(f"triggers: {error}") from error
    return [each.name for each in rules]
