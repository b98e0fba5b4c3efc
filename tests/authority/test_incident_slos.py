"""Incidents of breached objectives: one for each breach that stands, and never a storm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from cockpit.authority import incident_slos
from cockpit.domain import slo_breaches
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.incident_story import IncidentStory
from cockpit.domain.incidents import Classification
from tests.authority.budgets import FILLS, GREEN, ORANGE, ORDERS, RED, Scripted, authority_with, slo
from tests.authority.desk import BTC, ETH, Desk, until
from tests.authority.test_incident_changes import ack, change, opened, story


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slo_breaches, "BREACHED_FOR", timedelta(seconds=0.15))
    monkeypatch.setattr(slo_breaches, "CALM_FOR", timedelta(seconds=0.3))


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


async def found(desk: Desk) -> list[Any]:
    async with desk.platform.connection() as connection:
        rows: list[Any] = await connection.fetch(
            "SELECT incident_id::text, * FROM incidents WHERE source = 'slo' ORDER BY opened_at"
        )
    return rows


async def newest(desk: Desk, count: int) -> str:
    async def there() -> Any:
        rows = await found(desk)
        return rows if len(rows) >= count else None

    rows = await until(there)
    assert len(rows) == count
    return str(rows[-1]["incident_id"])


async def told(desk: Desk, incident: str, *kinds: str) -> IncidentStory:
    async def reached() -> Any:
        now = await story(desk, incident)
        return now if [event.kind for event in now.events] == list(kinds) else None

    return await until(reached)  # type: ignore[no-any-return]


async def last_breach(desk: Desk, incident: str) -> tuple[str, bool, bool]:
    """What the first minutes say: of which objective, whether it has recovered, whether that is proved."""
    breach = (await (await desk.store("monitor1")).triage_facts(incident)).breach.value
    assert breach is not None
    return breach.slo, breach.recovered, breach.proved


async def settled(desk: Desk, scripted: Scripted, readings: int = 6) -> None:
    """Until the authority has judged what was said for longer than anything waits. Trips are recorded in
    turns, at whose end it judges: once the second one is, the turn of the first is over."""
    before = scripted.reads

    async def read() -> bool:
        return scripted.reads >= before + readings

    for _ in range(2):
        await until(read)
        await desk.trip(ETH)
        await desk.trip(ETH)
        before = scripted.reads


async def test_a_standing_breach_is_one_incident_that_grows_and_eases(desk: Desk, scripted: Scripted) -> None:
    scripted.slos = (replace(ORDERS, classification=Classification.BROKER), FILLS)
    async with authority_with(desk, scripted):
        scripted.left[ORDERS.name] = ORANGE
        incident = await newest(desk, 1)
        (row,) = await found(desk)
        assert (row["severity"], row["classification"]) == ("P2", "broker/connectivity")
        assert row["breaker_id"] == EXECUTION
        assert (
            row["slos"] == [ORDERS.name]
            and "ORANGE" in row["title"]
            and row["dedup_key"] == "slo:order-success"
        )
        assert (await ack(desk, incident)).status == "done"
        scripted.left[ORDERS.name] = RED
        now = await told(desk, incident, "opened", "acknowledged", "escalated")
        assert (now.row.severity, now.row.status) == ("P1", "open")
        assert [(page.event, page.severity) for page in now.pages] == [
            ("trigger", "P2"), ("acknowledge", "P2"), ("trigger", "P1"),
        ]  # fmt: skip
        assert all(event.audit_seq for event in now.events)
        scripted.left[ORDERS.name] = ORANGE
        await told(desk, incident, "opened", "acknowledged", "escalated", "slo-eased")
        scripted.left[ORDERS.name] = GREEN
        await told(desk, incident, "opened", "acknowledged", "escalated", "slo-eased", "slo-recovered")
        assert await last_breach(desk, incident) == (ORDERS.name, True, True)
        scripted.left[ORDERS.name] = RED
        now = await told(
            desk, incident, *"opened acknowledged escalated slo-eased slo-recovered slo-breach".split()
        )
        assert len(now.pages) == 3 and len(await found(desk)) == 1
        assert await last_breach(desk, incident) == (ORDERS.name, False, True)


async def test_what_people_ended_comes_back_only_when_it_is_new(desk: Desk, scripted: Scripted) -> None:
    scripted.left[FILLS.name] = ORANGE
    async with authority_with(desk, scripted):
        first = await newest(desk, 1)
        assert (await ack(desk, first)).status == "done"
        assert (await change(desk, "resolve", first)).status == "done"
        await settled(desk, scripted)
        (row,) = await found(desk)
        assert row["dedup_key"] == f"slo:{FILLS.name}#{first}"  # its key is free
    async with authority_with(desk, scripted):  # nor does a new term forget it
        await settled(desk, scripted)
        assert len(await found(desk)) == 1
        scripted.left[FILLS.name] = RED  # graver than what was ended
        second = await newest(desk, 2)
        assert (await found(desk))[-1]["severity"] == "P1"
        assert (await ack(desk, second)).status == "done"
        assert (await change(desk, "resolve", second)).status == "done"
        scripted.left[FILLS.name] = GREEN
        await told(desk, second, "opened", "acknowledged", "resolved", "slo-recovered")
        scripted.left[FILLS.name] = RED
        await newest(desk, 3)


async def test_what_flaps_or_is_unknown_opens_nothing(
    desk: Desk, scripted: Scripted, monkeypatch: Any
) -> None:
    monkeypatch.setattr(slo_breaches, "BREACHED_FOR", timedelta(seconds=60))
    scripted.left = {ORDERS.name: RED, FILLS.name: None}
    async with authority_with(desk, scripted):
        await settled(desk, scripted)
        scripted.broken = True
        await settled_by_time(desk)
        assert await found(desk) == []


async def settled_by_time(desk: Desk) -> None:
    """Some turns of the authority: it renews its lease each second."""
    store = await desk.store("monitor1")
    first = (await store.snapshot()).lease.renewed_at

    async def renewed() -> bool:
        return bool((await store.snapshot()).lease.renewed_at > first)

    await until(renewed)


async def test_a_hundred_breaches_are_no_storm(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incident_slos, "MOST_AN_HOUR", 3)
    many = [slo(f"objective-{n}", BTC) for n in range(30)]
    scripted = Scripted(slos=many, left={each.name: Decimal("-1") for each in many})
    async with authority_with(desk, scripted):
        await newest(desk, 3)
        await settled(desk, scripted)
        assert len(await found(desk)) == 3
        async with desk.platform.connection() as owner:  # an hour later
            await owner.execute("UPDATE incidents SET opened_at = opened_at - interval '61 minutes'")
        await newest(desk, 6)


async def test_an_objective_that_nobody_wrote_down_is_no_link(desk: Desk, scripted: Scripted) -> None:
    async with authority_with(desk, scripted):
        await settled(desk, scripted)
        incident = await opened(desk)
        assert (await change(desk, "link", incident, slos=["no-such-objective"])).code == "malformed"
        assert (await change(desk, "link", incident, slos=[ORDERS.name])).status == "done"
        assert (await story(desk, incident)).row.slos == (ORDERS.name,)
        scripted.faults = ("a file is wrong",)  # then a name is only a name
        await settled(desk, scripted)
        assert (await change(desk, "link", incident, slos=["perhaps"])).status == "done"
