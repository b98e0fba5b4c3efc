"""What opens an incident by itself also tells its story and pages, in the transaction of its cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    desk: Desk,
    name: str,
    login: str,
    target: str | None,
    reason: str = "drill",
    event_id: str = "",
    notes: str = "a halt by a test of titles",
) -> str:
    event_id = event_id or str(uuid4())
    command = Command(
        Kind.TRIP,
        event_id,
        BreakerId(name),
        login,
        datetime.now(UTC),
        reason=reason,
        notes=notes,
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
    assert (row["breaker_id"], row["classification"]) == (name, "other")
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


async def write(desk: Desk, severity: str, status: str, breaker_id: str | None = None, **columns: Any) -> str:
    fields: dict[str, Any] = {"title": "bars are late", "severity": severity, "status": status, **columns}
    names = ", ".join(("breaker_id", *fields))
    values = ", ".join(f"${index}" for index in range(1, len(fields) + 2))
    async with desk.platform.connection() as owner:
        return str(
            await owner.fetchval(
                f"INSERT INTO incidents ({names}) VALUES ({values}) RETURNING incident_id",
                breaker_id,
                *fields.values(),
            )
        )


@pytest.mark.parametrize(
    ("name", "severity", "status", "linked", "becomes"),
    [
        (BTC, "P2", "open", BTC, ("P2", "open")),
        (BTC, "P1", "acknowledged", BTC, ("P1", "acknowledged")),
        (BTC, "P3", "acknowledged", BTC, ("P2", "open")),  # the new cause is graver: an alarm anew
        (GLOBAL, "P2", "open", GLOBAL, ("P1", "open")),
        ("hard_halt:BTC-USD", "P2", "open", BTC, ("P2", "open")),
        ("hard_halt:BTC-USD", "P2", "open", "soft_halt:BTC-USD", ("P2", "open")),
        ("hard_halt:BTC-USD", "P2", "open", "soft_halt:ETH-USD", None),
        (BTC, "P2", "open", "component:execution", None),
        (BTC, "P1", "resolved", BTC, None),
        (BTC, "P1", "merged", BTC, None),
    ],
)
async def test_a_persons_trip_belongs_to_the_incident_that_is_under_way(
    desk: Desk, name: str, severity: str, status: str, linked: str, becomes: tuple[str, str] | None
) -> None:
    known = await write(desk, severity, status, linked)
    event_id = await trip(desk, name, "admin1", None)
    entry = await desk.audited(event_id, "CIRCUIT_BREAKER_TRIP")
    async with desk.platform.connection() as owner:
        count = await owner.fetchval("SELECT count(*) FROM incidents")
    assert count == (1 if becomes else 2)
    row, events, pages = await incident(desk, "incident_id = $1", known)
    if becomes is None:
        assert ((row["severity"], row["status"]), events) == ((severity, status), [])
        return
    raised = becomes[0] != severity
    assert (row["severity"], row["status"]) == becomes
    assert [event["kind"] for event in events] == ["tripped", *["escalated"] * raised]
    assert (events[0]["actor"], events[0]["audit_seq"]) == ("admin1", entry["seq"])
    assert event_id in events[0]["details"]
    assert [(page["event"], page["severity"]) for page in pages] == [("trigger", becomes[0])] * raised
    found = (await (await desk.store("monitor1")).snapshot(1)).trip_pages
    told = [(page.event_id, page.incident_id, page.joined, page.older) for page in found]
    assert told == [(event_id, known, True, not raised)]  # I25: a page from before the trip does not tell it


async def test_a_trip_for_an_incident_that_it_names_is_told_there(desk: Desk) -> None:
    """By its ticket, as a step of the page has it; a snooze was about what was known before."""
    known = await write(desk, "P1", "open", None, snoozed_until=datetime.now(UTC) + timedelta(hours=1))
    async with desk.platform.connection() as owner:
        await owner.execute(
            "INSERT INTO outbox (dedup_key, incident_id, event, severity, title)"
            " VALUES ('incident:' || $1::text, $1::uuid, 'trigger', 'P1', 'bars are late')",
            known,
        )
    await trip(desk, "withdrawals", "admin1", known[:8])
    (told,) = (await (await desk.store("monitor1")).snapshot(1)).trip_pages
    assert (told.joined, told.queued, told.older) == (True, True, True)  # its page was made before the trip
    row, events, _ = await incident(desk, "incident_id = $1", known)
    assert ([event["kind"] for event in events], row["snoozed_until"]) == (["tripped"], None)
    await trip(desk, "withdrawals", "admin1", "OPS-8")
    async with desk.platform.connection() as owner:
        assert await owner.fetchval("SELECT count(*) FROM incidents") == 2


async def test_neither_a_kill_switch_nor_a_review_that_is_owed_is_joined(desk: Desk) -> None:
    """Nor an incident that somebody holds at that moment: nobody waits for it, and none is lost."""
    await write(desk, "P0", "open", GLOBAL)
    await trip(desk, GLOBAL, "admin1", "kill-switch")
    await write(desk, "P1", "open", BTC, source="override")
    await trip(desk, BTC, "operator1", None)
    held = await write(desk, "P0", "open", "instrument:ETH-USD")
    async with desk.platform.connection() as owner:
        async with owner.transaction():
            await owner.execute("SELECT FROM incidents WHERE incident_id = $1 FOR NO KEY UPDATE", held)
            await trip(desk, "instrument:ETH-USD", "operator1", None)
        rows = await owner.fetch("SELECT source FROM incidents ORDER BY opened_at")
    assert [row["source"] for row in rows] == ["manual", "kill", "override", "trip", "manual", "trip"]


async def test_strangers_trips_are_one_incident_and_one_page(desk: Desk) -> None:
    async with desk.platform.redis_line() as line:
        for _ in range(5):
            await line.command("INCR", f"trip:{BTC}")
    async with desk.platform.connection() as owner:

        async def all_told() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM incident_events") == 5)

        await until(all_told)
    row, events, pages = await incident(desk, "breaker_id = $1", BTC)
    assert (row["severity"], row["source"], row["classification"]) == ("P1", "authority", "security")
    assert [event["kind"] for event in events] == ["opened", *["tripped"] * 4]
    assert len(pages) == 1 and len({event["audit_seq"] for event in events}) == 5


async def test_a_change_by_hand_pages(desk: Desk) -> None:
    async with desk.platform.redis_line() as line:
        await line.command("SET", "circuit_breaker:state", '{"state": "OPEN"}')
    row, (event,), (page,) = await incident(desk, "dedup_key LIKE 'change:%' AND classification = 'security'")
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
    row, (event,), (page,) = await incident(desk, "dedup_key LIKE 'loss:%' AND classification = 'other'")
    assert row["title"].startswith("State of ") and " lost: " in row["title"]
    async with desk.platform.connection() as owner:
        assert (
            await owner.fetchval("SELECT action FROM audit_log WHERE seq = $1", event["audit_seq"])
            == "STATE_LOSS_DETECTED"
        )
    assert (page["event"], page["severity"], page["title"]) == ("trigger", "P1", row["title"])
