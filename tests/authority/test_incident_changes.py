"""What people do to incidents: each a signed request, recorded whole, or refused with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.desk import RequestRow
from cockpit.domain.documents import rfc3339
from cockpit.domain.incident_story import IncidentStory
from cockpit.domain.permissions import Role
from tests.authority.desk import BTC, ETH, NOTES, Desk

pytestmark = pytest.mark.usefixtures("authority")


async def change(
    desk: Desk,
    verb: str,
    incident: str | None = None,
    login: str = "operator1",
    notes: str = NOTES,
    **fields: Any,
) -> RequestRow:
    target = {"incident_id": incident, **fields} if incident else fields
    return await desk.ask(
        Kind.INCIDENT,
        GLOBAL,
        login,
        reason=verb,
        target=json.dumps(target),
        notes=notes,
        epoch=None,
        checked=(),
    )


async def opened(desk: Desk, severity: str = "P1", login: str = "operator1", **fields: Any) -> str:
    facts = {"severity": severity, "classification": "other", "title": f"a {severity} of a test", **fields}
    row = await change(desk, "open", None, login, **facts)
    assert row.status == "done", row.message
    return row.request_id


async def ack(desk: Desk, incident: str, login: str = "operator1", **changes: Any) -> RequestRow:
    return await desk.ask(Kind.ACKNOWLEDGE, GLOBAL, login, target=incident, epoch=None, checked=(), **changes)


async def story(desk: Desk, incident: str) -> IncidentStory:
    found: IncidentStory = await (await desk.store("monitor1")).incident(incident)
    return found


def refusal(row: RequestRow, *words: str, code: str = "wrong-state") -> None:
    assert (row.status, row.code) == ("refused", code), row.message
    for word in words:
        assert word in (row.message or ""), row.message


async def test_a_whole_life_is_told_audited_and_paged(desk: Desk) -> None:  # I24, I25
    incident = await opened(desk, "P2", breakers=[BTC], slos=[])
    steps: list[tuple[str, dict[str, Any]]] = [
        ("note", {}),
        ("assign", {"owner": "admin1"}),
        ("link", {"breakers": [ETH, BTC]}),
        ("snooze", {"until": rfc3339(datetime.now(UTC) + timedelta(hours=1))}),
        ("escalate", {"severity": "P1"}),
    ]
    for verb, fields in steps:
        row = await change(desk, verb, incident, **fields)
        assert row.status == "done", (verb, row.message)
    assert (await ack(desk, incident, "admin1")).status == "done"
    action = await change(desk, "action", incident, title="write the postmortem", owner="admin2")
    told = await change(desk, "told", incident, audience="team")
    assert told.status == action.status == "done", (told.message, action.message)
    assert (await change(desk, "resolve", incident)).status == "done"
    done = await change(desk, "done", incident, action_id=action.request_id)
    assert done.status == "done", done.message

    found = await story(desk, incident)
    kinds = [event.kind for event in found.events]
    assert kinds == (
        "opened noted assigned linked snoozed escalated acknowledged action told resolved done".split()
    )
    async with desk.platform.connection() as connection:
        rows = await connection.fetch(
            "SELECT seq, action, details FROM audit_log WHERE details ->> 'incident_id' = $1 ORDER BY seq",
            incident,
        )
    assert [event.audit_seq for event in found.events] == [row["seq"] for row in rows]
    assert [row["action"] for row in rows][-2:] == ["INCIDENT_RESOLVED", "INCIDENT_ACTION"]
    assert [page.event for page in found.pages] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert [page.severity for page in found.pages] == ["P2", "P1", "P1", "P1"]
    row_now = found.row
    assert (row_now.status, row_now.severity, row_now.owner) == ("resolved", "P1", "admin1")
    assert (row_now.root_cause, row_now.resolved_by) == (NOTES, "operator1")
    assert row_now.snoozed_until is None  # an escalation is loud
    assert found.breakers == (BTC, ETH) and row_now.opened_by == "operator1"
    (item,) = found.actions
    assert (item.owner, item.done_by) == ("admin2", "operator1")
    assert len({page.severity for page in found.pages}) == 2
    async with desk.platform.connection() as connection:
        keys = await connection.fetch(
            "SELECT DISTINCT dedup_key FROM outbox WHERE incident_id = $1", incident
        )
    assert [row["dedup_key"] for row in keys] == [f"incident:{incident}"]


async def test_the_status_decides_what_may_happen(desk: Desk) -> None:
    incident = await opened(desk)
    refusal(await change(desk, "resolve", incident), "is open", "cannot be resolved", "Acknowledge it first")
    assert (await ack(desk, incident)).status == "done"
    refusal(await ack(desk, incident, "admin1"), "is acknowledged", "cannot be acknowledged")
    assert (await change(desk, "resolve", incident)).status == "done"
    for verb, fields in (
        ("resolve", {}),
        ("assign", {"owner": "admin1"}),
        ("escalate", {"severity": "P0"}),
        ("snooze", {"until": rfc3339(datetime.now(UTC) + timedelta(hours=1))}),
        ("link", {"breakers": [BTC]}),
        ("merge", {"into": await opened(desk)}),
    ):
        refusal(await change(desk, verb, incident, **fields), "is resolved")
    refusal(await ack(desk, incident), "is resolved")
    assert (await change(desk, "note", incident)).status == "done"
    gone = str(uuid4())
    refusal(await change(desk, "note", gone), f"There is no incident {gone}", code="unknown")
    refusal(await ack(desk, gone), f"There is no incident {gone}", code="unknown")


async def test_severity_only_rises_and_must_be_acknowledged_anew(desk: Desk) -> None:
    incident = await opened(desk, "P2")
    assert (await ack(desk, incident)).status == "done"
    before = (await story(desk, incident)).row
    for severity in ("P2", "P3"):
        refusal(await change(desk, "escalate", incident, severity=severity), "P2 already")
    assert (await change(desk, "escalate", incident, severity="SEV1")).status == "done"
    row = (await story(desk, incident)).row
    assert (row.severity, row.status) == ("P0", "open")
    assert row.alarm_at and before.alarm_at and row.alarm_at > before.alarm_at
    assert row.acknowledged_by == "operator1"  # who had it last stays known
    assert await (await desk.store("monitor1")).open_criticals(900) == ["a P2 of a test"]


async def test_a_snooze_has_its_bounds(desk: Desk) -> None:
    incident, gravest = await opened(desk, "P1"), await opened(desk, "P0")
    now = datetime.now(UTC)
    for end, why in ((now + timedelta(hours=24, minutes=5), "24 h"), (now - timedelta(seconds=1), "past")):
        refusal(await change(desk, "snooze", incident, until=rfc3339(end)), why)
    refusal(await change(desk, "snooze", gravest, until=rfc3339(now + timedelta(hours=1))), "P0")
    assert (await change(desk, "snooze", incident, until=rfc3339(now + timedelta(hours=23)))).status == "done"
    store = await desk.store("monitor1")
    assert len(await store.open_criticals(900)) == 2  # quiet, and holds up as before


async def test_merging_moves_links_and_silences_nothing(desk: Desk) -> None:
    minor, grave = await opened(desk, "P2", breakers=[ETH]), await opened(desk, "P1", breakers=[BTC])
    refusal(await change(desk, "merge", grave, into=grave), "into itself")
    refusal(await change(desk, "merge", grave, into=minor), "only P2")
    other = await opened(desk, "P0")
    assert (await ack(desk, other)).status == "done"
    row = await change(desk, "merge", grave, into=other)
    refusal(row, "obody has acknowledged it yet", "holds up no resume")
    assert (await change(desk, "merge", minor, into=grave)).status == "done"
    refusal(await change(desk, "merge", other, into=minor), "merged")
    refusal(await change(desk, "note", minor), "is merged", f"part of {grave}")
    into, merged = await story(desk, grave), await story(desk, minor)
    assert into.breakers == (BTC, ETH) and [each.incident_id for each in into.merged] == [minor]
    assert [event.kind for event in into.events] == ["opened", "took-over"]
    assert [event.kind for event in merged.events] == ["opened", "merged"]
    assert (merged.row.status, merged.row.merged_into) == ("merged", grave)
    assert merged.pages[-1].event == "resolve"
    listed = await (await desk.store("monitor1")).incidents()
    assert [each.incident_id for each in listed.unresolved] == [grave, other]
    assert [each.incident_id for each in listed.recent] == [minor]


async def test_recovery_conditions_are_not_merged_away(desk: Desk) -> None:
    drift = await opened(desk, "P2", classification="reconciliation", breakers=[BTC])
    other = await opened(desk, "P2", breakers=[BTC])
    refusal(await change(desk, "merge", drift, into=other), "recovery conditions (reconciliation)")
    same = await opened(desk, "P3", classification="reconciliation")
    assert (await change(desk, "merge", drift, into=same)).status == "done"


@pytest.mark.parametrize("links", [[BTC], ["latch:BTC-USD"]])
async def test_resolving_is_no_way_around_recovery(desk: Desk, links: list[str]) -> None:  # I25
    drift = await opened(desk, "P2", classification="reconciliation", breakers=links)
    assert (await ack(desk, drift)).status == "done"
    run = (
        "INSERT INTO reconciliation_runs (kind, symbol, status, finished_at)"
        " VALUES ($1, $2, 'clean', clock_timestamp())"
    )
    async with desk.platform.connection() as connection:
        for _ in range(2):
            for kind in ("order", "position"):
                await connection.execute(run, kind, "ETH-USD")  # not its own
    row = await change(desk, "resolve", drift)
    assert (row.status, row.code) == ("refused", "recovery-conditions"), row.message
    for words in ("1 of its 1", "BTC-USD 0 of 2", "merged or escalated"):
        assert words in (row.message or ""), row.message
    async with desk.platform.connection() as connection:
        for _ in range(2):
            for kind in ("order", "position"):
                await connection.execute(run, kind, "BTC-USD")
    async with desk.platform.connection() as locker, locker.transaction():
        await locker.execute("LOCK TABLE reconciliation_runs IN ACCESS EXCLUSIVE MODE")
        row = await change(desk, "resolve", drift)
        assert (row.code, "within a second" in (row.message or "")) == ("recovery-conditions", True)  # F25
    assert (await change(desk, "resolve", drift)).status == "done"


async def test_a_gateway_that_is_not_there_resolves_nothing(desk: Desk) -> None:
    away = await opened(desk, "P2", classification="broker/connectivity", breakers=[BTC])
    assert (await ack(desk, away)).status == "done"
    row = await change(desk, "resolve", away)
    assert (row.status, row.code) == ("refused", "recovery-conditions"), row.message
    assert "a clean reconciliation since: BTC-USD 0 of 1" in (row.message or "")
    assert (await change(desk, "escalate", away, severity="P1")).status == "done"


async def test_an_override_is_buried_by_nobody(desk: Desk) -> None:  # I19, I23
    await desk.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
    giver, other = await desk.command(Kind.HALF_OPEN, BTC, "admin1"), await opened(desk, "P0")
    await desk.send(giver)
    await desk.answer(giver.request_id)
    async with desk.platform.connection() as connection:
        incident = str(
            await connection.fetchval(
                "INSERT INTO incidents (severity, title, source, dedup_key)"
                " VALUES ('P1', 'x', 'override', $1) RETURNING incident_id",
                f"override:{giver.request_id}",
            )
        )
    for login in ("admin1", "admin1b"):
        row = await change(desk, "merge", incident, login, into=other)
        assert (row.status, row.code) == ("denied", "self-approval"), row.message
        assert (await ack(desk, incident, login)).code == "self-approval"
    row = await change(desk, "merge", incident, "admin2", into=other)
    assert (row.status, row.code) == ("refused", "override-unreviewed"), row.message
    assert (await ack(desk, incident, "admin2")).status == "done"
    assert (await change(desk, "resolve", incident, "admin1b")).code == "self-approval"
    assert (await change(desk, "resolve", incident, "operator1")).status == "done"


async def test_who_and_what_is_named_must_exist(desk: Desk) -> None:
    incident = await opened(desk)
    for verb, fields, why in (
        ("assign", {"owner": "nobody1"}, "nobody1 is no login"),
        ("assign", {"owner": "monitor1"}, "monitor1 is no login that may handle incidents"),
        ("assign", {"owner": "automation1"}, "automation1 is no login that may handle incidents"),
        ("action", {"title": "x", "owner": "authority"}, "authority is no login"),
        ("action", {"title": "x", "until": "2020-01-01T00:00:00Z"}, "in the past"),
        ("link", {"breakers": ["instrument:NO-SUCH"]}, "There is no breaker"),
        ("link", {}, "Nothing is named"),
        ("told", {"audience": "the press"}, "no audience"),
        (
            "open",
            {"severity": "P1", "classification": "other", "title": "x", "breakers": ["component:none"]},
            "no breaker",
        ),
        ("open", {"severity": "P7", "classification": "other", "title": "x"}, "P7"),
        ("shred", {}, "shred"),
        ("note", {"owner": "admin1"}, "owner does not belong"),
    ):
        row = await change(desk, verb, None if verb == "open" else incident, **fields)
        assert (row.status, row.code) == ("refused", "malformed"), (verb, row.message)
        assert why in (row.message or ""), row.message
    refusal(await change(desk, "done", incident, action_id=str(uuid4())), "no action item")
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'admin2'")
    assert (await change(desk, "assign", incident, owner="admin2")).code == "malformed"
    assert [event.kind for event in (await story(desk, incident)).events] == ["opened"]
    assert (await change(desk, "link", incident, breakers=["withdrawals", "latch:BTC-USD"])).status == "done"


@pytest.mark.parametrize("login", ["monitor1", "automation1"])
async def test_only_who_may_handle_incidents_does(desk: Desk, login: str) -> None:  # I22
    incident = await opened(desk)
    for row in (
        await change(desk, "note", incident, login),
        await change(desk, "open", None, login, severity="P3", classification="other", title="x"),
        await ack(desk, incident, login),
    ):
        assert (row.status, row.code) == ("denied", "denied") and row.audit_seq is not None
    assert [event.kind for event in (await story(desk, incident)).events] == ["opened"]


async def test_notes_are_asked_for_where_they_decide(desk: Desk) -> None:  # I26
    incident, other = await opened(desk, "P2"), await opened(desk, "P2")
    for verb, fields in (("escalate", {"severity": "P1"}), ("merge", {"into": other}), ("resolve", {})):
        row = await change(desk, verb, incident, notes="too short", **fields)
        assert (row.status, row.code) == ("refused", "malformed"), row.message
    assert (await ack(desk, incident, notes="short")).code == "malformed"
    for notes in ("", "  ", "a\x1b[2Jb", "x" * 501, "two  spaces"):
        assert (await change(desk, "note", incident, notes=notes)).code == "malformed", notes
    for notes in ("a\x1b[2Jb", "x" * 501):
        assert (await change(desk, "assign", incident, owner="admin1", notes=notes)).code == "malformed"
    assert (await change(desk, "note", incident, notes="ok")).status == "done"
    assert (await change(desk, "assign", incident, owner="admin1", notes="")).status == "done"


async def test_a_request_is_about_what_its_incident_is_linked_to(desk: Desk) -> None:
    incident = await opened(desk, breakers=[BTC])
    for name, wanted in ((BTC, "done"), (ETH, "refused"), (GLOBAL, "done")):
        row = await desk.ask(
            Kind.INCIDENT,
            BreakerId(name),
            reason="note",
            target=json.dumps({"incident_id": incident}),
            epoch=None,
        )
        assert row.status == wanted, row.message


async def test_authority_that_ended_meanwhile_changes_nothing(desk: Desk) -> None:  # I21
    incident = await opened(desk)
    async with desk.platform.connection() as owner:
        await owner.execute("UPDATE role_grants SET expires_at = clock_timestamp() WHERE login = 'operator1'")
    assert (await ack(desk, incident)).code == "revoked"
    assert (await story(desk, incident)).row.status == "open"


async def test_an_acknowledgement_of_a_runs_incident_is_due_in_its_file(desk: Desk) -> None:
    async with desk.platform.connection() as owner:
        incident = str(
            await owner.fetchval(
                "INSERT INTO incidents (severity, title, source, dedup_key, run_id, run_incident)"
                " VALUES ('P1', 'x', 'run', 'run:r-7:i-1', 'r-7', 'i-1') RETURNING incident_id"
            )
        )
        store = await desk.store("monitor1")
        assert await store.incident_of_run("r-7", "i-1") == incident
        assert (await ack(desk, incident)).status == "done"
        assert await owner.fetchval("SELECT run_ack_due FROM incidents WHERE incident_id = $1", incident)
        other = await opened(desk)
        assert (await ack(desk, other)).status == "done"
        assert not await owner.fetchval("SELECT run_ack_due FROM incidents WHERE incident_id = $1", other)
    assert (await story(desk, incident)).row.owner == "operator1"  # nobody owned it
