"""Whether a login may use the kill switch, as Postgres says, and the record that one tried that may not."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final
from uuid import uuid4

from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Command, Kind
from cockpit.domain.permissions import Permission, denial
from cockpit.domain.refusals import Refusal, Refused, StoreUnreachable
from cockpit.operations.kill_ports import KillInbox, KillPorts

_RECORD_S: Final = 1.0


async def forbidden(inbox: KillInbox) -> Refusal | None:
    """Why Postgres says that this login may not; None where it may.

    Raises:
        StoreUnreachable: it says nothing.
    """
    try:
        identity = await inbox.identity()
    except StoreUnreachable:
        raise
    except Refused as error:
        return error.refusal
    return denial(identity, Permission.KILL_SWITCH, GLOBAL)


async def record_denied(ports: KillPorts, login: str, now: datetime) -> str:
    """Have the attempt recorded that began nothing; a sentence where that failed."""
    attempt = Command(Kind.DENIED, str(uuid4()), GLOBAL, login, now, target=Kind.KILL_STEP.value)
    signed, warning = ports.sign(attempt)
    if not signed.signature:
        return f"The attempt could not be recorded: {warning}."
    try:
        async with asyncio.timeout(_RECORD_S):
            await ports.inbox.submit(signed, attempt.request_id)
    except (TimeoutError, Refused) as error:
        why = str(error) if isinstance(error, Refused) else "no answer in time."
        return f"The attempt could not be recorded: {why}"
    return ""
