"""The id of an incident as a person writes it: whole, or its first digits as notes and screens show them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from cockpit.cli.answers import UsageFault
from cockpit.domain.desk import IncidentRow
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.text import clean

FEWEST_DIGITS: Final = 6
MOST_NAMED: Final = 5
_BEGINNING: Final = re.compile(rf"[0-9a-f]{{{FEWEST_DIGITS},31}}", re.ASCII)


class Beginnings(Protocol):
    """Where incidents are found by the beginning of their ids."""

    async def incidents_beginning(self, digits: str, limit: int) -> Sequence[IncidentRow]: ...


def incident_id_of(text: str, field: str = "incident") -> str:
    """What was written: a whole id in the form in which they are printed, or the digits that one begins with.

    Raises:
        UsageFault: neither.
    """
    try:
        return str(UUID(text))
    except ValueError:
        written = text.strip().lower()
    digits = written.replace("-", "")
    if _BEGINNING.fullmatch(digits):
        printed = str(UUID(digits.ljust(32, "0")))
        if written in (digits, printed[: len(written)]):
            return digits
    raise UsageFault(
        f"{field}: {clean(text, 60)!r} is not an id; write the UUID that was printed, or {FEWEST_DIGITS} or"
        " more of its first digits"
    )


def no_incident(named: str) -> Refused:
    return Refused(
        Code.UNKNOWN, f"There is no incident {named}.", "`cockpit incident list --all` shows them."
    )


async def whole_id(given: str, store: Beginnings, field: str = "incident") -> str:
    """The one incident that `given` (of `incident_id_of`) names. A whole id is not looked up.

    Raises:
        Refused: UNKNOWN, where none begins so.
        UsageFault: several do; it lists them.
    """
    if len(given.replace("-", "")) == 32:
        return given
    found = await store.incidents_beginning(given, MOST_NAMED + 1)
    if not found:
        raise no_incident(f"{given}…")
    if len(found) > 1:
        named = "; ".join(
            f"{each.incident_id} {each.severity} {each.status} {clean(each.title, 60)}"
            for each in found[:MOST_NAMED]
        )
        more = "; and more" if len(found) > MOST_NAMED else ""
        raise UsageFault(f"{field}: several begin with {given}; write more digits: {named}{more}")
    return found[0].incident_id
