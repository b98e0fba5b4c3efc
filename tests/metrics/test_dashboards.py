"""The dashboards that ship: names that somebody serves, PromQL that parses, files that Grafana takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.metrics.queries import GRAFANA, OWN_SERIES, Query, exported, recorded, traded, wrong_with
from tests.trading_platform import Platform

FILES = sorted(GRAFANA.glob("*/*.json"))
BOARDS = {path: json.loads(path.read_text()) for path in FILES}
TITLES = {(path.parent.name, board["title"]) for path, board in BOARDS.items()}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())


def expressions(board: dict[str, Any]) -> list[str]:
    """All that a board asks: of panels, annotations and variables (`label_values(METRIC, LABEL)`)."""
    asked = [target["expr"] for panel in panels(board) for target in panel.get("targets", ())]
    asked += [each["expr"] for each in board["annotations"]["list"]]
    for each in board["templating"]["list"]:
        if each["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"]["query"])
            assert found is not None, each["name"]
            asked.append(f'{found[1]}{{{found[2]}!=""}}')
    return asked


def test_the_boards_that_the_runbooks_name() -> None:
    assert {("Risk", "Circuit Breakers"), ("Risk", "Track7 SLO")} <= TITLES
    assert {title for folder, title in TITLES if folder == "Core"} == {
        "Trading API", "Engine", "Ledger", "Market Data and Exposure",
    }  # fmt: skip


async def test_boards_ask_only_for_what_is_served(platform: Platform) -> None:
    known = {**exported(), **recorded(), **OWN_SERIES, **traded(platform.settings)}
    faults = [
        f"{path.name}: {fault}"
        for path, board in BOARDS.items()
        for expr in expressions(board)
        for fault in wrong_with(Query(expr), known)
    ]
    assert faults == []


# Of use to whoever asks, and of none to look at.
NOT_DRAWN = {"slo_window_seconds", "authority_term", "guard_term", "exporter_build_info"}


def test_every_metric_of_the_exporter_is_on_a_board() -> None:
    drawn = {
        name for board in BOARDS.values() for expr in expressions(board) for name, _ in Query(expr).selectors
    }
    assert exported().keys() - drawn == NOT_DRAWN


def test_uids_titles_and_panel_ids_are_unique() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == len(TITLES)
    for path, board in BOARDS.items():
        ids = [panel["id"] for panel in panels(board)]
        assert len(ids) == len(set(ids)), path
        assert board.get("id") is None, "an id belongs to one Grafana; the uid stays"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_data_source_is_a_variable(path) -> None:
    board = BOARDS[path]
    (variable,) = (each for each in board["templating"]["list"] if each["type"] == "datasource")
    assert (variable["name"], variable["query"]) == ("datasource", "prometheus")
    asked = [each for panel in panels(board) for each in (panel, *panel.get("targets", ()))]
    asked += board["annotations"]["list"]
    asked += [each for each in board["templating"]["list"] if each["type"] == "query"]
    assert all(
        each["datasource"] == SOURCE for each in asked if each["type" if "type" in each else "expr"] != "row"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_do_not_lie_on_each_other(path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(BOARDS[path]):
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("name", ["circuit-breakers", "track7-slo"])
def test_trips_and_resets_are_annotations(name: str) -> None:
    board = json.loads((GRAFANA / "Risk" / f"{name}.json").read_text())
    told = {each["name"]: Query(each["expr"]).selectors[0][0] for each in board["annotations"]["list"]}
    assert told == {"Trips": "breaker_trips_total", "Resets": "breaker_resets_total"}
    variables = {each["name"] for each in board["templating"]["list"]}
    assert "breaker" in variables


def test_provisioning_finds_the_folders() -> None:
    provider = yaml.safe_load((GRAFANA / "provisioning.example.yml").read_text())
    (only,) = provider["providers"]
    assert only["options"]["foldersFromFilesStructure"] is True
    assert {path.parent.name for path in FILES} == {"Risk", "Core"}
