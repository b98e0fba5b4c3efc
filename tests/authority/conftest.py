from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cockpit.authority import lease, pending, pool, proof, size_changes, size_limits
from cockpit.authority.service import Authority, running_authority
from cockpit.operations import checklist, probes
from tests.authority.desk import LONG_S, UNHURRIED, Desk, venue
from tests.trading_platform import Platform


@pytest.fixture
def limits() -> Mapping[str, object]:
    """What one test has otherwise: `@pytest.mark.parametrize("limits", [{…}])`."""
    return {}


@pytest.fixture
def platform_limits(limits: Mapping[str, object]) -> Mapping[str, object]:
    return {**UNHURRIED, **limits}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no store that is away, no slow venue and no dead holder of the lease. What is about
    such a bound sets its own."""
    monkeypatch.setattr(lease, "LEASE_S", LONG_S)
    for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"):
        monkeypatch.setitem(pool.SESSION, name, "60000")
    monkeypatch.setattr(checklist, "READ_S", 30.0)
    monkeypatch.setattr(checklist, "BUDGETS_S", 20.0)
    monkeypatch.setattr(probes, "STORE_BOUND_MS", 60_000.0)
    monkeypatch.setattr(proof, "PROBE_TIMEOUT_S", 30.0)
    monkeypatch.setattr(size_limits, "CONFIRM_S", 30.0)
    monkeypatch.setattr(pending, "ATTRIBUTED_IN_S", 30.0)
    monkeypatch.setattr(size_changes, "STEADY_S", LONG_S)


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with venue() as made:
        found = Desk(platform, replace(platform.settings, gateway_url=made.url), made)
        yield found
        await found.close()


@pytest.fixture
async def authority(desk: Desk) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings) as running:
        yield running
