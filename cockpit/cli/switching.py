"""`cockpit mode`, `latch release`, `withdrawals halt` and `resume`, `switches`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from cockpit.cli.answers import Answer, UsageFault, of_outcome
from cockpit.cli.breaker_fields import switch_fields, switch_line
from cockpit.cli.tripping import delivered, login_of
from cockpit.cli.venue import resting_orders
from cockpit.cli.wiring import (
    must_acknowledge,
    open_postgres,
    open_redis,
    settings_of,
    signing_key,
)
from cockpit.config import Credentials, Settings
from cockpit.domain.breakers import WITHDRAWALS, BreakerId, symbol_of
from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.desk import BreakerRow
from cockpit.domain.documents import rfc3339
from cockpit.domain.modes import Mode
from cockpit.domain.refusals import Refused
from cockpit.domain.switches import BadTicket, is_set, parse_ticket, symbol_mode
from cockpit.domain.text import BadNotes, clean, justification
from cockpit.operations import modes
from cockpit.operations.outcomes import Outcome
from cockpit.operations.resume import ResumePorts

Work = Callable[[modes.SwitchPorts, datetime], Awaitable[Outcome]]


def mode(options: argparse.Namespace) -> Answer:
    """Put an instrument into a mode: stricter at once, looser through the authority."""
    settings, wanted = settings_of(options), _mode(options.mode)
    symbol, notes, ticket = options.symbol, _notes(options.reason), _ticket(options.ticket)
    settings.catalogue.instrument(symbol)
    if wanted is Mode.HARD_HALT:
        must_acknowledge(options, None, "its resting orders are trapped: no cancel passes")
    else:
        must_acknowledge(options, None, f"{clean(symbol, 64)} goes into {wanted.value}")

    async def work(ports: modes.SwitchPorts, now: datetime) -> Outcome:
        outcome = await modes.set_mode(symbol, wanted, notes, ticket, ports, now)
        if wanted is not Mode.HARD_HALT or outcome.word == "refused":
            return outcome
        return outcome.adding(modes.hard_halt_warning(symbol, await resting_orders(settings, symbol)))

    return _asked(options, settings, work)


def latch_release(options: argparse.Namespace) -> Answer:
    settings, symbol, notes = settings_of(options), options.symbol, _notes(options.reason)
    settings.catalogue.instrument(symbol)
    must_acknowledge(options, None, "orders of that instrument pass again")
    return _asked(options, settings, lambda ports, now: modes.release_latch(symbol, notes, ports, now))


def withdrawals_halt(options: argparse.Namespace) -> Answer:
    notes, ticket = _notes(options.reason), _ticket(options.ticket)
    must_acknowledge(options, None, "no customer can withdraw until it is released")
    return _asked(
        options, settings_of(options), lambda ports, now: modes.halt_withdrawals(notes, ticket, ports, now)
    )


def withdrawals_resume(options: argparse.Namespace) -> Answer:
    notes, ticket = _notes(options.reason), _ticket(options.ticket)
    must_acknowledge(options, None, "withdrawals are made again")
    return _asked(
        options, settings_of(options), lambda ports, now: modes.resume_withdrawals(notes, ticket, ports, now)
    )


def switches(options: argparse.Namespace) -> Answer:
    """Every switch, and the mode of every instrument. Redis says what is set; Postgres adds who and why."""
    settings = settings_of(options)
    return asyncio.run(_switches(settings, settings.credentials(options.login)))


def _asked(options: argparse.Namespace, settings: Settings, work: Work) -> Answer:
    return asyncio.run(_ask(settings, settings.credentials(options.login), work))


async def _ask(settings: Settings, credentials: Credentials, work: Work) -> Answer:
    from backends.signing import sign_command

    messages: list[str] = []

    def sign(command: Command) -> SignedCommand:
        return sign_command(command, signing_key(credentials))

    async def trip(command: Command) -> Outcome:
        outcome, told = await asyncio.to_thread(delivered, command, settings, credentials)
        messages.extend(told)
        return outcome

    async with open_redis(settings, credentials) as redis, open_postgres(credentials) as postgres:
        resume = ResumePorts(redis, postgres, sign, settings.limits)
        ports = modes.SwitchPorts(login_of(credentials), settings.catalogue, trip, resume)
        outcome = await work(ports, datetime.now(UTC))
    return of_outcome(outcome, tuple(messages))


async def _switches(settings: Settings, credentials: Credentials) -> Answer:
    async with open_redis(settings, credentials) as redis:
        snapshot = await redis.snapshot()
    rows, message = await _rows(credentials)
    catalogue = settings.catalogue
    found = [switch_fields(name, snapshot, rows.get(name)) for name in catalogue.switches]
    symbols = [
        symbol_mode(symbol_of(name), snapshot.readings)
        for name in catalogue.ids
        if catalogue.switches_of(name)
    ]
    document = {
        "switches": found,
        "symbols": [
            {
                "symbol": each.symbol,
                "mode": each.mode.value,
                "latched": each.latched,
                "permits": sorted(kind.value for kind in each.allows),
                "doubts": list(each.doubts),
            }
            for each in symbols
        ],
        "withdrawals": {"permitted": not is_set(snapshot.readings.get(WITHDRAWALS))},
        "observed_at": rfc3339(snapshot.observed_at),
    }
    lines = [switch_line(fields) for fields in found if fields["set"]]
    normal = [each.symbol for each in symbols if each.normal]
    lines.append(f"In NORMAL mode, not latched: {', '.join(normal) or 'no instrument'}.")
    if not is_set(snapshot.readings.get(WITHDRAWALS)):
        lines.append("Withdrawals are permitted.")
    return Answer(document, tuple(lines), messages=(message,) if message else ())


async def _rows(credentials: Credentials) -> tuple[Mapping[BreakerId, BreakerRow], str]:
    """Who, why and since when; without Postgres what the documents say, and a line on it."""
    try:
        async with open_postgres(credentials, 2.0) as store:
            return (await store.snapshot()).breakers, ""
    except Refused as error:
        return {}, f"Postgres: {error.refusal.message}"


def _mode(text: str) -> Mode:
    try:
        return Mode(text.upper().replace("-", "_"))
    except ValueError:
        raise UsageFault(f"mode: {clean(text, 40)!r} is not one of {', '.join(Mode)}") from None


def _notes(text: str) -> str:
    try:
        return justification(text)
    except BadNotes as error:
        said = str(error).replace("notes have", "it has").replace("notes hold", "it holds")
        raise UsageFault(f"--reason: {said}") from error


def _ticket(text: str) -> str:
    try:
        return parse_ticket(text)
    except BadTicket as error:
        raise UsageFault(f"--ticket: {clean(str(error), 200)}") from error
