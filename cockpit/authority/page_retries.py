"""Pages that were given up, sent again because a person asks for it. What may be, the database says.

A delivery that is made again keeps its page and with it the keys under which receivers know it, so that one
which took it all the same can tell. Nothing new is said to anybody: people's logins write no page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from backends.audit_log import append
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refused

ALL: Final = "all"
_NAMED: Final = re.compile(r"[1-9][0-9]{0,17}(?: [1-9][0-9]{0,17}){0,99}", re.ASCII)
_MOST_RECORDED: Final = 200
_LEFT: Final = (
    "SELECT outbox_id, obstacle FROM pages_given_up WHERE outbox_id = ANY ($1) ORDER BY 1, receiver"
)
_STORY: Final = """
INSERT INTO incident_events (incident_id, kind, actor, notes, details, audit_seq)
SELECT t.incident_id, 'paged-again', $3, $4,
       jsonb_build_object('receivers', jsonb_agg(DISTINCT t.receiver)), $5
  FROM unnest($1::uuid[], $2::text[]) t(incident_id, receiver) WHERE t.incident_id IS NOT NULL GROUP BY 1
"""


async def retry_pages(means: Means, asked: Asked, command: Command, identity: Identity) -> None:
    """Have what was given up of the pages in `command.target` (numbers, or `all`) delivered again.

    Raises:
        Refused: none of it was given up, or none may be sent again; or the request is malformed.
    """
    stop(bad_notes(command) if command.notes else None)
    pages = _pages(command.target or "")
    async with means.transaction() as connection:
        standing = await read_standing(connection, command.login)
        stop(authorise(standing, command.login, Permission.ACK_INCIDENT, command.breaker_id)[1])
        again = await connection.fetch("SELECT * FROM pages_retry($1)", pages)
        left = await _left(connection, pages, {row["outbox_id"] for row in again})
        if not again:
            said = f"Nothing is sent again: {left or 'no page was given up that may be sent again'}."
            raise Refused(Code.WRONG_STATE, said, "`cockpit pages` shows what was given up.")
        receivers = sorted({row["receiver"] for row in again})
        numbers = list(dict.fromkeys(row["outbox_id"] for row in again))
        details = {
            "asked": command.target,
            "pages": numbers[:_MOST_RECORDED],
            "deliveries": len(again),
            "receivers": receivers,
            "notes": command.notes,
        }
        author = asked.author(identity.role.value)
        entry = await append(
            connection,
            new_entry(means.key, author, Action.PAGES_RETRIED, asked.request_id, command.breaker_id, details),
        )
        incidents, to = [row["incident_id"] for row in again], [row["receiver"] for row in again]
        await connection.execute(_STORY, incidents, to, identity.login, command.notes, entry.seq)
        what = "1 page is" if len(numbers) == 1 else f"{len(numbers)} pages are"
        message = f"{what} sent again, to {', '.join(receivers)}.{f' Not so: {left}.' if left else ''}"
        outcome = done(command.breaker_id, message, asked.request_id, entry.seq)
        await record_outcome(
            connection, asked.request_id, "done", outcome, entry.seq, kind=command.kind.value
        )
        await tell(connection, CHANGE)


def _pages(target: str) -> list[int] | None:
    """
    Raises:
        Refused: these are no numbers of pages.
    """
    if target == ALL:
        return None
    if _NAMED.fullmatch(target) is None:
        raise Refused(
            Code.MALFORMED, "target names no pages.", "Name up to 100 by their numbers, or ask for all."
        )
    return [int(each) for each in target.split()]


async def _left(connection: Any, pages: Sequence[int] | None, sent: set[int]) -> str:
    """Why pages that were named are not sent again, as one line; "" where all are."""
    if pages is None:
        return ""
    found = await connection.fetch(_LEFT, list(pages))
    why = {row["outbox_id"]: row["obstacle"] for row in found}
    held = {page: why.get(page) or "it was not given up" for page in pages if page not in sent or page in why}
    return "; ".join(f"page {page}: {each}" for page, each in list(held.items())[:5])
