"""The inbox: requests in the order of their arrival, each login taking its turn.

Cheap ones are decided at once. Those that loosen wait in line for each other, since their checks reach out to
the venue; a login has few of them in hand, so that its flood delays nobody else (F25).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import asyncpg

from cockpit.authority.approval import approve
from cockpit.authority.decisions import Asked, refuse, reject
from cockpit.authority.exclusions import Exclusions
from cockpit.authority.expiry import expire_approvals, expire_requests
from cockpit.authority.identity import Rejected, Standing, authorise, decode_payload, read_signer
from cockpit.authority.incidents import acknowledge, change_incident
from cockpit.authority.kill import KillSwitches
from cockpit.authority.lease import Fenced
from cockpit.authority.means import Doubt, Means
from cockpit.authority.page_retries import retry_pages
from cockpit.authority.pending import PendingTrips
from cockpit.authority.reanchor import Reanchoring
from cockpit.authority.releases import Releases, unfit
from cockpit.authority.restore import Restoration
from cockpit.authority.resume import Resumption
from cockpit.authority.silences import record_silence
from cockpit.authority.size_limits import SizeLimits
from cockpit.authority.status import log
from cockpit.authority.trip_events import TripEvents
from cockpit.domain.commands import Command, Kind
from cockpit.domain.permissions import Identity
from cockpit.domain.refusals import Code, Refusal, Refused, StoreUnreachable
from cockpit.domain.text import clean

Decide = Callable[[Asked, Command, Identity], Awaitable[None]]
IN_HAND: Final = 4
_NEXT: Final = """
SELECT request_id::text, payload, key_id, signature, login, host(client_addr) AS client_addr, submitted_at,
       extract(epoch FROM clock_timestamp() - submitted_at)::float8 AS age_s, waiting,
       EXISTS (SELECT FROM size_limits WHERE limit_id = waiting.request_id) AS begun
  FROM (SELECT r.*, row_number() OVER (PARTITION BY login ORDER BY arrival) AS turn,
               count(*) OVER () AS waiting
          FROM requests r WHERE status = 'new' AND request_id <> ALL ($1::uuid[])) waiting
 WHERE turn <= $2 ORDER BY turn, arrival
