"""The pages of one incident share one key, also where the guard has begun them under its own."""

from __future__ import annotations

import pytest

from tests.authority.desk import Desk
from tests.authority.test_incident_changes import ack, change, story

pytestmark = pytest.mark.usefixtures("authority")


async def test_what_the_guard_pages_is_acknowledged_under_its_key(desk: Desk) -> None:
    async with desk.platform.connection() as owner:
        incident = str(
            await owner.fetchval(
                "INSERT INTO incidents (severity, title, source, dedup_key, opened_by)"
                " VALUES ('P1', 'feed gap', 'guard', 'guard:feed-gap:1', 'automation1') RETURNING incident_id"
            )
        )
        await owner.execute(
            "INSERT INTO outbox (dedup_key, incident_id, severity, title)"
            " VALUES ('guard:feed-gap:1', $1, 'P1', 'feed gap')",
            incident,
        )
        assert (await ack(desk, incident)).status == "done"
        assert (await change(desk, "resolve", incident)).status == "done"
        rows = await owner.fetch("SELECT dedup_key, event FROM outbox ORDER BY outbox_id")
    assert [row["event"] for row in rows] == ["trigger", "acknowledge", "resolve"]
    assert {row["dedup_key"] for row in rows} == {"guard:feed-gap:1"}
    assert (await story(desk, incident)).pages[1].title == "feed gap"
