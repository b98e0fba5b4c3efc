"""Incidents through a person's login: the list of panel 3, one story, a run's incident."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from backends.postgres_store import PostgresStore
from cockpit.domain.incident_story import linked
from cockpit.domain.refusals import Code, Refused
from tests.trading_platform import Platform

INSERT = """
INSERT INTO incidents (severity, title, status, source, breaker_id, breakers, slos, owner, run_id,
                       run_incident, opened_at, alarm_at, resolved_at)
SELECT $1, $2, $3, 'manual', $4, $5, $6, $7, $8, $9, at, at,
       CASE WHEN $3 IN ('resolved', 'merged') THEN at END
  FROM (SELECT clock_timestamp() - make_interval(mins => $10) AS at) t RETURNING incident_id::text
"""


@pytest.fixture
async def store(platform: Platform) -> AsyncIterator[PostgresStore]:
    store = platform.postgres_store("monitor1")
    yield store
    await store.close()


async def insert(connection: Any, severity: str, title: str, status: str, minutes: int, **more: Any) -> str:
    facts: dict[str, Any] = {
        "breaker_id": None,
        "breakers": [],
        "slos": [],
        "owner": None,
        "run_id": None,
        "run_incident": None,
    }
    found: str = await connection.fetchval(
        INSERT, severity, title, status, *{**facts, **more}.values(), minutes
    )
    return found


async def test_the_worst_stand_first_and_the_counts_are_of_all(
    platform: Platform, store: PostgresStore
) -> None:
    empty = await store.incidents()
    assert (empty.unresolved, empty.recent, empty.unresolved_count, empty.over_count) == ((), (), 0, 0)
    async with platform.connection() as owner:
        for severity, title, status, minutes in (
            ("P0", "acknowledged", "acknowledged", 1),
            ("P2", "minor", "open", 90),
            ("P1", "younger", "open", 2),
            ("P1", "older", "open", 20),
            ("P3", "over long ago", "resolved", 500),
            ("P1", "over just now", "merged", 1),
        ):
            await insert(owner, severity, title, status, minutes)
    found = await store.incidents()
    assert [row.title for row in found.unresolved] == ["older", "younger", "minor", "acknowledged"]
    assert [row.title for row in found.recent] == ["over just now", "over long ago"]
    assert (found.open_count, found.acknowledged_count, found.over_count, found.hidden) == (3, 1, 2, 0)
    assert (found.snoozed_open, found.snoozed_acknowledged) == (0, 0)
    assert {row.title for row in found.overdue} == {"older", "minor"}
    async with platform.connection() as owner:
        later = "now() + interval '1 hour' WHERE status <> 'open' OR severity = 'P2'"
        await owner.execute(f"UPDATE incidents SET snoozed_until = {later}")
    found = await store.incidents()
    assert (found.open_count, found.snoozed_open, found.snoozed_acknowledged) == (3, 1, 1)
    cut = await store.incidents(limit=1, recent=1)
    assert [row.title for row in cut.unresolved + cut.recent] == ["older", "over just now"]
    assert (cut.unresolved_count, cut.hidden, cut.over_count) == (4, 3, 2)


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("FEED", {"the feed is silent"}),
        ("btc-usd", {"the feed is silent"}),
        ("withdrawals", {"the feed is silent"}),
        ("order-success", {"orders fail"}),
        ("admin2", {"orders fail"}),
        ("r-17", {"orders fail"}),
        ("100%", set()),
        ("_", {"a_b"}),
        ("P1", {"the feed is silent", "orders fail"}),
        ("acknowl", {"orders fail"}),
        ("'; DROP TABLE incidents; --", set()),
    ],
)
async def test_words_find_what_is_shown(
    platform: Platform, store: PostgresStore, words: str, titles: set[str]
) -> None:
    async with platform.connection() as owner:
        await insert(
            owner,
            "P1",
            "the feed is silent",
            "open",
            1,
            breaker_id="instrument:BTC-USD",
            breakers=["withdrawals"],
        )
        await insert(
            owner,
            "P1",
            "orders fail",
            "acknowledged",
            1,
            slos=["order-success"],
            owner="admin2",
            run_id="r-17",
        )
        await insert(owner, "P2", "a_b", "open", 1)
    found = await store.incidents(words=words)
    assert {row.title for row in found.unresolved} == titles
    assert (found.matching_count, found.hidden, found.total) == (len(titles), 0, 3)


async def test_a_story_holds_all_that_belongs_to_it(platform: Platform, store: PostgresStore) -> None:
    async with platform.connection() as owner:
        incident = await insert(owner, "P1", "x", "open", 1, breaker_id="global", breakers=["withdrawals"])
        other = await insert(owner, "P2", "y", "merged", 1)
        await owner.execute(
            "UPDATE incidents SET merged_into = $2::uuid WHERE incident_id = $1::uuid", other, incident
        )
        for n in range(8):
            await owner.execute(
                "INSERT INTO incident_events (incident_id, kind, actor, notes, details, audit_seq)"
                " VALUES ($1, 'noted', 'admin1', $2, $3::jsonb, $4)",
                incident, str(n), json.dumps({"n": n} if n else [1]) if n < 7 else '{"n": 1e6000}', n or None,
            )  # fmt: skip
        await owner.execute(
            "INSERT INTO incident_actions (action_id, incident_id, what, owner, added_by, due_at) VALUES"
            " ($1, $2, 'write it up', 'admin2', 'admin1', clock_timestamp() + interval '2 days')",
            uuid4(), incident,
        )  # fmt: skip
        outbox_id = await owner.fetchval(
            "INSERT INTO outbox (dedup_key, incident_id, severity, title)"
            " VALUES ('k', $1, 'P1', 'x') RETURNING outbox_id",
            incident,
        )
        await owner.execute(
            "INSERT INTO page_deliveries (outbox_id, receiver, attempts, delivered_at, last_error) VALUES"
            " ($1, 'pagerduty', 1, clock_timestamp(), NULL), ($1, 'chat', 4, NULL, '503')",
            outbox_id,
        )
    story = await store.incident(incident)
    assert [event.notes for event in story.events] == [str(n) for n in range(8)] and story.cut == 0
    assert story.events[0].details == {} and story.events[1].details == {"n": 1}
    assert len(str(story.events[7].details["n"])) == 6_001  # no number that Python makes of digits
    assert (story.events[0].audit_seq, story.events[1].audit_seq) == (None, 1)
    (item,) = story.actions
    assert (item.what, item.owner, item.done_at) == ("write it up", "admin2", None)
    assert item.due_at is not None and item.due_at - item.added_at > timedelta(days=1)
    (page,) = story.pages
    assert [(each.receiver, each.attempts, each.last_error) for each in page.deliveries] == [
        ("chat", 4, "503"), ("pagerduty", 1, None),
    ]  # fmt: skip
    assert [(each.incident_id, each.title) for each in story.merged] == [(other, "y")]
    assert linked(story.row) == ("global", "withdrawals")
    cut = await store.incident(incident, events=3)
    assert [event.notes for event in cut.events] == ["0", "5", "6", "7"] and cut.cut == 4


async def test_what_is_not_there_is_said(platform: Platform, store: PostgresStore) -> None:
    for asked in (store.incident(str(uuid4())), store.incident_of_run("r-1", "i-1")):
        with pytest.raises(Refused) as refused:
            await asked
        assert refused.value.refusal.code is Code.UNKNOWN
    async with platform.connection() as owner:
        known = await insert(owner, "P1", "x", "open", 1, run_id="r-1", run_incident="i-1")
    assert await store.incident_of_run("r-1", "i-1") == known
