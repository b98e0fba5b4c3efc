"""Incident rows and pages in every condition, for tests without a terminal or a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from cockpit.domain.artefacts import FileView, RunLine, RunView
from cockpit.domain.desk import IncidentRow
from cockpit.domain.incident_page import IncidentPage
from cockpit.domain.incident_story import (
    ActionItem,
    Delivery,
    IncidentStory,
    StoryEvent,
    StoryPage,
)
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.playbook_checks import Check
from cockpit.domain.playbooks import Act, Fits, Phase, Playbook, Step
from cockpit.domain.recovery import Condition, Linked, Need
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import (
    POSTGRES,
    Acknowledgement,
    Breach,
    Change,
    Halt,
    Halts,
    Part,
    Quality,
    Reconciled,
)
from tests.screen.objective_boards import EXECUTION, NOW

ID = "00000000-0000-4000-8000-000000000001"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def row(severity: str = "P1", seconds: float = 60, **changes: object) -> IncidentRow:
    """An open incident, opened so many seconds ago."""
    made = IncidentRow(
        ID, ago(seconds), severity, "data_quality", "bars are late", "open", "manual", EXECUTION, None,
        None, None, ago(seconds), None, ago(seconds), "operator1",
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def acked(seconds: float = 30, severity: str = "P1", **changes: object) -> IncidentRow:
    made = row(severity, 600, status="acknowledged", acknowledged_at=ago(seconds), acknowledged_by="admin1")
    return replace(made, **({"last_event_at": ago(seconds), "owner": "admin1"} | changes))  # type: ignore[arg-type]


def reconciled(kind: str, status: str = "clean", seconds: float = 20, **changes: object) -> Reconciled:
    made = Reconciled(kind, "BTC-USD", status, ago(seconds), 0, (), 100, 100, POSTGRES)
    return replace(made, **changes)  # type: ignore[arg-type]


def runs(kind: str, *found: Reconciled) -> Part[tuple[Reconciled, ...]]:
    shown = found or (reconciled(kind),)
    return Part(shown, max(each.at for each in shown))


def minutes(about: IncidentRow | None = None, **changes: object) -> FirstMinutes:
    """Everything was read, and everything is well but the incident itself."""
    one = about or row()
    owned = (one.acknowledged_by, one.acknowledged_at, one.acknowledge_by, one.owner)
    made = FirstMinutes(
        one.incident_id, NOW, Part(one, one.opened_at), ("BTC-USD",),
        Part(Halt(None, None, True, "ok", 0.4, 0), NOW), Part(Halts(), NOW), Part(),
        Part(Acknowledgement(one.status, *owned), NOW),
        runs("order"), runs("position"), runs("ledger"),
        Part(Quality("clean", 0, 0, ago(40), POSTGRES), ago(40)),
        Part((Change(ago(90), "gateway 2.1 deployed", "ci", "audit_logs/a.jsonl"),), ago(90)),
        Part((), NOW), Part(fault="no [runs] results is set"),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def ill(incident: IncidentRow | None = None) -> FirstMinutes:
    """Everything was read, and nothing is well."""
    one = incident or row()
    linked = Linked(one.incident_id, one.title, Classification.DATA_QUALITY.value, one.opened_at)
    return minutes(
        one,
        halt=Part(Halt("kill switch", "04:12", False, "feed stale", 42.0, 17), NOW),
        halts=Part(Halts((EXECUTION,), ()), NOW),
        breach=Part(Breach("data-feed", "critical", "97 against 99.9", False, "run-1/ops"), ago(130)),
        orders=runs(
            "order", reconciled("order", "mismatch", mismatches=2, ids=("o-1", "o-2"), ledger_seq=93)
        ),
        positions=runs("position", reconciled("position", "unknown")),
        ledger=Part(),
        quality=Part(Quality("breach", 3, 1, ago(900), POSTGRES), ago(900)),
        recovery=Part(
            (
                Condition(linked, Need.BARS, False, "BTC-USD has 12 of 30"),
                Condition(linked, Need.QUALITY, None, "no answer"),
            ),
            NOW,
        ),
    )


def unread(why: str = "no answer in 3 s") -> FirstMinutes:
    """Nothing could be read."""
    names = "incident halt halts breach acknowledgement orders positions ledger quality".split()
    names += ["changes", "recovery", "run"]
    return replace(minutes(), **{name: Part(fault=why) for name in names})  # type: ignore[arg-type]


def event(event_id: int, kind: str, seconds: float, **details: object) -> StoryEvent:
    return StoryEvent(event_id, ago(seconds), kind, "operator1", f"notes of {kind}", details, 40 + event_id)


def story(incident: IncidentRow | None = None, **changes: object) -> IncidentStory:
    one = incident or row(seconds=1_200)
    made = IncidentStory(
        NOW, one,
        (event(1, "opened", 1_200, severity=one.severity), event(2, "told", 600, audience="team")),
        (
            ActionItem("a-1", "alert on late bars", "operator1", ago(60), "admin1", ago(900), None, None),
            ActionItem("a-2", "call the venue", "admin1", None, "admin1", ago(900), ago(300), "admin1"),
        ),
        (StoryPage("trigger", "P1", one.title, ago(1_200), (
            Delivery("pagerduty", 1, ago(1_190), ago(1_190), None, None),
            Delivery("chat", 3, ago(0), None, ago(5), "400 bad hook"),
        )),),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def run_view(**changes: object) -> RunView:
    lines = tuple(
        RunLine("incident_open", ago(300 - n), f"e{n}", {"event_id": f"e{n}", "title": f"line {n}"}, f"f:{n}")
        for n in range(8)
    )
    files = {
        "incident_events.jsonl": FileView("incident_events.jsonl", 900, lines, 2, "f:77 not JSON"),
        "ops_slo_events.jsonl": FileView("ops_slo_events.jsonl", fault="permission denied"),
    }
    return replace(RunView("run-1", ago(2), files, (), 1), **changes)  # type: ignore[arg-type]


def step(step_id: str, action: Act = Act.NONE, check: Check | None = None, **changes: object) -> Step:
    return replace(Step(step_id, Phase.NOW, f"Do {step_id}.", action, check), **changes)  # type: ignore[arg-type]


BOOK = Playbook(
    "data-feed", "Market data is late", "incident playbook", Severity.P1,
    Fits(("data_quality",), (), ("bars",)),
    (
        step("own-it", Act.ACKNOWLEDGE, Check.ACKNOWLEDGED),
        step("evidence", Act.BUNDLE),
        step("stop", Act.TRIP, Check.HALTED, phase=Phase.FIND),
        step("by-hand", by_hand="The feed is switched at the gateway.", phase=Phase.RECOVER),
    ),
)  # fmt: skip
OTHER = replace(BOOK, playbook_id="other", title="Anything else", fits=Fits(always=True))


def page(found: FirstMinutes | None = None, **changes: object) -> IncidentPage:
    """A page that was read when the boards of `objective_boards` were."""
    made = IncidentPage(found or minutes(), story(), (BOOK, OTHER), 100.0)
    return replace(made, **changes)  # type: ignore[arg-type]
