"""The rows that the guard's rules rest on, read within one snapshot.

Each reading takes what the snapshot of the one before could not see: nothing is missed however late it
commits, nothing is read twice, and a transaction that stays open costs nothing. Times are bounded in every
query, since Postgres knows some that Python does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.trigger_rows import CountedOrders, HeldPosition, Plan, Rows, SettledOrder, SliSample

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)
_LONGEST_NAME: Final = 64
_MOMENT: Final = """
SELECT clock_timestamp() AS now, pg_current_snapshot()::text AS cursor,
       EXISTS (SELECT FROM guard_lease WHERE holder = $1 AND term = $2 AND login = session_user
                  AND expires_at > clock_timestamp()) AS holds,
       (SELECT array_agg(DISTINCT classification) FROM incidents
         WHERE status IN ('open', 'acknowledged') AND classification = ANY ($3::text[])) AS incidents,
       (SELECT array_agg(limit_id::text) FROM size_limits
         WHERE limit_id = ANY ($4::uuid[]) AND lifted_at IS NULL) AS limits,
       (SELECT array_agg(limit_id::text) FROM size_limits
         WHERE limit_id = ANY ($4::uuid[]) AND lifted_at IS NOT NULL) AS lifted,
       (SELECT array_agg(request_id::text) FROM requests WHERE request_id = ANY ($4::uuid[])
           AND status IN ('new', 'awaiting_approval', 'committing')) AS asked
"""
# A row of a transaction past the end of the snapshot comes from another cluster: it was restored, and is old.
_ORDERS: Final = """
SELECT order_id, symbol, updated_at, status = 'rejected' AS rejected, latency_ms, slippage FROM recent_orders
 WHERE (noted_tx >= $1::text::xid8 AND noted_tx < $2::text::xid8 OR noted_tx = ANY ($3::text[]::xid8[]))
   AND status IN ('filled', 'rejected') AND NOT paper AND updated_at > $4 AND updated_at < $5
"""
_ORDERS_SINCE: Final = """
SELECT order_id, symbol, updated_at, status = 'rejected' AS rejected, latency_ms, slippage FROM recent_orders
 WHERE status IN ('filled', 'rejected') AND NOT paper AND updated_at > $1 AND updated_at < $2
"""
_COUNTED: Final = """
SELECT CASE WHEN $3 THEN symbol ELSE '' END AS symbol, date_trunc('second', updated_at) AS at,
       count(*) FILTER (WHERE status = 'rejected') AS rejected, count(*) AS settled
  FROM recent_orders
 WHERE status IN ('filled', 'rejected') AND NOT paper AND updated_at >= $1 AND updated_at < $2
 GROUP BY 1, 2
"""
_RUNS: Final = """
SELECT run.* FROM (SELECT unnest($1::text[]) AS symbol UNION SELECT symbol FROM positions) each,
LATERAL (
    SELECT order_id, symbol, updated_at, false AS rejected, latency_ms, slippage FROM recent_orders
     WHERE symbol = each.symbol AND status = 'filled' AND NOT paper AND slippage IS NOT NULL
       AND updated_at > $2 AND updated_at <= $3
     ORDER BY updated_at DESC, order_id DESC LIMIT $4) run
"""
# A position is what its row says now: its time only says since when.
_POSITIONS: Final = """
SELECT symbol, quantity, max_quantity, least(greatest(updated_at, $4), $5) AS updated_at FROM positions
 WHERE noted_tx >= $1::text::xid8 AND noted_tx < $2::text::xid8 OR noted_tx = ANY ($3::text[]::xid8[])
"""
_EVERY_POSITION: Final = """
SELECT symbol, quantity, max_quantity, least(greatest(updated_at, $1), $2) AS updated_at FROM positions
"""
_SAMPLES: Final = """
SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
 WHERE (noted_tx >= $1::text::xid8 AND noted_tx < $2::text::xid8 OR noted_tx = ANY ($3::text[]::xid8[]))
   AND sli = ANY ($4::text[]) AND observed_at > $5 AND observed_at < $6
"""
_SAMPLES_SINCE: Final = """
SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
 WHERE sli = ANY ($1::text[]) AND observed_at > $2 AND observed_at < $3
"""
# Of each sli the newest sample before the window, one of which may come late as well.
_SAMPLES_BEFORE: Final = """
SELECT last.* FROM unnest($1::text[]) AS wanted (sli), LATERAL (
    SELECT sample_id, sli, good, total, value, observed_at FROM sli_samples
     WHERE sli = wanted.sli AND observed_at <= $2 AND observed_at >= $3
     ORDER BY observed_at DESC, sample_id DESC LIMIT 1) last
"""
_ODD: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM recent_orders WHERE $4 AND status IN ('filled', 'rejected')
           AND NOT paper AND (updated_at >= $3 OR updated_at < $2) LIMIT 1000) odd)
     + (SELECT count(*) FROM (SELECT FROM unnest($1::text[]) AS wanted (sli), LATERAL (
           SELECT FROM sli_samples WHERE sli = wanted.sli AND observed_at >= $3 UNION ALL
           SELECT FROM sli_samples WHERE sli = wanted.sli AND observed_at < $2) each LIMIT 1000) odd)
"""


