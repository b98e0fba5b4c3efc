"""The plant's ledger in Postgres (schema `plant`): fills settle into balances some time after the venue.

The invariant: for each instrument, what is posted plus what is not settled yet equals the position; and the
same for cash. It is checked on the stored rows in one snapshot, not on what this process believes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cockpit.demo.accounts import Account, Day, Fill, opening_account
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Position

CASH: Final = "USD"
"""The row of the balances that holds capital and corrections."""

_ACCOUNT: Final = """
INSERT INTO plant.account (cash, engine_seq, ledger_seq, slipped, day, opening, peak)
VALUES ($1, $2, $2, $3, $4, $5, $6)
ON CONFLICT (only_row) DO UPDATE
SET cash = excluded.cash, engine_seq = excluded.engine_seq, slipped = excluded.slipped, day = excluded.day,
    opening = excluded.opening, peak = excluded.peak
"""
# A fill that came twice because a commit's answer was lost is there already, or settled already.
_FILLS: Final = """
INSERT INTO plant.unsettled (seq, symbol, quantity, cash, filled_at)
SELECT f.* FROM unnest($1::bigint[], $2::text[], $3::numeric[], $4::numeric[], $5::timestamptz[])
           AS f (seq, symbol, quantity, cash, filled_at)
WHERE NOT EXISTS (SELECT FROM plant.postings AS p WHERE p.seq = f.seq)
ON CONFLICT (seq) DO NOTHING
"""
_SETTLE: Final = """
WITH due AS (DELETE FROM plant.unsettled WHERE filled_at <= $1 RETURNING seq, symbol, quantity, cash),
listed AS (INSERT INTO plant.postings (seq, symbol) SELECT seq, symbol FROM due ON CONFLICT DO NOTHING),
numbered AS (
    SELECT *, CASE WHEN row_number() OVER (ORDER BY quantity = 0, seq) <= $2 THEN 2 ELSE 1 END AS times
    FROM due),
posted AS (
    INSERT INTO plant.balances AS b (symbol, quantity, cash)
    SELECT symbol, sum(quantity * times), sum(cash * times) FROM numbered GROUP BY symbol
    ON CONFLICT (symbol) DO UPDATE
    SET quantity = b.quantity + excluded.quantity, cash = b.cash + excluded.cash)
UPDATE plant.account SET ledger_seq = greatest(ledger_seq, (SELECT max(seq) FROM due))
RETURNING ledger_seq, (SELECT count(*) FROM numbered WHERE times = 2) AS doubled,
          (SELECT filled_at FROM plant.unsettled WHERE filled_at > $1 ORDER BY seq LIMIT 1) AS oldest
"""
_PRUNE: Final = """
DELETE FROM plant.postings WHERE seq < (SELECT engine_seq FROM plant.account) - 20000
"""
_DIFFERENCES: Final = """
WITH booked AS (
    SELECT symbol, sum(quantity) AS quantity, sum(cash) AS cash
    FROM (SELECT symbol, quantity, cash FROM plant.balances
          UNION ALL SELECT symbol, quantity, cash FROM plant.unsettled) AS each
    GROUP BY symbol)
SELECT symbol, coalesce(b.quantity, 0) - coalesce(p.quantity, 0) AS difference
FROM booked AS b
     FULL JOIN (SELECT symbol, quantity FROM positions WHERE symbol = ANY ($1)) AS p USING (symbol)
WHERE coalesce(b.quantity, 0) <> coalesce(p.quantity, 0)
UNION ALL
SELECT $2, total - cash FROM plant.account, (SELECT sum(cash) AS total FROM booked) AS t WHERE total <> cash
"""
_CORRECT: Final = """
UPDATE plant.balances
SET quantity = quantity - CASE WHEN symbol = $2 THEN 0 ELSE $3::numeric END,
    cash = cash - CASE WHEN symbol = $2 THEN $3::numeric ELSE 0 END
