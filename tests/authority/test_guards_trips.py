"""One incident for each firing of the guard, whichever of its two records comes first; what it demands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from backends.guard_store import GuardStore, Term
from cockpit.authority.service import Authority
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from cockpit.domain.trigger_watch import Firing
from cockpit.guard.deeds import Deed, Phase, record_of
from cockpit.guard.rule_file import read_rules, shipped_rules
from tests.authority.desk import Desk
from tests.authority.test_incident_sources import trip
from tests.authority.test_recovery import RUN, sql
from tests.guard.plant import fired, lasting_leases, running_guard, sample

GUARD = "automation1"


@pytest.fixture
async def guard(desk: Desk) -> AsyncIterator[tuple[GuardStore, Term]]:
    await lasting_leases(desk.platform)
    store = GuardStore(desk.platform.login(GUARD).postgres_dsn)
    try:
        term = await store.take("me")
        assert term is not None
        yield store, term
    finally:
        await store.close()


Guard = tuple[GuardStore, Term]


async def fire(desk: Desk, guard: Guard, event_id: str, rule: str = "ledger-invariant") -> None:
    """What the guard records of a firing of a shipped rule."""
    (found,) = [each for each in read_rules(shipped_rules(), desk.platform.catalogue) if each.name == rule]
    firing = Firing(found, "", EXECUTION, 12.0, (), datetime.now(UTC))
    store, term = guard
    assert await store.fire(term, record_of(Deed(event_id, firing, phase=Phase.DONE)))


async def halt(
    desk: Desk, event_id: str, reason: str = "data-integrity", rule: str = "ledger-invariant"
) -> None:
    notes = f"Rule {rule}: what it found. 1, threshold 0"
    await trip(desk, EXECUTION, GUARD, None, reason, event_id, notes)


async def incidents(desk: Desk) -> list[Any]:
    async with desk.platform.connection() as owner:
        rows: list[Any] = await owner.fetch(
            "SELECT i.*, (SELECT array_agg(kind ORDER BY event_id) FROM incident_events e"
            " WHERE e.incident_id = i.incident_id) AS kinds, (SELECT array_agg(event || ' ' || severity"
            " ORDER BY outbox_id) FROM outbox o WHERE o.incident_id = i.incident_id) AS pages,"
            " (SELECT count(DISTINCT dedup_key) FROM outbox o WHERE o.incident_id = i.incident_id) AS keys"
            " FROM incidents i ORDER BY opened_at"
        )
    return rows


ORDERS = {
    "trip-first": (["opened", "escalated", "fired"], ["trigger P2", "trigger P0"]),
    "firing-first": (["fired", "tripped"], ["trigger P0"]),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_a_firing_is_one_incident(desk: Desk, authority: Authority, guard: Guard, order: str) -> None:
    event_id = str(uuid4())
    records = [lambda: halt(desk, event_id), lambda: fire(desk, guard, event_id)]
    for record in records if order == "trip-first" else records[::-1]:
        await record()
    (row,) = await incidents(desk)
    assert (row["severity"], row["status"], row["source"]) == ("P0", "open", "guard")
    assert (row["classification"], row["breaker_id"]) == ("reconciliation", EXECUTION)
    assert row["title"].startswith("Ledger invariant violated") and row["opened_by"] == GUARD
    assert (row["kinds"], row["pages"]) == ORDERS[order]
    assert row["keys"] == 1  # the receiver takes them for one alarm
    await fire(desk, guard, event_id)  # said again
    assert [each["kinds"] for each in await incidents(desk)] == [ORDERS[order][0]]


async def test_a_rule_that_pages_nobody_else_is_one_incident_of_its_class(
    desk: Desk, authority: Authority, guard: Guard
) -> None:
    event_id = str(uuid4())
    await halt(desk, event_id, "operational", "api-errors")
    await fire(desk, guard, event_id, "api-errors")
    (row,) = await incidents(desk)
    assert (row["severity"], row["classification"]) == ("P2", "broker/connectivity")
    assert (row["kinds"], row["pages"]) == (["opened", "fired"], ["trigger P2"])
    again = str(uuid4())  # while it waits, a further firing is told there, whichever record comes first
    await halt(desk, again, "operational", "api-errors")
    await fire(desk, guard, again, "api-errors")
    (row,) = await incidents(desk)
    assert row["kinds"] == ["opened", "fired", "tripped", "fired"]


async def test_another_rules_halt_is_told_in_no_incident_of_this_one(
    desk: Desk, authority: Authority, guard: Guard
) -> None:
    """What that demands of a recovery may be less."""
    first, second = str(uuid4()), str(uuid4())
    await halt(desk, first, "operational", "position-limit")
    await fire(desk, guard, first, "position-limit")
    await halt(desk, second)
    limit, ledger = await incidents(desk)
    assert "tripped" not in limit["kinds"] and ledger["kinds"] == ["opened"]
    await fire(desk, guard, second)
    limit, ledger = await incidents(desk)
    assert (limit["classification"], ledger["classification"]) == ("other", "reconciliation")
    assert (ledger["source"], ledger["severity"]) == ("guard", "P0")


async def test_a_trip_whose_firing_never_comes_has_its_own(desk: Desk, authority: Authority) -> None:
    await halt(desk, str(uuid4()))
    (row,) = await incidents(desk)
    assert (row["severity"], row["source"], row["classification"]) == ("P2", "trip", "data_quality")


async def test_what_somebody_acknowledged_hides_no_firing(
    desk: Desk, authority: Authority, guard: Guard
) -> None:
    event_id = str(uuid4())
    await halt(desk, event_id)
    await sql(desk, "UPDATE incidents SET status = 'acknowledged'")
    await fire(desk, guard, event_id)
    trips, guards = await incidents(desk)
    assert (trips["source"], guards["source"], guards["status"]) == ("trip", "guard", "open")
    assert guards["pages"] == ["trigger P0"]


async def test_no_firing_takes_what_is_anothers(desk: Desk, authority: Authority, guard: Guard) -> None:
    """A person's trip, and one of another breaker, stay what they are though a guard names them."""
    persons, other = str(uuid4()), str(uuid4())
    await trip(desk, EXECUTION, "operator1", None, event_id=persons)
    await trip(desk, "instrument:BTC-USD", GUARD, None, event_id=other)
    for event_id in (persons, other):
        await fire(desk, guard, event_id)
    found = await incidents(desk)
    assert [row["source"] for row in found] == ["trip", "trip", "guard"]
    assert [row["severity"] for row in found] == ["P2", "P2", "P0"]