"""


class Inbox:
    """Takes requests and sees each to its one outcome."""

    def __init__(
        self, means: Means, resumption: Resumption, restoration: Restoration, events: TripEvents
    ) -> None:
        self._means = means
        self._resumption = resumption
        self._restoration = restoration
        self._reanchoring = Reanchoring(means)
        self._limits = SizeLimits(means)
        self._exclusions = Exclusions(means)
        self._releases = Releases(means)
        self._kills = KillSwitches(means)
        self._in_line: Mapping[Kind, Decide] = {
            Kind.LIFT: self._limits.lift,
            Kind.EXCLUDE: self._exclusions.exclude,
            Kind.INCLUDE: self._exclusions.include,
            Kind.RELEASE: self._releases.release,
            Kind.KILL_REVIEW: self._kills.review,
        }
        self._at_once: Mapping[Kind, Decide] = {
            Kind.ACKNOWLEDGE: partial(acknowledge, means),
            Kind.INCIDENT: partial(change_incident, means, resumption.gateway),
            Kind.SILENCE: partial(record_silence, means),
            Kind.RETRY_PAGES: partial(retry_pages, means),
            Kind.KILL_STEP: self._kills.step,
            Kind.CANCEL_ALL: self._kills.cancelled,
        }
        self._pending = PendingTrips(means, events)
        self._in_hand = means.in_hand
        self._applying = asyncio.Lock()

    async def step(self) -> int:
        """Take what has come in; how many requests were looked at.

        Raises:
            Doubt, Fenced: the term must end.
        """
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_NEXT, list(self._in_hand), IN_HAND)
        if any(row["age_s"] >= self._means.limits.request_expiry_s for row in rows):
            await expire_requests(self._means)
            rows = [row for row in rows if row["age_s"] < self._means.limits.request_expiry_s or _lasts(row)]
        self._means.health.queue = (rows[0]["waiting"] if rows else 0) + len(self._in_hand)
        busy = Counter(self._in_hand.values())
        for row in rows:
            if busy[row["login"]] < IN_HAND:
                asked = _asked(row)
                await self._contained(asked, self._take(asked))
        await expire_approvals(self._means)
        return len(rows)

    async def retry_pending(self) -> None:
        """Apply the trips that Redis has not taken yet. Asked for by the inbox and by each turn."""
        async with self._applying:
            await self._pending.step()
            for request_id in self._pending.settled():
                self._in_hand.pop(request_id, None)

    async def _take(self, asked: Asked) -> None:
        try:
            command, standing = await self._read(asked)
        except Rejected as fault:
            await reject(self._means, asked, fault.refusal)
            return
        identity, refusal = authorise(standing, asked.login, command.permission, command.breaker_id)
        if refusal is None and command.kind is Kind.DENIED:
            refusal = Refusal(
                Code.DENIED,
                f"{asked.login} was denied {clean(command.target or 'something', 100)} by its own side.",
                "",
            )
        role = identity.role.value if identity else "none"
        if refusal is not None or identity is None:
            await refuse(self._means, asked, command, role, refusal or _NOBODY, {"target": command.target})
        elif command.breaker_id not in self._means.catalogue:
            unknown = Refusal(
                Code.UNKNOWN, f"Unknown breaker {command.breaker_id}.", "cockpit status lists the breakers."
            )
            await refuse(self._means, asked, command, role, unknown)
        elif misfit := unfit(command):
            await refuse(self._means, asked, command, role, misfit)
        else:
            await self._dispatch(asked, command, identity)

    async def _read(self, asked: Asked) -> tuple[Command, Standing | None]:
        """The command that the row's login signed, and what that login may do now."""
        command = decode_payload(asked.payload)
        if command.login != asked.login:
            raise Rejected(
                Code.BAD_SIGNATURE, f"The payload is of another login than the session's, {asked.login}."
            )
        if command.request_id != asked.request_id:
            raise Rejected(Code.MALFORMED, "The payload is of another request_id.")
        async with self._means.pool.acquire() as connection:
            return command, await read_signer(
                connection, command, asked.payload, asked.key_id, asked.signature
            )

    async def _dispatch(self, asked: Asked, command: Command, identity: Identity) -> None:
        if (decide := self._in_line.get(command.kind)) is not None:
            work = decide(asked, command, identity)
            self._line_up(asked, self._decided(work, asked, command, identity))
            return
        if (record := self._at_once.get(command.kind)) is not None:
            await self._refusable(record(asked, command, identity), asked, command, identity)
            return
        match command.kind:
            case Kind.TRIP:
                self._in_hand[asked.request_id] = asked.login
                self._pending.add(asked, command)
                await self.retry_pending()
            case Kind.HALF_OPEN:
                self._line_up(asked, self._resumption.half_open(asked, command, identity))
            case Kind.CLOSE:
                self._line_up(asked, self._resumption.close(asked, command, identity))
            case Kind.RESTORE:
                self._line_up(asked, self._restoration.asked_for(asked, command, identity))
            case Kind.REANCHOR:
                work = self._reanchoring.ask(asked, command, identity)
                self._line_up(asked, self._refusable(work, asked, command, identity))
            case Kind.LIMIT:
                work = self._limits.limit(asked, command, identity)
                self._beside(asked, self._refusable(work, asked, command, identity))
            case Kind.APPROVE:
                self._line_up(asked, self._approve(asked, command, identity))
            case Kind.DENIED:
                raise AssertionError("a DENIED is recorded before it is dispatched")

    async def _refusable(self, work: Any, asked: Asked, command: Command, identity: Identity) -> None:
        try:
            await work
        except Refused as refused:
            if isinstance(refused, StoreUnreachable):
                raise
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)

    async def _decided(self, work: Any, asked: Asked, command: Command, identity: Identity) -> None:
        """Whatever stands in the way of a loosening refuses it, a store that is away included."""
        try:
            await work
        except Refused as refused:
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)

    async def _approve(self, asked: Asked, command: Command, identity: Identity) -> None:
        try:
            original, wanted, asker, approval = await approve(self._means, asked, command, identity)
        except Refused as refused:
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)
            return
        if wanted.kind is Kind.EXCLUDE:
            work = self._exclusions.exclude(original, wanted, asker, approval)
            await self._decided(work, original, wanted, asker)
        elif wanted.kind is Kind.RELEASE:
            work = self._releases.release(original, wanted, asker, approval)
            await self._decided(work, original, wanted, asker)
        elif wanted.kind is Kind.KILL_REVIEW:
            work = self._kills.review(original, wanted, asker, approval)
            await self._decided(work, original, wanted, asker)
        else:
            await self._resumption.half_open(original, wanted, asker, approval)
        # Where the released request was refused after all, the approval came to nothing too.
        refusal = Refusal(
            Code.VOID, "What was approved was refused by a safety rule.", f"See request {wanted.request_id}."
        )
        await refuse_if_open(self._means, asked, command, identity, refusal)

    async def _contained(self, asked: Asked, work: Awaitable[None]) -> None:
        """A request that breaks our own code is recorded and set aside; it must not stop the others."""
        try:
            await work
        except _ENDS_TERM:
            raise
        except Exception:  # noqa: BLE001 - logged and recorded, whatever it was
            log.exception("request %s could not be decided", asked.request_id)
            refusal = Refusal(
                Code.FAILED,
                "The authority failed on this request.",
                "Its log says why; nothing was changed.",
            )
            await reject(self._means, asked, refusal)

    def _line_up(self, asked: Asked, work: Any) -> None:
        """Queue a loosening behind those before it."""

        async def in_turn() -> None:
            async with self._means.loosening:
                await self._contained(asked, work)

        self._beside(asked, in_turn())

    def _beside(self, asked: Asked, work: Any) -> None:
        """Decide it beside the loop, at once."""

        async def in_hand() -> None:
            try:
                await self._contained(asked, work)
            finally:
                self._in_hand.pop(asked.request_id, None)

        self._in_hand[asked.request_id] = asked.login
        self._means.spawn(in_hand(), f"request {asked.request_id}")


_ENDS_TERM: Final = (
    Doubt,
    Fenced,
    OSError,
    TimeoutError,
    StoreUnreachable,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
_LASTING: Final = (Kind.TRIP.value, Kind.KILL_STEP.value, Kind.CANCEL_ALL.value)
_NOBODY: Final = Refusal(Code.REVOKED, "The login holds no role now.", "Ask the owner for a grant.")


async def refuse_if_open(
    means: Means, asked: Asked, command: Command, identity: Identity, refusal: Refusal
) -> None:
    async with means.pool.acquire() as connection:
        status = await connection.fetchval(
            "SELECT status FROM requests WHERE request_id = $1", asked.request_id
        )
    if status in ("new", "committing"):
        await refuse(means, asked, command, identity.role.value, refusal)


def _lasts(row: asyncpg.Record) -> bool:
    """What never expires: a trip, the record of what was done, a limit that is recorded and holds already."""
    return any(f'"kind":"{kind}"' in row["payload"] for kind in _LASTING) or row["begun"]


def _asked(row: asyncpg.Record) -> Asked:
    return Asked(
        row["request_id"],
        row["payload"].encode(),
        row["key_id"],
        row["signature"],
        row["login"],
        row["client_addr"],
        row["submitted_at"],
        row["age_s"],
    )
