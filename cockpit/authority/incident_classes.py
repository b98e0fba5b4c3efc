"""Another classification for an incident: it decides which recovery conditions hold a resume up.

A new name must not do away with what is still to be proved; who may override may, and it is recorded what was
dropped.
"""

from __future__ import annotations

from typing import Final

from cockpit.authority.identity import authorise, read_standing
from cockpit.authority.incident_acts import Act, Said, needed, no
from cockpit.authority.incident_recovery import unmet
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.incident_rules import classify_fault, lost_needs
from cockpit.domain.permissions import Permission, Role
from cockpit.domain.refusals import Code, Refused

_CLASSIFY: Final = """
UPDATE incidents SET classification = $2, last_event_at = clock_timestamp() WHERE incident_id = $1
"""


async def classify(act: Act) -> Said:
    """
    Raises:
        Refused: it is classified so already, or conditions that do not hold would be lost and the asker is no
            safety-admin.
    """
    row, wanted = act.held.row, needed(act.request.classification)
    no(classify_fault(row, wanted), "Choose another classification.")
    lost = lost_needs(row, wanted)
    missing = await unmet(act.connection, act.means, row, lost, act.broker)
    overrider = await _overrider(act) if missing else None
    if missing and overrider is None:
        raise Refused(
            Code.RECOVERY,
            f"{len(missing)} of {len(lost)} recovery conditions that would be lost do not hold:"
            f" {'; '.join(missing)}.",
            "Meet them first; until then only a safety-admin can, and what is dropped is recorded.",
        )
    await act.connection.execute(_CLASSIFY, act.held.incident_id, wanted.value)
    details: dict[str, object] = {"classification": wanted.value, "before": row.classification}
    message = f"{wanted.value} now, {row.classification} before: {row.title}"
    if missing:
        details["conditions_dropped"] = list(missing)
        message += f" (dropped, though not met: {'; '.join(missing)})"
    return Said(message, "classified", details, role=overrider)


async def _overrider(act: Act) -> Role | None:
    """The asker's role that overrides as of now (I21), which a safety-admin's alone does; None: none."""
    login = act.identity.login
    identity, refusal = authorise(
        await read_standing(act.connection, login), login, Permission.OVERRIDE, GLOBAL
    )
    return identity.role if identity is not None and refusal is None else None
