"""`cockpit incident triage`: the first five minutes of one incident, on one page."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from datetime import datetime

from cockpit.cli.answers import Answer, UsageFault
from cockpit.cli.columns import aligned, span
from cockpit.cli.incident_ids import Beginnings, no_incident
from cockpit.cli.incidents import which_incident
from cockpit.cli.wiring import open_gateway, open_postgres, open_redis, settings_of
from cockpit.domain.documents import rfc3339
from cockpit.domain.playbooks import Chosen, Sign, Ticked, choose, progress
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import Part
from cockpit.operations.first_minutes import FirstMinutesPorts, first_minutes

_SIGNS = {Sign.GOOD: "done", Sign.NEEDS: "open", Sign.NOTHING: "-", Sign.UNKNOWN: "?"}
"""As the screen's marks: `-` is nothing to do, or not judged."""


def triage(options: argparse.Namespace) -> Answer:
    """Everything that the page shows: parts with their ages, suggestion, next step, playbook."""
    from backends.playbook_folder import BadPlaybookFile, shipped_playbooks

    try:
        playbooks = shipped_playbooks()
    except BadPlaybookFile as error:
        raise UsageFault(f"playbooks: {error}") from error
    page = asyncio.run(_read(options))
    chosen = choose(playbooks, page)
    steps = progress(chosen.playbook, page)
    return Answer(_document(page, chosen, steps), tuple(_lines(page, chosen, steps)))


async def _read(options: argparse.Namespace) -> FirstMinutes:
    from backends.run_folder import RunFolders

    settings = settings_of(options)
    credentials = settings.credentials(options.login)
    find = which_incident(options)
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(open_postgres(credentials, 2.0))
        redis = await stack.enter_async_context(open_redis(settings, credentials))
        gateway = await stack.enter_async_context(open_gateway(settings))
        runs = None
        if settings.run_results is not None or settings.audit_logs is not None:
            runs = RunFolders(settings.run_results, settings.audit_logs)
            stack.push_async_callback(runs.close)
        incident_id = await find.id(desk)
        await _exists(incident_id, desk)
        return await first_minutes(
            incident_id,
            FirstMinutesPorts(
                desk,
                settings.catalogue,
                redis,
                gateway,
                runs,
                fresh_s=settings.limits.reconciliation_fresh_s,
            ),
        )


async def _exists(incident_id: str, desk: Beginnings) -> None:
    """The page of an incident that there is none of would be of nothing; without Postgres the rest is shown.

    Raises:
        Refused: UNKNOWN.
    """
    with suppress(StoreUnreachable):
        if not await desk.incidents_beginning(incident_id.replace("-", ""), 1):
            raise no_incident(incident_id)


def _document(page: FirstMinutes, chosen: Chosen, steps: tuple[Ticked, ...]) -> dict[str, object]:
    suggestion, step = page.suggestion, page.next_step
    return {
        "incident_id": page.incident_id,
        "observed_at": rfc3339(page.at),
        "parts": {
            name: {
                "words": _words(page, name),
                "at": rfc3339(part.at) if part.at else None,
                "age_s": part.age_s(page.at),
                "fault": part.fault or None,
            }
            for name, part in page.parts()
        },
        "recovery": [
            {"need": each.need.value, "met": each.met, "words": each.line}
            for each in page.recovery.value or ()
        ],
        "suggestion": {
            "classification": suggestion.classification.value,
            "evidence": [each.text for each in suggestion.evidence],
            "against": [each.text for each in suggestion.against],
            "unread": list(suggestion.unread),
        },
        "next_step": {
            "branch": step.branch.value,
            "number": step.number,
            "of": step.of,
            "text": step.text,
            "why": step.why,
        },
        "playbook": {
            "id": chosen.playbook.playbook_id,
            "title": chosen.playbook.title,
            "source": chosen.playbook.source,
            "evidence": list(chosen.evidence),
            "steps": [
                {
                    "id": each.step.step_id,
                    "phase": each.step.phase.value,
                    "text": each.step.text,
                    "action": each.step.action.value,
                    "done": each.done,
                    "sign": each.sign.value,
                    "why": each.why,
                }
                for each in steps
            ],
        },
    }


def _lines(page: FirstMinutes, chosen: Chosen, steps: tuple[Ticked, ...]) -> Iterator[str]:
    rows = [(name, _age(part, page.at), _words(page, name)) for name, part in page.parts()]
    yield from aligned(rows)
    suggestion, step = page.suggestion, page.next_step
    yield ""
    evidence = "; ".join(each.text for each in suggestion.evidence) or "nothing speaks for anything"
    yield f"looks like {suggestion.classification.value}: {evidence}"
    if suggestion.unread:
        yield f"not read: {', '.join(suggestion.unread)}"
    why = f" ({step.why})" if step.why else ""
    yield f"next, {step.number} of {step.of} of {step.branch.value}: {step.text}{why}"
    yield ""
    yield f"{chosen.playbook.title} ({chosen.playbook.source}; {'; '.join(chosen.evidence)})"
    yield from aligned(
        [
            (
                f"[{_SIGNS[each.sign]}]",
                each.step.phase.value,
                each.step.action.value,
                each.step.text,
                each.why,
            )
            for each in steps
        ]
    )


def _age(part: Part[object], now: datetime) -> str:
    age = part.age_s(now)
    return "-" if age is None else f"{span(age)} ago"


def _words(page: FirstMinutes, name: str) -> str:
    from widgets.triage_words import part_words

    return part_words(page, name)
