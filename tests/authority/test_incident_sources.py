"""What opens an incident by itself also tells its story and pages, in the transaction of its cause."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from backends.signing import sign_command
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, Kind
from tests.authority.desk import BTC, Desk, until

pytestmark = pytest.mark.usefixtures("authority")


async def incident(desk: Desk, where: str, *args: Any) -> tuple[Any, list[Any], list[Any]]:
    async with desk.platform.connection() as owner:

        async def there() -> Any:
            return await owner.fetchrow(f"SELECT * FROM incidents WHERE {where}", *args)

        row = await until(there)
        events = await owner.fetch(
            "SELECT * FROM incident_events WHERE incident_id = $1 ORDER BY event_id", row["incident_id"]
        )
        pages = await owner.fetch(
            "SELECT * FROM outbox WHERE incident_id = $1 ORDER BY outbox_id", row["incident_id"]
        )
    return row, events, pages


async def trip(
    desk: Desk, name: str, login: str, target: str | None, reason: str = "drill", event_id: str = ""
) -> str:
    event_id = event_id or str(uuid4())
    command = Command(
        Kind.TRIP,
        event_id,
        BreakerId(name),
        login,
        datetime.now(UTC),
        reason=reason,
        notes="a halt by a test of titles",
        target=target,
    )
    store = desk.platform.redis_store(login)
    await store.connect()
    try:
        await store.trip(BreakerId(name), sign_command(command, desk.platform.keys[login]), event_id)
    finally:
        await store.close()
    await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    return event_id


@pytest.mark.parametrize(
    ("name", "login", "target", "title", "severity", "source"),
    [
        (BTC, "operator1", None, "instrument:BTC-USD tripped by operator1: drill", "P2", "trip"),
        ("hard_halt:BTC-USD", "admin1", "O7", "BTC-USD set to HARD_HALT by admin1 (O7): drill", "P2", "trip"),
        ("soft_halt:ETH-USD", "admin1", "O7", "ETH-USD set to SOFT_HALT by admin1 (O7): drill", "P2", "trip"),
        ("cancel_only:ETH-USD", "admin2", None, "ETH-USD set to CANCEL_ONLY by admin2: drill", "P2", "trip"),
        ("latch:ETH-USD", "operator1", None, "safety latch of ETH-USD set by operator1: drill", "P2", "trip"),
        ("withdrawals", "admin1", "OPS-8", "withdrawals halted by admin1 (OPS-8): drill", "P1", "trip"),
        (GLOBAL, "admin1", "kill-switch", "Kill switch of admin1", "P0", "kill"),
        (GLOBAL, "admin1", None, "global tripped by admin1: drill", "P1", "trip"),
    ],
)  # fmt: skip
async def test_a_trip_is_told_and_paged(
    desk: Desk, name: str, login: str, target: str | None, title: str, severity: str, source: str
) -> None:
    event_id = await trip(desk, name, login, target)
    entry = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    key = f"{source}:{event_id}"
    row, (event,), (page,) = await incident(desk, "dedup_key = $1", key)
    assert (row["title"], row["severity"], row["source"], row["opened_by"]) == (
        title,
        severity,
        source,
        login,
    )
    assert row["breaker_id"] == name
    assert (event["kind"], event["actor"], event["audit_seq"]) == ("opened", login, entry["seq"])
    assert (page["event"], page["severity"], page["title"]) == ("trigger", severity, title)
    assert page["dedup_key"] == f"incident:{row['incident_id']}"
    critical = await (await desk.store("monitor1")).open_criticals(900)
    assert critical == ([title] if source == "kill" else [])


@pytest.mark.parametrize("stricter", ["soft_halt", "hard_halt"])
async def test_the_first_half_of_a_loosening_has_no_incident(desk: Desk, stricter: str) -> None:
    await trip(desk, f"{stricter}:ETH-USD", "admin1", "O7")
    await trip(desk, "cancel_only:ETH-USD", "admin1", "O7")
    await trip(desk, "cancel_only:BTC-USD", "admin1", "O7")
    async with desk.platform.connection() as owner:
        rows = await owner.fetch("SELECT breaker_id FROM incidents ORDER BY opened_at")
    assert [row["breaker_id"] for row in rows] == [f"{stricter}:ETH-USD", "cancel_only:BTC-USD"]


async def test_strangers_trips_are_one_incident_and_one_page(desk: Desk) -> None:
    async with desk.platform.redis_line() as line:
        for _ in range(5):
            await line.command("INCR", f"trip:{BTC}")
    async with desk.platform.connection() as owner:

        async def all_told() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM incident_events") == 5)

        await until(all_told)
    row, events, pages = await incident(desk, "breaker_id = $1", BTC)
    assert (row["severity"], row["source"]) == ("P1", "authority")
    assert [event["kind"] for event in events] == ["opened", *["tripped"] * 4]
    assert len(pages) == 1 and len({event["audit_seq"] for event in events}) == 5


async def test_a_change_by_hand_pages(desk: Desk) -> None:
    async with desk.platform.redis_line() as line:
        await line.command("SET", "circuit_breaker:state", '{"state": "OPEN"}')
    row, (event,), (page,) = await incident(desk, "classification = 'governance'")
    assert row["title"].startswith("Unaudited change: circuit_breaker:state was changed by hand")
    async with desk.platform.connection() as owner:
        assert (
            await owner.fetchval("SELECT action FROM audit_log WHERE seq = $1", event["audit_seq"])
            == "UNAUDITED_CHANGE"
        )
    assert (page["event"], page["severity"]) == ("trigger", "P1")


async def test_a_loss_pages(desk: Desk) -> None:  # F1
    async with desk.platform.redis_line() as line:
        await line.command("FLUSHALL")
    row, (event,), (page,) = await incident(desk, "classification = 'state-loss'")
    async with desk.platform.connection() as owner:
        assert (
            await owner.fetchval("SELECT action FROM audit_log WHERE seq = $1", event["audit_seq"])
            == "STATE_LOSS_DETECTED"
        )
    assert (page["event"], page["severity"], page["title"]) == ("trigger", "P1", row["title"])