async def everything(connection: Any, plan: Plan, asked: Sequence[object]) -> Rows:
    """All that the plan needs, in a repeatable-read transaction. `asked` are the moment's parameters: holder,
    term, incidents' classifications, limits."""
    read = _Read(await connection.fetchrow(_MOMENT, *asked))
    now, latest = read.now, read.now + _AHEAD
    raw_from = now.replace(microsecond=0) - timedelta(seconds=plan.raw_s)
    if plan.orders:
        since = raw_from - timedelta(microseconds=1)
        read.orders = await connection.fetch(_ORDERS_SINCE, since, latest)
    if plan.run:
        since = now - timedelta(seconds=plan.run_s + 1)
        read.runs = await connection.fetch(_RUNS, list(plan.symbols), since, now, plan.run)
    if plan.counted_s > plan.raw_s:
        since = now - timedelta(seconds=plan.counted_s + 1)
        read.counted = await connection.fetch(_COUNTED, since, raw_from, plan.counted_by_symbol)
    if plan.slis:
        slis, since = list(plan.slis), now - timedelta(seconds=plan.sli_s + 1)
        read.samples = await connection.fetch(_SAMPLES_SINCE, slis, since, latest)
        read.samples += await connection.fetch(_SAMPLES_BEFORE, slis, since, _EARLIEST)
    await _whole(connection, plan, read)
    return read.rows()


async def news(connection: Any, plan: Plan, asked: Sequence[object], cursor: str, whole: bool) -> Rows:
    """What the reading that gave `cursor` could not see; with `whole` every position.

    Raises:
        StoreUnreachable: the store has lost what that reading saw.
    """
    read = _Read(await connection.fetchrow(_MOMENT, *asked))
    now, latest = read.now, read.now + _AHEAD
    unseen = _unseen(cursor, read.moment["cursor"])
    if plan.orders:
        since = now - timedelta(seconds=plan.horizon_s + 1)
        read.orders = await connection.fetch(_ORDERS, *unseen, since, latest)
    if plan.slis:
        slis, since = list(plan.slis), now - timedelta(seconds=plan.sli_s + 1)
        read.samples = await connection.fetch(_SAMPLES, *unseen, slis, since, latest)
        read.samples += await connection.fetch(_SAMPLES_BEFORE, slis, since, _EARLIEST)
    if whole:
        await _whole(connection, plan, read)
    elif plan.positions:
        read.positions = await connection.fetch(_POSITIONS, *unseen, _EARLIEST, now)
    return read.rows()


async def _whole(connection: Any, plan: Plan, read: _Read) -> None:
    if plan.positions:
        read.positions = await connection.fetch(_EVERY_POSITION, _EARLIEST, read.now)
        read.every_position = True
    read.odd = await connection.fetchval(_ODD, list(plan.slis), _EARLIEST, read.now + _AHEAD, plan.orders)


def _unseen(before: str, now: str) -> tuple[str, str, list[str]]:
    """The transactions that one snapshot could not see and a later one may: from the end of the first to the
    end of the later one, and those that were open. As parameters, so that Postgres plans for how few."""
    _, begin, still_open = before.split(":")
    end = now.split(":")[1]
    if int(end) < int(begin):
        raise StoreUnreachable("Postgres", "it went back to before the last reading")
    return begin, end, still_open.split(",") if still_open else []


def named(text: str) -> str:
    """A symbol or an order's id as the rules know it: long ones would pass what the lease may publish."""
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[:_LONGEST_NAME]}~{sha256(text.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _Read:
    """What the queries of one reading gave."""

    moment: Any
    orders: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    counted: list[Any] = field(default_factory=list)
    positions: list[Any] = field(default_factory=list)
    samples: list[Any] = field(default_factory=list)
    every_position: bool = False
    odd: int | None = None

    @property
    def now(self) -> datetime:
        moment: datetime = self.moment["now"]
        return moment

    def rows(self) -> Rows:
        moment = self.moment
        return Rows(
            now=moment["now"],
            cursor=moment["cursor"],
            holds=moment["holds"],
            incidents=frozenset(moment["incidents"] or ()),
            limits=frozenset(moment["limits"] or ()),
            lifted=frozenset(moment["lifted"] or ()),
            asked=frozenset(moment["asked"] or ()),
            orders=[SettledOrder(named(row[0]), named(row[1]), *row[2:]) for row in self.orders],
            runs=[SettledOrder(named(row[0]), named(row[1]), *row[2:]) for row in self.runs],
            counted=[
                CountedOrders(named(row["symbol"]), row["at"], row["rejected"], row["settled"])
                for row in self.counted
            ],
            positions=[
                HeldPosition(named(row["symbol"]), row["updated_at"], row["quantity"], row["max_quantity"])
                for row in self.positions
            ],
            samples=[
                SliSample(
                    f"{row['sample_id']:020}",
                    row["sli"],
                    row["observed_at"],
                    row["good"],
                    row["total"],
                    row["value"],
                )
                for row in self.samples
            ],
            every_position=self.every_position,
            odd=self.odd,
        )
