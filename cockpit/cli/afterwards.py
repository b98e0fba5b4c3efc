"""incident postmortem and handover: what was recorded, made ready to be read by people."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.incident_ids import incident_id_of, whole_id
from cockpit.cli.wiring import open_postgres, open_redis, postgres_address, settings_of, whole
from cockpit.config import Credentials, Settings
from cockpit.domain.communications import of_story
from cockpit.domain.handover import Sources
from cockpit.domain.handover import handover as sections_of
from cockpit.domain.postmortem import draft
from cockpit.domain.refusals import EXIT_DONE, EXIT_UNREACHABLE, Refused
from cockpit.domain.text import clean_lines

if TYPE_CHECKING:
    from cockpit.domain.incident_story import IncidentStory

MOST_EVENTS = 5_000


def postmortem(options: argparse.Namespace) -> Answer | int:
    """The draft on stdout, or in a new file."""
    settings = settings_of(options)
    given = incident_id_of(options.id)
    story = asyncio.run(_story(settings.credentials(options.login), given))
    incident_id = story.row.incident_id
    text = draft(story, of_story(story))
    if options.output is None:
        if options.json:
            return Answer({"incident_id": incident_id, "markdown": text})
        sys.stdout.write(clean_lines(text, len(text)) + "\n")
        return EXIT_DONE
    path = Path(options.output)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageFault(f"--output: {path} cannot be made: {error.strerror}; name a new file") from error
    return Answer({"incident_id": incident_id, "file": str(path)}, (f"draft written to {path}",))


async def _story(credentials: Credentials, given: str) -> IncidentStory:
    async with open_postgres(credentials, 10.0) as postgres:
        return await postgres.incident(await whole_id(given, postgres), MOST_EVENTS)


def handover(options: argparse.Namespace) -> Answer:
    """Exit 5 where a store could not be read: then a section says UNKNOWN, which is not nothing."""
    settings = settings_of(options)
    hours = whole(options.hours, "--hours", 1, 168)
    sources = asyncio.run(_read(settings, settings.credentials(options.login), timedelta(hours=hours)))
    sections = sections_of(sources, settings.catalogue, hours)
    document = {
        each.name: {"title": each.title, "lines": list(each.lines), "unknown": each.unknown or None}
        for each in sections
    }
    lines = tuple(line for each in sections for line in (*each.text, ""))[:-1]
    return Answer(document, lines, EXIT_UNREACHABLE if sources.why else EXIT_DONE)


async def _read(settings: Settings, credentials: Credentials, within: timedelta) -> Sources:
    from backends.handover_store import HandoverStore

    why: dict[str, str] = {}
    breakers = desk = incidents = lately = None
    try:
        async with open_redis(settings, credentials) as redis:
            breakers = await redis.snapshot()
    except Refused as refused:
        why["redis"] = refused.refusal.message
    try:
        async with open_postgres(credentials, 10.0) as postgres:
            desk = await postgres.snapshot()
            incidents = await postgres.incidents()
        store = HandoverStore(postgres_address(credentials))
        try:
            lately = await store.lately(within)
        finally:
            await store.close()
    except Refused as refused:
        why["postgres"] = refused.refusal.message
    return Sources(breakers, desk, incidents, lately, why)
