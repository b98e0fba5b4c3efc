"""Recovery conditions of linked incidents hold up half-open and close, on real rows, until they are met."""

from __future__ import annotations

import asyncpg
import pytest

from cockpit.authority.service import Authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from tests.authority.desk import BTC, ETH, Desk, until

INCIDENT = """
INSERT INTO incidents (severity, title, status, source, classification, breaker_id, breakers)
VALUES ('P1', 'what happened', 'acknowledged', 'watch', $1, $2, $3) RETURNING incident_id
"""
BARS = """
INSERT INTO daily_bars (symbol, day, open, high, low, close, volume)
SELECT $1, (clock_timestamp() AT TIME ZONE 'UTC')::date - n, 100, 110, 90, 105, 1000
  FROM generate_series(1, 31) n
"""
CYCLE = """
INSERT INTO quality_cycles (started_at, status, errors, stale_warnings)
VALUES (clock_timestamp() + make_interval(secs => $2), $1, $3, 0)
"""
RUN = """
INSERT INTO reconciliation_runs (kind, symbol, status, started_at, finished_at)
SELECT $1, $2, $3, at, at FROM (SELECT clock_timestamp() + make_interval(secs => $4) AS at) AS moment
"""


@pytest.fixture
async def one_day(desk: Desk) -> None:
    """Bars are of the database's days: no test of them begins in the last minutes of one."""

    async def long_left() -> bool:
        async with desk.platform.connection() as connection:
            left = "SELECT (clock_timestamp() + interval '3 minutes') AT TIME ZONE 'UTC'"
            today = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"
            return bool((await connection.fetchval(left)).date() == await connection.fetchval(today))

    await until(long_left, 240)


async def sql(desk: Desk, statement: str, *arguments: object) -> None:
    async with desk.platform.connection() as connection:
        await connection.execute(statement, *arguments)


async def refused(desk: Desk, *words: str, kind: Kind = Kind.HALF_OPEN) -> None:
    row = await desk.ask(kind, BTC)
    assert (row.status, row.code) == ("refused", "checklist"), row.message
    for word in words:
        assert word in (row.message or ""), row.message


async def accepted(desk: Desk, kind: Kind = Kind.HALF_OPEN) -> RequestRow:
    row = await desk.ask(kind, BTC)
    assert row.status == "done", row.message
    return row


@pytest.mark.usefixtures("one_day")
async def test_data_needs_thirty_bars_and_a_clean_cycle(desk: Desk, authority: Authority) -> None:
    await desk.trip(BTC)
    await sql(desk, CYCLE, "clean", -5, 0)
    await sql(desk, INCIDENT, "data_quality", None, [BTC])
    await refused(desk, "BTC-USD has none", "before the incident")
    await sql(desk, BARS, "BTC-USD")
    await refused(desk, "1 of 2 missing", "before the incident")
    for status, errors, words in (
        ("breach", 2, "breach: 2 errors"),
        ("unknown", 0, "unknown"),
        ("clean", 1, "1 err"),
    ):
        await sql(desk, CYCLE, status, 0, errors)
        await refused(desk, words)
    await sql(desk, CYCLE, "clean", 0, 0)
    await sql(desk, "DELETE FROM daily_bars WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date - 9")
    await refused(desk, "BTC-USD has 29 of 30")
    await sql(
        desk,
        "INSERT INTO daily_bars SELECT symbol, day - 8, open, 'NaN', low, close, volume FROM daily_bars"
        " WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date - 1",
    )
    await refused(desk, "BTC-USD has 29 of 30")  # a damaged one does not count
    await sql(desk, "UPDATE daily_bars SET high = 110")
    await sql(desk, "DELETE FROM daily_bars WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date - 30")
    await sql(
        desk,
        "INSERT INTO daily_bars SELECT symbol, day + 1, open, high, low, close, volume FROM daily_bars"
        " WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date - 1",
    )
    await refused(desk, "BTC-USD has 29 of 30")  # today's is not whole yet
    await sql(
        desk,
        "INSERT INTO daily_bars SELECT symbol, day - 1, open, high, low, close, volume FROM daily_bars"
        " WHERE day = (clock_timestamp() AT TIME ZONE 'UTC')::date - 29",
    )
    await accepted(desk)
    await desk.run_status(await desk.probe(BTC), "passed")
    await sql(desk, CYCLE, "breach", 0, 1)  # the close is judged by what is so then
    await refused(desk, "breach: 1 errors", kind=Kind.CLOSE)
    await sql(desk, CYCLE, "clean", 0, 0)
    await accepted(desk, Kind.CLOSE)


@pytest.mark.usefixtures("one_day")
async def test_old_bars_are_none(desk: Desk, authority: Authority) -> None:
    await desk.trip(BTC)
    await sql(desk, INCIDENT, "data-integrity", GLOBAL, [])  # as the guard calls it
    await sql(desk, BARS, "BTC-USD")
    await sql(desk, CYCLE, "clean", 0, 0)
    await sql(desk, "DELETE FROM daily_bars WHERE day > (clock_timestamp() AT TIME ZONE 'UTC')::date - 2")
    await refused(desk, "BTC-USD has none since")
    await sql(desk, "UPDATE incidents SET status = 'resolved'")
    await accepted(desk)


