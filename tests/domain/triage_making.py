"""A page of the first five minutes on which all is well, for tests to spoil."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cockpit.domain.artefacts import RunView
from cockpit.domain.breakers import BreakerId, Catalogue
from cockpit.domain.desk import IncidentRow
from cockpit.domain.recovery import Condition, Linked, Need
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import (
    Acknowledgement,
    Breach,
    Change,
    Halt,
    Halts,
    Part,
    Quality,
    Reconciled,
)

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATALOGUE = Catalogue.build(("execution", "ingest"), ("BTC-USD", "ETH-USD"), ("momentum",))
BTC = BreakerId("instrument:BTC-USD")


def row(**changes: Any) -> IncidentRow:
    made = IncidentRow(
        incident_id="i",
        opened_at=AT - timedelta(minutes=5),
        severity="P1",
        classification="other",
        title="something",
        status="acknowledged",
        source="manual",
        breaker_id=BTC,
        owner="operator1",
        acknowledged_at=AT - timedelta(minutes=4),
        acknowledged_by="operator1",
    )
    return replace(made, **changes)


def run(kind: str = "order", status: str = "clean", **changes: Any) -> Reconciled:
    made = Reconciled(kind, "BTC-USD", status, AT, 0, (), 10, 10, "Postgres")
    return replace(made, **changes)


def condition(need: Need, met: bool | None = True) -> Condition:
    return Condition(Linked("i", "something", "data_quality", AT), need, met, "as a test says")


def halt(**changes: Any) -> Halt:
    return replace(Halt("operator", "review", True, "ok", 0.5, 0), **changes)


def breach(**changes: Any) -> Breach:
    return replace(Breach("signal-latency", "critical", "1 against 2", True, "Postgres"), **changes)


def page(**changes: Any) -> FirstMinutes:
    incident = row()
    made = FirstMinutes(
        incident_id="i",
        at=AT,
        incident=Part(incident, incident.opened_at),
        symbols=("BTC-USD",),
        halt=Part(halt(), AT),
        halts=Part(Halts((BTC,), ()), AT),
        breach=Part(),
        acknowledgement=Part(
            Acknowledgement("acknowledged", "operator1", AT, AT + timedelta(minutes=1), "operator1"), AT
        ),
        orders=Part((run(),), AT),
        positions=Part((run("position"),), AT),
        ledger=Part((run("ledger"),), AT),
        quality=Part(Quality("clean", 0, 0, AT, "Postgres"), AT),
        changes=Part((Change(AT, "deploy", "ci", "audit"),), AT),
        recovery=Part((), AT),
        run=Part(RunView("r", AT), AT),
    )
    return replace(made, **changes)


def unread(why: str = "away") -> Any:
    return Part(fault=why)
