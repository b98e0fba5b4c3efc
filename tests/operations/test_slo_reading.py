"""Reading all objectives: nobody waits for a source that is away; what was last known keeps its age. # I25"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from cockpit.config_fields import BadSettings
from cockpit.domain.breakers import EXECUTION
from cockpit.domain.budgets import BudgetState, Counts
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.slo_reports import SliReading
from cockpit.domain.slos import Budgeting, Exclusion, Ratio, Slo, SloBook, Source, SourceKind
from cockpit.objectives import open_objectives
from cockpit.operations import slo_reading
from cockpit.operations.slo_reading import Objective, SloReader
from tests.trading_platform import Platform

POSTGRES, PROMETHEUS = SourceKind.POSTGRES, SourceKind.PROMETHEUS
GOOD = Counts(Decimal(995), Decimal(1_000))


def slo(name: str, kind: SourceKind = POSTGRES, objective: str = "0.99") -> Slo:
    source = Source(kind, "orders")
    return Slo(
        name=name,
        title=name,
        description="",
        objective=Decimal(objective),
        window_s=86_400,
        indicator=Ratio(source, source, None, False),
        budgeting=Budgeting.OCCURRENCES,
        slices=None,
        breaker=EXECUTION,
    )


class Files:
    """A book that a test rewrites."""

    def __init__(self, *slos: Slo) -> None:
        self.now = SloBook(slos)

    def book(self) -> SloBook:
        return self.now


class Desk:
    """The database's clock and exclusions."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.agreed: tuple[Exclusion, ...] = ()
        self.away = ""

    async def exclusions(self) -> tuple[datetime, tuple[Exclusion, ...]]:
        if self.away:
            raise StoreUnreachable("Postgres", self.away)
        return self.at, self.agreed


class Answers:
    """A source that answers as the test says: at once, never, with a failure, with one objective's fault."""

    def __init__(self) -> None:
        self.counts = GOOD
        self.failure: Exception | None = None
        self.faults: dict[str, str] = {}
        self.silent: set[str] = set()
        self.go = asyncio.Event()
        self.go.set()
        self.reads = 0
        self.closed = False

    async def read(
        self, objectives: Sequence[Objective], exclusions: Sequence[Exclusion]
    ) -> Mapping[str, SliReading]:
        self.reads += 1
        await self.go.wait()
        if self.failure:
            raise self.failure
        at = datetime.now(UTC)
        return {
            each.name: SliReading(at, fault=self.faults[each.name])
            if each.name in self.faults
            else SliReading(at, {86_400: self.counts, 3_600: self.counts}, newest_at=at)
            for each in objectives
            if each.name not in self.silent
        }

    async def close(self) -> None:
        self.closed = True


