"""Incidents out of run folders and log files, and acknowledgements back into them."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backends.run_acks import append_once
from backends.side_thread import SideThread
from cockpit.authority import faults, run_acknowledgements, run_floods, run_incidents, run_reports
from cockpit.authority.incident_book import NewIncident
from cockpit.authority.run_incidents import Bounds, RunIncidents
from cockpit.authority.run_reports import Overflow, flood_of, flood_words, flooded
from cockpit.authority.service import Authority, running_authority
from cockpit.domain.artefacts import INCIDENTS
from cockpit.domain.breakers import GLOBAL
from cockpit.domain.commands import Kind
from cockpit.domain.incidents import Severity
from tests.authority.desk import BTC, LONG_S, Desk, until
from tests.authority.test_interruptions import Trap, kill

RUN = "2026-01-31-a"
OF_RUN = Bounds().opened_of_run


@pytest.fixture(autouse=True)
def one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """What files may cause in a minute, they may in a test, however long it takes."""
    monkeypatch.setattr(run_floods, "MINUTE", LONG_S)


@pytest.fixture
def runs(desk: Desk) -> Path:
    folder = desk.platform.folder / "runs"
    (folder / RUN).mkdir(parents=True)
    (desk.platform.folder / "logs").mkdir()
    desk.settings = replace(desk.settings, run_results=folder, audit_logs=desk.platform.folder / "logs")
    return folder


def event(kind: str, **fields: object) -> bytes:
    made = {"event_id": str(uuid4()), "event_type": kind, "at": datetime.now(UTC).isoformat(), **fields}
    return json.dumps(made).encode() + b"\n"


def opened(name: str, **fields: object) -> bytes:
    given = {
        "severity": "P1",
        "classification": "data_quality",
        "title": f"title of {name}",
        "breakers": [BTC],
    }
    return event("incident_open", run_id=RUN, incident_id=name, **{**given, **fields})


def write(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


async def rows(desk: Desk, where: str = "true", *arguments: object) -> list[Any]:
    async with desk.platform.connection() as connection:
        found: list[Any] = await connection.fetch(
            f"SELECT * FROM incidents WHERE {where} ORDER BY opened_at", *arguments
        )
        return found


async def count(desk: Desk, wanted: int, where: str) -> list[Any]:
    async def reached() -> list[Any] | None:
        found = await rows(desk, where)
        return found if len(found) == wanted else None

    found: list[Any] = await until(reached)
    return found


async def story(desk: Desk, incident_id: object) -> list[Any]:
    async with desk.platform.connection() as connection:
        found: list[Any] = await connection.fetch(
            "SELECT * FROM incident_events WHERE incident_id = $1 ORDER BY event_id", incident_id
        )
        return found


async def pages(desk: Desk, incident_id: object) -> list[str]:
    """The severities of its pages, in their order."""
    async with desk.platform.connection() as connection:
        found = await connection.fetch(
            "SELECT severity FROM outbox WHERE incident_id = $1 ORDER BY outbox_id", incident_id
        )
        return [row["severity"] for row in found]


async def told(desk: Desk, incident_id: object, kind: str) -> Any:
    async def reached() -> Any:
        return next((each for each in await story(desk, incident_id) if each["kind"] == kind), None)

    return await until(reached)


@asynccontextmanager
async def acting(desk: Desk, fault: Any = faults.no_fault) -> AsyncIterator[Authority]:
    async with running_authority(desk.settings, fault) as running:
        yield running


async def test_a_runs_incident_is_opened_once_and_its_acknowledgement_goes_back(
    desk: Desk, runs: Path
) -> None:
    file = runs / RUN / INCIDENTS
    write(file, b"not json\n" + opened("feed-1", slos=["bar-staleness"], breakers=[BTC, "instrument:NONE"]))
    async with acting(desk):
        (row,) = await count(desk, 1, "source = 'run'")
        assert (row["severity"], row["classification"], row["status"]) == ("P1", "data_quality", "open")
        assert (row["dedup_key"], row["run_id"], row["run_incident"]) == (f"run:{RUN}:feed-1", RUN, "feed-1")
        assert (row["breaker_id"], row["breakers"], row["slos"]) == (BTC, [], ["bar-staleness"])
        async with desk.platform.connection() as connection:
            assert (
                await connection.fetchval("SELECT count(*) FROM outbox WHERE incident_id = $1", row[0]) == 1
            )
        assert "INCIDENT_OPENED" in await desk.actions()
        assert "instrument:NONE" in (await story(desk, row["incident_id"]))[0]["notes"]
        write(
            file, opened("feed-1") + b'{"event_type": "incident_ack", "incident_id": "feed-1"'
        )  # no end yet
        answer = await desk.ask(Kind.ACKNOWLEDGE, GLOBAL, target=str(row["incident_id"]))
        assert answer.status == "done", answer.message
        await told(desk, row["incident_id"], "run-acknowledged")
    lines = file.read_bytes().splitlines()
    assert lines[-2].endswith(b'"feed-1"')  # the part that was there is left as it was
    back = json.loads(lines[-1])
    assert (back["event_type"], back["incident_id"], back["ack_by"]) == (
        "incident_ack",
        "feed-1",
        "operator1",
    )
    assert back["run_id"] == RUN and back["notes"]
    async with acting(desk):  # a successor reads it all again and finds nothing new
        write(file, opened("feed-2"))
        await count(desk, 2, "source = 'run'")
        assert file.read_bytes().count(b"incident_ack") == 2
        kinds = [each["kind"] for each in await story(desk, row["incident_id"])]
        assert kinds.count("run-says") == 0 and kinds.count("run-acknowledged") == 1


async def test_what_the_file_says_is_told_and_changes_nothing(desk: Desk, runs: Path) -> None:
    file = runs / RUN / INCIDENTS
    ack = event("incident_ack", incident_id="a", ack_by="mallory", notes="all well")
    write(
        file,
        opened("a")
        + ack
        + event("incident_resolve", incident_id="a")
        + event("incident_ack", incident_id="b"),
    )
    async with acting(desk):
        (row,) = await count(desk, 1, "source = 'run'")

        async def both() -> bool:
            return [each["kind"] for each in await story(desk, row["incident_id"])].count("run-says") == 2

        await until(both)
        said = await story(desk, row["incident_id"])
        assert "mallory" in said[1]["notes"] and said[1]["audit_seq"] is None
        assert (await rows(desk))[0]["status"] == "open"


async def test_dying_between_the_file_and_the_record_writes_it_once(desk: Desk, runs: Path) -> None:
    file = runs / RUN / INCIDENTS
    write(file, opened("a"))
    trap, stop = Trap(faults.RUN_ACK_IN_FILE), asyncio.Event()
    trap.armed = True
    first = Authority(desk.settings, trap, "first")
    work = asyncio.create_task(first.run(stop))
    (row,) = await count(desk, 1, "source = 'run'")
    answer = await desk.ask(Kind.ACKNOWLEDGE, GLOBAL, target=str(row["incident_id"]))
    assert answer.status == "done", answer.message
    await asyncio.wait_for(trap.reached.wait(), 60)
    assert file.read_bytes().count(b"incident_ack") == 1  # it is in the file, and nobody knows
    await kill(desk, work)
    async with acting(desk):
        await told(desk, row["incident_id"], "run-acknowledged")
        assert await rows(desk, "run_ack_due") == []
    assert file.read_bytes().count(b"incident_ack") == 1
    assert "run-says" not in [each["kind"] for each in await story(desk, row["incident_id"])]


async def test_a_flood_is_one_incident_and_trips_go_on(desk: Desk, runs: Path) -> None:
    lines = [opened(f"i{n}", severity="P0" if n == 700 else "P2") for n in range(1_000)]
    write(runs / RUN / INCIDENTS, b"".join(lines))
    os.mkfifo(desk.platform.folder / "logs" / "pipe.jsonl")
    (runs / "link").symlink_to(runs / RUN)
    (runs / ".hidden").mkdir()
    async with acting(desk):
        all_of_it = "source = 'run-flood' AND severity = 'P0' AND title LIKE $$%: {}. %$$"
        (flood,) = await count(desk, 1, all_of_it.format(1_000 - OF_RUN))
        assert len(await rows(desk, "source = 'run'")) == OF_RUN
        await desk.trip(BTC)
        (raised,) = [each for each in await story(desk, flood["incident_id"]) if each["kind"] == "escalated"]
        assert "the gravest: title of i700 (P0), " in raised["notes"] and raised["audit_seq"]
        assert await pages(desk, flood["incident_id"]) == ["P2", "P0"]


async def test_risk_limits_of_the_logs(desk: Desk, runs: Path) -> None:
    file = desk.platform.folder / "logs" / "audit.jsonl"
    limit = {
        "rule": "max-position",
        "subject": "BTC-USD",
        "value": "12",
        "limit": "10",
        "message": "too much",
    }
    first = event("risk_limit_breach", **limit)
    write(file, event("risk_warning", **limit) + first + event("change", what="deploy", by="ci"))
    async with acting(desk):
        (row,) = await count(desk, 1, "source = 'audit-log'")
        assert (row["severity"], row["classification"], row["breaker_id"]) == ("P1", "other", BTC)
        assert row["title"] == "Risk limit max-position BTC-USD broken: 12 against 10"
        assert row["dedup_key"].startswith("audit-log:")
        write(file, event("risk_limit_breach", **limit) + first)
        write(file, event("risk_limit_breach", **{**limit, "subject": "ETH-USD"}))
        await count(desk, 2, "source = 'audit-log'")
        kinds = [each["kind"] for each in await story(desk, row["incident_id"])]
        assert kinds == ["opened", "breached-again"]
    file.rename(file.with_name("audit.1.jsonl"))  # rotated while nobody looked: read again, and known
    write(file, event("risk_limit_breach", **{**limit, "rule": "notional"}))
    async with acting(desk):
        await count(desk, 3, "source = 'audit-log'")
        kinds = [each["kind"] for each in await story(desk, row["incident_id"])]
        assert kinds == ["opened", "breached-again"]


async def test_a_line_that_postgres_cannot_hold_ends_no_term(
    desk: Desk, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_reports.new_incident

    def poisoned(told: Any, catalogue: Any) -> Any:
        new = real(told, catalogue)
        return replace(new, run_incident="\x00") if "poison" in new.title else new

    monkeypatch.setattr(run_incidents, "new_incident", poisoned)
    write(runs / RUN / INCIDENTS, opened("a") + opened("b", title="poison") + opened("c"))
    async with acting(desk) as running:
        found = await count(desk, 2, "source = 'run'")
        assert [each["run_incident"] for each in found] == ["a", "c"]
        await desk.trip(BTC)
        assert running.means is not None and not running.means.over
        async with desk.platform.connection() as connection:
            assert await connection.fetchval("SELECT term FROM authority_lease") == 1


async def test_a_run_that_cannot_be_written_is_tried_again(
    desk: Desk, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_acknowledgements, "RETRY_S", 0.2)
    tried: list[object] = []

    swapping = threading.Lock()

    def counted(*arguments: Any) -> bool:
        tried.append(arguments)
        with swapping:
            return append_once(*arguments)

    monkeypatch.setattr(run_acknowledgements, "append_once", counted)
    file = runs / RUN / INCIDENTS
    write(
        file, opened("a", severity="nonsense", classification="weird", breakers="x", title=7, slos=[1, "s"])
    )
    write(file, opened("x" * 65) + opened("\x1b[31m"))
    async with acting(desk):
        found = await count(desk, 3, "source = 'run'")
        row = found[0]
        assert (row["severity"], row["classification"], row["breaker_id"]) == ("P1", "other", None)
        assert row["slos"] == ["s"] and row["title"] == "7"
        assert all(each["run_incident"].startswith("line-") for each in found[1:])
        file.rename(file.with_name("kept"))
        file.mkdir()  # a folder stands in its place
        answer = await desk.ask(Kind.ACKNOWLEDGE, GLOBAL, target=str(row["incident_id"]))
        assert answer.status == "done", answer.message

        async def again() -> bool:
            return len(tried) >= 2

        await until(again)
        assert len(await rows(desk, "run_ack_due")) == 1
        with swapping:  # where nothing stands it would begin a file of its own
            file.rmdir()
            file.with_name("kept").rename(file)
        await told(desk, row["incident_id"], "run-acknowledged")
    assert file.read_bytes().count(b"incident_ack") == 1


# By hand, turn by turn, with small bounds: what stands in the tables after each of them.


@pytest.fixture
async def readers(desk: Desk, runs: Path) -> AsyncIterator[Callable[[Bounds], RunIncidents]]:
    """Makes a reader of the run folders, a new one as after a restart; the authority itself reads none."""
    plain = replace(desk.settings, run_results=None, audit_logs=None)
    async with running_authority(plain) as running:
        assert running.means is not None
        means = replace(running.means, settings=desk.settings)
        yield lambda bounds: RunIncidents(means, bounds)


@pytest.fixture
def thread() -> Iterator[SideThread]:
    made = SideThread("by hand")
    yield made
    made.shutdown()


async def to_the_end(reader: RunIncidents, thread: SideThread) -> int:
    """How many turns it took."""
    turns = 1
    while await reader.step(thread):
        turns += 1
    return turns


def total(found: list[Any]) -> int:
    return sum(flooded(row["title"]) for row in found if row["source"] == "run-flood")


async def test_what_is_read_is_opened_or_counted_whenever_the_reader_dies(
    desk: Desk, runs: Path, readers: Callable[[Bounds], RunIncidents], thread: SideThread
) -> None:
    lines = [opened(f"i{n}", severity="P0" if n == 33 else "P3") for n in range(40)]
    write(runs / RUN / INCIDENTS, b"".join(lines))
    bounds = Bounds(lines=5, opened=1, opened_of_run=1)
    more, turns = True, 0
    while more:  # each turn is the last one of its reader
        more = await readers(bounds).step(thread)
        turns += 1
        async with desk.platform.connection() as connection:
            read_to = await connection.fetchval("SELECT read_to FROM run_offsets")
        found = await rows(desk)
        alone = [row for row in found if row["source"] == "run"]
        assert len(alone) + total(found) == (runs / RUN / INCIDENTS).read_bytes()[:read_to].count(b"\n")
    assert turns >= 8 and "i33" in {row["run_incident"] for row in alone}  # the gravest of its turn
    (flood,) = [row for row in found if row["source"] == "run-flood"]
    assert flood["severity"] == "P3"


async def test_only_an_open_flood_takes_in_more_and_a_graver_line_pages(
    desk: Desk, runs: Path, readers: Callable[[Bounds], RunIncidents], thread: SideThread
) -> None:
    file = runs / RUN / INCIDENTS
    reader = readers(Bounds(opened=0, said=100))

    async def comes(*severities: str) -> list[Any]:
        for severity in severities:
            write(file, opened(uuid4().hex, severity=severity, title=f"so {severity}"))
        await to_the_end(reader, thread)
        return await rows(desk, "source = 'run-flood'")

    (first,) = await comes("P3", "P2", "P3")
    assert (first["severity"], flooded(first["title"])) == ("P2", 3)
    (first,) = await comes("P3", "P1")
    assert (first["severity"], flooded(first["title"])) == ("P1", 5)
    assert await pages(desk, first["incident_id"]) == ["P2", "P1"]
    assert "INCIDENT_ESCALATED" in await desk.actions()
    (first,) = await comes("P1")
    assert flooded(first["title"]) == 6 and await pages(desk, first["incident_id"]) == ["P2", "P1"]
    for status in ("acknowledged", "resolved"):
        async with desk.platform.connection() as connection:
            await connection.execute(
                "UPDATE incidents SET status = $1 WHERE source = 'run-flood' AND status = 'open'", status
            )
        found = await comes("P0")
        assert [await pages(desk, row["incident_id"]) for row in found[1:]] == [["P0"]] * (len(found) - 1)
    assert [flooded(row["title"]) for row in found] == [6, 1, 1]
    async with desk.platform.connection() as connection:
        await connection.execute("UPDATE incidents SET snoozed_until = now() + interval '1 hour'")
    assert len(await comes("P0")) == 4  # a quiet one warns nobody


async def test_a_million_lines_are_taken_in_short_turns_that_are_saved(
    desk: Desk, runs: Path, readers: Callable[[Bounds], RunIncidents], thread: SideThread
) -> None:
    file = runs / RUN / INCIDENTS
    acks = b"".join(event("incident_ack", incident_id="a", notes=f"{n}") for n in range(2_000))
    write(file, opened("a") + acks)
    breach = {"rule": "notional", "subject": "BTC-USD", "value": "2", "limit": "1"}
    logs = b"".join(event("risk_limit_breach", **breach, message=f"{n}") for n in range(2_000))
    write(desk.platform.folder / "logs" / "l.jsonl", logs)
    bounds = Bounds(lines=200)
    reader, places = readers(bounds), set()
    for _ in range(10):
        begin = time.process_time()
        assert await reader.step(thread)
        assert time.process_time() - begin < 2  # of work, so that the lease is renewed in between
        async with desk.platform.connection() as connection:
            places.add(await connection.fetchval("SELECT sum(read_to) FROM run_offsets"))
    assert len(places) == 10
    assert await to_the_end(readers(bounds), thread) <= 15  # the next one goes on from there
    for row in await rows(desk):
        told_ = [each["details"] for each in await story(desk, row["incident_id"])]
        assert 40 <= len(told_) <= 1 + 2 * 40 and len(set(told_)) == len(told_)
    assert len(await rows(desk)) == 2


async def test_a_noisy_run_leaves_room_for_another_and_the_gravest_are_named(
    desk: Desk, runs: Path, readers: Callable[[Bounds], RunIncidents], thread: SideThread
) -> None:
    write(runs / RUN / INCIDENTS, b"".join(opened(f"i{n}", severity="P0") for n in range(100)))
    (runs / "quiet").mkdir()
    write(runs / "quiet" / INCIDENTS, opened("q", severity="P3", title="quiet"))
    reader = readers(Bounds(lines=40, opened=4, opened_of_run=3, said=2))
    await reader.step(thread)
    assert [row["run_incident"] for row in await rows(desk, "run_id = 'quiet'")] == ["q"]
    assert len(await rows(desk, "run_id = $1", RUN)) == 3
    await to_the_end(reader, thread)
    (flood,) = await rows(desk, "source = 'run-flood'")
    assert flooded(flood["title"]) == 97
    assert len(await story(desk, flood["incident_id"])) <= 3


def test_of_a_flood_a_count_and_the_five_gravest_are_kept() -> None:
    over = Overflow()
    for n in range(1_000):
        severity = {500: Severity.P0, 700: Severity.P1}.get(n, Severity.P3)
        over = over.with_one(NewIncident(severity, "other", f"t{n}", "run", f"k{n}"))
    assert (over.count, len(over.gravest), over.severity) == (1_000, 5, Severity.P0)
    assert flood_words(over).startswith("1000 were not opened, the gravest: t500 (P0), t700 (P1), t0 (P3)")
    assert flooded(flood_of(over).title) == 1_000 and flooded("something else") == 0
    assert flood_of(over).dedup_key != flood_of(over).dedup_key