WHERE symbol = $1
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """What an earlier run left: positions, their marks, the account, the last settled fill, and when the
    oldest unsettled one was filled."""

    positions: Mapping[str, Position]
    marks: Mapping[str, Decimal]
    account: Account
    ledger_seq: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The last settled fill, how many were posted twice, and when the oldest one that is left was filled."""

    ledger_seq: int
    doubled: int
    oldest: datetime | None


async def load(connection: Any, prices: Mapping[str, Decimal]) -> Opened:
    """Read it in one snapshot; a ledger that does not exist yet is opened with the positions as they are."""
    async with connection.transaction(isolation="repeatable_read"):
        rows = await connection.fetch("SELECT symbol, quantity, avg_price, mark_price FROM positions")
        known = [row for row in rows if row["symbol"] in LISTINGS]
        positions = {
            row["symbol"]: Position(row["symbol"], row["quantity"], row["avg_price"]) for row in known
        }
        marks = {row["symbol"]: row["mark_price"] for row in known if row["mark_price"] is not None}
        held = await connection.fetchrow("SELECT * FROM plant.account")
        if held is None:
            account = opening_account(positions, {**prices, **marks})
            await save(connection, account)
            opening = [(CASH, Decimal(0), account.cash)]
            opening += [(each.symbol, each.quantity, Decimal(0)) for each in positions.values()]
            await connection.executemany("INSERT INTO plant.balances VALUES ($1, $2, $3)", opening)
            return Opened(positions, marks, account, 0, None)
        oldest = await connection.fetchval("SELECT filled_at FROM plant.unsettled ORDER BY seq LIMIT 1")
    day = None if held["day"] is None else Day(held["day"], held["opening"], held["peak"])
    account = Account(held["cash"], held["engine_seq"], held["slipped"], day)
    return Opened(positions, marks, account, held["ledger_seq"], oldest)


async def save(connection: Any, account: Account) -> None:
    """Write the account; what is settled stays as it is."""
    day = account.day
    await connection.execute(
        _ACCOUNT,
        account.cash,
        account.engine_seq,
        account.slipped,
        *((None, None, None) if day is None else (day.date, day.opening, day.peak)),
    )


async def note(connection: Any, fills: Sequence[Fill]) -> None:
    """Store fills as not settled yet. Storing one again changes nothing."""
    columns = [(each.seq, each.symbol, each.quantity, each.cash, each.filled_at) for each in fills]
    await connection.execute(_FILLS, *map(list, zip(*columns, strict=True)))


async def settle(connection: Any, until: datetime, double: int) -> Settled:
    """Post all fills up to `until`, the first `double` of them twice. However often this is repeated, each
    is posted once."""
    return Settled(**await connection.fetchrow(_SETTLE, until, double))


async def prune(connection: Any) -> None:
    """Forget the numbers of fills that were posted long ago."""
    await connection.execute(_PRUNE)


async def differences(connection: Any) -> dict[str, Decimal]:
    """Where the invariant does not hold: by instrument, or `USD` for cash, ledger minus position."""
    rows = await connection.fetch(_DIFFERENCES, list(LISTINGS), CASH)
    return {row["symbol"]: row["difference"] for row in rows}


async def correct(connection: Any) -> None:
    """Post corrections until the invariant holds again."""
    async with connection.transaction():
        found = await differences(connection)
        await connection.executemany(_CORRECT, [(name, CASH, amount) for name, amount in found.items()])


def coalesced(fills: Sequence[Fill]) -> list[Fill]:
    """The same sums in one fill an instrument: bounds memory while Postgres is away for long."""
    merged: dict[str, Fill] = {}
    for fill in fills:
        before = merged.get(fill.symbol)
        merged[fill.symbol] = (
            fill
            if before is None
            else replace(
                before,
                seq=fill.seq,
                quantity=before.quantity + fill.quantity,
                cash=before.cash + fill.cash,
            )
        )
    return sorted(merged.values(), key=lambda fill: fill.seq)
