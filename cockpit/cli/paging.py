"""`cockpit pager`, `cockpit pages` and `cockpit silence`: who is paged, what arrived, what is kept silent."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from cockpit.cli.answers import Answer, of_usage, say
from cockpit.cli.columns import aligned, span
from cockpit.cli.resuming import decided, uuid_of
from cockpit.cli.wiring import open_postgres, postgres_address, settings_of, whole
from cockpit.config import BadSettings, Settings
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import EXIT_DONE, EXIT_UNREACHABLE, EXIT_UNVERIFIED
from cockpit.domain.silences import MOST_MINUTES, BadSilence, Matcher, parse_matchers, parse_minutes
from cockpit.domain.text import justification, many
from cockpit.operations import resume, silences
from cockpit.operations.outcomes import Outcome

if TYPE_CHECKING:
    from backends.alertmanager import Alert, Alertmanager, Silence
    from backends.paging_store import ReceiverRow
    from cockpit.domain.paging import PageRow, Paging

_PAGE_HEAD: Final = ("PAGE", "STATE", "SEVERITY", "EVENT", "RECEIVER", "TRIED", "AGE", "TITLE", "WHY")
_SILENCE_HEAD: Final = ("STATE", "ENDS IN", "BY", "SILENCE", "MATCHES", "WHY")
_SHOWN: Final = 10
T = TypeVar("T")


def pager(options: argparse.Namespace) -> int:
    """The service that delivers pages, under the login of its own."""
    from cockpit.cli.services import served

    settings = settings_of(options)
    settings.paging.usable()

    async def serve(stop: asyncio.Event) -> None:
        from cockpit.pager.service import run

        receivers = ", ".join(settings.paging.receivers)
        await run(settings, options.login, stop, ready=lambda: say(f"this pager pages {receivers}"))

    return served("pager", serve)


def pages(options: argparse.Namespace) -> Answer:
    """What waits, what failed and why, and how each receiver does."""
    return asyncio.run(_pages(settings_of(options), options.login))


async def _pages(settings: Settings, login: str | None) -> Answer:
    from backends.paging_store import last_served, pages_below, receiver_rows

    credentials = settings.credentials(login)
    async with open_postgres(credentials, 2.0) as store:
        desk = await store.snapshot()
    dsn = postgres_address(credentials)
    receivers, below, served_at = await asyncio.gather(receiver_rows(dsn), pages_below(dsn), last_served(dsn))
    paging, now = desk.paging, desk.server_time
    warnings = tuple(_warnings(paging, served_at, now))
    document = {
        "pager": {
            "alive": bool(paging and paging.alive),
            "age_s": None if paging is None or paging.age_s is None else round(paging.age_s, 3),
            "receivers": list(paging.receivers) if paging else [],
            "faults": list(paging.faults) if paging else [],
        },
        "waiting": paging.waiting if paging else None,
        "failed": paging.failed if paging else None,
        "below_minimum": dict(below),
        "pages": [_page_fields(row) for row in paging.rows] if paging else [],
        "receivers": [_receiver_fields(row) for row in receivers],
        "observed_at": rfc3339(now),
    }
    lines = [_receiver_line(row, now) for row in receivers]
    if paging is not None and paging.rows:
        table = [_PAGE_HEAD, *(_page_cells(row, now) for row in paging.rows)]
        lines += aligned(table, frozenset({0, 5, 6}))
    elif paging is not None:
        lines.append(_standing(paging, below))
    if below and (paging is None or paging.rows):
        lines.append(f"{_below(below)}.")
    return Answer(document, tuple(lines), _exit_code(paging), warnings)


def _exit_code(paging: Paging | None) -> int:
    """As `doctor` ends where it found something bad: nobody is paged while no pager runs, whatever waits."""
    if paging is None:
        return EXIT_UNREACHABLE
    return EXIT_DONE if paging.alive else EXIT_UNVERIFIED


def _standing(paging: Paging, below: Mapping[str, int]) -> str:
    """Where nothing fails. What was below the minimum reached nobody, which is not delivered."""
    if paging.waiting:
        rest = f" {_below(below)}." if below else ""
        return f"{paging.waiting} {'page waits' if paging.waiting == 1 else 'pages wait'}.{rest}"
    if below:
        return f"{_below(below)}; every other page is delivered."
    return "Every page is delivered." if paging.alive else "No page waits."


def _below(below: Mapping[str, int]) -> str:
    total, each = sum(below.values()), ", ".join(f"{count} {name}" for name, count in below.items())
    pages = "1 page" if total == 1 else f"{total} pages"
    return f"{pages} of the last day below the minimum severity ({each}) went to nobody"


def _warnings(paging: Paging | None, served_at: datetime | None, now: datetime) -> list[str]:
    """`served_at`: the last sign of any pager, of those too that ended in order."""
    if paging is None:
        return ["What waits to be paged could not be read."]
    found = []
    if not paging.alive:
        last = None if served_at is None else max(0.0, (now - served_at).total_seconds())
        who = "has ever run here" if last is None else f"is running (last sign {span(last)} ago)"
        found.append(f"No pager {who}: nobody is paged; start `cockpit pager`.")
    grave = [row for row in paging.rows if row.given_up and row.severity in ("P0", "P1")]
    if grave:
        first = f"{grave[0].title} ({grave[0].receiver}: {grave[0].last_error})"
        found.append(f"REFUSED FOR GOOD: {many(len(grave), 'grave page')}; call on-call yourself. {first}")
    if any(row.given_up for row in paging.rows):
        found.append("Once the receiver is mended, `cockpit pages retry` sends again what was given up.")
    return [*found, *paging.faults]


def _page_fields(row: PageRow) -> Mapping[str, object]:
    return {
        "page": row.page,
        "incident_id": row.incident_id,
        "event": row.event,
        "severity": row.severity,
        "title": row.title,
        "receiver": row.receiver,
        "attempts": row.attempts,
        "created_at": rfc3339(row.created_at),
        "next_attempt_at": None if row.given_up else rfc3339(row.next_attempt_at),
        "last_error": row.last_error or None,
        "given_up": row.given_up,
    }


def _page_cells(row: PageRow, now: datetime) -> Sequence[str]:
    state = "GIVEN UP" if row.given_up else "FAILING" if row.last_error else "WAITING"
    age = span((now - row.created_at).total_seconds())
    about = (str(row.page), state, row.severity, row.event, row.receiver)
    return (*about, str(row.attempts), age, row.title, row.last_error)


def _receiver_fields(row: ReceiverRow) -> Mapping[str, object]:
    moments = {
        "last_delivered_at": row.last_delivered_at,
        "last_failed_at": row.last_failed_at,
        "paused_until": row.paused_until,
    }
    told = {name: rfc3339(at) if at else None for name, at in moments.items()}
    return {"receiver": row.name, **told, "last_error": row.last_error or None}


def _receiver_line(row: ReceiverRow, now: datetime) -> str:
    last = row.last_delivered_at
    words = [f"last page {span((now - last).total_seconds())} ago" if last else "no page yet"]
    if row.last_error:
        words.append(f"FAILING: {row.last_error}")
    if row.paused_until:
        words.append(f"it asked for a rest of {span((row.paused_until - now).total_seconds())}")
    return f"{row.name}: {'; '.join(words)}"


def silence_list(options: argparse.Namespace) -> Answer:
    """Silences that are in force, or will be."""

    async def read(alerts: Alertmanager) -> Sequence[Silence]:
        return await alerts.silences()

    found, now = asyncio.run(_asked(settings_of(options), read)), datetime.now(UTC)
    document = {"silences": [_silence_fields(each) for each in found], "observed_at": rfc3339(now)}
    if not found:
        return Answer(document, ("Nothing is silenced.",))
    return Answer(document, aligned([_SILENCE_HEAD, *(_silence_cells(each, now) for each in found)]))


def silence_add(options: argparse.Namespace) -> Answer:
    """Show what it would cover now; with --yes record it, then make it."""
    settings = settings_of(options)
    minutes = parse_minutes(whole(options.minutes, "minutes", 1, MOST_MINUTES))
    notes, matchers = justification(options.notes), parse_matchers(options.matcher, _unseen())
    covered = asyncio.run(_asked(settings, lambda alerts: _covered(alerts, matchers)))
    labels, preview = [dict(each.labels) for each in covered], [*map(_alert_line, covered[:_SHOWN])]
    left = [f"… and {len(covered) - _SHOWN} more"] if len(covered) > _SHOWN else []
    head = f"It matches {many(len(covered), 'firing alert')}{':' if covered else '.'}"
    extra: dict[str, object] = {"matches": labels}
    if not options.yes:
        asks = f"--yes: missing; it stands for having read this. Nothing is silenced. {head}"
        answer = of_usage(True, GLOBAL, asks)
        fields = answer.document if isinstance(answer.document, dict) else {}
        return replace(answer, document={**fields, **extra}, lines=(*preview, *left))
    for line in (head, *preview, *left):
        say(line)
    ends_at = datetime.now(UTC) + timedelta(minutes=minutes)
    extra["ends_at"] = rfc3339(ends_at)

    async def ask(ports: resume.ResumePorts) -> Outcome:
        async with _alertmanager(settings) as alerts:
            made = await silences.add(matchers, minutes, notes, ports, alerts, datetime.now(UTC), labels)
        extra["silence_id"] = made.silence_id
        return made.outcome

    return _with(decided(options, ask), extra)


def silence_expire(options: argparse.Namespace) -> Answer:
    """Record the end of a silence, then end it."""
    silence_id, notes = uuid_of(options.silence, "silence"), justification(options.notes)
    settings = settings_of(options)
    if not options.yes:
        return of_usage(True, GLOBAL, "--yes: missing; alerts reach people again. Nothing was done")

    async def ask(ports: resume.ResumePorts) -> Outcome:
        async with _alertmanager(settings) as alerts:
            return (await silences.expire(silence_id, notes, ports, alerts, datetime.now(UTC))).outcome

    return _with(decided(options, ask), {"silence_id": silence_id})


def _with(answer: Answer, extra: Mapping[str, object]) -> Answer:
    fields = answer.document if isinstance(answer.document, dict) else {}
    line = f"silence  {extra['silence_id']}" if extra.get("silence_id") else ""
    return replace(answer, document={**fields, **extra}, lines=(*answer.lines, *filter(None, (line,))))


def _unseen() -> Sequence[Mapping[str, str]]:
    """Grave incidents that nobody has opened yet: a silence must let them through."""
    from backends.paging_receivers import alert_labels

    return [
        alert_labels("incident:not-yet-opened", severity, "instrument:NOT-YET") for severity in ("P0", "P1")
    ]


async def _covered(alerts: Alertmanager, matchers: Sequence[Matcher]) -> Sequence[Alert]:
    """
    Raises:
        BadSilence: it covers everything that fires.
    """
    found = await alerts.matching(matchers)
    everything = await alerts.matching(())
    if len({each.labels.get("alertname", "") for each in everything}) > 1 and len(found) == len(everything):
        raise BadSilence(f"these match every one of the {len(everything)} alerts that fire now; narrow them")
    return found


@asynccontextmanager
async def _alertmanager(settings: Settings) -> AsyncIterator[Alertmanager]:
    from backends.alertmanager import Alertmanager

    url = settings.paging.usable().alertmanager_url
    if url is None:
        raise BadSettings("paging.alertmanager_url: missing; silences are made there")
    alerts = Alertmanager(url)
    try:
        yield alerts
    finally:
        await alerts.close()


async def _asked(settings: Settings, ask: Callable[[Alertmanager], Awaitable[T]]) -> T:
    async with _alertmanager(settings) as alerts:
        return await ask(alerts)


def _silence_fields(each: Silence) -> Mapping[str, object]:
    return {
        "silence_id": each.silence_id,
        "state": each.state,
        "matchers": [str(matcher) for matcher in each.matchers],
        "starts_at": rfc3339(each.starts_at),
        "ends_at": rfc3339(each.ends_at),
        "created_by": each.created_by,
        "comment": each.comment,
    }


def _silence_cells(each: Silence, now: datetime) -> Sequence[str]:
    left = span(max(0.0, (each.ends_at - now).total_seconds()))
    matchers = " ".join(str(matcher) for matcher in each.matchers)
    return (each.state, left, each.created_by, each.silence_id, matchers, each.comment)


def _alert_line(each: Alert) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(each.labels.items()))
    silenced = " (silenced already)" if each.silenced_by else ""
    return f"{each.summary or each.labels.get('alertname', 'alert')}{silenced}: {labels}"
