"""`cockpit incident …`: list and show incidents, and ask the authority to change them."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar, cast

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.incident_fields import list_fields, list_lines, story_fields, story_lines
from cockpit.cli.incident_ids import Beginnings, incident_id_of, whole_id
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.slos import moment
from cockpit.cli.wiring import open_postgres, settings_of, whole
from cockpit.domain.communications import Audience
from cockpit.domain.incident_story import IncidentList, IncidentStory
from cockpit.domain.incidents import BadIncident, Classification, parse_severity
from cockpit.domain.text import MAX_NOTES, clean, justification
from cockpit.operations import incidents, resume
from cockpit.operations.outcomes import Outcome

T = TypeVar("T")
MOST_LISTED = 10_000
_SPAN = re.compile(
    r"(?P<amount>[1-9][0-9]{0,3}) ?(?P<unit>[mh])(?:(?<=m)(?:ins?|inutes?)|(?<=h)ours?)?", re.ASCII
)


def listing(options: argparse.Namespace) -> Answer:
    """The unresolved incidents, worst first; with `--all` those that are over too, newest first."""
    count = whole(options.count, "count", 1, MOST_LISTED)
    words = options.words or options.run_id or ""
    found = asyncio.run(_list(options, count, words))
    rows = found.unresolved + (found.recent if options.all else ())
    if options.run_id:
        rows = tuple(row for row in rows if row.run_id == options.run_id)
    return Answer(list_fields(found, rows), list_lines(found, rows))


async def _list(options: argparse.Namespace, count: int, words: str) -> IncidentList:
    settings = settings_of(options)
    async with open_postgres(settings.credentials(options.login)) as store:
        return await store.incidents(count, count if options.all else 0, words)


def show(options: argparse.Namespace) -> Answer:
    """Everything about one incident."""
    find = which_incident(options)
    story = asyncio.run(_show(options, find))
    return Answer(story_fields(story), story_lines(story))


async def _show(options: argparse.Namespace, find: Which) -> IncidentStory:
    settings = settings_of(options)
    async with open_postgres(settings.credentials(options.login)) as store:
        return await store.incident(await find.id(store))


def opening(options: argparse.Namespace) -> Answer:
    catalogue = settings_of(options).catalogue
    breakers = tuple(catalogue.known(name) for name in options.breaker)
    classification = _classification(options.classification, "--classification")
    title, notes = " ".join(options.title.split()), _remark(options.notes)
    wish = _made(
        lambda: incidents.open_wish(
            parse_severity(options.severity),
            classification,
            title,
            notes,
            breakers,
            tuple(options.slo),
        )
    )
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def acknowledge(options: argparse.Namespace) -> Answer:
    if options.ack_by is not None:
        raise UsageFault(
            "--ack-by: who acknowledges is the login that asks, never a name; choose one with --login"
        )
    notes = justification(options.notes)
    return _change(options, lambda incident: incidents.acknowledge_wish(incident, notes))


def note(options: argparse.Namespace) -> Answer:
    notes = _remark(options.notes)
    if not notes:
        raise UsageFault("--notes: empty; write what happened")
    return _change(options, lambda incident: incidents.note_wish(incident, notes))


def assign(options: argparse.Namespace) -> Answer:
    notes = _remark(options.notes)
    return _change(options, lambda incident: incidents.assign_wish(incident, options.to, notes))


def classify(options: argparse.Namespace) -> Answer:
    word, notes = _classification(options.classification, "classification"), justification(options.notes)
    return _change(options, lambda incident: incidents.classify_wish(incident, word, notes))


def escalate(options: argparse.Namespace) -> Answer:
    severity, notes = _made(lambda: parse_severity(options.severity)), justification(options.notes)
    return _change(options, lambda incident: incidents.escalate_wish(incident, severity, notes))


def snooze(options: argparse.Namespace) -> Answer:
    until, notes = snooze_end(options.until), _remark(options.notes)
    return _change(options, lambda incident: incidents.snooze_wish(incident, until, notes))


def merge(options: argparse.Namespace) -> Answer:
    given, notes = incident_id_of(options.into, "--into"), justification(options.notes)
    find = which_incident(options)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        store = cast(Incidents, ports.inbox)
        incident, into = await find.id(store), await whole_id(given, store, "--into")
        wish = _made(lambda: incidents.merge_wish(incident, into, notes))
        return await resume.ask(wish, ports, datetime.now(UTC))

    return decided(options, ask)


def link(options: argparse.Namespace) -> Answer:
    catalogue = settings_of(options).catalogue
    breakers, slos = tuple(catalogue.known(name) for name in options.breaker), tuple(options.slo)
    if not (breakers or slos):
        raise UsageFault("--breaker: nothing is named to link it to; give --breaker or --slo")
    notes = _remark(options.notes)
    return _change(options, lambda incident: incidents.link_wish(incident, breakers, slos, notes))


def resolve(options: argparse.Namespace) -> Answer:
    root_cause = justification(options.notes)
    return _change(options, lambda incident: incidents.resolve_wish(incident, root_cause))


def told(options: argparse.Namespace) -> Answer:
    if options.audience not in tuple(Audience):
        known = ", ".join(Audience)
        raise UsageFault(f"--audience: {clean(options.audience, 40)!r} is not one of {known}")
    notes = _remark(options.notes)
    return _change(options, lambda incident: incidents.told_wish(incident, options.audience, notes))


def action(options: argparse.Namespace) -> Answer:
    what, notes = " ".join(options.what.split()), _remark(options.notes)
    due_at = moment(options.due, "--due") if options.due else None
    return _change(
        options, lambda incident: incidents.action_wish(incident, what, options.owner, due_at, notes)
    )


def done(options: argparse.Namespace) -> Answer:
    action_id, notes = uuid_of(options.action, "--action"), _remark(options.notes)
    return _change(options, lambda incident: incidents.done_wish(incident, action_id, notes))


class Incidents(incidents.RunIncidents, Beginnings, Protocol):
    """Where an incident is found by what a person writes."""


class Which:
    """The incident that a command is about: by its id, or as a run calls it."""

    def __init__(self, incident: str | None, run_id: str | None) -> None:
        self._incident = incident or ""
        self._run_id = run_id

    async def id(self, store: Incidents) -> str:
        """
        Raises:
            Refused: no id begins so, or the run has reported none of that id.
            UsageFault: several ids begin so.
        """
        if self._run_id is None:
            return await whole_id(self._incident, store)
        return await store.incident_of_run(self._run_id, self._incident)


def which_incident(options: argparse.Namespace) -> Which:
    given, own = options.incident, options.incident_id
    if (given is None) == (own is None):
        raise UsageFault("incident: name it once, by ID or as --run-id RUN --incident-id ID")
    if options.run_id is None:
        field = "incident" if own is None else "--incident-id"
        return Which(incident_id_of(given or own, field), None)
    if own is None:
        raise UsageFault("--incident-id: missing; it is the incident's id in that run")
    return Which(own, options.run_id)


def _change(options: argparse.Namespace, build: Callable[[str], resume.Wish]) -> Answer:
    """Ask for a change of the incident that the options name."""
    find = which_incident(options)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        incident = await find.id(cast(Incidents, ports.inbox))
        return await resume.ask(_made(lambda: build(incident)), ports, datetime.now(UTC))

    return decided(options, ask)


def _classification(text: str, field: str) -> Classification:
    """
    Raises:
        UsageFault: none of the five; it names them.
    """
    word = text.strip().lower()
    if word not in tuple(Classification):
        raise UsageFault(f"{field}: {clean(word, 40)!r} is not one of {', '.join(Classification)}")
    return Classification(word)


def _made(build: Callable[[], T]) -> T:
    """
    Raises:
        UsageFault: what was given cannot be used.
    """
    try:
        return build()
    except BadIncident as error:
        raise UsageFault(f"incident: {error}") from error


def snooze_end(text: str) -> datetime:
    """When a snooze ends: a time, or so many minutes or hours from now."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        try:
            return moment(text, "--until")
        except UsageFault as error:
            raise UsageFault(f"{error}, or as 30m, 30 minutes, 2h or 2 hours") from None
    minutes = int(found["amount"]) * (60 if found["unit"] == "h" else 1)
    return datetime.now(UTC) + timedelta(minutes=minutes)


def _remark(text: str) -> str:
    """Notes that may be short.

    Raises:
        UsageFault: too long, or with characters that act on a terminal.
    """
    collapsed = " ".join(text.split())
    if len(collapsed) > MAX_NOTES or clean(collapsed, MAX_NOTES) != collapsed:
        raise UsageFault(
            f"--notes: over {MAX_NOTES} characters, or some that act on a terminal; write plain text"
        )
    return collapsed
