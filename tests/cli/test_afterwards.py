"""The postmortem's draft and the hand-over page, by the real commands on a desk where something happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tests.authority.desk import until
from tests.cli.bastion import Bastion, manned
from tests.cli.commands import NOTES, moved
from tests.trading_platform import Platform

BTC = "instrument:BTC-USD"


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def incident(bastion: Bastion, title: str = "venue rejects [half](http://x.y) of the orders") -> str:
    done = await bastion.run(
        "incident", "open", "--severity", "SEV2", "--classification", "other", "--title", title,
        "--breaker", BTC, "--notes", NOTES,
    )  # fmt: skip
    assert done.code == 0, done.err
    connection = await asyncpg.connect(bastion.platform.owner.postgres_dsn)
    try:
        return str(await connection.fetchval("SELECT incident_id FROM incidents WHERE title = $1", title))
    finally:
        await connection.close()


async def test_a_postmortem_says_what_was_recorded(bastion: Bastion, tmp_path: Path) -> None:
    name = await incident(bastion)
    steps = (
        ("ack", name, "--notes", NOTES),
        ("note", name, "--notes", "the venue's status page says degraded"),
        ("told", name, "--audience", "team"),
        ("action", name, "--what", "alert on the venue's status page", "--owner", "operator2"),
        ("resolve", name, "--notes", "an expired API key of the venue was renewed"),
    )
    for step in steps:
        done = await bastion.run("incident", *step)
        assert done.code == 0, done.err
    done = await bastion.run("incident", "postmortem", name)
    assert done.code == 0, done.document
    text = done.document["markdown"]
    assert "P1 (SEV2)" in text and BTC in text and "an expired API key" in text
    assert "- [ ] alert on the venue's status page — operator2" in text
    assert "- [x] team" in text and "- [ ] stakeholders" in text
    assert "](http://" not in text, "a title is text, never a link"  # I26
    assert "47 h 59 min left" in text or "48 h 00 min left" in text
    target = tmp_path / "postmortem.md"
    assert (await bastion.run("incident", "postmortem", name, "--output", str(target))).code == 0
    assert target.read_text().startswith("# Postmortem: venue rejects")
    done = await bastion.run("incident", "postmortem", name, "--output", str(target))
    assert done.code == 2 and "--output" in done.err


async def test_a_handover_names_all_that_is_not_as_it_should_be(bastion: Bastion) -> None:
    name = await incident(bastion)
    await bastion.trip(BTC)
    done = await bastion.run("handover")
    assert done.code == 0, done.err
    sections = done.document
    assert [line.partition(" ")[0] for line in sections["halted"]["lines"]] == [BTC]
    assert any(name in line for line in sections["unacknowledged"]["lines"])

    async def recorded() -> bool:
        found = (await bastion.run("handover")).document["changes"]["lines"]
        return any("CIRCUIT_BREAKER_TRIP" in line and BTC in line for line in found)

    await until(recorded, 60)
    assert any("postmortem" in line for line in sections["owed"]["lines"])
    assert (await bastion.half_open("global", "admin1")).code == 4
    changes = (await bastion.run("handover")).document["changes"]["lines"]
    assert any("REFUSED global" in line and "nothing to resume" in line for line in changes), changes
    assert not any("GENESIS" in line for line in changes), "what the first start wrote is no change"
    assert sections["overdue"]["lines"] == [] and sections["overdue"]["unknown"] is None


async def test_what_cannot_be_read_is_never_nothing(bastion: Bastion) -> None:
    for store, away in (("redis", {"halted"}), ("postgres", {"unacknowledged", "overdue", "changes"})):
        config = moved(bastion.config, f"no-{store}.toml", **{store: 1})
        done = await replace(bastion, config=config).run("handover")
        assert done.code == 5
        assert all(done.document[section]["unknown"] for section in away)  # I25


async def test_bad_input_is_one_line(bastion: Bastion) -> None:
    assert (await bastion.run("handover", "--hours", "0")).code == 2
    nobody = "00000000-0000-4000-8000-000000000000"
    assert (await bastion.run("incident", "postmortem", nobody)).code == 2
    assert (await bastion.run("incident", "postmortem", "nonsense")).code == 2
