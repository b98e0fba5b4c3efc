"""Another classification for an incident: recorded whole, and no way around its recovery conditions."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from cockpit.authority import faults, incident_recovery
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from tests.authority.desk import BTC, NOTES, Desk
from tests.authority.test_incident_changes import ack, change, opened, refusal, story
from tests.authority.test_interruptions import Trap
from tests.authority.test_revoked import DEMOTED, trapped

RUN = (
    "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
    " VALUES ($1, 'BTC-USD', 'clean', clock_timestamp())"
)


async def classify(desk: Desk, incident: str, word: str, login: str = "operator1") -> RequestRow:
    return await change(desk, "classify", incident, login, classification=word)


async def reconciled(desk: Desk) -> None:
    """One clean run of each kind."""
    async with desk.platform.connection() as connection:
        for kind in ("order", "position"):
            await connection.execute(RUN, kind)


async def dropped(desk: Desk, incident: str) -> Sequence[object]:
    """What the newest line of its story says was dropped; the audit entry says the same."""
    event = (await story(desk, incident)).events[-1]
    async with desk.platform.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM audit_log WHERE seq = $1", event.audit_seq)
    details = json.loads(row["details"])
    assert (event.kind, row["action"], row["user_id"]) == ("classified", "INCIDENT_CLASSIFIED", event.actor)
    assert details == {"incident_id": incident, "notes": NOTES, **event.details}
    found = event.details.get("conditions_dropped", [])
    assert isinstance(found, list)
    return found


async def test_it_is_told_and_audited_and_changes_nothing_else(desk: Desk, authority: Authority) -> None:
    incident = await opened(desk, "P2", breakers=[BTC])  # I24
    before = (await story(desk, incident)).row
    assert (await classify(desk, incident, "security")).status == "done"
    found = await story(desk, incident)
    assert (found.row.classification, found.row.status) == ("security", "open")
    assert (found.row.severity, found.row.alarm_at, found.row.owner) == ("P2", before.alarm_at, None)
    assert found.events[-1].details == {"classification": "security", "before": "other"}
    assert await dropped(desk, incident) == [] and len(found.pages) == 1
    refusal(await classify(desk, incident, "security"), "It is classified as security already.")
    assert (await ack(desk, incident)).status == "done"
    assert (await classify(desk, incident, "other")).status == "done"
    assert (await story(desk, incident)).row.status == "acknowledged"
    for fields, notes in (({"classification": "governance"}, NOTES), ({"classification": "security"}, "x")):
        row = await change(desk, "classify", incident, notes=notes, **fields)
        assert (row.status, row.code) == ("refused", "malformed"), row.message
    assert (await classify(desk, incident, "security", "monitor1")).code == "denied"  # I22
    assert (await change(desk, "resolve", incident)).status == "done"
    refusal(await classify(desk, incident, "security", "admin1"), "is resolved and cannot be classified")


async def test_a_new_name_drops_no_condition_that_does_not_hold(desk: Desk, authority: Authority) -> None:
    drift = await opened(desk, "P2", classification="reconciliation", breakers=[BTC])  # I25
    await reconciled(desk)
    for word in ("other", "broker/connectivity"):  # one clean run is enough for the latter, and was not
        row = await classify(desk, drift, word)
        refusal(
            row,
            "1 of 1 recovery conditions",
            "BTC-USD 1 of 2",
            "only a safety-admin",
            code="recovery-conditions",
        )
    async with desk.platform.connection() as locker, locker.transaction():
        await locker.execute("LOCK TABLE reconciliation_runs IN ACCESS EXCLUSIVE MODE")
        row = await classify(desk, drift, "other")
        refusal(row, "since: could not be read", code="recovery-conditions")  # F25
    assert [event.kind for event in (await story(desk, drift)).events] == ["opened"]
    await reconciled(desk)
    assert (await classify(desk, drift, "other")).status == "done"
    assert await dropped(desk, drift) == []


async def test_the_gateway_is_asked_and_two_clean_runs_are_one(
    desk: Desk, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident_recovery, "READ_S", 30.0)
    away = await opened(desk, "P2", classification="broker/connectivity", breakers=[BTC])
    desk.venue.healthy = False
    row = await classify(desk, away, "reconciliation")
    refusal(row, "1 of 1 recovery conditions", "gateway healthy", "degraded", code="recovery-conditions")
    desk.venue.healthy = True
    refusal(
        await classify(desk, away, "other"),
        "1 of 2 recovery conditions",
        "BTC-USD 0 of 1",
        code="recovery-conditions",
    )
    assert (await classify(desk, away, "reconciliation")).status == "done"
    assert (await story(desk, away)).row.classification == "reconciliation"


async def test_a_safety_admin_may_and_it_stands_there_what_was_dropped(
    desk: Desk, authority: Authority
) -> None:
    drift = await opened(desk, "P2", classification="reconciliation", breakers=[BTC])
    row = await classify(desk, drift, "security", "admin1")
    assert row.status == "done" and "dropped, though not met" in (row.message or ""), row.message
    (line,) = await dropped(desk, drift)
    assert line == "2 clean reconciliations in a row since: BTC-USD 0 of 2"
    assert (await classify(desk, drift, "reconciliation")).status == "done"  # back: more is demanded again
    assert await dropped(desk, drift) == []
    assert (await classify(desk, drift, "other")).code == "recovery-conditions"
    async with desk.platform.connection() as owner:  # whichever of their roles came first
        await owner.execute("INSERT INTO role_grants (login, role) VALUES ('operator1', 'safety-admin')")
        row = await classify(desk, drift, "other")
        await owner.execute("DELETE FROM role_grants WHERE login = 'operator1' AND role = 'safety-admin'")
        assert row.status == "done", row.message
        roles = await owner.fetch("SELECT role FROM audit_log WHERE action = 'INCIDENT_CLASSIFIED'")
    assert len(await dropped(desk, drift)) == 1
    assert [each["role"] for each in roles] == ["safety-admin", "operator-act", "safety-admin"]


@pytest.mark.parametrize("source", ["trip", "override"])
async def test_what_holds_up_no_resume_loses_nothing(desk: Desk, authority: Authority, source: str) -> None:
    async with desk.platform.connection() as connection:
        incident = await connection.fetchval(
            "INSERT INTO incidents (severity, title, source, dedup_key, classification)"
            " VALUES ('P2', 'x', $1, 'k', 'reconciliation') RETURNING incident_id::text",
            source,
        )
    assert (await classify(desk, incident, "other")).status == "done"
    assert await dropped(desk, incident) == []


async def test_rights_that_end_meanwhile_drop_nothing(desk: Desk) -> None:  # I21
    trap = Trap(faults.BEFORE_INCIDENT)
    async with running_authority(desk.settings, trap):
        drift = await opened(desk, "P2", classification="reconciliation", breakers=[BTC])
        target = json.dumps({"incident_id": drift, "classification": "other"})
        command = await desk.command(
            Kind.INCIDENT, GLOBAL, "admin1", target=target, reason="classify", epoch=None, checked=()
        )
        row = await trapped(desk, trap, command, DEMOTED, "admin1")
        refusal(row, "only a safety-admin", code="recovery-conditions")
        assert [event.kind for event in (await story(desk, drift)).events] == ["opened"]
