"""`cockpit slo` on real samples: what is left of each budget, and what cannot be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import inside, moved
from tests.cli.objectives import ERRORS, ORDERS, sample, write_objectives
from tests.trading_platform import Platform

SHARED = {"name", "title", "breaker_id", "state", "word", "actions", "blocks_resume", "why", "newest_at"}
SHARED |= {"read_at", "query", "file", "line"}
SLO = set(
    "objective window_s budgeting remaining minutes_left exhausted_in_s one_failure_costs good total "
    "ratio_1h burns fired streak streak_over breached excluded trend".split()
)


@pytest.fixture
def folder(platform: Platform) -> Path:
    return write_objectives(platform, orders=ORDERS, errors=ERRORS)


async def test_the_list_and_one_in_detail(platform: Platform, folder: Path) -> None:
    """A busy hour with few failures, then a minute with many: 12 bad of 1,000, of which 100 may be."""
    await sample(platform, "order_success", 985, 985, 7_200)
    await sample(platform, "order_success", 3, 15, 30)
    await sample(platform, "data_errors", 1, 1, value=2)
    document = (await inside(platform.config, "slo", "--json")).document
    assert set(document) == {*"slos thresholds exclusions faults simulated_before observed_at".split()}
    [slo], [threshold] = document["slos"], document["thresholds"]
    assert set(slo) == SHARED | SLO
    assert set(threshold) == SHARED | {"value", "op", "bound", "unit", "statistic", "window_s"}
    assert (slo["state"], slo["good"], slo["total"], slo["remaining"]) == ("GREEN", 988, 1_000, 0.88)
    assert slo["burns"]["300"] == pytest.approx(8.0)
    assert slo["one_failure_costs"] == pytest.approx(0.01)
    assert slo["minutes_left"] == pytest.approx(0.88 * 0.1 * 30 * 1_440)
    assert (threshold["state"], threshold["value"]) == ("RED", 2)
    assert threshold["line"] == 1 and threshold["file"] == str(folder / "errors.yaml")
    people = await inside(platform.config, "slo")
    assert people.code == 0
    head, first, second, *_ = people.out.splitlines()
    assert head.split()[:3] == ["STATE", "OBJECTIVE", "LEFT"]
    assert "RED BROKEN" in first and "data-errors" in first  # worst first
    assert "GREEN HEALTHY" in second and "88.0 %" in second
    one = await inside(platform.config, "slo", "order-success")
    assert f"{folder / 'orders.yaml'}:1" in one.out
    for words in ("12 bad of 1000 events", "88.0 %", "promotions included", "page 1h/5m: quiet", "30d"):
        assert words in one.out, one.out
    document = (await inside(platform.config, "slo", "order-success", "--json")).document
    assert ([each["name"] for each in document["slos"]], document["thresholds"]) == (["order-success"], [])


async def test_what_is_spent_is_negative_and_names_what_it_forbids(platform: Platform, folder: Path) -> None:
    await sample(platform, "order_success", 70, 100)
    done = await inside(platform.config, "slo", "order-success", "--json")
    [slo] = done.document["slos"]
    assert (slo["state"], slo["word"], slo["blocks_resume"]) == ("RED", "HALT DUE", True)
    assert slo["remaining"] == -2.0 and slo["exhausted_in_s"] == 0 and slo["minutes_left"] < 0
    people = await inside(platform.config, "slo")
    assert "-200.0 %" in people.out and "Halt new orders" in people.out


async def test_what_is_not_known_is_never_green(platform: Platform, folder: Path) -> None:  # I25
    await sample(platform, "order_success", 100, 100, 3_600)
    document = (await inside(platform.config, "slo", "--json")).document
    states = {each["name"]: each["state"] for each in (*document["slos"], *document["thresholds"])}
    assert states == {"order-success": "STALE", "data-errors": "NO DATA"}
    await sample(platform, "order_success", 5, 4)
    [slo] = (await inside(platform.config, "slo", "order-success", "--json")).document["slos"]
    assert (slo["state"], slo["remaining"]) == ("CONTRADICTION", None)


async def test_without_postgres_it_exits_5_and_shows_no_state_as_known(
    platform: Platform, folder: Path
) -> None:  # I25
    config = moved(platform.config, "away.toml", postgres=1)
    done = await inside(config, "slo", "--json")
    assert done.code == 5, done.out
    assert {each["state"] for each in done.document["slos"]} == {"NO DATA"}
    assert done.err.count("\n") >= 1
    people = await inside(config, "slo")
    assert people.code == 5 and "GREEN" not in people.out


async def test_one_source_that_is_away_hides_nothing_of_the_others(platform: Platform) -> None:
    query = "spec: {query: orders_total}"
    remote = ORDERS.replace("spec: {sli: order_success}", query).replace("type: Postgres", "type: Prometheus")
    write_objectives(platform, orders=ORDERS, remote=remote.replace("order-success", "remote"))
    await sample(platform, "order_success", 10, 10)
    done = await inside(platform.config, "slo", "--json")
    assert done.code == 0, done.err
    found = {each["name"]: each for each in done.document["slos"]}
    assert (found["order-success"]["state"], found["remote"]["state"]) == ("GREEN", "NO DATA")
    assert "prometheus_url" in found["remote"]["why"]


async def test_an_unknown_name_is_suggested(platform: Platform, folder: Path) -> None:
    for name, wanted in (("order-sucess", "order-success"), ("exclde", "exclude")):
        done = await inside(platform.config, "slo", name, "--json")
        assert (done.code, f"did you mean {wanted}?" in done.err) == (2, True), done.err
    assert (await inside(platform.config, "slo", "zzz")).code == 2


async def test_no_objective_at_all_says_where_they_come_from(platform: Platform) -> None:
    done = await inside(platform.config, "slo")
    assert done.code == 0 and "[slos]" in done.out


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("target: 0.9", "target: 1.0"),
        ("cockpit/breaker: component:execution", "cockpit/breaker: component:exekution"),
        ("budgetingMethod", "budgettingMethod"),
        ("  timeWindow", "\ttimeWindow"),
    ],
)
async def test_check_names_file_and_line(platform: Platform, tmp_path: Path, old: str, new: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "orders.yaml").write_text(ORDERS)
    good = await inside(platform.config, "slo", "check", str(folder), "--json")
    assert (good.code, good.document) == (0, {"ok": True, "objectives": ["order-success"]})
    (folder / "orders.yaml").write_text(ORDERS.replace(old, new, 1))
    line = 1 + ORDERS[: ORDERS.index(old)].count("\n")
    bad = await inside(platform.config, "slo", "check", str(folder))
    assert bad.code == 2
    assert f"{folder}/orders.yaml:{line}:" in bad.err, bad.err
    assert len(bad.err.splitlines()) == 1
    (folder / "orders.yaml").write_text(ORDERS + "---\n" + ORDERS)
    twice = await inside(platform.config, "slo", "check", str(folder))
    assert (twice.code, "order-success" in twice.err) == (2, True)


async def test_a_broken_file_stops_what_needs_it_with_one_line(platform: Platform, folder: Path) -> None:
    (folder / "orders.yaml").write_text("kind: [")
    done = await inside(platform.config, "slo", "--json")
    assert done.code == 2 and "orders.yaml:" in done.document["error"]["message"]
    doctor = await inside(platform.config, "doctor")
    assert "BAD   objectives" in doctor.out and "orders.yaml:" in doctor.out


async def test_doctor_tells_whether_objectives_are_measured(platform: Platform, folder: Path) -> None:
    done = await inside(platform.config, "doctor")
    assert "WARN  objectives: 2 of 2 have no fresh samples" in done.out
    await sample(platform, "order_success", 70, 100)
    await sample(platform, "data_errors", 1, 1, value=0)
    done = await inside(platform.config, "doctor")
    assert "OK    objectives: 2 loaded, all with fresh samples; RED: order-success" in done.out, done.out


async def test_completion_lists_the_objectives(platform: Platform, folder: Path) -> None:
    done = await inside(platform.config, "completion", "objectives")
    assert done.out.split() == ["order-success", "data-errors"]
