"""A reader of objectives that says what a test wants, judged by the domain like any other reading."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from redis.asyncio import Redis

from backends.gate import Gate
from backends.signing import read_document, sign_document
from cockpit.authority.faults import Fault, no_fault
from cockpit.authority.objectives import EVERY_S
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import EXECUTION, BreakerId
from cockpit.domain.budgets import BURN_WINDOWS, Counts
from cockpit.domain.documents import Document
from cockpit.domain.slo_reports import SliReading, SloSnapshot, judge_slo
from cockpit.domain.slos import Budgeting, Exclusion, Ratio, Slo, SloBook, Source, SourceKind
from tests.authority.desk import BTC, LONG_S, Desk, until

DAY_S = 86_400
GREEN, YELLOW, ORANGE, RED = Decimal("0.8"), Decimal("0.4"), Decimal("0.2"), Decimal("-0.5")
OFTEN_S = 0.1


def slo(name: str, breaker: BreakerId, window_s: int = 30 * DAY_S) -> Slo:
    source = Source(SourceKind.POSTGRES, name)
    return Slo(
        name=name,
        title=name,
        description="",
        objective=Decimal("0.99"),
        window_s=window_s,
        indicator=Ratio(source, source, None, False),
        budgeting=Budgeting.OCCURRENCES,
        slices=None,
        breaker=breaker,
    )


ORDERS = slo("order-success", EXECUTION)
FILLS = slo("btc-fills", BTC)


@dataclass(slots=True)
class Scripted:
    """`left` is what each SLO has left of its budget; None: its source is away. `held` gives no answer,
    `broken` raises, `faults` are files that could not be read."""

    slos: Sequence[Slo] = (ORDERS, FILLS)
    left: dict[str, Decimal | None] = field(default_factory=dict)
    held: bool = False
    broken: bool = False
    faults: tuple[str, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    reads: int = 0
    closed: bool = False

    async def read(self) -> SloSnapshot:
        while self.held:
            await asyncio.sleep(0.01)
        if self.broken:
            raise RuntimeError("a reader that fails")
        self.reads += 1
        now = datetime.now(UTC)
        reports = tuple(judge_slo(each, self._reading(each, now)) for each in self.slos)
        book = SloBook(tuple(self.slos), (), now, self.faults)
        return SloSnapshot(now, time.monotonic(), book, reports, (), self.exclusions, self.faults)

    def _reading(self, each: Slo, now: datetime) -> SliReading:
        left = self.left.get(each.name, GREEN)
        if left is None:
            return SliReading(at=now, fault="its source is away")
        bad = (1 - left) * (1 - each.objective) * 10_000
        counts = {width: Counts(10_000 - bad, Decimal(10_000)) for width in (*BURN_WINDOWS, each.window_s)}
        return SliReading(at=now, counts=counts, newest_at=now)

    async def seen(self) -> None:
        """Until the authority has read what was said last."""
        before = self.reads

        async def read_twice() -> bool:
            return self.reads >= before + 2

        await until(read_twice)

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def authority_with(desk: Desk, scripted: Scripted, fault: Fault = no_fault) -> AsyncIterator[Authority]:
    acting = running_authority(desk.settings, fault, objectives=scripted)
    async with acting as running, reading_often(running):
        yield running


@asynccontextmanager
async def reading_often(authority: Authority) -> AsyncIterator[None]:
    """Have it read its objectives ten times a second, so that a test need not wait for the next reading. How
    old a reading may be stays as it is: a busy machine makes none too old."""

    async def ask() -> None:
        while True:
            if authority.means is not None:
                authority.means.objectives._asked.set()
            await asyncio.sleep(OFTEN_S)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def too_old(authority: Authority, scripted: Scripted) -> None:
    """Its last reading of the objectives is too old to loosen by, and no other one comes: not by waiting, but
    as if it had been begun earlier."""
    scripted.held = True
    assert authority.means is not None
    objectives = authority.means.objectives
    assert objectives._last is not None and objectives.young() is not None
    objectives._last = replace(objectives._last, began=objectives._last.began - 1.5 * EVERY_S)
    assert objectives.young() is None and objectives.recent() is not None


async def share_of(desk: Desk, name: BreakerId) -> Decimal:
    """The size share in the breaker's own document."""
    store = desk.platform.redis_store("monitor1")
    await store.connect()
    try:
        return (await store.snapshot()).readings[name].size_share
    finally:
        await store.close()


async def share_becomes(desk: Desk, name: BreakerId, share: str) -> None:
    """Until the document says so and that is recorded: Redis has it before Postgres tells of it."""

    async def reached() -> bool:
        return await share_of(desk, name) == Decimal(share)

    await until(reached)
    await recorded(desk, name)


async def recorded(desk: Desk, name: BreakerId) -> None:
    """Until every change of this breaker that was begun has its outcome."""
    async with desk.platform.connection() as connection:

        async def none_open() -> bool:
            return not await connection.fetchval(
                "SELECT count(*) FROM commits WHERE status = 'intent' AND breaker_id = $1", name
            )

        await until(none_open)


@asynccontextmanager
async def gate_of(desk: Desk) -> AsyncIterator[Gate]:
    """A real gate, with the gateway's own login."""
    redis = Redis.from_url(desk.settings.logins["gateway"].redis_url)
    try:
        yield Gate(redis, desk.settings.catalogue, desk.settings.authority_keys, timeout_s=2)
    finally:
        await redis.aclose()


async def age_document(desk: Desk, name: BreakerId) -> None:
    """As if the document had been written long ago: waiting for it would take as long."""
    await rewrite(desk, name, lambda old: replace(old, issued_at=old.issued_at - timedelta(seconds=LONG_S)))


async def end_quiet_period(desk: Desk, name: BreakerId) -> None:
    """As if its time were over."""
    await rewrite(desk, name, lambda old: replace(old, quiet_until=old.issued_at))


async def rewrite(desk: Desk, name: BreakerId, change: Callable[[Document], Document]) -> None:
    """Put another document into both stores, as if that one had been committed."""
    await recorded(desk, name)
    async with desk.platform.redis_line() as line, desk.platform.connection() as owner:
        raw = await line.command("GET", f"breaker:{name}")
        document = read_document(raw, desk.platform.keyring)
        assert isinstance(document, Document)
        signed = sign_document(change(document), desk.platform.authority_key)
        await owner.execute("UPDATE breakers SET document = $2 WHERE breaker_id = $1", name, signed.decode())
        await line.command("SET", f"breaker:{name}", signed)


async def details_of(desk: Desk, name: str, action: str) -> Mapping[str, Any]:
    """The details of the newest entry of that action about `name`."""
    async with desk.platform.connection() as connection:

        async def told() -> str | None:
            text: str | None = await connection.fetchval(
                "SELECT details_text FROM audit_log WHERE target = $1 AND action = $2"
                " ORDER BY seq DESC LIMIT 1",
                name,
                action,
            )
            return text

        text = await until(told)
    found: Mapping[str, Any] = json.loads(text)
    return found
