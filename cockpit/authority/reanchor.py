"""After real damage to the audit chain two safety-admins re-anchor it, signed; nothing is mended silently."""

from __future__ import annotations

from backends.audit_log import append
from cockpit.authority.approval import Approval, await_approval
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action
from cockpit.domain.commands import Command
from cockpit.domain.permissions import Identity
from cockpit.domain.refusals import Code, Refused


class Reanchoring:
    """Asks for the second person, then records both signed requests.

    The entry states what was found broken and which head the two accept. A verifier that starts at the
    beginning still shows the damage: that is the point.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def ask(self, asked: Asked, command: Command, identity: Identity) -> None:
        """
        Raises:
            Refused: the notes do not count, or the chain is intact.
        """
        if refusal := bad_notes(command):
            raise Refused(refusal.code, refusal.message, refusal.remedy)
        if self._means.health.chain.fault is None:
            raise Refused(Code.WRONG_STATE, "The audit chain is intact; there is nothing to re-anchor.")
        await await_approval(self._means, asked, command, identity)

    async def approved(self, asked: Asked, command: Command, identity: Identity, approval: Approval) -> None:
        """Record the re-anchoring by both people."""
        means = self._means
        async with means.transaction() as connection:
            entry = await append(
                connection,
                new_entry(
                    means.key,
                    asked.author(identity.role.value),
                    Action.REANCHORED,
                    asked.request_id,
                    command.breaker_id,
                    {
                        "damage": means.health.chain.fault or "",
                        "approval": approval.details(),
                        "notes": command.notes,
                    },
                ),
            )
            outcome = done(command.breaker_id, "The re-anchoring is recorded.", asked.request_id, entry.seq)
            for request_id in (asked.request_id, approval.approval_id):
                await record_outcome(connection, request_id, "done", outcome, entry.seq)
            await tell(connection, CHANGE)
