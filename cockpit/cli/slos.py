"""`cockpit slo`: objectives and error budgets, agreed exclusions from them, and the check of their files."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.slo_fields import snapshot_fields
from cockpit.cli.slo_lines import detail, overview
from cockpit.cli.wiring import must_acknowledge, postgres_address, settings_of
from cockpit.config import Credentials, Settings
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.refusals import EXIT_DONE, EXIT_UNREACHABLE
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.domain.slos import SloBook
from cockpit.domain.text import clean, justification
from cockpit.operations import resume


def slo(options: argparse.Namespace) -> Answer:
    """Every objective, worst first, or one in detail. Exit 5 where nothing at all could be read."""
    settings = settings_of(options)
    snapshot = asyncio.run(_read(settings, settings.credentials(options.login)))
    said = (*snapshot.faults, *([f"Note: {snapshot.simulated}."] if snapshot.simulated else []))
    faults = tuple(clean(each, 400) for each in said)
    nothing = snapshot.reports and all(each.read_at is None for each in snapshot.reports)
    code = EXIT_UNREACHABLE if nothing else EXIT_DONE
    if options.objective is None:
        return Answer(snapshot_fields(snapshot), overview(snapshot), code, faults)
    found = snapshot.report(options.objective)
    if found is None:
        raise _unknown(options.objective, [each.name for each in snapshot.reports])
    exclusions = [each for each in snapshot.exclusions if each.slo == found.name]
    lines = detail(found, snapshot.at, exclusions)
    return Answer(snapshot_fields(snapshot, found.name), lines, code, faults)


async def _read(settings: Settings, credentials: Credentials) -> SloSnapshot:
    from cockpit.objectives import open_objectives

    reader = open_objectives(settings, postgres_address(credentials))
    try:
        return await reader.read()
    finally:
        await reader.close()


def exclude(options: argparse.Namespace) -> Answer:
    """Ask that the events of an agreed stretch of time do not count. It takes a second person."""
    settings = settings_of(options)
    notes = justification(options.notes)
    from_at, until_at = moment(options.from_at, "--from"), moment(options.until_at, "--until")
    if until_at <= from_at:
        raise UsageFault("--until: it does not lie after --from; name a stretch of time")
    book = _book(settings, None)
    found = next((each for each in book.slos if each.name == options.objective), None)
    if found is None:
        if any(each.name == options.objective for each in book.thresholds):
            raise UsageFault(f"objective: {options.objective} is a plain threshold and has no error budget")
        raise _unknown(options.objective, [each.name for each in book.slos])
    must_acknowledge(options, found.breaker, "what happened in that time no longer counts against the budget")
    wish = resume.exclude_wish(found.breaker, found.name, from_at, until_at, notes)
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def include(options: argparse.Namespace) -> Answer:
    """Take an exclusion back: its events count again."""
    exclusion, notes = uuid_of(options.exclusion, "exclusion"), justification(options.notes)
    must_acknowledge(options, None, "the events of that time count again")
    return decided(options, lambda ports: resume.include(exclusion, notes, ports, datetime.now(UTC)))


def check(options: argparse.Namespace) -> Answer:
    """Load the files as every service would; the first fault is one line with file and line."""
    folder = Path(options.folder) if options.folder is not None else None
    if folder is not None and not folder.is_dir():
        raise UsageFault(f"folder: {folder} is no folder; name one that holds OpenSLO files")
    book = _book(settings_of(options), folder)
    names = [*(each.name for each in book.slos), *(each.name for each in book.thresholds)]
    line = f"{len(book.slos)} SLOs and {len(book.thresholds)} thresholds are well-formed"
    return Answer({"ok": True, "objectives": names}, (line, *(f"  {name}" for name in names)))


def moment(text: str, field: str) -> datetime:
    """A time out of an argument.

    Raises:
        UsageFault: it is none.
    """
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise UsageFault(
            f"{field}: {clean(text, 60)!r} is no time in UTC; write it as 2026-01-31T13:00:00Z"
        ) from None


def objective_names(settings: Settings) -> Sequence[str]:
    """For completion: what the files hold."""
    book = _book(settings, None)
    return [*(each.name for each in book.slos), *(each.name for each in book.thresholds)]


def _book(settings: Settings, folder: Path | None) -> SloBook:
    """The objectives of one folder, by default all that the settings name.

    Raises:
        UsageFault: a file is wrong; the message names file, line and field.
    """
    from backends.openslo import BadObjective, load_book
    from backends.slo_folder import SloFolder

    try:
        if folder is not None:
            return load_book([folder], settings.catalogue)
        return SloFolder(settings.shipped_slos, settings.slo_folders, settings.catalogue).book()
    except (BadObjective, OSError) as error:
        raise UsageFault(f"slos: {error}") from error


def _unknown(name: str, known: Sequence[str]) -> UsageFault:
    from difflib import get_close_matches

    near = get_close_matches(name, [*known, "exclude", "include", "check"], 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "`cockpit slo` lists them"
    return UsageFault(f"objective: no {clean(name, 60)!r} is loaded; {hint}")
