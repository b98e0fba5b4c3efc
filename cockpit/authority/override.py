"""Break-glass: a safety-admin's signed reason to resume in spite of spent or unknown error budgets (I23).

It covers the half-open and the close of one epoch, and nothing else of the checklist. It raises an alarm: a
P1 incident that somebody else must acknowledge, before which no other override counts, of whatever breaker.
Its time to live is that of the run and its close window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cockpit.authority.identity import Rejected, authorise, decode_payload, read_signer
from cockpit.authority.incident_book import NewIncident, record_incident
from cockpit.authority.rules import Scene
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.permissions import Permission
from cockpit.domain.refusals import Code, Refusal, Refused
from cockpit.domain.text import BadNotes, clean, justification

_REQUEST: Final = "SELECT payload, key_id, signature, login FROM requests WHERE request_id = $1::uuid"
_UNREVIEWED: Final = """
SELECT title FROM incidents
 WHERE source = 'override' AND acknowledged_at IS NULL AND dedup_key <> $1 ORDER BY opened_at LIMIT 1
"""
_KEY: Final = "SELECT dedup_key FROM incidents WHERE incident_id = $1 AND source = 'override'"
_PERSON: Final = """
SELECT o.person_id FROM requests r JOIN operators o USING (login) WHERE r.request_id = $1::uuid
"""


@dataclass(frozen=True, slots=True)
class Override:
    """Whose reason, and the half-open request that bears their signature."""

    request_id: str
    login: str
    reason: str

    @property
    def key(self) -> str:
        return f"override:{self.request_id}"

    def details(self, used: bool) -> dict[str, object]:
        """`used`: something stood in the way that it passed over."""
        return {"login": self.login, "reason": self.reason, "request_id": self.request_id, "used": used}


def bad_reason(command: Command) -> Refusal | None:
    """The rules of every justification."""
    if not command.reason:
        return None
    try:
        if justification(command.reason) == command.reason:
            return None
        why = "the reason is not collapsed"
    except BadNotes as fault:
        why = str(fault).replace("notes have", "it has").replace("notes hold", "it holds")
    return Refusal(Code.MALFORMED, f"The override does not count: {why}.", "Say why it is safe nevertheless.")


def override_of(command: Command) -> Override | None:
    """The override in a half-open command."""
    return Override(command.request_id, command.login, command.reason) if command.reason else None


async def override_of_run(connection: Any, scene: Scene) -> Override | None:
    """The one that the run was begun with: found in its request, whose signature and authority must hold now
    too, and of this very epoch. None where there is none that counts any more."""
    if scene.run is None:
        return None
    row = await connection.fetchrow(_REQUEST, scene.run.request_id)
    if row is None:
        return None
    payload = row["payload"].encode()
    try:
        command = decode_payload(payload)
        standing = await read_signer(connection, command, payload, row["key_id"], row["signature"])
    except Rejected:
        return None
    same = (
        command.kind is Kind.HALF_OPEN
        and command.request_id == scene.run.request_id
        and command.login == row["login"]
        and command.breaker_id == scene.breaker_id
        and command.epoch is not None
        and command.epoch == scene.reading.epoch
    )
    _, refusal = authorise(standing, command.login, Permission.OVERRIDE, command.breaker_id)
    return override_of(command) if same and refusal is None and bad_reason(command) is None else None


async def unreviewed(connection: Any, override: Override) -> Refusal | None:
    """Another override that nobody has reviewed yet."""
    title = await connection.fetchval(_UNREVIEWED, override.key)
    if title is None:
        return None
    return Refusal(
        Code.UNREVIEWED,
        f"An earlier override was not reviewed yet: {clean(title, 200)}.",
        "Somebody other than who gave it must acknowledge its incident first.",
    )


async def break_glass(connection: Any, override: Override, breaker_id: BreakerId) -> None:
    """Open the incident and page, inside the intent's transaction; a run's close adds none to its
    half-open's.

    Raises:
        Refused: another one is not reviewed.
    """
    if refusal := await unreviewed(connection, override):
        raise Refused(refusal.code, refusal.message, refusal.remedy)
    title = f"Error budgets overridden on {breaker_id} by {override.login}: {override.reason}"
    new = NewIncident(
        Severity.P1,
        Classification.OTHER.value,
        title,
        "override",
        override.key,
        breaker_id=breaker_id,
        opened_by=override.login,
        notes=override.reason,
    )
    await record_incident(connection, new, None)  # the intent follows in this transaction, and names it


async def check_reviewer(connection: Any, incident_id: Any, person_id: str) -> None:
    """
    Raises:
        Refused: the incident is of this person's own override.
    """
    key = await connection.fetchval(_KEY, incident_id)
    if key is None:
        return
    giver = await connection.fetchval(_PERSON, key.removeprefix("override:"))
    if giver is not None and giver != person_id:
        return
    raise Refused(
        Code.SELF_APPROVAL,
        "Nobody reviews an override of their own; two logins of one person count once.",
        "Ask a second person to look at it and acknowledge it.",
    )
