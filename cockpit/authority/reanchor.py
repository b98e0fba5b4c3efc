"""After real damage to the audit chain two safety-admins re-anchor it, signed; nothing is mended silently.

Each signs a command that names the head which they accept. With the second of them the authority records
both, and begins a new generation of signed heads: what does not hold below is known damage from then on.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from backends.audit_log import append
from backends.evidence import EvidenceConflict, EvidenceUnavailable
from backends.signing import canonical
from cockpit.authority.approval import await_approval
from cockpit.authority.at_commit import stop
from cockpit.authority.decisions import Asked, done, record_outcome
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import Rejected, authorise, decode_payload, read_signer, read_standing
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.rules import bad_notes
from cockpit.domain.audit import Action, ChainBroken, Head
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Code, Refused
from cockpit.operations.audit_verify import binding, every_head, stretch_digest, verify
from cockpit.operations.signed_heads import head_key, parse_target

EVIDENCE_S: Final = 2.5  # the chain's head is locked meanwhile
_WAITING: Final = """
SELECT request_id::text, payload, key_id, signature, login FROM requests
 WHERE kind = 'reanchor' AND request_id <> $1
   AND status = 'awaiting_approval' AND expires_at > clock_timestamp()
 ORDER BY arrival
"""
_KEY: Final = "SELECT public_key FROM signing_keys WHERE key_id = $1 AND login = $2 AND revoked_at IS NULL"


@dataclass(frozen=True, slots=True)
class _Signed:
    """One person's half of it, checked against the keys and grants of this moment."""

    request_id: str
    identity: Identity
    payload: str
    key_id: str
    signature: str