class Stand:
    def __init__(self, *slos: Slo) -> None:
        self.files, self.desk, self.postgres, self.prometheus = Files(*slos), Desk(), Answers(), Answers()
        self.reader = SloReader(self.files, self.desk, {POSTGRES: self.postgres, PROMETHEUS: self.prometheus})


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the machine stood still for a moment makes no source a slow one, which is left alone."""
    monkeypatch.setattr(slo_reading, "REST", 0.0)
    monkeypatch.setattr(slo_reading, "FIRST_S", 60.0)


async def test_what_is_read_is_judged() -> None:
    stand = Stand(slo("a"), slo("b", PROMETHEUS))
    snapshot = await stand.reader.read()
    assert [(each.name, each.state) for each in snapshot.slos] == [
        ("a", BudgetState.YELLOW),
        ("b", BudgetState.YELLOW),
    ]
    assert (snapshot.at, snapshot.faults, snapshot.book) == (stand.desk.at, (), stand.files.now)
    await stand.reader.close()
    assert stand.postgres.closed and stand.prometheus.closed


async def test_a_source_that_fails_leaves_its_last_figures_marked_with_their_age() -> None:
    stand = Stand(slo("a"), slo("b", PROMETHEUS))
    before = (await stand.reader.read()).slos[1]
    stand.prometheus.failure = StoreUnreachable("Prometheus", "it gave no answer within 3.0 s")
    for _ in range(3):
        snapshot = await stand.reader.read()
    ours, theirs = snapshot.slos
    assert ours.state is BudgetState.YELLOW
    assert theirs.state is BudgetState.STALE and "no answer within 3.0 s" in theirs.why
    assert (theirs.counts, theirs.remaining, theirs.read_at) == (
        before.counts,
        before.remaining,
        before.read_at,
    )
    assert theirs.fired == ()
    assert snapshot.faults == ("Prometheus is unreachable: it gave no answer within 3.0 s.",)
    stand.prometheus.failure = None
    assert (await stand.reader.read()).slos[1].state is BudgetState.YELLOW
    await stand.reader.close()


@pytest.mark.parametrize("kind", [POSTGRES, PROMETHEUS])
async def test_whatever_a_source_raises_is_its_failure(
    kind: SourceKind, caplog: pytest.LogCaptureFixture
) -> None:
    stand = Stand(slo("a"), slo("b", PROMETHEUS))
    broken, place = (stand.postgres, 0) if kind is POSTGRES else (stand.prometheus, 1)
    await stand.reader.read()
    broken.failure = OverflowError("date value out of range")
    for _ in range(3):
        snapshot = await stand.reader.read()
    assert snapshot.slos[place].state is BudgetState.STALE
    assert snapshot.slos[1 - place].state is BudgetState.YELLOW
    assert snapshot.slos[place].why == f"{kind.value} could not be read (OverflowError)"
    assert snapshot.faults == (snapshot.slos[place].why,)
    assert [each.exc_info is not None for each in caplog.records if each.levelname == "ERROR"] == [True]
    broken.failure = None
    assert (await stand.reader.read()).slos[place].state is BudgetState.YELLOW
    await stand.reader.close()


async def test_without_any_figure_a_source_that_fails_is_no_data() -> None:
    stand = Stand(slo("b", PROMETHEUS))
    stand.prometheus.failure = StoreUnreachable("Prometheus", "Connection refused")
    report = (await stand.reader.read()).slos[0]
    assert (report.state, report.read_at, report.remaining) == (BudgetState.NO_DATA, None, None)
    assert "Connection refused" in report.why
    await stand.reader.close()


async def test_a_fault_of_one_objective_keeps_its_own_last_figures() -> None:
    stand = Stand(slo("a"), slo("b"), slo("c"))
    await stand.reader.read()
    stand.postgres.faults = {"a": "query processing would load too many samples"}
    stand.postgres.silent = {"c"}
    a, b, c = (await stand.reader.read()).slos
    assert (a.state, a.counts, b.state, c.state) == (
        BudgetState.STALE,
        GOOD,
        BudgetState.YELLOW,
        BudgetState.STALE,
    )
    assert "too many samples" in a.why and "said nothing" in c.why
    await stand.reader.close()


async def test_a_silent_prometheus_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slo_reading, "FIRST_S", 3_600.0)
    monkeypatch.setattr(slo_reading, "RECENT_S", 3_600.0)
    stand = Stand(slo("a"), slo("b", PROMETHEUS))
    await stand.reader.read()
    stand.prometheus.go.clear()
    for count in range(1, 4):
        stand.postgres.counts = Counts(Decimal(1_000 - count), Decimal(1_000))
        async with asyncio.timeout(60):  # it says nothing for ever: whoever waited longer waits still
            snapshot = await stand.reader.read()
        assert snapshot.slos[0].counts == stand.postgres.counts
        assert snapshot.slos[1].counts == GOOD
    assert stand.prometheus.reads == 2  # one question at a time
    stand.prometheus.go.set()
    stand.prometheus.counts = Counts(Decimal(1), Decimal(1_000))
    assert (await stand.reader.read()).slos[1].state is BudgetState.RED
    await stand.reader.close()


async def test_a_slow_source_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slo_reading, "REST", 4.0)
    stand = Stand(slo("a"), slo("b", PROMETHEUS))
    now = time.monotonic()
    stand.prometheus.go.clear()
    monkeypatch.setattr(slo_reading, "time", SimpleNamespace(monotonic=lambda: now))
    waiting = asyncio.create_task(stand.reader.read())
    while not stand.prometheus.reads:
        await asyncio.sleep(0)
    monkeypatch.setattr(slo_reading, "time", SimpleNamespace(monotonic=lambda: now + 2))
    stand.prometheus.go.set()
    await waiting
    reads = []
    for later in (3, 9.9, 10.1):
        monkeypatch.setattr(slo_reading, "time", SimpleNamespace(monotonic=lambda t=later: now + t))
        report = (await stand.reader.read()).slos[1]
        reads.append((stand.prometheus.reads, stand.postgres.reads, report.state))
    assert reads == [(1, 2, BudgetState.YELLOW), (1, 3, BudgetState.YELLOW), (2, 4, BudgetState.YELLOW)]
    stand.files.now = SloBook((*stand.files.now.slos, slo("new", PROMETHEUS)))
    assert (await stand.reader.read()).slos[
        2
    ].state is BudgetState.YELLOW  # one that was never asked is, at once
    await stand.reader.close()


async def test_figures_that_wait_for_the_next_ones_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(replace(slo("b", PROMETHEUS), fresh_s=60))
    begun = time.monotonic()
    first = (await stand.reader.read()).slos[0]
    stand.prometheus.go.clear()
    monkeypatch.setattr(slo_reading, "RECENT_S", 1_000.0)
    monkeypatch.setattr(slo_reading, "time", SimpleNamespace(monotonic=lambda: begun + 59))
    report = (await stand.reader.read()).slos[0]
    assert (report.state, report.read_at) == (BudgetState.YELLOW, first.read_at)
    monkeypatch.setattr(slo_reading, "time", SimpleNamespace(monotonic=lambda: begun + 300))
    report = (await stand.reader.read()).slos[0]
    assert report.state is BudgetState.STALE and "s old" in report.why
    assert report.read_at == first.read_at
    stand.prometheus.go.set()
    await stand.reader.close()


async def test_a_first_answer_is_waited_for() -> None:
    stand = Stand(slo("b", PROMETHEUS))
    stand.prometheus.go.clear()
    asyncio.get_running_loop().call_later(slo_reading.PATIENCE_S * 2, stand.prometheus.go.set)
    assert (await stand.reader.read()).slos[0].state is BudgetState.YELLOW
    await stand.reader.close()


async def test_a_changed_objective_is_not_judged_by_the_figures_of_the_old_one() -> None:
    stand = Stand(slo("a"))
    await stand.reader.read()
    stand.postgres.failure = StoreUnreachable("Postgres", "away")
    stand.files.now = SloBook((replace(slo("a"), file="moved.yaml", line=7),))
    assert (await stand.reader.read()).slos[0].state is BudgetState.STALE  # the same, elsewhere
    stand.files.now = SloBook((replace(slo("a"), window_s=3_600),))
    assert (await stand.reader.read()).slos[0].state is BudgetState.NO_DATA
    stand.files.now = SloBook()
    await stand.reader.read()
    stand.files.now = SloBook((slo("a"),))
    assert (await stand.reader.read()).slos[0].state is BudgetState.NO_DATA
    await stand.reader.close()


async def test_without_the_database_the_last_exclusions_are_used_and_it_is_said() -> None:
    stand = Stand(slo("b", PROMETHEUS))
    at = datetime.now(UTC)
    stand.desk.agreed = (
        Exclusion("x", "b", at - timedelta(hours=2), at, "agreed maintenance", "admin1", "admin2", 1),
    )
    await stand.reader.read()
    stand.desk.away = "it gave no answer in time"
    snapshot = await stand.reader.read()
    assert snapshot.exclusions == snapshot.slos[0].exclusions == stand.desk.agreed
    assert snapshot.faults == ("Postgres is unreachable: it gave no answer in time.",)
    assert abs(snapshot.at - datetime.now(UTC)) < timedelta(seconds=60)
    await stand.reader.close()


async def test_who_gives_up_waiting_spoils_no_other_reading() -> None:  # F4
    stand = Stand(slo("a"))
    stand.postgres.go.clear()
    waiting = asyncio.create_task(stand.reader.read())
    while not stand.postgres.reads:
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    stand.postgres.go.set()
    assert (await stand.reader.read()).slos[0].state is BudgetState.YELLOW
    await stand.reader.close()


OWN = """
apiVersion: openslo/v1
kind: SLO
metadata:
  name: mine
  annotations: {cockpit/breaker: "component:execution"}
