"""`cockpit incident …` against a running authority."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from cockpit.cli.answers import UsageFault
from cockpit.cli.arguments import parse
from cockpit.cli.incident_fields import clock_words, list_lines, story_lines
from cockpit.cli.incidents import Which, snooze_end, which_incident
from cockpit.domain.desk import IncidentRow
from cockpit.domain.documents import rfc3339
from cockpit.domain.incident_story import ActionItem, IncidentList, IncidentStory, StoryEvent
from tests.cli.bastion import Bastion, manned
from tests.cli.commands import NOTES, cockpit
from tests.trading_platform import Platform

BTC = "instrument:BTC-USD"
OPEN = ("incident", "open", "--classification", "other")
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
async def bastion(platform: Platform) -> AsyncIterator[Bastion]:
    async with manned(platform) as made:
        yield made


async def test_a_night_by_the_command_line(bastion: Bastion) -> None:
    first = await bastion.run(*OPEN, "--severity", "sev2", "--title", "bars are  missing", "--breaker", BTC)
    assert first.code == 0, first.document
    incident = first.document["event_id"]
    other = ("incident", "open", "--classification", "other", "--severity", "P3")
    second = await bastion.run(*other, "--title", "one bar was late", "--notes", "seen twice")
    done = await bastion.run(
        "incident", "merge", second.document["event_id"], "--into", incident, "--notes", NOTES
    )
    assert done.code == 0, done.document
    done = await bastion.run("incident", "resolve", incident, "--notes", NOTES)
    assert (done.code, done.document["outcome"]) == (4, "refused")
    assert "Acknowledge it first" in done.document["message"]
    for arguments in (
        ("ack", incident, "--notes", NOTES),
        ("assign", incident, "--to", "admin1"),
        ("classify", incident[:8], "Security", "--notes", NOTES),
        ("snooze", incident, "--until", "2h"),
        ("link", incident, "--breaker", "withdrawals"),
        ("told", incident, "--audience", "team", "--notes", "in the channel"),
        (
            "action",
            incident,
            "--what",
            "ask the vendor",
            "--due",
            rfc3339(datetime.now(UTC) + timedelta(days=2)),
        ),
    ):
        done = await bastion.run("incident", *arguments)
        assert done.code == 0, (arguments, done.document)
    (item,) = (await bastion.run("incident", "show", incident)).document["incident"]["actions"]
    assert (item["owner"], item["what"]) == ("operator1", "ask the vendor")
    done = await bastion.run("incident", "done", incident, "--action", item["action_id"])
    assert done.code == 0, done.document
    listed = (await bastion.run("incident", "list")).document
    (row,) = listed["incidents"]
    assert (row["title"], row["severity"], row["sev"], row["owner"], row["classification"]) == (
        "bars are missing",
        "P1",
        "SEV2",
        "admin1",
        "security",
    )
    assert (
        row["breakers"] == [BTC, "withdrawals"]
        and not row["overdue"]
        and row["acknowledged_by"] == "operator1"
    )
    assert listed["counts"] == {"open": 0, "acknowledged": 1, "over": 1}
    assert (await bastion.run("incident", "resolve", incident, "--notes", NOTES)).code == 0
    assert (await bastion.run("incident", "list")).document["incidents"] == []
    whole = (await bastion.run("incident", "list", "--all", "bar")).document["incidents"]
    assert {each["status"] for each in whole} == {"resolved", "merged"}
    shown = await cockpit(bastion.config, "incident", "show", incident)
    assert shown.code == 0 and f"cause     {NOTES}" in shown.out and "[x] ask the vendor" in shown.out, (
        shown.out
    )
    kinds = [
        each["kind"]
        for each in (await bastion.run("incident", "show", incident)).document["incident"]["events"]
    ]
    done = "snoozed linked told action done resolved"
    assert kinds == f"opened took-over acknowledged assigned classified {done}".split()


async def test_an_id_that_nothing_has_and_the_beginning_of_one(bastion: Bastion, tmp_path: Path) -> None:
    """Exit 2 in every command, as for a breaker that nobody knows; what is signed names the whole id."""
    known, twin = "01ece739-0000-4000-8000-000000000001", "01ece739-0000-4000-8000-000000000002"
    async with bastion.platform.connection() as owner:
        await owner.execute(
            "INSERT INTO incidents (incident_id, severity, title, dedup_key) VALUES"
            " ($1::text::uuid, 'P2', 'bars are late', 'a'), ($2::text::uuid, 'P3', 'other', 'b')",
            known,
            "01ece7aa-0000-4000-8000-000000000000",
        )
        done = await bastion.run("incident", "note", "01ECE739", "--notes", "seen")
        assert done.code == 0, done.document
        written = await owner.fetchval("SELECT payload FROM requests WHERE kind = 'incident'")
        assert known in written
        shown = await bastion.run("incident", "show", "01ece739-0000")
        assert shown.document["incident"]["incident_id"] == known
        await owner.execute(
            "INSERT INTO incidents (incident_id, severity, title, dedup_key)"
            " VALUES ($1::text::uuid, 'P1', 'a twin', 'c')",
            twin,
        )
    several = await bastion.run("incident", "ack", "01ece739", "--notes", NOTES)
    said = several.document["message"]
    assert (several.code, f"{known} P2 open bars are late" in said, f"{twin} P1" in said) == (2, True, True)
    output = ("--output", str(tmp_path / "new"))
    for gone in (incident_unknown(), "abcdef0"):
        for words in (
            ("show", gone),
            ("triage", gone),
            ("ack", gone, "--notes", NOTES),
            ("note", gone, "--notes", "x"),
            ("merge", known, "--into", gone, "--notes", NOTES),
            ("postmortem", gone, *output),
            ("bundle", gone, *output),
        ):
            done = await bastion.run("incident", *words)
            assert (done.code, gone in done.err) == (2, True), (words, done.err)


async def test_the_runbooks_form_names_a_run(bastion: Bastion) -> None:
    """`--ack-by` is understood and refused: who acknowledges is the login."""
    async with bastion.platform.connection() as owner:
        await owner.execute(
            "INSERT INTO incidents (severity, title, source, dedup_key, run_id, run_incident)"
            " VALUES ('P1', 'drift', 'run', 'run:r-1:inc-9', 'r-1', 'inc-9'),"
            " ('P2', 'x', 'run', 'run:r-2:i', 'r-2', 'i')"
        )
        form = ("incident", "ack", "--run-id", "r-1", "--incident-id", "inc-9", "--notes", NOTES)
        refused = await bastion.run(*form, "--ack-by", "somebody")
        assert refused.code == 2 and "login" in refused.document["message"], refused.document
        assert (await bastion.run(*form[:3], "r-9", *form[4:])).code == 2
        done = await bastion.run(*form)
        assert done.code == 0, done.document
        by = await owner.fetchval("SELECT acknowledged_by FROM incidents WHERE run_id = 'r-1'")
        assert by == "operator1"
    listed = (await bastion.run("incident", "list", "--run-id", "r-1")).document["incidents"]
    assert [each["run_incident"] for each in listed] == ["inc-9"]
    noted = await bastion.run(
        "incident", "note", "--run-id", "r-1", "--incident-id", "inc-9", "--notes", "ok"
    )
    assert noted.code == 0, noted.document
    assert (
        await bastion.run("incident", "note", incident_unknown(), "--notes", "ok", "--login", "monitor1")
    ).code == 3


def incident_unknown() -> str:
    return str(uuid4())


WRONG = (
    (("open", "--severity", "P9", "--classification", "other", "--title", "x"), "P9"),
    (("open", "--severity", "P1", "--classification", "weather", "--title", "x"), "--classification"),
    (("open", "--severity", "P1", "--classification", "other", "--title", " "), "title"),
    (
        ("open", "--severity", "P1", "--classification", "other", "--title", "x", "--breaker", "no"),
        "breaker",
    ),
    (("ack", "x", "--notes", NOTES), "incident"),
    (("ack", "--notes", NOTES), "name it once"),
    (("ack", incident_unknown(), "--incident-id", "i", "--notes", NOTES), "name it once"),
    (("ack", incident_unknown(), "--run-id", "r", "--notes", NOTES), "--incident-id"),
    (("ack", incident_unknown(), "--notes", "short"), "20"),
    (("note", incident_unknown(), "--notes", " "), "--notes"),
    (("note", incident_unknown(), "--notes", "x" * 501), "--notes"),
    (("link", incident_unknown()), "--breaker"),
    (
        ("classify", incident_unknown(), "weather", "--notes", NOTES),
        "'weather' is not one of data_quality, reconciliation, broker/connectivity, security, other",
    ),
    (("classify", incident_unknown(), "other", "--notes", "short"), "20"),
    (("classify", "other", "--notes", NOTES), "name it once"),
    (("told", incident_unknown(), "--audience", "press"), "--audience"),
    (("snooze", incident_unknown(), "--until", "tomorrow"), "--until"),
    (("list", "--count", "0"), "count"),
    (("escalate", incident_unknown(), "--severity", "", "--notes", NOTES), "severity"),
)


def test_wrong_input_is_one_line_that_says_what_would_be_right(platform: Platform) -> None:
    from importlib import import_module

    from cockpit.cli.run import _bad_input

    for arguments, why in WRONG:
        words = ["incident", *arguments, "--config", str(platform.config), "--login", "operator1"]
        invocation = parse(words)
        module, _, function = invocation.command.run.partition(":")
        with pytest.raises(_bad_input()) as fault:
            import_module(f"cockpit.cli.{module}").__dict__[function](invocation.options)
        assert why in str(fault.value) and "\n" not in str(fault.value), arguments


def test_an_id_alone_may_be_given_as_the_runbooks_option() -> None:
    known = incident_unknown()
    options = parse(["incident", "show", "--incident-id", known]).options
    assert which_incident(options).__dict__ == Which(known, None).__dict__
    for wrong in ("inc-9", "01ece", "01ece739-00000", "01ece7-39", "g1ece739", f"{known}0"):
        with pytest.raises(UsageFault, match="6 or more of its first digits"):
            which_incident(parse(["incident", "show", "--incident-id", wrong]).options)


def row(**fields: object) -> IncidentRow:
    facts = {
        "incident_id": "i", "opened_at": NOW - timedelta(hours=3), "severity": "P1",
        "classification": "other", "title": "feed is silent", "status": "open", "source": "manual",
        "breaker_id": BTC, "owner": None,
        "acknowledged_at": None, "acknowledged_by": None,
    }  # fmt: skip
    return IncidentRow(**{**facts, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "OVERDUE 2 h 45 min"),
        ({"alarm_at": NOW - timedelta(minutes=5)}, "due in 10 min"),
        ({"status": "acknowledged", "acknowledged_by": "admin1"}, "by admin1"),
        ({"status": "resolved"}, "by nobody"),
        ({"status": "acknowledged", "snoozed_until": NOW + timedelta(hours=1)}, "quiet until 13:00Z"),
    ],
)
def test_how_a_clock_is_told(fields: dict[str, object], words: str) -> None:
    assert clock_words(row(**fields), NOW) == words


def test_lists_say_what_they_leave_out() -> None:
    assert list_lines(IncidentList(NOW), ()) == ("No incident is unresolved.",)
    assert list_lines(IncidentList(NOW, open_count=3), ()) == ("None is listed.",)
    lines = list_lines(IncidentList(NOW, (row(),), open_count=3), (row(),))
    assert lines[-1] == "… and 2 more unresolved ones." and "feed is silent" in lines[0]


def test_a_list_says_what_each_is_and_what_it_is_about() -> None:
    rows = (
        row(classification="broker/connectivity", breakers=("withdrawals",), slos=("orders",)),
        row(breaker_id=None, slos=("order-success",), classification="a-word-that-is-too-long-here"),
        row(breaker_id="strategy:a-name-that-nobody-could-read-in-a-column"),
        row(breaker_id=None),
    )
    lines = list_lines(IncidentList(NOW, rows, open_count=4), rows)
    tails = [re.split(" {2,}", line.partition("  i  ")[2]) for line in lines]
    assert tails == [
        ["broker/connectivity", f"{BTC} +2", "feed is silent"],
        ["a-word-that-is-too…", "slo:order-success", "feed is silent"],
        ["other", "strategy:a-name-that-nobo…", "feed is silent"],
        ["other", "-", "feed is silent"],
    ]


@pytest.mark.parametrize(
    ("kind", "details", "notes", "said"),
    [
        ("assigned", {"owner": "operator1", "before": None}, "hers", "to operator1; hers"),
        ("escalated", {"severity": "P0"}, "", "to P0"),
        ("snoozed", {"until": "2026-01-31T13:00:00Z"}, "", "until 2026-01-31T13:00:00Z"),
        ("told", {"audience": "team"}, "", "team"),
        ("linked", {"breakers": [BTC], "slos": ["latency"]}, "", f"to {BTC}, SLO latency"),
        ("action", {"what": "check", "owner": "admin1"}, "", "check; for admin1"),
        ("tripped", {"what": f"{BTC} tripped"}, "drift", f"{BTC} tripped; drift"),
        ("noted", {}, "seen " * 150, "seen " * 149 + "seen"),
    ],
)
def test_an_event_says_what_it_was(kind: str, details: dict[str, object], notes: str, said: str) -> None:
    story = IncidentStory(NOW, row(), (StoryEvent(1, NOW, kind, "admin1", notes, details),))
    assert story_lines(story)[-1].endswith(f"{kind}  admin1  {said}")


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30m", 30),
        ("2h", 120),
        (" 45 min ", 45),
        ("1H", 60),
        ("20 minutes", 20),
        ("2 hours", 120),
        ("1 hour", 60),
    ],
)
def test_a_snooze_may_be_so_long(text: str, minutes: int) -> None:
    left = snooze_end(text) - datetime.now(UTC)
    assert timedelta(minutes=minutes - 1) < left <= timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["20 parsecs", "2hin", "20mours", "h"])
def test_a_snooze_says_what_it_takes(text: str) -> None:
    with pytest.raises(UsageFault, match="2026-01-31T13:00:00Z, or as 30m, 30 minutes, 2h or 2 hours"):
        snooze_end(text)


def test_a_story_in_lines() -> None:
    story = IncidentStory(
        NOW,
        row(run_id="r-1", run_incident="i-1", merged_into="other", snoozed_until=NOW, breakers=("global",)),
        (StoryEvent(1, NOW, "opened", "admin1", ""),),
        (ActionItem("a", "x", "admin1", NOW, "admin1", NOW, None, None),),
        cut=4,
    )
    lines = story_lines(story)
    for said in ("run       r-1 i-1", "merged    into other", f"linked    {BTC}, global"):
        assert said in lines
    assert any(line.startswith("[ ] x (admin1, due ") for line in lines) and any(
        "4 events" in line for line in lines
    )
