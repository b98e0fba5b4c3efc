"""Alerts and silences through Debian's Alertmanager 0.25: fired, routed, silenced, escalated, resolved."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backends.alertmanager import Alertmanager
from cockpit.domain.refusals import Refused
from cockpit.domain.silences import parse_matcher
from tests.cli.bastion import Bastion, manned
from tests.pager.alertmanager import Running, alertmanager, needs_alertmanager
from tests.pager.outbox import Desk, paged, paging, until
from tests.pager.receiver import Receiver, receiving
from tests.trading_platform import Platform

pytestmark = needs_alertmanager
NOTES = "planned work on the feed until noon"
BTC = "breaker_id=instrument:BTC-USD"
MATCHERS = (
    "severity=warning",
    "severity!=warning",
    "alertname=~Feed.*",
    "alertname!~(Feed|Disk).*",
    "missing=",
    "missing!=",
    "severity=~warn",
    'value="a\\"b\\\\c"',
    "alertname=~F.+|Odd",
)


@pytest.fixture
async def people() -> AsyncIterator[Receiver]:
    """Where Alertmanager's route leads."""
    async with receiving() as found:
        yield found


@pytest.fixture
async def alerts(tmp_path: Path, people: Receiver) -> AsyncIterator[Running]:
    async with alertmanager(tmp_path / "alertmanager", people.url) as running:
        yield running


@pytest.fixture
async def desk(platform: Platform) -> AsyncIterator[Desk]:
    async with platform.connection() as owner:
        yield Desk(platform, owner)


async def test_an_incident_fires_is_escalated_and_ends(desk: Desk, alerts: Running, people: Receiver) -> None:
    async def priorities() -> list[str]:
        return sorted(each["labels"]["priority"] for each in await alerts.alerts())

    async def are(*wanted: str) -> bool:  # what is told to end now has ended a moment later
        return await priorities() == list(wanted)

    async with paging(paged(desk.platform, alertmanager_url=alerts.url)):
        incident = await desk.incident("P1")
        await desk.settled()
        (fired,) = await alerts.alerts()
        assert fired["labels"]["incident"] == f"incident:{incident}"
        assert fired["annotations"]["summary"] == "[P1] Feed of BTC-USD is silent"
        await people.until(1)
        assert people.received[0].body["alerts"][0]["labels"]["severity"] == "critical"
        await desk.page(incident, "trigger", "P0")
        await desk.settled()
        await until(lambda: are("P0"))
        await desk.acknowledge(incident, "P0")
        await desk.settled()
        assert await priorities() == ["P0"]
        await desk.resolve(incident, "P0")
        await desk.settled()
        await until(are)
        await until(lambda: _resolved(people))


async def _resolved(people: Receiver) -> bool:
    return bool(people.received[-1].body["status"] == "resolved")


@pytest.fixture
async def bastion(platform: Platform, alerts: Running) -> AsyncIterator[Bastion]:
    with platform.config.open("a") as config:
        config.write(f'\n[paging]\nalertmanager_url = "{alerts.url}"\n')
    async with manned(platform) as made:
        yield made


async def fire(alerts: Running) -> None:
    await alerts.fire(alertname="FeedLag", breaker_id="instrument:BTC-USD", severity="warning")
    await alerts.fire(alertname="DiskFull", instance="db1", severity="warning")


async def silenced(alerts: Running) -> dict[str, bool]:
    return {each["labels"]["alertname"]: bool(each["status"]["silencedBy"]) for each in await alerts.alerts()}


