"""The checklist's item on error budgets, whatever its port does (I25)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from cockpit.domain.checklist import Finding
from cockpit.domain.limits import Limits
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.slo_reports import SloSnapshot
from cockpit.operations import checklist
from cockpit.operations.checklist import ChecklistPorts, read_findings
from tests.authority.budgets import FILLS, ORDERS, RED, Scripted
from tests.authority.desk import BTC, ETH
from tests.trading_platform import demo_catalogue

Port = Callable[[], Awaitable[SloSnapshot | None]]
WHY = "venue confirmed that it counted its own maintenance"


async def found(port: Port | None, override: str = "", name: Any = BTC) -> Finding:
    """The other items have nothing to read here, and fail by themselves."""
    nothing = cast(Any, None)
    ports = ChecklistPorts(
        nothing, nothing, nothing, nothing, nothing, None, demo_catalogue(), nothing, 0, port, override
    )
    findings = await read_findings(ports, name, Limits())
    return next(each for each in findings if each.item_id == "error-budgets")


async def unread() -> None:
    return None


async def away() -> None:
    raise StoreUnreachable("Postgres", "a test says so")


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("port", [None, unread, away, hangs])
async def test_what_was_not_read_fails_unless_overridden(
    monkeypatch: pytest.MonkeyPatch, port: Port | None
) -> None:
    monkeypatch.setattr(checklist, "BUDGETS_S", 0.05)
    item = await found(port)
    assert item.ok is None and "could not be read" in item.line
    passed = await found(port, WHY)
    assert passed.ok is True and passed.read.startswith(f"OVERRIDDEN ({WHY})")


async def test_the_breaker_what_is_above_and_below_counts() -> None:
    scripted = Scripted(left={FILLS.name: RED})
    assert (await found(scripted.read)).ok is False
    assert (await found(scripted.read, name=ETH)).ok is True  # its sibling's budget is none of its business
    assert (await found(scripted.read, name="component:execution")).ok is False  # it would let it trade again
    scripted.left = {ORDERS.name: None}
    item = await found(scripted.read, name=ETH)
    assert item.ok is None and "order-success" in item.read
    assert (await found(Scripted(()).read)).ok is True
