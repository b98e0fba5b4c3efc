"""Authority that ends between the request and its commit changes no incident."""

from __future__ import annotations

import asyncio
import json

import pytest

from cockpit.authority import faults
from cockpit.authority.service import running_authority
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from tests.authority.desk import Desk
from tests.authority.test_incident_changes import opened, story
from tests.authority.test_interruptions import Trap


@pytest.mark.parametrize("kind", [Kind.ACKNOWLEDGE, Kind.INCIDENT])
async def test_a_grant_that_ends_meanwhile(desk: Desk, kind: Kind) -> None:  # I21
    trap = Trap(faults.BEFORE_INCIDENT)
    async with running_authority(desk.settings, trap), desk.platform.connection() as owner:
        incident = await opened(desk)
        trap.armed = True
        target = incident if kind is Kind.ACKNOWLEDGE else json.dumps({"incident_id": incident})
        command = await desk.command(kind, GLOBAL, "operator1", target=target, reason="note", epoch=None)
        await desk.send(command)
        await asyncio.wait_for(trap.reached.wait(), 60)
        await owner.execute("UPDATE role_grants SET revoked_at = clock_timestamp() WHERE login = 'operator1'")
        trap.released.set()
        assert (await desk.answer(command.request_id)).code == "revoked"
        assert [event.kind for event in (await story(desk, incident)).events] == ["opened"]