async def test_a_lock_that_somebody_keeps_delays_no_trip_for_long(
    desk: Desk, authority: Authority, guard: Guard
) -> None:  # F25
    event_id = str(uuid4())
    async with desk.platform.connection("monitor1") as locker, locker.transaction():
        await locker.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('firing:' || $1::text, 0))", event_id
        )
        async with asyncio.timeout(60):
            await halt(desk, event_id)
            await fire(desk, guard, event_id)
    (row,) = await incidents(desk)
    assert row["source"] == "guard"


async def test_execution_waits_for_clean_books_after_a_ledger_invariant(
    desk: Desk, authority: Authority, guard: Guard
) -> None:  # I25
    """Bars and quality cycles have nothing to do with it, and an acknowledgement is no proof."""
    await desk.becomes(EXECUTION, State.CLOSED)
    event_id = str(uuid4())
    await halt(desk, event_id)
    await fire(desk, guard, event_id)
    await sql(desk, "UPDATE incidents SET status = 'acknowledged', acknowledged_at = clock_timestamp()")
    refused = await desk.ask(Kind.HALF_OPEN, EXECUTION)
    assert (refused.status, refused.code) == ("refused", "checklist"), refused.message
    said = refused.message or ""
    assert "2 clean reconciliations in a row since" in said and "0 of 2" in said
    assert "bars" not in said and "quality" not in said
    for symbol in desk.platform.catalogue.ids:
        if symbol.startswith("instrument:"):
            for _ in range(2):
                await sql(desk, RUN, "order", symbol.partition(":")[2], "clean", 0)
    begun = await desk.ask(Kind.HALF_OPEN, EXECUTION)
    assert begun.status == "done", begun.message


async def test_a_guard_and_an_authority_open_one_incident_between_them(
    desk: Desk, authority: Authority
) -> None:
    await desk.becomes(EXECUTION, State.CLOSED)
    await lasting_leases(desk.platform)
    async with running_guard(desk.settings):
        for value in (0, 1):
            await sample(desk.platform, "invariant_violations", value, ago_s=2 - value)
        (firing,) = await fired(desk.platform, "ledger-invariant")
        await desk.audited(str(firing["firing_id"]), "CIRCUIT_BREAKER_TRIP")
    (row,) = await incidents(desk)
    assert (row["severity"], row["source"], row["classification"]) == ("P0", "guard", "reconciliation")
    assert sorted(row["kinds"]) in (["escalated", "fired", "opened"], ["fired", "tripped"])
