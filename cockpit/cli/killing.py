"""`cockpit kill-switch` and `cockpit cancel-all`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.cli.answers import Answer, UsageFault, of_outcome, say
from cockpit.cli.kill_answers import answer_of
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.tripping import login_of, sign_if_possible, trip_ports
from cockpit.cli.venue import resting_orders
from cockpit.cli.wiring import (
    must_acknowledge,
    open_gateway,
    open_postgres,
    open_redis,
    redis_address,
    settings_of,
)
from cockpit.config import BadSettings, Credentials, Settings
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command, Kind, SignedCommand
from cockpit.domain.documents import Reading, rfc3339
from cockpit.domain.kill import KILL_WORD, Ack, Fact
from cockpit.domain.kill_records import facts_of, finished
from cockpit.domain.refusals import EXIT_DONE, Code, Refused, StoreUnreachable
from cockpit.domain.switches import BadTicket
from cockpit.domain.text import clean, justification, many
from cockpit.operations import resume
from cockpit.operations.kill import KillSwitch
from cockpit.operations.kill_journal import KillJournal
from cockpit.operations.kill_ports import KillPorts, Pace
from cockpit.operations.kill_reports import send_waiting

if TYPE_CHECKING:
    from backends.postgres_store import PostgresStore

PACE = Pace()
_STORE_S = 2.0
_WHAT = "all trading halts, every open order is cancelled and every position is flattened"


def kill_switch(options: argparse.Namespace) -> Answer:
    """Trip global, cancel, flatten, verify; or go on with the newest one that is not finished."""
    if options.resume and options.notes:
        raise UsageFault("--notes: the kill switch that --resume goes on with has its own")
    if not options.resume and options.notes is None:
        raise UsageFault("--notes: missing; say why, in 20 to 500 characters")
    notes = "" if options.resume else justification(options.notes)
    must_acknowledge(options, None, _WHAT, KILL_WORD)
    return asyncio.run(_kill(options, notes))


def review(options: argparse.Namespace) -> Answer:
    """Ask for the approval of a kill switch's review."""
    kill_id, notes = uuid_of(options.id, "kill switch"), justification(options.notes)
    must_acknowledge(options, None, "with a second safety-admin's approval global may be resumed")
    wish = resume.Wish(Kind.KILL_REVIEW, GLOBAL, notes, target=kill_id)
    return decided(options, lambda ports: resume.ask(wish, ports, datetime.now(UTC)))


def status(options: argparse.Namespace) -> Answer:
    """What is unreviewed, unfinished or not reported yet."""
    return asyncio.run(_status(options))


def cancel_all(options: argparse.Namespace) -> Answer:
    """Cancel the open orders of one instrument."""
    notes = justification(options.reason)
    settings_of(options).catalogue.instrument(options.symbol)
    if not options.yes:
        must_acknowledge(options, None, asyncio.run(_would_cancel(options)))
    return asyncio.run(_cancel_all(options, notes))


async def _would_cancel(options: argparse.Namespace) -> str:
    """What `--yes` stands for: how many orders there are by now, where the venue says so soon."""
    symbol, found = clean(options.symbol, 64), await resting_orders(settings_of(options), options.symbol)
    if found is None:
        return f"every open order of {symbol} is cancelled"
    if found:
        return f"{many(found, 'open order')} of {symbol} {'is' if found == 1 else 'are'} cancelled"
    return f"whatever rests of {symbol} is cancelled (by now the venue shows no open order of it)"


def journal_of(settings: Settings) -> KillJournal:
    """Where this machine keeps its kill switches: within the spool's folder."""
    return KillJournal(Path(settings.spool_dir) / "kill")


async def _kill(options: argparse.Namespace, notes: str) -> Answer:
    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    async with open_kill_ports(settings, credentials) as (ports, postgres):
        login, now = login_of(credentials), datetime.now(UTC)
        if options.resume:
            found = await _newest(ports, postgres)
            if found is None:
                raise Refused(Code.NOT_TRIPPED, "No kill switch is unfinished here.", "")
            switch = KillSwitch.resume(ports, login, found.kill_id, found.facts, now, PACE)
        else:
            switch = KillSwitch.begin(ports, login, notes, now, PACE)
        told = ""
        async for progress in switch.run():
            if progress.running and progress.message and progress.message != told:
                told = progress.message
                say(told)
    return answer_of(switch)


