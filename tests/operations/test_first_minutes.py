"""The first five minutes on real rows, a venue over HTTP and a run folder; and with each of them away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backends.gateway import Gateway
from backends.playbook_folder import BadPlaybookFile, read_playbook, read_playbooks, shipped_playbooks
from backends.run_folder import RunFolders
from cockpit.cli import triage, wiring
from cockpit.cli.run import run
from cockpit.domain.artefacts import INCIDENTS, ORDERS, POSITIONS, QUALITY, QUALITY_LATEST, SLOS
from cockpit.domain.documents import rfc3339
from cockpit.domain.incidents import Classification
from cockpit.domain.playbooks import Check, Judged, choose
from cockpit.domain.triage import FirstMinutes
from cockpit.domain.triage_facts import Part
from cockpit.operations import first_minutes as first_minutes_module
from cockpit.operations.first_minutes import FirstMinutesPorts, first_minutes
from tests.authority.desk import Venue, venue
from tests.trading_platform import Platform

CYCLE = "INSERT INTO quality_cycles (started_at, status, errors, stale_warnings) VALUES "
RUN = "INSERT INTO reconciliation_runs (finished_at, kind, symbol, status) VALUES "
HEAD = 'id = "x"\ntitle = "x"\nsource = "x"\nseverity = "P1"\n[[step]]\nid = "a"\nphase = "now"\ntext = "t"\n'
BEFORE, NEVER = "2000-01-31T10:00:00Z", "2126-01-31T10:00:00Z"


class Bench:
    def __init__(self, platform: Platform, made: Venue, ports: FirstMinutesPorts, folder: Path) -> None:
        self.platform, self.venue, self.ports, self.folder = platform, made, ports, folder

    async def sql(self, statement: str, *arguments: object) -> Any:
        async with self.platform.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def incident(
        self, classification: str = "other", breaker: str | None = "instrument:BTC-USD"
    ) -> str:
        return str(
            await self.sql(
                "INSERT INTO incidents"
                " (severity, title, source, classification, breaker_id, run_id, run_incident)"
                " VALUES ('P1', 'what happened', 'run', $1, $2, 'r', 'i-1') RETURNING incident_id",
                classification,
                breaker,
            )
        )

    async def watched(self, slo: str, minutes: int = 0) -> str:
        """An incident of the authority's watch of an objective, opened so many minutes ago."""
        return str(
            await self.sql(
                "INSERT INTO incidents (severity, title, source, dedup_key, slos, opened_at) VALUES"
                " ('P1', $1 || ' broke', 'slo', 'slo:' || $1, ARRAY[$1],"
                " clock_timestamp() - make_interval(mins => $2)) RETURNING incident_id",
                slo,
                minutes,
            )
        )

    async def told(self, incident_id: str, kind: str, level: str | None, minutes: int) -> None:
        """A line of such an incident's story."""
        await self.sql(
            "INSERT INTO incident_events (incident_id, kind, actor, details, at) VALUES ($1::uuid, $2,"
            " 'authority', $3::jsonb, clock_timestamp() - make_interval(mins => $4)) RETURNING 1",
            incident_id,
            kind,
            json.dumps({"level": level, "why": f"{kind} of a test"}),
            minutes,
        )

    async def breach(self) -> tuple[str, bool, bool]:
        """Of the page: which objective, whether it has recovered, and whether that was measured."""
        found = (await self.page(await self.incident())).breach.value
        assert found is not None
        return found.slo, found.recovered, found.proved

    async def page(self, incident_id: str | None = None, **ports: Any) -> FirstMinutes:
        return await first_minutes(incident_id or await self.incident(), replace(self.ports, **ports))

    def write(self, name: str, event: str, at: str = "", **fields: object) -> None:
        """A line of a file; without `at` later than every row, and not yet the future."""
        at = at or rfc3339(datetime.now(UTC) + timedelta(seconds=45))
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps({"event_id": "e", "event_type": event, "at": at, **fields}) + "\n")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no store that is away."""
    monkeypatch.setattr(first_minutes_module, "READ_S", 60.0)
    monkeypatch.setattr(triage, "open_postgres", lambda login, _: wiring.open_postgres(login, 60.0))


@pytest.fixture
async def bench(platform: Platform, tmp_path: Path) -> AsyncIterator[Bench]:
    redis, postgres = platform.redis_store("operator1"), platform.postgres_store("operator1")
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    runs = RunFolders(tmp_path / "runs", tmp_path / "logs")
    async with venue() as made, Gateway(made.url) as gateway:
        ports = FirstMinutesPorts(postgres, platform.catalogue, redis, gateway, runs)
        yield Bench(platform, made, ports, tmp_path)
    await runs.close()
    await redis.close()
    await postgres.close()


async def test_what_postgres_redis_and_the_gateway_say(bench: Bench) -> None:
    for kind, status in (("order", "clean"), ("position", "mismatch")):
        await bench.sql(
            "INSERT INTO reconciliation_runs (kind, symbol, status, mismatches, engine_seq, ledger_seq,"
            " finished_at) VALUES ($1, 'BTC-USD', $2, $3::jsonb, 9, 7, clock_timestamp())",
            kind,
            status,
            '[{"symbol": "BTC-USD", "venue": "1.5", "books": "1.4"}]' if status == "mismatch" else "[]",
        )
    await bench.sql(RUN + "(clock_timestamp(), 'order', 'ETH-USD', 'clean')")
    await bench.sql(CYCLE + "(now(), 'breach', 2, 1)")
    await bench.sql(
        "INSERT INTO incidents (severity, title, source, dedup_key, slos, opened_at) VALUES"
        " ('P1', 'bars are stale', 'slo', 'slo:bar-staleness', '{bar-staleness}', now() - interval '1 hour')"
    )
    page = await bench.page(await bench.incident("reconciliation"))
    assert page.incident.value is not None and page.incident.value.title == "what happened"
    assert page.symbols == ("BTC-USD",)
    assert page.halt.value is not None and page.halt.value.healthy and page.halt.value.feed_fresh
    assert page.halts.value is not None and "global" in page.halts.value.breakers
    assert page.breach.value is not None and page.breach.value.slo == "bar-staleness"
    assert page.acknowledgement.value is not None and page.acknowledgement.value.status == "open"
    assert [(each.symbol, each.status) for each in page.orders.value or ()] == [("BTC-USD", "clean")]
    (position,) = page.positions.value or ()
    assert (position.mismatches, position.ids, position.lag) == (1, ("BTC-USD",), 2)
    assert page.ledger.value is None and page.ledger.fault == ""
    assert page.quality.value is not None and page.quality.value.errors == 2
    (condition,) = page.recovery.value or ()
    assert condition.met is False and "BTC-USD 0 of 2" in condition.line
    assert page.run.value is not None and page.run.value.run_id == "r"
    assert not [name for name, part in page.parts() if part.fault]
    assert page.suggestion.classification in (Classification.RECONCILIATION, Classification.DATA_QUALITY)
    assert page.next_step.number == 1
    assert choose(shipped_playbooks(), page).playbook.playbook_id in ("ledger-invariant", "settlement-lag")


async def test_the_run_folder_adds_what_is_newer_and_is_named(bench: Bench) -> None:
    await bench.sql(CYCLE + "(now(), 'clean', 0, 0)")
    await bench.sql(RUN + "(clock_timestamp(), 'order', 'BTC-USD', 'clean')")
    bench.write(
        f"runs/r/{SLOS}", "slo_breach", slo="feed", value="0.9", threshold="0.995", severity="critical"
    )
    bench.write(f"runs/r/{SLOS}", "slo_recovered", slo="other")
    bench.write(f"runs/r/{QUALITY}", "quality_cycle", status="clean", errors=1, stale_warnings=0)
    bench.write(f"runs/r/{QUALITY_LATEST}", "quality_cycle", BEFORE, status="clean", errors="1")
    bench.write(
        f"runs/r/{ORDERS}",
        "reconciliation",
        kind="order",
        symbol="BTC-USD",
        status="mismatch",
        mismatches=[{"id": "o-1", "venue": "1", "books": "2"}, 7],
    )
    bench.write(f"runs/r/{ORDERS}", "other")
    bench.write(
        f"runs/r/{POSITIONS}", "reconciliation", BEFORE, kind="position", symbol="ETH-USD", status="clean"
    )
    bench.write(f"runs/r/{POSITIONS}", "reconciliation", BEFORE, kind="position", symbol="", mismatches="x")
    bench.write(f"runs/r/{INCIDENTS}", "incident_ack", incident_id="i-1", ack_by="someone")
    bench.write(f"runs/r/{INCIDENTS}", "incident_resolve", incident_id="i-2")
    bench.write("logs/a.jsonl", "change", what="deploy 7", by="ci")
    page = await bench.page()
    assert page.breach.value is not None and not page.breach.value.recovered
    assert (page.breach.value.slo, page.breach.value.source) == ("feed", f"r/{SLOS}")
    assert page.quality.value is not None and not page.quality.value.clean
    assert page.quality.value.source == f"r/{QUALITY}"
    (order,) = page.orders.value or ()
    assert (order.status, order.ids, order.source) == ("mismatch", ("o-1",), f"r/{ORDERS}")
    (whole,) = page.positions.value or ()
    assert (whole.symbol, whole.status) == ("", "unknown")
    assert page.changes.value is not None and page.changes.value[0].what == "deploy 7"
    assert page.acknowledgement.value is not None
    assert page.acknowledgement.value.run_says == "acknowledged by someone"
    bench.write(f"runs/r/{SLOS}", "slo_recovered", slo="feed")
    bench.write(f"runs/r/{INCIDENTS}", "incident_resolve", incident_id="i-1")
    page = await bench.page()
    assert page.breach.value is not None and page.breach.value.recovered
    assert page.acknowledgement.value is not None
    assert page.acknowledgement.value.run_says == "resolved by nobody named"


async def test_a_folder_cannot_make_anything_look_better(bench: Bench) -> None:  # I25
    await bench.sql(CYCLE + "(now(), 'breach', 1, 0)")
    await bench.sql(RUN + "(clock_timestamp(), 'order', 'BTC-USD', 'unknown')")
    await bench.watched("feed")
    bench.write(f"runs/r/{QUALITY_LATEST}", "quality_cycle", status="clean", errors=0, stale_warnings=0)
    for kind in ("order", "position"):
        bench.write(f"runs/r/{ORDERS}", "reconciliation", kind=kind, symbol="BTC-USD", status="clean")
    for event in ("slo_breach", "slo_recovered"):
        bench.write(f"runs/r/{SLOS}", event, slo="feed")
    bench.write(
        f"runs/r/{POSITIONS}", "reconciliation", NEVER, kind="ledger", symbol="BTC-USD", status="mismatch"
    )
    page = await bench.page()
    assert page.quality.value is not None and page.quality.value.errors == 1
    assert [each.status for each in page.orders.value or ()] == ["unknown"]
    assert page.breach.value is not None and not page.breach.value.recovered
    assert page.ledger.value is None
    (claimed,) = page.positions.value or ()
    assert claimed.status == "clean" and not claimed.proved


async def test_the_last_breach_is_one_that_was_measured(bench: Bench) -> None:
    """Nobody's who merely names an objective. It has recovered by the watch's own word."""
    await bench.sql(
        "INSERT INTO incidents (severity, title, source, classification, slos, dedup_key) VALUES"
        " ('P0', 'linked', 'manual', 'reconciliation', '{order-success}', 'manual:1'),"
        " ('P1', 'by a run', 'run', 'data_quality', '{data-quality-errors}', 'run:r:1')"
    )
    assert (await bench.page(await bench.incident())).breach == Part()
    feed = await bench.watched("feed", 60)
    assert await bench.breach() == ("feed", False, True)
    await bench.told(feed, "opened", "P1", 60)
    await bench.told(feed, "slo-eased", "P2", 50)
    await bench.told(feed, "tripped", None, 45)
    assert await bench.breach() == ("feed", False, True)
    await bench.told(feed, "slo-recovered", None, 40)
    await bench.sql("UPDATE incidents SET slos = '{order-success,feed}' WHERE incident_id = $1::uuid", feed)
    assert await bench.breach() == ("feed", True, True)
    bars = await bench.watched("bars", 50)
    await bench.told(bars, "opened", "P1", 50)
    assert await bench.breach() == ("bars", False, True)
    await bench.told(feed, "slo-breach", "P0", 5)  # an older incident, whose objective has broken again
    part = (await bench.page(await bench.incident())).breach
    assert part.value is not None and (part.value.slo, part.value.severity) == ("feed", "P0")
    assert part.value.text == "slo-breach of a test" and (part.age_s(datetime.now(UTC)) or 0) < 3_000
    over = "UPDATE incidents SET status = 'resolved', dedup_key = dedup_key || '#' || incident_id"
    await bench.sql(f"{over} WHERE incident_id = $1::uuid", feed)
    assert await bench.breach() == ("bars", False, True)  # what stands goes before what is over
    await bench.told(bars, "slo-recovered", None, 1)
    assert await bench.breach() == ("feed", True, False)
    await bench.told(feed, "slo-recovered", None, 0)
    assert await bench.breach() == ("feed", True, True)


async def test_a_breach_of_the_file_that_was_measured_later_is_over(bench: Bench) -> None:
    feed = await bench.watched("feed")
    await bench.told(feed, "opened", "P1", 0)
    await bench.told(feed, "slo-recovered", None, 0)
    bench.write(f"runs/r/{SLOS}", "slo_breach", BEFORE, slo="feed", severity="critical")
    assert await bench.breach() == ("feed", True, True)
    bench.write(f"runs/r/{SLOS}", "slo_breach", BEFORE, slo="other", severity="critical")
    assert await bench.breach() == ("other", False, False)
    bench.write(f"runs/r/{SLOS}", "slo_recovered", slo="other")
    bench.write(f"runs/r/{SLOS}", "slo_breach", slo="feed", severity="critical")
    assert await bench.breach() == ("feed", False, False)


async def test_a_breach_is_unknown_where_something_that_might_say_otherwise_is(bench: Bench) -> None:  # I25
    class Stuck:
        async def view(self, run_id: str | None = None) -> Any:
            raise OSError("its disk does not answer")

    feed = await bench.watched("feed", 5)
    page = await bench.page(runs=Stuck())
    assert page.breach.value is not None and page.breach.value.slo == "feed"
    await bench.told(feed, "slo-recovered", None, 0)
    page = await bench.page(runs=Stuck())
    assert page.breach.value is None and "run folder: OSError: its disk" in page.breach.fault
    assert (await bench.page(runs=None)).breach.fault == ""
    (bench.folder / "runs" / "r" / SLOS).mkdir()
    assert (await bench.page()).breach.fault.startswith("run folder: ")


async def test_what_is_away_is_said_and_the_rest_shows(bench: Bench) -> None:  # F8 F9 I25
    dsn = bench.platform.login("operator1").postgres_dsn
    from backends.postgres_store import PostgresStore

    nowhere = PostgresStore(dsn.replace(f":{bench.platform.postgres.port}/", ":1/"), 1.0)
    bench.write(f"runs/r/{QUALITY}", "quality_cycle", status="breach", errors=1, stale_warnings=0)
    bench.write(f"runs/r/{SLOS}", "slo_breach", slo="feed", severity="critical")  # no stand-in for Postgres
    page = await bench.page(await bench.incident(), desk=nowhere)
    await nowhere.close()
    for part in (page.incident, page.acknowledgement, page.recovery, page.orders, page.breach):
        assert part.value is None and "Postgres" in part.fault
    assert page.halt.value is not None and page.halts.value is not None
    assert page.quality.value is not None and page.symbols
    assert page.next_step.why.startswith("unknown: ")
    async with Gateway("http://127.0.0.1:1") as away:
        page = await bench.page(gateway=away, breakers=None, runs=None)
    assert "gateway" in page.halt.fault and page.halts.fault and "[runs]" in page.run.fault
    assert page.incident.value is not None
    page = await bench.page(gateway=None)
    assert page.halt.fault == "no gateway_url is set"
    assert not [each for each in page.suggestion.evidence if "gateway" in each.text]


@pytest.mark.parametrize("incident_id", ["nonsense", "00000000-0000-0000-0000-000000000000"])
async def test_an_incident_that_does_not_exist(bench: Bench, incident_id: str) -> None:
    page = await bench.page(incident_id)
    assert "There is no incident" in page.incident.fault and page.recovery.fault


async def test_conditions_of_a_broker_and_of_what_is_over(bench: Bench) -> None:
    page = await bench.page(await bench.incident("broker/connectivity", None))
    met = {each.need.value: each.met for each in page.recovery.value or ()}
    assert met == {"gateway": True, "rerun": False} and len(page.symbols) == 4

    class Silent(Gateway):
        async def health(self) -> Any:
            return replace(await super().health(), feed_age_s=None)

    async with Silent(bench.venue.url) as gateway:
        page = await bench.page(await bench.incident("broker/connectivity"), gateway=gateway)
    assert [each.met for each in page.recovery.value or ()] == [None, False]
    page = await bench.page(await bench.incident("broker/connectivity"), gateway=None)
    assert [each.met for each in page.recovery.value or ()] == [None, False]
    over = await bench.incident("data_quality")
    await bench.sql("UPDATE incidents SET status = 'resolved' WHERE incident_id = $1::uuid RETURNING 1", over)
    assert (await bench.page(over)).recovery.value == ()
    assert (await bench.page()).recovery.value == ()
    await bench.sql("ALTER TABLE daily_bars RENAME TO elsewhere")
    page = await bench.page(await bench.incident("data_quality"))
    assert page.recovery.value is None and page.recovery.fault


async def test_the_command(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    import asyncio

    incident_id = await bench.incident("data_quality")
    config = str(bench.platform.config)
    words = ["--config", config, "--login", "operator1", "incident", "triage"]
    assert await asyncio.to_thread(run, [*words, incident_id, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["playbook"]["id"] == "data-feed", found
    assert found["next_step"]["number"] == 1
    assert found["parts"]["gateway"]["fault"] == "no gateway_url is set"
    assert [each["need"] for each in found["recovery"]] == ["daily-bars", "quality-cycle"]
    assert await asyncio.to_thread(run, [*words, "--run-id", "r", "--incident-id", "i-1"]) == 0
    lines = capsys.readouterr().out
    assert "Market data is late or gone" in lines and "unreadable: no gateway_url is set" in lines
    # What the screen's marks say: a question is never done.
    signs = {each["id"]: (each["done"], each["sign"]) for each in found["playbook"]["steps"]}
    assert signs["own-it"] == (False, "needs") and signs["confirm"] == (True, "nothing")
    assert signs["provider"] == (None, "nothing") and signs["wait-or-switch"] == (None, "unknown")
    marks = [line.split("]")[0] + "]" for line in lines.splitlines() if line.startswith("[")]
    assert marks[:3] == ["[open]", "[-]", "[done]"]  # at first everything is halted


def test_every_shipped_playbook_is_sound() -> None:
    found = {each.playbook_id: each for each in shipped_playbooks()}
    assert len(found) == 11 and [each for each in found.values() if each.fits.always] == [found["triage"]]
    # Nobody may believe that the cockpit does what it cannot.
    for name in ("stream-outage", "fan-out-overload", "settlement-lag"):
        assert [step for step in found[name].steps if step.by_hand]
    # A check that says that all is well answers no question with a tick.
    steps = [step for book in found.values() for step in book.steps if step.check]
    looks = ("Look ", "Read ", "See ", "Find ", "Compare ", "Go through ", "Watch ", "Leave ")
    asked = [step for step in steps if "?" in step.text or step.text.startswith(looks)]
    assert len(asked) == 14 and {step.judged for step in asked} == {Judged.ASKS}
    # What was read, or that Postgres answers, or that everything is halted, proves no step as a whole.
    for check in (Check.CHANGES_SEEN, Check.OBJECTIVES_KEPT, Check.POSTGRES_ANSWERS, Check.GLOBAL_HALTED):
        assert {step.judged for step in steps if step.check is check} == {Judged.ASKS}, check
    released = [step for step in steps if "latch" in step.text]
    assert [step.check for step in released] == [Check.NO_LATCH]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id = ", "not TOML"),
        ('id = "x"\n', "1: playbook: step"),
        ('title = "x"\nid = 7\n[[step]]\n', "3: step 1: id: missing"),
        ('id = 7\n[[step]]\nid = "a"\nphase = "now"\ntext = "t"\n', "1: playbook: id"),
        (
            HEAD + '[[step]]\nid = "b"\nphase = "x"\ntext = "t"\n',
            "11: step 2: phase",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(BadPlaybookFile, match=f"a.toml:? ?{words}"):
        read_playbooks(tmp_path)


def test_folders_pipes_and_doubles_are_refused(tmp_path: Path) -> None:
    import os

    good = HEAD
    (tmp_path / "a.toml").write_text(good)
    (tmp_path / "notes.txt").write_text("no playbook")
    assert [each.playbook_id for each in read_playbooks(tmp_path)] == ["x"]
    (tmp_path / "b.toml").write_text(good)
    with pytest.raises(BadPlaybookFile, match="another file's too"):
        read_playbooks(tmp_path)
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BadPlaybookFile, match="not a file"):
        read_playbook(tmp_path / "pipe.toml")
    (tmp_path / "long.toml").write_text("#" * 200_001)
    with pytest.raises(BadPlaybookFile, match="over 200,000"):
        read_playbook(tmp_path / "long.toml")
    with pytest.raises(BadPlaybookFile, match="No such file"):
        read_playbooks(tmp_path / "none")
