"""Acknowledgements that run out, by the database's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from cockpit.authority.service import running_authority
from cockpit.domain.commands import Kind
from tests.authority.desk import Desk, until
from tests.authority.test_incident_changes import ack, change, opened, story


@pytest.fixture
def limits() -> Mapping[str, object]:
    return {"acknowledgement_expiry_s": 600}


@pytest.fixture
async def running(desk: Desk) -> AsyncIterator[None]:
    async with running_authority(desk.settings):
        yield


async def age(desk: Desk, incident: str, minutes: float) -> None:
    """As if the incident's last event, and all before it, were so long ago."""
    async with desk.platform.connection() as owner:
        await owner.execute(
            "UPDATE incidents SET last_event_at = clock_timestamp() - make_interval(secs => 60 * $2),"
            " alarm_at = alarm_at - make_interval(secs => 60 * $2) WHERE incident_id = $1",
            incident,
            minutes,
        )


async def expired(desk: Desk, incident: str) -> Any:
    async def found() -> Any:
        told = await story(desk, incident)
        return told if told.row.status == "open" else None

    return await until(found)


@pytest.mark.usefixtures("running")
async def test_nothing_happens_and_it_is_an_alarm_again(desk: Desk) -> None:
    incident = await opened(desk, "P1")
    assert (await ack(desk, incident)).status == "done"
    store = await desk.store("monitor1")
    assert await store.open_criticals(900) == []
    await age(desk, incident, 11)
    told = await expired(desk, incident)
    assert [event.kind for event in told.events] == ["opened", "acknowledged", "ack-expired"]
    event, row = told.events[-1], told.row
    assert (event.actor, event.details["acknowledged_by"]) == ("authority", "operator1")
    assert "operator1" in event.notes and event.audit_seq is not None
    assert [page.event for page in told.pages] == ["trigger", "acknowledge", "trigger"]
    first, _, again = told.pages
    assert again.title == f"acknowledgement of {incident[:8]} by operator1 lapsed: a P1 of a test"
    async with desk.platform.connection() as owner:  # a receiver knows it as the same incident
        keys = await owner.fetch("SELECT DISTINCT dedup_key FROM outbox WHERE incident_id = $1", incident)
        newest = "SELECT details ->> 'open_again' FROM outbox WHERE incident_id = $1 ORDER BY outbox_id DESC"
        assert await owner.fetchval(newest, incident) == "true"
    assert len(keys) == 1 and first.title == "a P1 of a test"
    assert abs((row.alarm_at - event.at).total_seconds()) < 60  # its clock begins anew
    assert row.acknowledged_by == "operator1"
    assert await store.open_criticals(900) == ["a P1 of a test"]  # and it holds up resumes again
    async with desk.platform.connection() as connection:
        entry = await connection.fetchrow("SELECT * FROM audit_log WHERE seq = $1", event.audit_seq)
    assert (entry["action"], entry["user_id"]) == ("ACKNOWLEDGEMENT_EXPIRED", "authority")

    async def said() -> bool:
        lease = (await store.snapshot()).lease
        return lease is not None and "unattended incident" in str(lease.status["alarms"])

    await until(said)
    assert (await ack(desk, incident)).status == "done"
    await age(desk, incident, 11)
    assert (
        len([event for event in (await expired(desk, incident)).events if event.kind == "ack-expired"]) == 2
    )


@pytest.mark.usefixtures("running")
async def test_what_is_minor_quiet_or_looked_after_stays(desk: Desk) -> None:
    minor, quiet, tended, over, gone = [await opened(desk, each) for each in ("P2", "P1", "P1", "P1", "P1")]
    for incident in (minor, quiet, tended, over, gone):
        assert (await ack(desk, incident)).status == "done"
    async with desk.platform.connection() as owner:
        await owner.execute(
            "UPDATE incidents SET snoozed_until = now() + interval '1 hour' WHERE incident_id = $1",
            quiet,
        )
    assert (await change(desk, "resolve", over)).status == "done"
    for incident, minutes in ((minor, 99.0), (quiet, 99.0), (tended, 5.0), (over, 99.0), (gone, 99.0)):
        await age(desk, incident, minutes)
    await expired(desk, gone)  # so the clocks were looked at
    for incident, status in (
        (minor, "acknowledged"),
        (quiet, "acknowledged"),
        (tended, "acknowledged"),
        (over, "resolved"),
    ):
        assert (await story(desk, incident)).row.status == status
    async with desk.platform.connection() as owner:  # a snooze that is over protects nothing
        await owner.execute(
            "UPDATE incidents SET snoozed_until = clock_timestamp() - interval '1 s' WHERE incident_id = $1",
            quiet,
        )
    assert (await expired(desk, quiet)).row.snoozed_until is None


async def test_it_runs_on_while_nobody_looks(desk: Desk) -> None:  # F24
    async with running_authority(desk.settings):
        incident = await opened(desk, "P0")
        assert (await ack(desk, incident)).status == "done"
        assert (await change(desk, "note", incident, notes="still at it")).status == "done"
    await age(desk, incident, 20)
    assert (await story(desk, incident)).row.status == "acknowledged"
    async with running_authority(desk.settings):
        await expired(desk, incident)


@pytest.mark.usefixtures("running")
async def test_a_reviewed_override_stays_reviewed(desk: Desk) -> None:  # I23
    giver = await desk.command(Kind.HALF_OPEN, "component:execution", "admin1")  # type: ignore[arg-type]
    await desk.send(giver)
    await desk.answer(giver.request_id)
    async with desk.platform.connection() as owner:
        incident = str(
            await owner.fetchval(
                "INSERT INTO incidents (severity, title, source, dedup_key)"
                " VALUES ('P1', 'x', 'override', $1) RETURNING incident_id",
                f"override:{giver.request_id}",
            )
        )
    assert (await ack(desk, incident, "admin2")).status == "done"
    await age(desk, incident, 11)
    row = (await expired(desk, incident)).row
    assert row.acknowledged_at is not None
    assert (await ack(desk, incident, "admin1")).code == "self-approval"
