"""From samples in Postgres to what a gateway lets through, with the objectives read as in production."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from cockpit.authority import objectives
from cockpit.authority.service import running_authority
from cockpit.domain.adjustments import exclusion_target
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.commands import Kind
from cockpit.domain.states import State
from tests.authority.budgets import age_document, gate_of, reading_often, share_becomes
from tests.authority.desk import BTC, Desk

OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: order-success
  displayName: Orders that the venue takes
  annotations:
    cockpit/breaker: component:execution
    cockpit/fresh: 1h
spec:
  description: Orders that the venue took, of all that were placed.
  service: execution
  indicator:
    metadata:
      name: order-success
    spec:
      ratioMetric:
        counter: false
        good:
          metricSource:
            type: Postgres
            spec:
              sli: order_success
        total:
          metricSource:
            type: Postgres
            spec:
              sli: order_success
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: taken
      target: 0.99
"""


async def sample(desk: Desk, good: int, total: int, age: timedelta) -> None:
    async with desk.platform.connection("gateway") as trading:
        await trading.execute(
            "INSERT INTO sli_samples (sli, good, total, observed_at) VALUES ('order_success', $1, $2, $3)",
            good,
            total,
            datetime.now(UTC) - age,
        )


async def test_an_agreed_exclusion_gives_the_size_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = desk.platform.folder / "slos"
    folder.mkdir()
    (folder / "order-success.yaml").write_text(OBJECTIVE)
    desk.settings = replace(desk.settings, slo_folders=(folder,))
    await sample(desk, 10_000, 10_000, timedelta(days=2))
    await sample(desk, 100, 250, timedelta(hours=5))  # 150 bad of some 10,000, where 100 are allowed
    await sample(desk, 100, 100, timedelta(seconds=1))
    monkeypatch.setattr(objectives, "WAIT_S", 20.0)
    async with running_authority(desk.settings) as running, reading_often(running), gate_of(desk) as gate:
        await share_becomes(desk, EXECUTION, "0.5")
        decision = await gate.decide("BTC-USD")
        assert (decision.effective_state, decision.size_share) == (State.CLOSED, Decimal("0.5"))
        await desk.trip(BTC)
        row = await desk.ask(Kind.HALF_OPEN, BTC)
        assert row.code == "checklist" and "order-success RED" in (row.message or ""), row.message
        now = datetime.now(UTC)
        target = exclusion_target("order-success", now - timedelta(hours=6), now - timedelta(hours=4))
        asked = await desk.ask(Kind.EXCLUDE, EXECUTION, "admin1", target=target, epoch=None, checked=())
        assert asked.status == "awaiting_approval", asked.message
        yes = await desk.ask(Kind.APPROVE, EXECUTION, "admin2", target=asked.request_id)
        assert yes.status == "done", yes.message
        row = await desk.ask(Kind.HALF_OPEN, BTC)  # at once: what was read before counts no more
        assert row.status == "done", row.message
        await age_document(desk, EXECUTION)
        await share_becomes(desk, EXECUTION, "1")
        back = await desk.ask(
            Kind.INCLUDE, EXECUTION, "admin1", target=asked.request_id, epoch=None, checked=()
        )
        assert back.status == "done", back.message
        await share_becomes(desk, EXECUTION, "0.5")
