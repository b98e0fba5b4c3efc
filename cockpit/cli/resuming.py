"""half-open, close, approve and restore; and how everything is asked that the authority decides."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
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
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def close(options: argparse.Namespace) -> Answer:
    breaker_id = settings_of(options).catalogue.known_breaker(options.id)
    notes = justification(options.notes)
    must_acknowledge(options, breaker_id, "trading resumes there, at a limited size at first")
    wish = resume.Wish(Kind.CLOSE, breaker_id, notes)
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def approve(options: argparse.Namespace) -> Answer:
    request_id, notes = uuid_of(options.request, "request"), _short_notes(options.notes)
    return decided(options, lambda ports: resume.approve(request_id, notes, ports, datetime.now(UTC)))


def restore(options: argparse.Namespace) -> Answer:
    wish = resume.Wish(Kind.RESTORE, GLOBAL, _short_notes(options.notes))
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


def _short_notes(text: str) -> str:
    """Notes that may be left out. Where they are given they obey the same rules."""
    if not text.strip():
        return ""
    try:
        return justification(text)
    except BadNotes as error:
        raise BadNotes(f"{error}, or leave them out") from error