@pytest.mark.parametrize("link", [BTC, "component:execution", "latch:BTC-USD"])
async def test_reconciliation_needs_two_clean_cycles_in_a_row(
    desk: Desk, authority: Authority, link: str
) -> None:
    await desk.trip(BTC)
    for kind in ("order", "position"):
        for _ in range(3):
            await sql(desk, RUN, kind, "BTC-USD", "clean", -5)
    await sql(desk, INCIDENT, "reconciliation", link, [])
    await refused(desk, "BTC-USD 0 of 2")
    for kind in ("order", "order", "position"):
        await sql(desk, RUN, kind, "BTC-USD", "clean", 0)
    await refused(desk, "BTC-USD 1 of 2")
    await sql(desk, RUN, "position", "BTC-USD", "unknown", 0)
    await refused(desk, "BTC-USD 0 of 2")  # an unknown one begins the row anew
    await sql(desk, RUN, "position", "BTC-USD", "clean", 0)
    await refused(desk, "BTC-USD 1 of 2")
    await sql(desk, RUN, "position", "BTC-USD", "clean", 0)
    await accepted(desk)


async def test_a_broker_needs_health_and_a_rerun(desk: Desk, authority: Authority) -> None:
    await desk.trip(BTC)
    await sql(desk, RUN, "order", "BTC-USD", "clean", -5)
    await sql(desk, INCIDENT, "broker/connectivity", BTC, [])
    await refused(desk, "a clean reconciliation since: BTC-USD 0 of 1")
    await sql(desk, RUN, "order", "BTC-USD", "clean", 0)
    desk.venue.healthy = False
    await refused(desk, "gateway healthy, its feed fresh: degraded")
    desk.venue.healthy = True
    await accepted(desk)


async def test_what_is_linked_elsewhere_holds_up_nothing(desk: Desk, authority: Authority) -> None:
    await desk.trip(BTC)
    await sql(desk, INCIDENT, "data_quality", ETH, [])
    await sql(desk, INCIDENT, "reconciliation", None, [])
    await sql(desk, INCIDENT, "security", BTC, [])
    await accepted(desk)


async def test_a_table_that_cannot_be_read_holds_it_up(desk: Desk, authority: Authority) -> None:  # I25
    await desk.trip(BTC)
    await sql(desk, INCIDENT, "data_quality", BTC, [])
    await sql(desk, "ALTER TABLE daily_bars RENAME TO elsewhere")
    await refused(desk, "unreadable")


IMPOSSIBLE = (
    "'4000-01-01 BC', 'infinity'",
    "'4000-01-01 BC', clock_timestamp()",
    "'infinity', clock_timestamp()",
    "'-infinity', '-infinity'",
    "'294276-01-01', '294276-01-01'",
)


@pytest.mark.usefixtures("one_day")
async def test_a_cycle_with_impossible_times_is_told_and_blocks_nothing_for_good(
    desk: Desk, authority: Authority
) -> None:  # I25
    await desk.trip(BTC)
    await sql(desk, INCIDENT, "data_quality", BTC, [])
    await sql(desk, BARS, "BTC-USD")
    insert = "INSERT INTO quality_cycles (started_at, finished_at, status, errors, stale_warnings) VALUES "
    for times in IMPOSSIBLE:
        with pytest.raises(asyncpg.CheckViolationError):
            await sql(desk, f"{insert} ({times}, 'clean', 0, 0)")
    await sql(desk, "ALTER TABLE quality_cycles DROP CONSTRAINT quality_cycles_times")
    await sql(desk, "ALTER TABLE daily_bars DROP CONSTRAINT daily_bars_day")
    for times in IMPOSSIBLE:  # as a table from before it had bounds may hold them
        await sql(desk, f"{insert} ({times}, 'clean', 0, 0)")
    bar = "INSERT INTO daily_bars SELECT symbol, '-infinity', 1, 1, 1, 1, 1 FROM daily_bars LIMIT 1"
    await sql(desk, bar)
    await refused(desk, "the newest is unknown", "3 cycles with impossible times count as unknown")
    await sql(desk, CYCLE, "clean", 0, 0)
    await accepted(desk)


async def test_a_lock_on_what_a_recovery_rests_on_is_a_refusal(
    desk: Desk, authority: Authority
) -> None:  # F25
    await desk.trip(BTC)
    await sql(desk, INCIDENT, "data_quality", BTC, [])
    async with desk.platform.connection("gateway") as locker, locker.transaction():
        await locker.execute("LOCK TABLE daily_bars IN ACCESS EXCLUSIVE MODE")
        await refused(desk, "could not be read within a second")
