"""Silencing alerts: recorded by the authority first, made second.

A silence that is recorded and then not made harms nobody; one that is made and not recorded would keep alerts
from people without a trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.permissions import Role
from cockpit.domain.refusals import Code, Refusal, Refused, StoreUnreachable
from cockpit.domain.silences import Matcher, gravest, silence_target
from cockpit.domain.text import many
from cockpit.operations import resume
from cockpit.operations.outcomes import Outcome, refused

ADD: Final = "add"
EXPIRE: Final = "expire"


class Made(Protocol):
    @property
    def silence_id(self) -> str: ...
    @property
    def comment(self) -> str: ...


class Silencing(Protocol):
    """Alertmanager, as far as this needs it."""

    async def silences(self) -> Sequence[Made]: ...
    async def silence(self, silence_id: str) -> Made: ...
    async def add(
        self, matchers: Sequence[Matcher], starts_at: datetime, ends_at: datetime, login: str, comment: str
    ) -> str: ...
    async def expire(self, silence_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Silenced:
    """What became of it. `silence_id` is None where none was made, or nobody can say."""

    outcome: Outcome
    silence_id: str | None = None


async def add(
    matchers: Sequence[Matcher],
    minutes: int,
    notes: str,
    ports: resume.ResumePorts,
    alerts: Silencing,
    now: datetime,
    covered: Sequence[Mapping[str, str]] = (),
) -> Silenced:
    """Record and make a silence that begins now. Who made it is the login that Postgres knows. `covered` are
    the labels of the alerts that it matches by now: those of a P0 are a safety-admin's to silence, as nobody
    may snooze it.

    Raises:
        Refused: as `resume.ask`.
    """
    if (grave := sum(map(gravest, covered))) and (denied := await _denied(grave, ports, now)):
        return Silenced(denied)
    target = silence_target(minutes, matchers)
    wish = resume.Wish(Kind.SILENCE, GLOBAL, notes, target=target, reason=ADD)
    outcome = await resume.ask(wish, ports, now)
    if outcome.word != "done":
        return Silenced(outcome)
    login = (await ports.inbox.identity()).login
    comment = f"{notes} (request {outcome.event_id})"
    try:
        made = await alerts.add(matchers, now, now + timedelta(minutes=minutes), login, comment)
    except StoreUnreachable as error:
        if not error.maybe_applied:
            return Silenced(_not_made(outcome, error.refusal))
        found = await _found(alerts, comment)
        if found is None:
            return Silenced(_not_made(outcome, error.refusal))
        made = found
    except Refused as error:
        return Silenced(_not_made(outcome, error.refusal))
    return Silenced(replace(outcome, message=f"Silenced for {minutes} min: {target.partition(' ')[2]}"), made)


async def _denied(grave: int, ports: resume.ResumePorts, now: datetime) -> Outcome | None:
    """The recorded refusal; None for a safety-admin."""
    identity = await ports.inbox.identity()
    if identity.role is Role.SAFETY_ADMIN:
        return None
    row = await resume.record_denied(Kind.SILENCE, GLOBAL, identity, ports, now)
    who = f"{identity.login} ({identity.role.value})"
    why = f"It covers {many(grave, 'alert')} of P0, which {who} may not silence."
    remedy = "Narrow the matchers, or ask a safety-admin; the attempt is recorded."
    return refused(GLOBAL, Refusal(Code.DENIED, why, remedy), row.request_id if row else None)


async def _found(alerts: Silencing, comment: str) -> str | None:
    """The silence whose answer was lost, by the request that its comment names (F3)."""
    try:
        return next((each.silence_id for each in await alerts.silences() if each.comment == comment), None)
    except Refused:
        return None


async def expire(
    silence_id: str, notes: str, ports: resume.ResumePorts, alerts: Silencing, now: datetime
) -> Silenced:
    """Record that a silence is ended, and end it.

    Raises:
        Refused: there is none of that id; or as `resume.ask`.
    """
    await alerts.silence(silence_id)
    wish = resume.Wish(Kind.SILENCE, GLOBAL, notes, target=silence_id, reason=EXPIRE)
    outcome = await resume.ask(wish, ports, now)
    if outcome.word != "done":
        return Silenced(outcome)
    try:
        await alerts.expire(silence_id)
    except Refused as error:
        return Silenced(_not_made(outcome, error.refusal, "It is recorded, and may still be in force"))
    return Silenced(replace(outcome, message=f"Ended the silence {silence_id}"), silence_id)


def _not_made(
    outcome: Outcome, refusal: Refusal, what: str = "It is recorded, and nothing is silenced"
) -> Outcome:
    return replace(outcome, word="refused", exit_code=refusal.exit_code, message=f"{what}: {refusal}")
