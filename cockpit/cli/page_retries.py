"""`cockpit pages retry`: what was given up is sent again, once the receiver is mended."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cockpit.cli.answers import Answer, UsageFault, of_outcome, of_usage, say
from cockpit.cli.resuming import decided, short_notes
from cockpit.cli.wiring import postgres_address, settings_of, whole
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.operations import resume
from cockpit.operations.outcomes import Outcome

if TYPE_CHECKING:
    from backends.paging_store import GivenUp, GivenUpPage

MOST_NAMED: Final = 100
_SHOWN: Final = 10
_NOBODY: Final = "No pager is running: they wait until one is; start `cockpit pager`."


def retry(options: argparse.Namespace) -> Answer:
    """Show what would be sent; with --yes have the authority order it."""
    if bool(options.page) == options.all:
        raise UsageFault("PAGE: name pages by their numbers, or --all for everything that was given up")
    if len(options.page) > MOST_NAMED:
        raise UsageFault(f"PAGE: over {MOST_NAMED}; name fewer, or --all")
    pages = sorted({whole(each, "PAGE", 1, 10**17) for each in options.page})
    notes, settings = short_notes(options.notes), settings_of(options)
    found = asyncio.run(_given_up(postgres_address(settings.credentials(options.login)), pages or None))
    if options.all and not found.pages:
        return of_outcome(Outcome(GLOBAL, "done", "No page was given up; nothing is to be sent again."))
    lines = _preview(found.pages, pages)
    if not options.yes:
        asks = f"--yes: missing; it stands for having read this. Nothing was sent. {lines[0]}"
        answer = of_usage(True, GLOBAL, asks)
        return replace(answer, lines=tuple(lines[1:]))
    for line in lines:
        say(line)
    target = " ".join(str(each) for each in pages) or "all"
    wish = resume.Wish(Kind.RETRY_PAGES, GLOBAL, notes, target=target)
    answer = decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))
    if found.pager_runs or answer.exit_code:
        return answer
    return replace(answer, messages=(*answer.messages, _NOBODY))


async def _given_up(dsn: str, pages: Sequence[int] | None) -> GivenUp:
    from backends.paging_store import given_up

    return await given_up(dsn, pages)


def _preview(found: Sequence[GivenUpPage], asked: Sequence[int]) -> list[str]:
    """What it does, in one line, then page by page."""
    able = [each for each in found if not each.obstacle]
    receivers = ", ".join(sorted({each.receiver for each in able}))
    known = {each.page for each in found}
    unknown = [f"page {each} was not given up, and stays as it is" for each in asked if each not in known]
    if able:
        count = len({each.page for each in able})
        what = "1 page" if count == 1 else f"{count} pages"
        head = f"It sends {what} again to {receivers}, under the same keys, and so pages people."
    else:
        head = "It sends nothing:"
    more = len(found) + len(unknown) - _SHOWN
    rows = [*(_line(each) for each in found), *unknown][:_SHOWN]
    return [head, *rows, *([f"… and {more} more"] if more > 0 else [])]


def _line(each: GivenUpPage) -> str:
    what = f"page {each.page}: {each.severity} {each.event} to {each.receiver}: {each.title}"
    return f"{what} (stays as it is: {each.obstacle})" if each.obstacle else f"{what} ({each.last_error})"
