"""A silence of alerts is recorded before it is made: who, what and why, in the audit chain. Nothing else is
decided here; the asker's side makes it.
"""

from __future__ import annotations

import re
from typing import Final

from backends.audit_log import append
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.silences import MOST_MINUTES
from cockpit.domain.text import clean

_MOST_TARGET: Final = 2_400
_ADD: Final = re.compile(r"(?P<minutes>[1-9][0-9]{0,3}) (?P<matchers>\S.*)", re.DOTALL)
_EXPIRE: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


async def record_silence(means: Means, asked: Asked, command: Command, identity: Identity) -> None:
    """Record that the asker is about to make a silence (`add`) or to end one (`expire`).

    Raises:
        Refused: the notes do not count, or it says neither.
    """
    stop(bad_notes(command))
    target = command.target or ""
    if clean(target, _MOST_TARGET) != target:
        raise Refused(Code.MALFORMED, "target is too long, or not plain text.", "Name fewer matchers.")
    details: dict[str, object] = {"deed": command.reason, "notes": command.notes}
    if command.reason == "add" and (found := _ADD.fullmatch(target)) is not None:
        minutes = int(found["minutes"])
        if minutes > MOST_MINUTES:
            raise Refused(Code.MALFORMED, "A silence lasts at most 24 hours.", "Ask for less.")
        details |= {"minutes": minutes, "matchers": found["matchers"]}
        message = f"Recorded: a silence of {minutes} min for {found['matchers']}"
    elif command.reason == "expire" and _EXPIRE.fullmatch(target):
        details |= {"silence_id": target}
        message = f"Recorded: the end of silence {target}"
    else:
        raise Refused(
            Code.MALFORMED, "It neither makes nor ends a silence.", "`cockpit silence --help` shows how."
        )
    async with means.transaction() as connection:
        entry = await append(
            connection,
            new_entry(
                means.key,
                asked.author(identity.role.value),
                Action.SILENCED,
                asked.request_id,
                command.breaker_id,
                details,
            ),
        )
        outcome = done(command.breaker_id, message, asked.request_id, entry.seq)
        await record_outcome(
            connection, asked.request_id, "done", outcome, entry.seq, kind=command.kind.value
        )
        await tell(connection, CHANGE)
