"""The life of incidents against an independent model, with authorities that die between every two steps.

# I19, I21, I22, I23, I24; F7, F23, F24
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cockpit.authority import faults
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.permissions import Role
from tests.stateful.world import World
from tests.trading_platform import Template

EXPIRY_S: Final = 600
PEOPLE: Final = ("operator1", "operator2", "admin1", "admin2", "admin1b", "monitor1")
CLASSES: Final = ("other", "reconciliation", "security")
VERBS: Final = ("note", "assign", "snooze", "link", "told", "action")
BREAKERS: Final = ("global", "instrument:BTC-USD", "withdrawals")
DONE: Counter[str] = Counter()
picks = st.integers(0, 7)
people = st.sampled_from(PEOPLE)
severities = st.sampled_from(("P0", "P1", "P2", "P3"))


@dataclass(frozen=True)
class Known:
    """What the model holds of one incident. `story` and `pages` are the kinds of its events and pages."""

    severity: str
    classification: str = "other"
    source: str = "manual"
    status: str = "open"
    owner: str | None = None
    reviewed: bool = False
    links: frozenset[str] = frozenset()
    story: tuple[str, ...] = ("opened",)
    pages: tuple[str, ...] = ("trigger",)
    into: str | None = None

    def and_then(self, kind: str, page: str = "", **changes: Any) -> Known:
        pages = (*self.pages, page) if page else self.pages
        return replace(self, story=(*self.story, kind), pages=pages, **changes)

    @property
    def holds_up(self) -> bool:
        return self.severity in ("P0", "P1") and self.status == "open" and self.source != "override"

    @property
    def demands(self) -> bool:
        """Whether recovery conditions are to be met, which nothing meets here: nobody reconciles."""
        return self.classification == "reconciliation" and self.source != "override"


@dataclass
class Asked:
    """A change and what the model says of it: `after` None where it must come to nothing."""

    kind: Kind
    verb: str
    login: str
    incident: str
    fields: dict[str, Any]
    after: dict[str, Known] | None
    why: str = ""
    request_id: str = field(default_factory=lambda: str(uuid4()))


class IncidentMachine(RuleBasedStateMachine):
    template: Template
    folder: Path
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        place = self.folder / str(self.examples)
        place.mkdir()
        self.world = World(self.template, place, {"acknowledgement_expiry_s": EXPIRY_S})
        self.known: dict[str, Known] = {}
        self.authorities = 0
        self.do = self.world.do

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())

    async def _begin(self) -> None:
        await self.world.open()
        await self.world.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
        await self._next_authority()
        giver = await self.world.submit(Kind.HALF_OPEN, GLOBAL, "admin1")
        await self.world.row(giver.request_id, "admin1")
        incident = str(uuid4())
        await self.world.fetch(
            "INSERT INTO incidents (incident_id, severity, title, source, dedup_key)"
            " VALUES ($1, 'P1', 'an override', 'override', $2)",
            incident,
            f"override:{giver.request_id}",
        )
        self.known[incident] = Known("P1", source="override", story=(), pages=())
        for severity in ("P1", "P2", "P0"):
            await self._opened(severity, "other", "operator1", "global")

    async def _next_authority(self) -> None:
        self.authorities += 1
        # What a dead one has left runs out; the machine does not wait for it.
        await self.world.fetch("UPDATE authority_lease SET expires_at = clock_timestamp() WHERE holder <> ''")
        await self.world.start(f"authority {self.authorities}")

    def teardown(self) -> None:
        try:
            if self.authorities:
                self.do(self._whole_story())
        finally:
            self.do(self.world.close())
            self.world.runner.close()

    @rule(
        what=st.sampled_from("open acknowledge resolve escalate classify merge merge add add pass".split()),
        pick=picks,
        other=picks,
        login=people,
        severity=severities,
        detail=st.integers(0, 11),
        point=st.sampled_from((None, None, *faults.INCIDENT_POINTS)),
    )
    def step(
        self, what: str, pick: int, other: int, login: str, severity: str, detail: int, point: str | None
    ) -> None:
        """One rule for all, so that every example may do everything."""
        match what:
            case "open":
                self.open(severity, ("other", "reconciliation")[detail % 2], login, BREAKERS[detail % 3])
            case "acknowledge":
                self.acknowledge(pick, login, point)
            case "resolve":
                self.resolve(pick, login, point)
            case "escalate":
                self.escalate(pick, login, severity, point)
            case "classify":
                self.classify(pick, login, CLASSES[detail % len(CLASSES)], point)
            case "merge":
                self.merge(pick, other, login, point)
            case "add":
                self.add(pick, login, VERBS[detail % len(VERBS)])
            case _:
                self.do(self._pass())

    # What people do.

    def open(self, severity: str, kind: str, login: str, on: str) -> None:
        if len(self.known) >= 8:
            return
        self.do(self._opened(severity, kind, login, on))

    async def _opened(self, severity: str, kind: str, login: str, on: str) -> None:
        asked = Asked(Kind.INCIDENT, "open", login, "", {}, None)
        asked.fields = {"severity": severity, "classification": kind, "title": asked.request_id}
        asked.fields["breakers"] = [on]
        if login == "monitor1":
            asked.why = "denied"
        else:
            asked.after = {asked.request_id: Known(severity, kind, links=frozenset({on}))}
        await self._decided(asked)

    def acknowledge(self, pick: int, login: str, point: str | None) -> None:
        incident, now = self._pick(pick)
        asked = Asked(Kind.ACKNOWLEDGE, "", login, incident, {}, None)
        if login == "monitor1":
            asked.why = "denied"
        elif now.status != "open":
            asked.why = "wrong-state"
        elif self._own_override(now, login):
            asked.why = "self-approval"
        else:
            owner = now.owner or login
            after = now.and_then(
                "acknowledged", "acknowledge", status="acknowledged", owner=owner, reviewed=True
            )
            asked.after = {incident: after}
        self.do(self._decided(asked, point))

    def resolve(self, pick: int, login: str, point: str | None) -> None:
        incident, now = self._pick(pick)
        asked = Asked(Kind.INCIDENT, "resolve", login, incident, {}, None)
        if login == "monitor1":
            asked.why = "denied"
        elif now.status != "acknowledged":
            asked.why = "wrong-state"
        elif self._own_override(now, login):
            asked.why = "self-approval"
        elif now.demands:
            asked.why = "recovery-conditions"
        else:
            asked.after = {incident: now.and_then("resolved", "resolve", status="resolved")}
        self.do(self._decided(asked, point))

    def escalate(self, pick: int, login: str, severity: str, point: str | None) -> None:
        incident, now = self._pick(pick)
        asked = Asked(Kind.INCIDENT, "escalate", login, incident, {"severity": severity}, None)
        if login == "monitor1":
            asked.why = "denied"
        elif now.status not in ("open", "acknowledged") or severity >= now.severity:
            asked.why = "wrong-state"
        else:
            asked.after = {incident: now.and_then("escalated", "trigger", status="open", severity=severity)}
        self.do(self._decided(asked, point))

    def classify(self, pick: int, login: str, wanted: str, point: str | None) -> None:
        incident, now = self._pick(pick)
        asked = Asked(Kind.INCIDENT, "classify", login, incident, {"classification": wanted}, None)
        if login == "monitor1":
            asked.why = "denied"
        elif now.status not in ("open", "acknowledged") or wanted == now.classification:
            asked.why = "wrong-state"
        elif now.demands and not login.startswith("admin"):
            asked.why = "recovery-conditions"
        else:
            asked.after = {incident: now.and_then("classified", classification=wanted)}
        self.do(self._decided(asked, point))

    def merge(self, pick: int, other: int, login: str, point: str | None) -> None:
        (incident, now), (into, target) = self._pick(pick), self._pick(other)
        asked = Asked(Kind.INCIDENT, "merge", login, incident, {"into": into}, None)
        if login == "monitor1":
            asked.why = "denied"
        elif (
            {now.status, target.status} - {"open", "acknowledged"}
            or incident == into
            or (now.severity in ("P0", "P1") and target.severity > now.severity)
            or (now.holds_up and not target.holds_up)
            or (now.classification == "reconciliation" and not self._asks_as_much(into, incident))
        ):
            asked.why = "wrong-state"
        elif self._own_override(now, login):
            asked.why = "self-approval"
        elif now.source == "override" and not now.reviewed:
            asked.why = "override-unreviewed"
        else:
            asked.after = {
                incident: now.and_then("merged", "resolve", status="merged", into=into),
                into: target.and_then("took-over", links=target.links | now.links),
            }
        self.do(self._decided(asked, point))

    def _asks_as_much(self, into: str, incident: str) -> bool:
        """Whether the one demands as much of recovery as the other, and since no earlier."""
        order = list(self.known)
        later = order.index(into) >= order.index(incident)
        return later and self.known[into].classification == "reconciliation"

    def add(self, pick: int, login: str, verb: str) -> None:
        incident, now = self._pick(pick)
        until = rfc3339(datetime.now(UTC) + timedelta(hours=1))
        fields: dict[str, dict[str, Any]] = {
            "assign": {"owner": "admin2"},
            "snooze": {"until": until},
            "link": {"breakers": ["latch:BTC-USD"]},
            "told": {"audience": "team"},
            "action": {"title": "look into it"},
        }
        asked = Asked(Kind.INCIDENT, verb, login, incident, fields.get(verb, {}), None)
        over_too = now.status == "resolved" and verb in ("note", "told", "action")
        if login == "monitor1":
            asked.why = "denied"
        elif (now.status not in ("open", "acknowledged") and not over_too) or (
            verb == "snooze" and now.severity == "P0"
        ):
            asked.why = "wrong-state"
        else:
            kinds = {"note": "noted", "assign": "assigned", "snooze": "snoozed", "link": "linked"}
            after = now.and_then(kinds.get(verb, verb))
            if verb == "assign":
                after = replace(after, owner="admin2")
            if verb == "link":
                after = replace(after, links=after.links | {"latch:BTC-USD"})
            asked.after = {incident: after}
        self.do(self._decided(asked))

    async def _pass(self) -> None:
        """The clocks of what is acknowledged and critical run out; a snooze of an hour ago is over."""
        due = [
            incident
            for incident, now in self.known.items()
            if now.status == "acknowledged" and now.severity in ("P0", "P1")
        ]
        await self.world.fetch(
            "UPDATE incidents SET last_event_at = last_event_at - make_interval(secs => $1),"
            " snoozed_until = clock_timestamp() - interval '1 s' WHERE status = 'acknowledged'",
            float(EXPIRY_S + 1),
        )
        for incident in due:
            self.known[incident] = self.known[incident].and_then("ack-expired", "trigger", status="open")
            DONE["expired"] += 1

        async def looked_at() -> bool:
            query = "SELECT count(*) FROM incidents WHERE status = 'open' AND incident_id = ANY ($1::uuid[])"
            return bool(await self.world.fetch(query, due) == len(due))

        await self.world.until(looked_at, "expired acknowledgements")

    # How it is decided.

    def _pick(self, pick: int) -> tuple[str, Known]:
        incident = list(self.known)[pick % len(self.known)]
        return incident, self.known[incident]

    def _own_override(self, now: Known, login: str) -> bool:
        return now.source == "override" and login in ("admin1", "admin1b")

    async def _decided(self, asked: Asked, point: str | None = None) -> None:
        """Ask, let the authority die at `point`, and compare what its successor makes of it."""
        running = await self.world.acts()
        dies = point is not None and asked.after is not None
        if dies:
            running.trap.point = point
        target = asked.incident if asked.kind is Kind.ACKNOWLEDGE else json.dumps(
            {"incident_id": asked.incident, **asked.fields} if asked.incident else asked.fields
        )  # fmt: skip
        await self.world.submit(
            asked.kind,
            BreakerId(GLOBAL),
            asked.login,
            request_id=asked.request_id,
            reason=asked.verb,
            target=target,
            checked=(),
            epoch=None,
        )
        if dies:
            await self.world.until(lambda: _set(running.trap.reached), f"the authority at {point}")
            await self.world.kill(running)
            await self._next_authority()
            DONE[f"died {point}"] += 1
        row = await self.world.row(asked.request_id, asked.login)
        said = f"{asked.verb or 'ack'} by {asked.login} on {self.known.get(asked.incident)}: {row.message}"
        if asked.after is None:
            assert row.status in ("refused", "denied") and row.code == asked.why, said
        else:
            assert row.status == "done", said
            self.known |= asked.after
        DONE[f"{asked.verb or 'ack'} {row.status}"] += 1

    # What must hold after every step.

    @invariant()
    def the_tables_are_the_model(self) -> None:
        if self.authorities:
            self.do(self._compare())

    async def _compare(self) -> None:
        async with self.world.platform.connection() as connection:
            rows = await connection.fetch(
                "SELECT i.*, array(SELECT kind FROM incident_events e WHERE e.incident_id = i.incident_id"
                " ORDER BY event_id) AS story, array(SELECT event FROM outbox o"
                " WHERE o.incident_id = i.incident_id ORDER BY outbox_id) AS pages FROM incidents i"
            )
        found = {str(row["incident_id"]): row for row in rows}
        assert set(found) == set(self.known)
        for incident, now in self.known.items():
            row = found[incident]
            seen = Known(
                row["severity"],
                row["classification"],
                row["source"],
                row["status"],
                row["owner"],
                row["acknowledged_at"] is not None,
                frozenset(filter(None, (row["breaker_id"], *row["breakers"]))),
                tuple(row["story"]),
                tuple(row["pages"]),
                None if row["merged_into"] is None else str(row["merged_into"]),
            )
            assert seen == now
        store = await self.world.inbox("monitor1")
        listed = await store.incidents()
        alive = {each for each, now in self.known.items() if now.status in ("open", "acknowledged")}
        assert {row.incident_id for row in listed.unresolved} == alive
        assert len(await store.open_criticals(900)) == sum(now.holds_up for now in self.known.values())

    async def _whole_story(self) -> None:
        """Every line names one entry of an intact chain, every entry has its line: no half of a change."""
        await self.world.verify_audit()  # I24
        async with self.world.platform.connection() as connection:
            events = await connection.fetch("SELECT incident_id::text, audit_seq, kind FROM incident_events")
            pages = await connection.fetch(
                "SELECT incident_id, count(DISTINCT dedup_key) AS keys FROM outbox GROUP BY incident_id"
            )
        entries = {
            entry.seq: json.loads(entry.details)["incident_id"]
            for entry in await self.world.audit()
            if "incident_id" in json.loads(entry.details)
        }
        lines = {row["audit_seq"]: row["incident_id"] for row in events if row["kind"] != "took-over"}
        assert lines == entries and len(lines) == sum(row["kind"] != "took-over" for row in events)
        assert all(row["keys"] == 1 for row in pages)


async def _set(event: Any) -> bool:
    return bool(event.is_set())


# What a walk by chance may leave out: kind, pick, other, login, severity, detail, point.
OVERRIDE, FIRST, SECOND, THIRD, MORE = range(5)
TOUR: Final = (
    ("acknowledge", FIRST, 0, "operator1", "P1", 0, faults.BEFORE_INCIDENT),
    ("resolve", FIRST, 0, "operator2", "P1", 0, faults.INCIDENT_CHANGED),
    ("escalate", SECOND, 0, "operator1", "P1", 0, faults.INCIDENT_AUDITED),
    ("merge", SECOND, THIRD, "admin1", "P1", 0, faults.AFTER_INCIDENT),
    ("merge", THIRD, FIRST, "admin1", "P1", 0, None),  # what is over takes nothing over
    ("acknowledge", OVERRIDE, 0, "admin1b", "P1", 0, None),  # I19
    ("acknowledge", OVERRIDE, 0, "monitor1", "P1", 0, None),  # I22
    ("acknowledge", OVERRIDE, 0, "operator1", "P1", 0, None),
    ("pass", 0, 0, "operator1", "P1", 0, None),  # F23
    ("open", 0, 0, "operator2", "P1", 1, None),
    ("merge", MORE, THIRD, "admin1", "P1", 0, None),  # reconciliation into something else
    ("classify", MORE, 0, "operator1", "P1", 0, None),  # I25
    ("classify", MORE, 0, "admin2", "P1", 2, faults.INCIDENT_CHANGED),
    *(("add", THIRD, 0, "operator1", "P1", detail, None) for detail in range(len(VERBS))),
)


def toured(machine: IncidentMachine) -> None:
    """Everything once, whatever chance leaves out."""
    try:
        machine.begin()
        for what, pick, other, login, severity, detail, point in TOUR:
            machine.step(what, pick, other, login, severity, detail, point)
            machine.the_tables_are_the_model()
    finally:
        machine.teardown()
    told = "ack done, resolve done, escalate done, classify done, classify refused, merge done, merge refused"
    for wanted in (*told.split(", "), "expired"):
        assert DONE[wanted], DONE
    assert all(DONE[f"died {point}"] for point in faults.INCIDENT_POINTS), DONE


def test_the_life_of_incidents_under_dying_authorities(
    template: Template, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """# I19 I22 I23 I24 F7 F23"""
    IncidentMachine.template = template
    IncidentMachine.folder = tmp_path_factory.mktemp("incidents")
    DONE.clear()
    toured(IncidentMachine())
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    run_state_machine_as_test(
        IncidentMachine,
        settings=settings(
            max_examples=60 if thorough else 3,
            stateful_step_count=50 if thorough else 30,
            deadline=None,
            derandomize=not thorough,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
        ),
    )
    print(dict(DONE))
