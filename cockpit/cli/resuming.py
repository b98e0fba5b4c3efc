"""half-open, close, approve and restore; and how everything is asked that the authority decides."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from cockpit.cli.answers import Answer, UsageFault, of_outcome
from cockpit.cli.wiring import must_acknowledge, open_postgres, open_redis, settings_of, signing_key
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.checklist import parse_checked
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.text import BadNotes, clean, justification
from cockpit.operations import resume
from cockpit.operations.outcomes import Outcome

Ask = Callable[[resume.ResumePorts], Awaitable[Outcome]]


def half_open(options: argparse.Namespace) -> Answer:
    breaker_id = settings_of(options).catalogue.known_breaker(options.id)
    notes, checked = justification(options.notes), parse_checked(options.checked)
    must_acknowledge(options, breaker_id, "probe orders may trade there, and that what you vouch for is so")
    override = "" if options.override is None else _override(options.override)
    wish = resume.half_open_wish(breaker_id, notes, checked, override)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        return _naming_probe(await resume.ask(wish, ports, datetime.now(UTC)))

    return decided(options, ask)


def close(options: argparse.Namespace) -> Answer:
    breaker_id = settings_of(options).catalogue.known_breaker(options.id)
    notes = justification(options.notes)
    must_acknowledge(options, breaker_id, "trading resumes there, at a limited size at first")
    wish = resume.Wish(Kind.CLOSE, breaker_id, notes)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        return _naming_probe(await resume.ask(wish, ports, datetime.now(UTC)))

    return decided(options, ask)


def approve(options: argparse.Namespace) -> Answer:
    request_id, notes = uuid_of(options.request, "request"), short_notes(options.notes)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        asked = await ports.inbox.outcome(request_id)
        outcome = await resume.approve(request_id, notes, ports, datetime.now(UTC))
        if asked.kind != Kind.HALF_OPEN.value:
            return outcome
        return _naming_probe(outcome, clean(asked.login, 40))

    return decided(options, ask)


_RUN_THEM = "run the probes now."
_NO_VERDICT = "has no verdict yet. Close once the probes have passed."


def _naming_probe(outcome: Outcome, whose: str = "") -> Outcome:
    """Where the authority speaks of probes: the command that runs them, and `whose` they are."""
    command = f"`cockpit probe {outcome.breaker_id}`"
    if whose:
        runs = f"{whose} runs its probes now, by {command} or on the screen of that login."
    else:
        runs = f"run its probes now: {command}."
    said = outcome.message.replace(_RUN_THEM, runs)
    return replace(outcome, message=said.replace(_NO_VERDICT, f"has no verdict yet. Probe first: {command}."))


def restore(options: argparse.Namespace) -> Answer:
    wish = resume.Wish(Kind.RESTORE, GLOBAL, short_notes(options.notes))
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def decided(options: argparse.Namespace, ask: Ask) -> Answer:
    """Ask the authority with the stores, login and key of these options, and report what it decided."""
    return of_outcome(asyncio.run(_ask(options, ask)))


async def _ask(options: argparse.Namespace, ask: Ask) -> Outcome:
    from backends.signing import sign_command

    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    key = signing_key(credentials)

    def sign(command: Command) -> SignedCommand:
        return sign_command(command, key)

    async with open_redis(settings, credentials) as redis, open_postgres(credentials) as postgres:
        return await ask(resume.ResumePorts(redis, postgres, sign, settings.limits))


def uuid_of(text: str, field: str) -> str:
    """An id out of an argument.

    Raises:
        UsageFault: it is none.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise UsageFault(
            f"{field}: {clean(text, 60)!r} is not an id; write the UUID that was printed"
        ) from None


def _override(text: str) -> str:
    try:
        return justification(text)
    except BadNotes as error:
        raise UsageFault(f"--override: {str(error).replace('notes have', 'it has')}") from error


def short_notes(text: str) -> str:
    """Notes that may be left out. Where they are given they obey the same rules."""
    if not text.strip():
        return ""
    try:
        return justification(text)
    except BadNotes as error:
        raise BadNotes(f"{error}, or leave them out") from error