async def test_a_silence_is_previewed_recorded_made_and_ended(bastion: Bastion, alerts: Running) -> None:
    await fire(alerts)
    arguments = ("silence", "add", "--matcher", BTC, "--minutes", "30", "--notes", NOTES)
    preview = await bastion.run(*arguments)
    assert (preview.code, preview.document["outcome"]) == (2, "refused")
    assert "matches 1 firing alert:" in preview.document["message"]
    assert [each["alertname"] for each in preview.document["matches"]] == ["FeedLag"]
    assert await silenced(alerts) == {"FeedLag": False, "DiskFull": False}

    made = await bastion.run(*arguments, "--yes")
    assert (made.code, made.document["outcome"]) == (0, "done"), made.document
    assert await silenced(alerts) == {"FeedLag": True, "DiskFull": False}
    (listed,) = (await bastion.run("silence", "list")).document["silences"]
    assert listed["silence_id"] == made.document["silence_id"]
    assert (listed["created_by"], listed["state"]) == ("operator1", "active")
    assert listed["comment"] == f"{NOTES} (request {made.document['event_id']})"
    assert listed["matchers"] == ['breaker_id="instrument:BTC-USD"']

    ended = await bastion.run("silence", "expire", listed["silence_id"], "--notes", NOTES, "--yes")
    assert (ended.code, ended.document["outcome"]) == (0, "done"), ended.document
    assert await silenced(alerts) == {"FeedLag": False, "DiskFull": False}
    assert (await bastion.run("silence", "list")).document["silences"] == []
    entries = await recorded(bastion)
    assert [each["deed"] for each in entries] == ["add", "expire"]
    assert entries[0]["matchers"] == 'breaker_id="instrument:BTC-USD"'
    assert (entries[0]["minutes"], entries[0]["notes"]) == (30, NOTES)


async def recorded(bastion: Bastion) -> list[Any]:
    tail = await bastion.run("audit", "tail")
    found = [each for each in tail.document["entries"] if each["action"] == "ALERTS_SILENCED"]
    assert {each["user_id"] for each in found} <= {"operator1"}
    return [json.loads(each["details"]) for each in sorted(found, key=lambda each: each["seq"])]


@pytest.mark.parametrize(
    ("matchers", "why"),
    [
        (("alertname=~.*",), "match everything"),
        (("severity!=info",), "match everything"),
        (("severity=warning",), "every one of the 2 alerts"),
        (("alertname=CockpitIncident",), "every grave incident"),
        (("severity=critical",), "every grave incident"),
    ],
)
async def test_a_silence_of_everything_is_refused(
    bastion: Bastion, alerts: Running, matchers: tuple[str, ...], why: str
) -> None:
    await fire(alerts)
    flags = [flag for each in matchers for flag in ("--matcher", each)]
    done = await bastion.run("silence", "add", *flags, "--minutes", "5", "--notes", NOTES, "--yes")
    assert (done.code, why in done.document["message"]) == (2, True), done.document
    assert await silenced(alerts) == {"FeedLag": False, "DiskFull": False}
    assert await recorded(bastion) == []


async def test_who_may_not_silence_silences_nothing(bastion: Bastion, alerts: Running) -> None:
    await fire(alerts)
    arguments = ("silence", "add", "--matcher", BTC, "--minutes", "5", "--notes", NOTES)
    done = await bastion.run(*arguments, "--yes", "--login", "monitor1")
    assert done.code == 3
    assert await silenced(alerts) == {"FeedLag": False, "DiskFull": False}


async def test_a_silence_that_is_not_there(bastion: Bastion) -> None:
    unknown = "0b0f5b4c-5d0f-4f5e-8a39-0d5a1d0b8e11"
    done = await bastion.run("silence", "expire", unknown, "--notes", NOTES, "--yes")
    assert (done.code, "no such silence" in done.document["message"]) == (2, True), done.document
    assert await recorded(bastion) == []


async def test_it_judges_matchers_as_we_do(alerts: Running) -> None:
    """What its own filter says of each alert, ours says too."""
    await fire(alerts)
    await alerts.fire(alertname="Odd", value='a"b\\c', empty="")
    client = Alertmanager(alerts.url)
    try:
        every = [each.labels for each in await client.matching(())]
        assert len(every) == 3
        for text in MATCHERS:
            matcher = parse_matcher(text)
            theirs = sorted(str(each.labels) for each in await client.matching((matcher,)))
            assert theirs == sorted(str(each) for each in every if matcher.matches(each)), text
        with pytest.raises(Refused, match="Alertmanager"):
            await client.silence("not-there")
    finally:
        await client.close()