class Reanchoring:
    """Holds the first person's request until a second, matching one comes."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def ask(self, asked: Asked, command: Command, identity: Identity) -> None:
        """
        Raises:
            Refused: the notes do not count, the chain is intact, the head named is not the one that stands,
                or what follows it does not hold.
        """
        means = self._means
        if refusal := bad_notes(command):
            raise Refused(refusal.code, refusal.message, refusal.remedy)
        async with means.pool.acquire() as connection:
            first, head = await self._damage(connection, command)
            other = await self._other(connection, asked, command, identity)
        if other is None:
            await await_approval(means, asked, command, identity)
            return
        mine = _Signed(asked.request_id, identity, asked.payload.decode(), asked.key_id, asked.signature)
        await self._record(asked, command, (other, mine), first, head)
        async with means.pool.acquire() as connection:
            try:
                await means.chain.verify_full(connection)
            except ChainBroken as broken:
                means.health.changed("chain", str(broken))
        means.anchor_due = True

    async def _damage(self, connection: Any, command: Command) -> tuple[int, Head]:
        """The first entry that nothing proves any more, and the head that the command accepts."""
        chain = self._means.chain
        try:
            head = parse_target(command.target or "")
        except ValueError as error:
            raise Refused(Code.MALFORMED, f"{error}.", "Use cockpit audit reanchor.") from error
        broken = chain.broken_at  # what only this term has seen: entries that were others a moment ago
        try:
            await verify(chain.ports(connection), True)
        except ChainBroken as found:
            broken = found.seq
        if broken is None:
            raise Refused(Code.WRONG_STATE, "The audit chain is intact; there is nothing to re-anchor.")
        try:
            end = await chain.follows(connection, head)
        except ChainBroken as found:
            raise Refused(
                Code.AUDIT_BROKEN, f"What follows that head does not hold: {found}.", "Name a later head."
            ) from found
        try:
            proved, contradicted = await self._proved(connection, broken)
        except ChainBroken as found:
            raise Refused(
                Code.AUDIT_BROKEN, f"{found}.", "Remove what does not belong into the evidence store."
            ) from found
        # A head outside that contradicts what was written after a cut binds no more, so it may lie above.
        if head.seq < broken <= end.seq and not contradicted:
            raise Refused(
                Code.AUDIT_BROKEN, f"The chain is broken at {broken}, above that head.", "Name a later head."
            )
        if head.seq < proved:
            raise Refused(
                Code.AUDIT_BROKEN, f"The chain holds up to the signed head {proved}.", "Name a later head."
            )
        return proved + 1, head

    async def _proved(self, connection: Any, broken: int) -> tuple[int, bool]:
        """The newest signed head below the break that still stands; whether one says what the break is."""
        ports = self._means.chain.ports(connection)
        proved = 0
        heads = binding(await every_head(ports))
        for each in heads:
            if proved < each.head.seq < broken:
                entries = await ports.audit.audit_entries(each.head.seq - 1, 1)
                if entries and entries[0].chain_hash == each.head.chain_hash:
                    proved = each.head.seq
        return proved, any(each.head.seq == broken for each in heads)

    async def _other(
        self, connection: Any, asked: Asked, command: Command, identity: Identity
    ) -> _Signed | None:
        """The matching request of another person who may re-anchor at this moment.

        Raises:
            Refused: the only one is this person's own.
        """
        own = False
        for row in await connection.fetch(_WAITING, asked.request_id):
            payload = row["payload"].encode()
            try:
                waiting = decode_payload(payload)
                standing = await read_signer(connection, waiting, payload, row["key_id"], row["signature"])
            except Rejected:
                continue
            who, refusal = authorise(standing, waiting.login, Permission.REANCHOR, waiting.breaker_id)
            same = (waiting.kind, waiting.login, waiting.target) == (
                Kind.REANCHOR,
                row["login"],
                command.target,
            )
            if refusal or who is None or not same:
                continue
            if who.person_id != identity.person_id:
                return _Signed(row["request_id"], who, row["payload"], row["key_id"], row["signature"])
            own = True
        if own:
            raise Refused(
                Code.SELF_APPROVAL,
                "Both requests are of the same person; two logins of one person count once.",
                "A second safety-admin must accept the same head.",
            )
        return None

    async def _record(
        self, asked: Asked, command: Command, by: tuple[_Signed, _Signed], first: int, head: Head
    ) -> None:
        """The entry, the object and both outcomes: all of it or nothing.

        Raises:
            Refused: somebody's authority has ended, or the object could not be written.
        """
        means = self._means
        generation = means.chain.generation + 1
        key = head_key(head.seq, generation)
        details = {
            "damage": means.health.chain.fault or "",
            "broken_from": first,
            "head": command.target,
            "generation": generation,
            "by": [each.identity.login for each in by],
            "requests": [each.request_id for each in by],
            "notes": command.notes,
            "signed_head": means.evidence.link(key),
        }
        async with means.transaction() as connection:
            for each in by:  # as of now: verifying the chain may have taken a while (I21)
                login = each.identity.login
                standing = await read_standing(connection, login)
                stop(authorise(standing, login, Permission.REANCHOR, command.breaker_id)[1])
            author = asked.author(by[1].identity.role.value)
            entry = await append(
                connection,
                new_entry(
                    means.key, author, Action.REANCHORED, asked.request_id, command.breaker_id, details
                ),
            )
            fields: dict[str, object] = {
                "reanchors": True,
                "generation": generation,
                "broken_from": first,
                "seq": head.seq,
                "chain_hash": head.chain_hash,
                "stretch": await stretch_digest(means.chain.ports(connection).audit, first, head.seq),
                "entry_seq": entry.seq,
                "by": [await self._half(connection, each) for each in by],
                "signed_at": rfc3339(entry.timestamp),
                "key_id": means.key.key_id,
            }
            data = canonical(fields | {"signature": means.key.sign(canonical(fields))})
            try:
                async with asyncio.timeout(EVIDENCE_S):
                    await means.evidence.put_new(key, data)
            except (EvidenceUnavailable, EvidenceConflict, TimeoutError) as error:
                raise Refused(
                    Code.EVIDENCE, f"The signed head could not be written: {error}.", "Ask again."
                ) from error
            message = f"The audit chain counts from entry {head.seq}; entries {first} to it are known damage."
            outcome = done(command.breaker_id, message, asked.request_id, entry.seq)
            for each in by:
                await record_outcome(
                    connection, each.request_id, "done", outcome, entry.seq, kind=Kind.REANCHOR.value
                )
            await tell(connection, CHANGE)

    async def _half(self, connection: Any, signed: _Signed) -> dict[str, object]:
        """What lets a verifier check this person's signature without the database."""
        public_key = await connection.fetchval(_KEY, signed.key_id, signed.identity.login)
        if public_key is None:
            raise Refused(Code.REVOKED, f"{signed.identity.login}'s key was revoked meanwhile.")
        return {
            "login": signed.identity.login,
            "person_id": signed.identity.person_id,
            "key_id": signed.key_id,
            "public_key": public_key,
            "payload": signed.payload,
            "signature": signed.signature,
        }