spec:
  service: trading
  budgetingMethod: Occurrences
  timeWindow: [{duration: 1d, isRolling: true}]
  indicator:
    metadata: {name: mine}
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {type: TYPE, spec: {KEY: order_success}}}
        total: {metricSource: {type: TYPE, spec: {KEY: order_success}}}
  objectives: [{target: 0.995}]
"""


def settings_with(platform: Platform, text: str) -> object:
    folder = platform.folder / "slos"
    folder.mkdir()
    (folder / "mine.yaml").write_text(text)
    return replace(platform.settings, slo_folders=(folder,))


async def test_everything_wired(platform: Platform) -> None:
    text = OWN.replace("TYPE", "Postgres").replace("KEY", "sli")
    settings = settings_with(platform, text)
    reader = open_objectives(settings, platform.login("monitor1").postgres_dsn)  # type: ignore[arg-type]
    assert (await reader.read()).slos[0].state is BudgetState.NO_DATA
    async with platform.connection("gateway") as gateway:
        await gateway.execute(
            "INSERT INTO sli_samples (sli, good, total) VALUES ('order_success', 999, 1000)"
        )
    snapshot = await reader.read()
    assert [(each.name, each.state) for each in snapshot.slos] == [("mine", BudgetState.GREEN)]
    await reader.close()


async def test_a_prometheus_that_nobody_configured_is_said(platform: Platform) -> None:
    settings = settings_with(platform, OWN.replace("TYPE", "Prometheus").replace("KEY", "query"))
    reader = open_objectives(settings, platform.login("monitor1").postgres_dsn)  # type: ignore[arg-type]
    report = (await reader.read()).slos[0]
    assert report.state is BudgetState.NO_DATA and "prometheus_url" in report.why
    await reader.close()


async def test_a_bad_file_ends_the_start(platform: Platform) -> None:
    settings = settings_with(platform, OWN.replace("0.995", "1.0"))
    with pytest.raises(BadSettings, match=r"slos: .*mine\.yaml:\d+: "):
        open_objectives(settings, platform.login("monitor1").postgres_dsn)  # type: ignore[arg-type]