@asynccontextmanager
async def open_kill_ports(
    settings: Settings, credentials: Credentials
) -> AsyncIterator[tuple[KillPorts, PostgresStore]]:
    """What a kill switch works with; no store needs to answer for it."""
    from backends.gate_acks import GateAcks
    from backends.redis_connection import BadRedisUrl

    try:
        acks = GateAcks(redis_address(credentials), settings.gateways, _STORE_S)
    except BadRedisUrl as error:
        raise BadSettings(f"logins.{credentials.name}.{error}") from error

    async def acknowledged() -> Mapping[str, Ack]:
        return await acks.of_global()

    async with (
        open_gateway(settings) as gateway,
        open_postgres(credentials, _STORE_S) as postgres,
        open_redis(settings, credentials) as redis,
    ):

        async def standing() -> Reading:
            return (await redis.snapshot()).readings[GLOBAL]

        try:
            ports = KillPorts(
                trips=trip_ports(settings, credentials),
                sign=lambda command: sign_if_possible(command, credentials),
                gateway=gateway,
                acks=acknowledged,
                standing=standing,
                inbox=postgres,
                journal=journal_of(settings),
                gateways=settings.gateways,
            )
            yield ports, postgres
        finally:
            await acks.close()


@dataclass(frozen=True, slots=True)
class _Found:
    kill_id: str
    facts: tuple[Fact, ...]
    begun_at: datetime


async def _newest(ports: KillPorts, postgres: PostgresStore) -> _Found | None:
    """The newest unfinished kill switch: of the desk's, and of this machine's own, whose facts are fuller."""
    found: dict[str, _Found] = {}
    for kept in ports.journal.all():
        if not kept.over:
            found[kept.kill_id] = _Found(kept.kill_id, kept.facts, kept.begun_at)
    try:
        desk = await postgres.snapshot()
    except StoreUnreachable as error:
        say(f"{error} Only what this machine has kept is known.")
        return max(found.values(), key=lambda each: each.begun_at, default=None)
    open_ones: list[_Found] = []
    for row in desk.kills:
        if finished(row.steps):
            continue
        told = facts_of((each.step, each.details) for each in row.steps)
        own = found.get(row.kill_id)
        facts = own.facts if own is not None and own.facts else told
        open_ones.append(_Found(row.kill_id, facts or _tripped(row.epoch), row.started_at))
    known = {row.kill_id for row in desk.kills}
    for each in found.values():  # one that is not recorded yet; never one that is reviewed
        if each.kill_id not in known and not await postgres.kill_reviewed(each.kill_id):
            open_ones.append(each)
    return max(open_ones, key=lambda each: each.begun_at, default=None)


def _tripped(epoch: object) -> tuple[Fact, ...]:
    from cockpit.domain.documents import Epoch
    from cockpit.domain.kill import Tripped

    return (Tripped(epoch),) if isinstance(epoch, Epoch) else ()


async def _status(options: argparse.Namespace) -> Answer:
    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    journal = journal_of(settings)
    async with open_postgres(credentials) as postgres:
        desk = await postgres.snapshot()
        sent, left = await send_waiting(login_of(credentials), postgres, journal)
    rows = [
        {
            "kill_id": row.kill_id,
            "login": row.login,
            "notes": row.notes,
            "started_at": rfc3339(row.started_at),
            "epoch": row.epoch.counter,
            "finished": finished(row.steps),
            "steps": [{"step": s.step, "outcome": s.outcome, "at": rfc3339(s.at)} for s in row.steps],
        }
        for row in desk.kills
    ]
    lines = [
        f"{row['started_at']} {row['kill_id']} by {row['login']}: "
        + ("FLAT, not reviewed" if row["finished"] else "NOT FINISHED (cockpit kill-switch --resume --yes)")
        for row in rows
    ]
    messages = [f"Sent: {many(sent, 'step')} that waited here."] if sent else []
    messages += [f"Waiting here still: {many(left, 'step')}."] if left else []
    document = {"kill_switches": rows, "sent": sent, "waiting": left}
    return Answer(document, tuple(lines or ["No kill switch awaits a review."]), EXIT_DONE, tuple(messages))


async def _cancel_all(options: argparse.Namespace, notes: str) -> Answer:
    from backends.signing import sign_command
    from cockpit.cli.wiring import signing_key
    from cockpit.operations.cancel_all import CancelPorts
    from cockpit.operations.cancel_all import cancel_all as operation

    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    key = signing_key(credentials)

    def sign(command: Command) -> SignedCommand:
        return sign_command(command, key)

    async with open_gateway(settings) as gateway, open_postgres(credentials) as postgres:
        ports = CancelPorts(gateway, postgres, sign, settings.catalogue)
        try:
            outcome = await operation(options.symbol, notes, options.ticket, ports, datetime.now(UTC))
        except BadTicket as error:
            raise UsageFault(f"--ticket: {error}") from error
    return of_outcome(outcome)


__all__: Sequence[str] = (
    "cancel_all",
    "journal_of",
    "kill_switch",
    "open_kill_ports",
    "review",
    "status",
)
