"""Postgres as the pager sees it: functions that hand out deliveries and take what came of them.

Every method raises `StoreUnreachable` or `Refused`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backends.paging_client import Attempt
from backends.paging_receivers import Page
from backends.postgres_session import Session
from cockpit.domain.text import clean

_RECORD: Final = "SELECT pager_record($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_RECEIVERS: Final = """
SELECT r.receiver, r.last_delivered_at, r.last_failed_at, r.last_error,
       CASE WHEN r.paused_until > clock_timestamp() THEN r.paused_until END AS paused_until
  FROM pager_receivers r WHERE r.receiver IN (SELECT unnest(receivers) FROM pagers) ORDER BY r.receiver
"""


class PagerStore:
    """The service's login, on one connection; each call is one short transaction."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn, command_timeout_s=5, application_name="cockpit pager")

    async def close(self) -> None:
        await self._session.close()

    async def sign(self, holder: str, receivers: Sequence[str], minimum: str, faults: Sequence[str]) -> None:
        """Say that this pager lives, whom it reaches, and what is wrong with it."""
        lines = [clean(each, 300) for each in faults[:20]]
        async with self._session.use() as connection:
            await connection.execute(
                "SELECT pager_sign($1, $2, $3, $4)", holder, list(receivers), minimum, lines
            )

    async def end(self, holder: str) -> None:
        async with self._session.use() as connection:
            await connection.execute("SELECT pager_end($1)", holder)

    async def spread(self, receivers: Sequence[str], severities: Sequence[str]) -> None:
        """Make the deliveries of what is new; settle what needs none."""
        async with self._session.use() as connection:
            await connection.execute("SELECT pager_spread($1, $2)", list(receivers), list(severities))

    async def claim(self, receiver: str, limit: int, busy_s: float, resends: bool) -> tuple[Page, ...]:
        """Take up to `limit` deliveries in hand for `busy_s` seconds, the gravest first."""
        async with self._session.use() as connection:
            rows = await connection.fetch(
                "SELECT * FROM pager_claim($1, $2, $3, $4)", receiver, limit, busy_s, resends
            )
        return tuple(_page(row) for row in rows)

    async def record(
        self, receiver: str, page: Page, attempt: Attempt, wait_s: float, resend_s: float | None
    ) -> None:
        """What came of an attempt; it is tried again in `wait_s` seconds where it failed."""
        async with self._session.use() as connection:
            await connection.execute(
                _RECORD, receiver, page.outbox_id, page.attempt, page.again, attempt.result.value,
                clean(attempt.why, 300), wait_s, attempt.rest_s, resend_s,
            )  # fmt: skip


def _page(row: Any) -> Page:
    try:
        details = json.loads(row["details"])
    except (ValueError, RecursionError):  # a number of 5,000 digits, say: the page goes out without them
        details = {}
    return Page(
        outbox_id=row["outbox_id"],
        attempt=row["attempt"],
        again=row["again"],
        key=row["key"],
        incident_id=None if row["incident_id"] is None else str(row["incident_id"]),
        event=row["event"],
        severity=row["severity"],
        title=clean(row["title"], 300),
        created_at=row["created_at"],
        opened_at=row["opened_at"],
        status=row["status"],
        classification=row["classification"],
        breaker_id=row["breaker_id"],
        owner=row["owner"],
        acknowledged_by=row["acknowledged_by"],
        other_severities=tuple(row["other_severities"]),
        details=details if isinstance(details, Mapping) else {},
    )


@dataclass(frozen=True, slots=True)
class ReceiverRow:
    """How deliveries to one receiver went. `last_error` is of the newest attempt, "" where that arrived;
    `paused_until` where it asked for a rest."""

    name: str
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    last_error: str
    paused_until: datetime | None


@dataclass(frozen=True, slots=True)
class GivenUpPage:
    """A delivery that its receiver refused for good. `obstacle`: why it cannot be made again, or ""."""

    page: int
    receiver: str
    severity: str
    event: str
    title: str
    last_error: str
    obstacle: str


@dataclass(frozen=True, slots=True)
class GivenUp:
    pages: tuple[GivenUpPage, ...]
    pager_runs: bool


_GIVEN_UP: Final = """
SELECT outbox_id, receiver, severity, event, left(title, 300) AS title,
       coalesce(last_error, '') AS last_error, coalesce(obstacle, '') AS obstacle
  FROM pages_given_up
 WHERE $1::bigint[] IS NULL OR outbox_id = ANY ($1) ORDER BY severity, outbox_id, receiver
"""
_RUNS: Final = (
    "SELECT EXISTS (SELECT FROM pagers WHERE renewed_at > statement_timestamp() - interval '30 seconds')"
)


async def given_up(dsn: str, pages: Sequence[int] | None) -> GivenUp:
    """What was given up of these pages, or of all (None), the gravest first; for any login that may read.

    Raises:
        Refused: Postgres is away, or refuses the login.
    """
    session = Session(dsn, command_timeout_s=5)
    try:
        async with session.use() as connection:
            rows = await connection.fetch(_GIVEN_UP, None if pages is None else list(pages))
            runs = await connection.fetchval(_RUNS)
    finally:
        await session.close()
    return GivenUp(tuple(_given_up(row) for row in rows), bool(runs))


def _given_up(row: Any) -> GivenUpPage:
    names = ("receiver", "severity", "event", "title", "last_error", "obstacle")
    return GivenUpPage(row["outbox_id"], *(clean(row[name], 300) for name in names))


_UNSENT: Final = """
SELECT o.severity, count(*) AS pages
  FROM outbox o
 WHERE o.event = 'trigger' AND o.unsent = 'below the minimum severity'
   AND o.settled_at > clock_timestamp() - interval '1 day'
 GROUP BY 1 ORDER BY 1
"""


async def pages_below(dsn: str) -> Mapping[str, int]:
    """How many pages of the last day were below the minimum and sent to nobody, by severity. For any login
    that may read.

    Raises:
        Refused: Postgres is away, or refuses the login.
    """
    session = Session(dsn, command_timeout_s=3)
    try:
        async with session.use() as connection:
            rows = await connection.fetch(_UNSENT)
    finally:
        await session.close()
    return {row["severity"]: row["pages"] for row in rows}


async def last_served(dsn: str) -> datetime | None:
    """The last sign of life of any pager, None where none has ever run; for any login that may read.

    Raises:
        Refused: Postgres is away, or refuses the login.
    """
    session = Session(dsn, command_timeout_s=3)
    try:
        async with session.use() as connection:
            found: datetime | None = await connection.fetchval("SELECT max(served_at) FROM pager_receivers")
    finally:
        await session.close()
    return found


async def receiver_rows(dsn: str) -> tuple[ReceiverRow, ...]:
    """Every receiver that a pager has had in the last day, for any login that may read."""
    session = Session(dsn, command_timeout_s=3)
    try:
        async with session.use() as connection:
            rows = await connection.fetch(_RECEIVERS)
    finally:
        await session.close()
    return tuple(
        ReceiverRow(
            clean(row["receiver"], 40),
            row["last_delivered_at"],
            row["last_failed_at"],
            clean(row["last_error"] or "", 300),
            row["paused_until"],
        )
        for row in rows
    )
