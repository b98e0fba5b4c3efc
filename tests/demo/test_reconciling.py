"""The plant finds what really differs, per instrument and kind, and agrees again once it is healed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backends.reconciliation_store import ReconciliationStore
from cockpit.demo.accounts import Fill
from cockpit.demo.market import LISTINGS
from cockpit.demo.orders import Order, OrderStatus, Side
from cockpit.demo.reconciling import BooksView, Item, Run, compare, unreadable
from cockpit.demo.run_folder import RunFolder, new_run_id
from cockpit.demo.upkeep import QualityCycle, Upkeep
from cockpit.demo.venue_record import VenueReport
from cockpit.domain.documents import parse_rfc3339
from cockpit.domain.reconciliation import Kind, Line, ReconSnapshot, Verdict
from tests.demo.trading import Trading, until

D = Decimal
NOW = datetime(2026, 3, 1, tzinfo=UTC)
BTC = "BTC-USD"


async def lines(trading: Trading) -> ReconSnapshot:
    store = ReconciliationStore(trading.platform.login("monitor1").postgres_dsn)
    try:
        return await store.reconciliations()
    finally:
        await store.close()


async def all_are(trading: Trading, verdict: Verdict, since: datetime) -> ReconSnapshot:
    """The lines once every one of them has a run of this verdict begun since."""
    found: list[ReconSnapshot] = []

    async def reached() -> bool:
        snapshot = await lines(trading)
        found[:] = [snapshot]
        return len(snapshot.lines) == 12 and all(
            each.last.verdict is verdict and each.last.started_at > since for each in snapshot.lines
        )

    await until(reached)
    return found[0]


async def again(trading: Trading, faults: dict[str, float], kind: Kind) -> Line:
    """Ask for cycles, by setting the same faults once more, until a line of this kind is a mismatch."""
    found: list[Line] = []

    async def reached() -> bool:
        await trading.gateway.set_faults(faults)
        snapshot = await lines(trading)
        found[:] = [each for each in snapshot.lines if each.last.mismatches]
        return any(each.kind is kind for each in found)

    await until(reached)
    assert {each.kind for each in found} == {kind}
    return found[0]


async def test_drift_of_each_kind_is_found_and_healed(trading: Trading) -> None:
    began = await trading.now()
    snapshot = await all_are(trading, Verdict.CLEAN, datetime(2026, 1, 1, tzinfo=UTC))
    assert snapshot.faults == () and snapshot.symbols == tuple(sorted(LISTINGS))
    ledger = snapshot.line(Kind.LEDGER, BTC)
    assert ledger is not None and ledger.lag is not None and ledger.lag >= 0 and ledger.gaps == ()

    line = await again(trading, {"order_drift": 3}, Kind.ORDER)
    assert line.last.verdict is Verdict.MISMATCH
    one = line.last.mismatches[0]
    (row,) = await trading.fetch("SELECT * FROM recent_orders WHERE order_id = $1", one.name)
    assert (row["symbol"], row["status"] in ("new", "open")) == (line.symbol, True)
    assert one.venue != one.books
    healed = await trading.now()
    await trading.gateway.heal()
    await all_are(trading, Verdict.CLEAN, healed)
    (row,) = await trading.fetch("SELECT status FROM recent_orders WHERE order_id = $1", one.name)
    assert row["status"] in ("filled", "rejected", "cancelled")  # what had been lost has arrived

    line = await again(trading, {"ledger_gap": 2}, Kind.LEDGER)
    gap = line.gaps[0]
    assert gap.missing >= 1
    assert not await trading.fetch(
        "SELECT FROM plant.postings WHERE seq BETWEEN $1 AND $2", gap.first, gap.last
    )
    healed = await trading.now()
    await trading.gateway.heal()
    await all_are(trading, Verdict.CLEAN, healed)
    await until(trading.ledger_agrees)

    line = await again(trading, {"recon_drift": 0.1}, Kind.POSITION)
    assert [each.name for each in line.last.mismatches] == [line.symbol]
    assert line.last.mismatches[0].difference == LISTINGS[line.symbol].max_position / 10

    since = await trading.now()
    await trading.gateway.set_faults({"recon_drift": 0, "recon_unreadable": 1})
    unknown = await all_are(trading, Verdict.UNKNOWN, since)
    assert all(each.clean == 0 for each in unknown.lines)
    assert any(each.consecutive for each in unknown.lines)  # it neither counts nor clears
    passes = (await trading.samples("reconciliation_pass", began))[0]
    await until(lambda: _no_event(trading, since))
    assert passes is not None
    healed = await trading.now()
    await trading.gateway.heal()
    await all_are(trading, Verdict.CLEAN, healed)

    folder = next((trading.platform.folder / "plant" / "runs").iterdir())
    events = [
        json.loads(line)
        for name in ("order_reconciliation_events.jsonl", "position_reconciliation_events.jsonl")
        for line in (folder / name).read_text("utf-8").splitlines()
    ]
    assert {each["kind"] for each in events} == {"order", "position", "ledger"}
    assert {each["status"] for each in events} == {"clean", "mismatch", "unknown"}
    assert all(each["run_id"] == folder.name == trading.plant.run_id for each in events)
    assert {each["event_type"] for each in events} == {"reconciliation"}
    assert all(parse_rfc3339(each["at"]) > datetime(2026, 1, 1, tzinfo=UTC) for each in events)


async def _no_event(trading: Trading, since: object) -> bool:
    rows = await trading.samples("reconciliation_pass", since)
    return bool(rows) and rows[0]["total"] == 0


async def test_data_quality_and_risk_leave_their_records(trading: Trading) -> None:
    async def cycle(status: str, since: Any) -> Any:
        rows = await trading.fetch(
            "SELECT * FROM quality_cycles WHERE started_at > $1 AND status = $2 ORDER BY started_at DESC",
            since,
            status,
        )
        return rows[0] if rows else None

    began = await trading.fetch("SELECT clock_timestamp() - interval '1 hour' AS at")
    await until(lambda: cycle("clean", began[0]["at"]))
    days = await trading.fetch(
        "SELECT symbol, count(*) FILTER (WHERE day < (clock_timestamp() AT TIME ZONE 'UTC')::date) AS past"
        " FROM daily_bars GROUP BY symbol"
    )
    assert {row["symbol"]: row["past"] for row in days} == dict.fromkeys(LISTINGS, 35)

    for _ in range(3):
        since = await trading.now()
        await trading.gateway.set_faults({"missing_bars": 2, "position_runaway": 1.6})
        await until(lambda since=since: cycle("breach", since))  # type: ignore[misc]
    row = await cycle("breach", since)
    assert (row["errors"], json.loads(row["details"])["missing_daily_bars"]) == (2, {BTC: 2})

    async def sampled() -> bool:
        return bool((await trading.samples("data_quality_errors"))[0]["value"] == 2)

    await until(sampled)
    folder = trading.platform.folder / "plant"

    async def written() -> bool:
        logs = list((folder / "audit_logs").glob("*.jsonl"))
        return bool(logs) and "risk_limit_breach" in logs[0].read_text("utf-8")

    await until(written)
    (log,) = (folder / "audit_logs").glob("*.jsonl")
    entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    breach = next(each for each in entries if each["event_type"] == "risk_limit_breach")
    assert (breach["rule"], breach["subject"]) == ("position-limit", BTC)
    assert D(breach["value"]) > D(breach["limit"]) == 1
    assert any("missing_bars 2" in each.get("what", "") for each in entries)

    run = folder / "runs" / trading.plant.run_id
    (incident,) = map(json.loads, (run / "incident_events.jsonl").read_text("utf-8").splitlines())
    assert (incident["event_type"], incident["severity"], incident["classification"]) == (
        "incident_open", "P1", "data_quality",
    )  # fmt: skip
    assert json.loads((run / "data_quality_latest.json").read_text("utf-8"))["status"] == "breach"
    slos = [json.loads(line) for line in (run / "ops_slo_events.jsonl").read_text("utf-8").splitlines()]
    assert ("slo_breach", "data-quality-errors") in [(each["event_type"], each["slo"]) for each in slos]
    healed = await trading.now()
    await trading.gateway.heal()
    await until(lambda: cycle("clean", healed))


def order(name: str, status: OrderStatus, quantity: str = "2", symbol: str = BTC) -> Order:
    return Order(name, symbol, None, Side.BUY, D(quantity), NOW, NOW, status)


def row(name: str, status: str, quantity: str = "2", symbol: str = BTC) -> dict[str, Any]:
    return {"order_id": name, "symbol": symbol, "status": status, "quantity": D(quantity)}


def report(*orders: Order, resting: tuple[str, ...] = (), fills: tuple[Fill, ...] = ()) -> VenueReport:
    held = {each.order_id: each for each in orders}
    return VenueReport(held, frozenset(resting), dict.fromkeys(LISTINGS, D(0)), fills, 9)


def books(*rows: dict[str, Any], sequence: frozenset[int] = frozenset(), merged: int = 0) -> BooksView:
    return BooksView(rows, {}, {}, sequence, 8, merged)


def of(runs: list[Run], kind: Kind, symbol: str = BTC) -> Run:
    (run,) = (each for each in runs if (each.kind, each.symbol) == (kind, symbol))
    return run


F, OPEN, N, C, R = (
    OrderStatus.FILLED,
    OrderStatus.OPEN,
    OrderStatus.NEW,
    OrderStatus.CANCELLED,
    OrderStatus.REJECTED,
)


@pytest.mark.parametrize(
    ("venue", "resting", "booked", "wanted"),
    [
        ([order("a", F)], (), [row("a", "filled")], ()),
        ([order("a", N)], (), [row("a", "new")], ()),
        ([order("a", OPEN)], ("a",), [row("a", "open", "2.0")], ()),
        ([order("a", R)], (), [], ()),  # forgotten, and nothing of it was ever open or done
        ([order("a", F)], (), [row("a", "open")], (Item("a", D(0), D(2)),)),
        ([order("a", C)], (), [row("a", "new")], (Item("a", D(0), D(2)),)),
        ([order("a", OPEN)], ("a",), [row("a", "cancelled")], (Item("a", D(2), D(0)),)),
        ([order("a", OPEN)], ("a",), [], (Item("a", D(2), D(0)),)),
        ([order("a", F)], (), [row("a", "cancelled")], (Item("a", D(2), D(0)),)),
        ([order("a", F, "3")], (), [row("a", "filled", "2")], (Item("a", D(3), D(2)),)),
        ([], (), [row("a", "open")], (Item("a", D(0), D(2)),)),
        ([], ("a",), [row("a", "open")], ()),  # rests for so long that it is on the venue's list only
    ],
)
def test_orders(
    venue: list[Order], resting: tuple[str, ...], booked: list[dict[str, Any]], wanted: tuple[Item, ...]
) -> None:
    runs = compare(report(*venue, resting=resting), books(*booked), NOW)
    run = of(runs, Kind.ORDER)
    assert run.items == wanted
    assert run.verdict is (Verdict.MISMATCH if wanted else Verdict.CLEAN)
    assert {each.verdict for each in runs if each is not run} == {Verdict.CLEAN} and len(runs) == 12


def test_gaps_are_spans_of_numbers_and_merged_fills_are_none() -> None:
    fills = tuple(Fill(seq, BTC, D(1), D(-1), NOW) for seq in (2, 3, 4, 5, 6, 8, 9))
    runs = compare(report(fills=fills), books(sequence=frozenset({2, 5}), merged=2), NOW)
    run = of(runs, Kind.LEDGER)
    assert [each.name for each in run.items] == ["gap:3-4", "gap:6-6", "gap:8-9"]
    assert (run.engine_seq, run.ledger_seq) == (9, 8) and of(runs, Kind.LEDGER, "ETH-USD").items == ()
    runs = compare(report(fills=fills), books(merged=9), NOW)
    assert of(runs, Kind.LEDGER).verdict is Verdict.CLEAN
    assert {run.verdict for run in unreadable(NOW)} == {Verdict.UNKNOWN}


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_run_folders_are_bounded_and_survive_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # F19
    monkeypatch.setattr("cockpit.demo.run_folder._MOST_BYTES", 1_000)
    for number in range(12):
        RunFolder(tmp_path, None, new_run_id(NOW.replace(month=1 + number % 12))).begin()
    (tmp_path / "somebody-elses").mkdir()
    folder = RunFolder(tmp_path, tmp_path / "logs", new_run_id(NOW.replace(year=2027)))
    folder.begin()
    assert len(list(tmp_path.iterdir())) == 11 and (tmp_path / "somebody-elses").exists()
    run = tmp_path / folder.run_id
    for number in range(20):
        folder.event("data_quality_events.jsonl", "quality_cycle", {"number": number, "text": "ä\nb"})
        folder.event("incident_events.jsonl", "incident_open", {"number": number})
    kept = [*events(run / "data_quality_events.jsonl.1"), *events(run / "data_quality_events.jsonl")]
    assert kept[-1]["number"] == 19 and len(kept) < 20
    assert len(events(run / "incident_events.jsonl")) == 20  # others append to it: it is never put aside
    monkeypatch.setattr("os.write", lambda file, data: 3)
    folder.audit("change", {"what": "x"})  # cut short
    monkeypatch.undo()
    folder.audit("change", {"what": "y"})
    text = (tmp_path / "logs" / f"{folder.run_id}.jsonl").read_text("utf-8")
    assert json.loads(text.splitlines()[-1])["what"] == "y" and text.startswith("\n")
    (tmp_path / "file").touch()
    nowhere = RunFolder(tmp_path / "file", tmp_path / "file", "r")
    nowhere.begin()
    nowhere.event("x.jsonl", "x", {})
    nowhere.latest_quality({})
    nowhere.audit("x", {})
    off = RunFolder(None, None, "r")
    off.begin()
    off.event("x.jsonl", "x", {})
    off.latest_quality({})
    off.audit("x", {})


def test_one_incident_for_as_long_as_the_data_are_bad(tmp_path: Path) -> None:
    upkeep = Upkeep(RunFolder(tmp_path, None, "r"))
    bad = QualityCycle(NOW, {"gap": 1}, (), {})
    clean = QualityCycle(NOW, {"gap": 0}, (), {BTC: 0})
    unknown = QualityCycle(NOW, {}, (), None)
    assert (bad.status, clean.status, unknown.status) == ("breach", "clean", "unknown")
    opened = tmp_path / "r" / "incident_events.jsonl"
    for cycle in (bad, bad, unknown):
        upkeep.quality(cycle)
    assert not opened.exists()
    for cycle in (bad, bad, bad):
        upkeep.quality(cycle)
    assert len(events(opened)) == 1
    for cycle in (clean, bad, bad, bad):
        upkeep.quality(cycle)
    assert len(events(opened)) == 2
    types = [each["event_type"] for each in events(tmp_path / "r" / "ops_slo_events.jsonl")]
    assert types == ["slo_breach", "slo_recovered", "slo_breach"]
